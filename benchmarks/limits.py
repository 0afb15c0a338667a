"""The machine's limit for a case: its matrix products alone.

A step needs, in each layer, the product forward, the gradient of the kernel, and (where somebody asks about the
inputs) the gradient handed back; a convolution is the product of its windows with its kernel, without the copying that
makes windows of an image. These run here on the case's shapes, as many times as a run of the case has steps, in one
compiled loop with nothing between them. What training takes beyond this is ours to save. It is the limit of XLA's
products at these shapes, well below what the cores do on large square ones.
"""

from __future__ import annotations

import functools
import time

import jax
import jax.numpy as jnp

from benchmarks import cases
from benchmarks.cases import Case


def seconds(case: Case) -> float:
    """Return the seconds that the products of one run of `case` take; the first call compiles as well."""
    alike: dict[tuple, int] = {}
    for product in cases.products(case):
        alike[product] = alike.get(product, 0) + 1
    key = jax.random.key(0)
    operands = jax.block_until_ready(
        [(jax.random.normal(key, (m, k)), jax.random.normal(key, (k, n)), jax.random.normal(key, (m, n)))
         for m, k, n, _ in alike]  # fmt: skip
    )
    start = time.perf_counter()
    jax.block_until_ready(_loop(case.steps, tuple((*product, times) for product, times in alike.items()), operands))
    return time.perf_counter() - start


@functools.partial(jax.jit, static_argnums=(0, 1))
def _loop(steps: int, alike: tuple, operands: list):
    """Every product of a step, the ones of the same shape one after the other, for so many steps."""

    def again(back: bool):
        def once(i, carry):
            # One element changes in place each turn: XLA would otherwise take unchanging products out of the loop.
            (x, w, d), _ = carry
            x, w, d = (a.at[0, 0].set(i.astype(a.dtype)) for a in (x, w, d))
            return (x, w, d), (x @ w, x.T @ d, d @ w.T if back else jnp.zeros_like(x))

        return once

    def step(_, carry):
        done = []
        for (_, _, _, back, times), (own, _) in zip(alike, carry, strict=True):
            x, w, d = own
            made = (jnp.zeros_like(d), jnp.zeros_like(w), jnp.zeros_like(x))
            done.append(jax.lax.fori_loop(0, times, again(back), (own, made)))
        return done

    start = [((x, w, d), (jnp.zeros_like(d), jnp.zeros_like(w), jnp.zeros_like(x))) for x, w, d in operands]
    return jax.lax.fori_loop(0, steps, step, start)
