"""The machine's limit for a case: its matrix products alone.

A step of a dense network needs, in each layer, the product forward, the gradient of the kernel, and (in all
layers but the first, whose input nobody asks about) the gradient handed back. These run here on the case's
shapes, as many times as a run of the case has steps, in one compiled loop with nothing between them. What
training takes beyond this is ours to save. It is the limit of XLA's products at these shapes, well below what
the cores do on large square ones (450 GFLOP/s where these reach 100-200).
"""

from __future__ import annotations

import functools
import itertools
import time

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.cases import Case


def products(case: Case, arrays: dict[str, np.ndarray]) -> float:
    """Return the seconds that the products of one run of `case` take; the first call compiles as well."""
    kernels = [jnp.asarray(arrays[f"kernel_{i}"]) for i in range(len(case.sizes) - 1)]
    x = jax.block_until_ready(jnp.asarray(arrays["x"][: case.batch]))
    start = time.perf_counter()
    jax.block_until_ready(_loop(case.steps, kernels, x))
    return time.perf_counter() - start


def flops(case: Case) -> int:
    """Return the floating-point operations of those products."""
    pairs = list(itertools.pairwise(case.sizes))
    return 2 * case.batch * case.steps * (3 * sum(m * n for m, n in pairs) - pairs[0][0] * pairs[0][1])


@functools.partial(jax.jit, static_argnums=0)
def _loop(steps: int, kernels, x):
    def step(i, carry):
        # One element changes in place each turn: XLA would otherwise take unchanging products out of the loop
        # (it did, with `optimization_barrier` too: 2,900 GFLOP/s on two cores).
        x, kernels, _ = carry
        x, kernels = jax.tree.map(lambda a: a.at[0, 0].set(i / steps), (x, kernels))
        inputs = [x]
        for kernel in kernels:
            inputs.append(inputs[-1] @ kernel)
        back, gradients = inputs[-1], []
        for k in reversed(range(len(kernels))):
            gradients.append(inputs[k].T @ back)
            if k:
                back = back @ kernels[k].T
        return x, kernels, gradients[::-1]

    return jax.lax.fori_loop(0, steps, step, (x, kernels, jax.tree.map(jnp.zeros_like, kernels)))[2]
