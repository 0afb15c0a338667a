"""The loop over the steps of a sequence, its gradient, and the steps of LSTM and GRU with their derivatives.

The products with the inputs are one product for all steps before the loop, and the loop carries only the state. So
does the loop of the gradient, which goes back in time: what it leaves behind makes the gradient of the weights one
product after it (`carried`), instead of a matrix that grows at every step.

Measured with 28 steps of 28 inputs, 128 units and 64 rows on two cores: a training step takes 0.76 of the time of JAX's
own gradient for the LSTM and 0.77 for the GRU. For the RNN it is 0.96, which is not worth a derivative of its own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from sonde._types import Array

# ------------------------------------------------------------------------------------ a step, and its derivatives


def lstm_step(state: tuple, z: Array, a: Array) -> tuple[tuple, tuple]:
    """(h, s) at the next step, and what the derivative needs."""
    _, s = state
    i, f, g, o = jnp.split(z + a, 4, -1)
    i, f, g, o = sigma(i), sigma(f), jnp.tanh(g), sigma(o)
    new = f * s + i * g
    shown = jnp.tanh(new)
    return (o * shown, new), (s, i, f, g, o, shown)


def lstm_back(kept: tuple, slopes: tuple) -> tuple:
    """From the slopes of (h_t, s_t): those of (h_{t-1}, s_{t-1}) but for the product with R, and of z and a."""
    s, i, f, g, o, shown = kept
    dh, ds = slopes
    ds = ds + dh * o * (1 - shown * shown)
    parts = (ds * g * i * (1 - i), ds * s * f * (1 - f), ds * i * (1 - g * g), dh * shown * o * (1 - o))
    da = jnp.concatenate(parts, -1)
    return (jnp.zeros_like(dh), ds * f), da, da


def gru_step(state: tuple, z: Array, a: Array) -> tuple[tuple, tuple]:
    """h at the next step, and what the derivative needs."""
    (h,), units = state, state[0].shape[-1]
    gates, q = sigma(z[..., : 2 * units] + a[..., : 2 * units]), a[..., 2 * units :]
    r, u = jnp.split(gates, 2, -1)
    n = jnp.tanh(z[..., 2 * units :] + r * q)
    return ((1 - u) * n + u * h,), (h, r, u, n, q)


def gru_back(kept: tuple, slopes: tuple) -> tuple:
    """From the slope of h_t: that of h_{t-1} but for the product with R, and those of z and a."""
    h, r, u, n, q = kept
    (dh,) = slopes
    dn = dh * (1 - u) * (1 - n * n)
    dr, du = dn * q * r * (1 - r), dh * (h - n) * u * (1 - u)
    return (dh * u,), jnp.concatenate([dr, du, dn], -1), jnp.concatenate([dr, du, dn * r], -1)


def sigma(a: Array) -> Array:
    """1 / (1 + exp(-a)) as a hyperbolic tangent, which compilers have a faster way for."""
    return 0.5 * jnp.tanh(0.5 * a) + 0.5


# ------------------------------------------------------------------------------------ the loop, and its gradient


def scanned(step: Callable, count: int, z: Array, recurrent: Array, bias: Array) -> Array:
    """The states h [time, rows, units] that a step makes one after the other, starting from 0.

    Args:
        step: ``step(state, z_t, a_t)`` gives (the next state, what its derivative needs), with a_t = h R + b and h
            the first of the state's parts.
        count: how many parts the state has, each [rows, units].
        z: [time, rows, gates * units], the products with the inputs.
        recurrent: R [units, gates * units].
        bias: b [gates * units].
    """
    return _forward(lambda *given: (step(*given)[0], ()), count, z, recurrent, bias)[0]


def carried(step: Callable, back: Callable, count: int, z: Array, recurrent: Array, bias: Array) -> Array:
    """What `scanned` gives, with the faster gradient: ``back`` is the derivative of ``step``.

    Under reverse mode any number of times; forward mode (jvp) needs `scanned`.
    """
    return _carried(step, back, count, z, recurrent, bias)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _carried(step: Callable, back: Callable, count: int, z: Array, recurrent: Array, bias: Array) -> Array:
    return scanned(step, count, z, recurrent, bias)


def _forward(step: Callable, count: int, z: Array, recurrent: Array, bias: Array) -> tuple[Array, Any]:
    rows, units = z.shape[1], recurrent.shape[0]
    kind = jnp.result_type(z, recurrent, bias)
    z, recurrent, bias = z.astype(kind), recurrent.astype(kind), jnp.broadcast_to(bias.astype(kind), z.shape[1:])

    def one(state: tuple, z: Array) -> tuple[tuple, tuple]:
        state, kept = step(state, z, state[0] @ recurrent + bias)
        return state, (state[0], kept)

    return lax.scan(one, (jnp.zeros((rows, units), kind),) * count, z)[1]


def _with_kept(step: Callable, back: Callable, count: int, z: Array, recurrent: Array, bias: Array) -> tuple:
    hs, kept = _forward(step, count, z, recurrent, bias)
    return hs, (hs, kept, z, recurrent, bias)


def _backward(step: Callable, back: Callable, count: int, saved: tuple, dhs: Array) -> tuple:
    hs, kept, z, recurrent, bias = saved
    rows, units = hs.shape[1:]

    def one(slopes: tuple, given: tuple) -> tuple[tuple, tuple]:
        dh, kept = given
        slopes, dz, da = back(kept, (slopes[0] + dh, *slopes[1:]))
        return (slopes[0] + da @ recurrent.T.astype(da.dtype), *slopes[1:]), (da,) if dz is da else (da, dz)

    nothing = jnp.zeros((rows, units), hs.dtype)
    _, found = lax.scan(one, (nothing,) * count, (dhs, kept), reverse=True)
    before, da, dz = jnp.concatenate([nothing[None], hs[:-1]]), found[0], found[-1]
    slopes = dz, jnp.einsum("trh,tra->ha", before, da), da.sum((0, 1))
    return tuple(slope.astype(given.dtype) for slope, given in zip(slopes, (z, recurrent, bias), strict=True))


_carried.defvjp(_with_kept, _backward)
