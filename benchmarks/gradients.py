"""What our own gradients gain inside a loop, beside those of JAX: ``python -m benchmarks.gradients``."""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sonde import nn
from sonde.nn.convolve import convolve, plain

STEPS, ROUNDS = 10, 5


def convolution(space: tuple[int, ...], size: int, channels: int = 32, **how: Any) -> dict[str, tuple[Callable, Any]]:
    """A convolution of 32 rows with as many channels in as out, by our gradients and by those of JAX."""
    rng, axes = np.random.default_rng(0), len(space)
    given = {"stride": 1, "dilation": 1} | how
    groups = given.pop("groups", 1)
    how = {name: (n,) * axes for name, n in given.items()} | {"groups": groups, "padding": ((size // 2,) * 2,) * axes}
    x = jnp.asarray(rng.normal(size=(32, *space, channels)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(size,) * axes + (channels // groups, channels)) / 100, jnp.float32)
    loss = lambda function, kernel: (function(jax.nn.relu(function(x, kernel, **how)), kernel, **how) ** 2).mean()
    sides = {"ours": convolve, "JAX": plain}
    return {side: (functools.partial(loss, function), kernel) for side, function in sides.items()}


def recurrent(layer: Any) -> dict[str, tuple[Callable, Any]]:
    """28 steps of 28 numbers, 64 rows, 128 units."""
    x = jnp.asarray(np.random.default_rng(0).normal(size=(64, 28, 28)), jnp.float32)
    sides = {}
    for side, spec in (("ours", layer), ("JAX", layer.replace(plain_gradient=True))):
        net = nn.build(spec, x)
        sides[side] = (lambda params, net=net: (net.replace(params=params)(x) ** 2).mean(), net.params)
    return sides


CASES = {
    "5x5, 32 x 14 x 14 x 32": lambda: convolution((14, 14), 5),
    "3x3, stride 2": lambda: convolution((28, 28), 3, stride=2),
    "3x3, dilation 2": lambda: convolution((14, 14), 3, dilation=2),
    "3x3, 4 groups": lambda: convolution((14, 14), 3, groups=4),
    "5 on a series of 200": lambda: convolution((200,), 5),
    "3x3x3": lambda: convolution((8, 8, 8), 3, channels=8),
    "LSTM": lambda: recurrent(nn.LSTM(128, last=True)),
    "GRU": lambda: recurrent(nn.GRU(128, last=True)),
}


@functools.partial(jax.jit, static_argnums=0)
def descended(loss: Callable, weights: Any) -> Any:
    """Some steps of descent in one program."""
    step = lambda w, _: (jax.tree.map(lambda v, g: v - 1e-3 * g, w, jax.grad(loss)(w)), None)
    return jax.lax.scan(step, weights, None, length=STEPS)[0]


def main() -> None:
    """The table: milliseconds a step, medians, both sides in turns."""
    print("| case | ours (ms) | JAX (ms) | JAX / ours |\n| --- | --- | --- | --- |")
    for name, made in CASES.items():
        sides, seconds = made(), {"ours": [], "JAX": []}
        for round in range(ROUNDS + 1):
            for side, (loss, weights) in sides.items():
                began = time.perf_counter()
                jax.block_until_ready(descended(loss, weights))
                if round:  # the first compiles
                    seconds[side].append((time.perf_counter() - began) / STEPS)
        ours, jaxs = (1000 * statistics.median(seconds[side]) for side in ("ours", "JAX"))
        print(f"| {name} | {ours:.3g} | {jaxs:.3g} | {jaxs / ours:.2g} |", flush=True)


if __name__ == "__main__":
    main()
