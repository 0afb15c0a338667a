"""Convolution with derivatives that stay fast inside a training loop on a CPU.

    y[r, o, c] = sum_{t, i} x[r, s o + d t - low, i] w[t, i, c]

over the taps t of the kernel and the inputs i, along each axis of space with its stride s and its dilation d; beyond
the edges x is 0. That is linear in x and in w, so every derivative consists of such sums and of their transposes

    x'[r, n, i] = sum_{o, c} y'[r, o, c] w[t, i, c]        w'[t, i, c] = sum_{r, o} x[r, n, i] y'[r, o, c]

where n = s o + d t - low. XLA runs these, as JAX writes them, tens of times slower inside a loop on a CPU than
outside (jax issue 12868). Here both are written as sums of the first kind with stride 1, which stay fast:

- Entries of x that are s apart meet a part of the taps only (the polyphase decomposition), so that a convolution with a
  stride is a sum of convolutions of parts of x with parts of w, without one, and its transposes are those of the parts.
- Without a stride x' is y' convolved with the reversed kernel, and w' is x, rows and inputs in each other's place,
  convolved with y', or y' with x.

So derivatives of any order and in either mode are convolutions again.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.interpreters import ad, batching, mlir

from sonde._types import Array

if TYPE_CHECKING:
    from jaxtyping import Float

FILLED = 8
"""Channels that fill a register: of x and y the one that has fewer is better the kernel, if it has so many."""

Pairs = tuple[tuple[int, int], ...]
"""Zeros put before and after, for each axis of space; a negative number takes entries away."""


def convolve(
    x: Float[Array, "rows *space inputs"],
    kernel: Float[Array, "*size group_inputs channels"],
    *,
    stride: tuple[int, ...],
    padding: Pairs,
    dilation: tuple[int, ...],
    groups: int = 1,
) -> Float[Array, "rows *out channels"]:
    """The first sum above. In groups, a part of the channels sees only the same part of the inputs.

    Elsewhere than on a CPU, XLA's own derivatives are used.
    """
    function = _primitive().bind if jax.default_backend() == "cpu" else plain
    return function(x, kernel, stride=stride, padding=padding, dilation=dilation, groups=groups)


def plain(x: Array, kernel: Array, *, stride: tuple, padding: Pairs, dilation: tuple, groups: int) -> Array:
    """The same, with the derivatives of JAX."""
    space = "DHW"[-len(stride) :]
    layout = (f"N{space}C", f"{space}IO", f"N{space}C")
    return lax.conv_general_dilated(
        x, kernel, stride, padding, rhs_dilation=dilation, feature_group_count=groups, dimension_numbers=layout
    )


def to_input(
    y: Array, kernel: Array, space: tuple, *, stride: tuple, padding: Pairs, dilation: tuple, groups: int
) -> Array:
    """x', the transpose of `convolve` along x, whose axes of space have the lengths ``space``."""
    *size, inputs, channels = kernel.shape
    if set(stride) != {1}:
        x = jnp.zeros((len(y), *space, groups * inputs), y.dtype)
        for part in _parts(space, size, y.shape[1:-1], stride, padding, dilation):
            given = to_input(y, kernel[part.taps], part.space, **part.how, groups=groups)
            x += _at(part.entries, 1, given, x.shape)
        return x
    reach = [d * (t - 1) for t, d in zip(size, dilation, strict=True)]
    low = [r - p[0] for r, p in zip(reach, padding, strict=True)]
    high = [n + r - b - m for n, r, b, m in zip(space, reach, low, y.shape[1:-1], strict=True)]
    parted = jnp.flip(kernel, range(len(size))).reshape(*size, inputs, groups, channels // groups)
    turned = parted.swapaxes(-3, -1).reshape(*size, channels // groups, groups * inputs)
    pairs = tuple(zip(low, high, strict=True))
    return convolve(y, turned, stride=stride, padding=pairs, dilation=dilation, groups=groups)


def to_kernel(y: Array, x: Array, size: tuple, *, stride: tuple, padding: Pairs, dilation: tuple, groups: int) -> Array:
    """w', the transpose of `convolve` along the kernel, which has so many taps."""
    space, inputs, channels = x.shape[1:-1], x.shape[-1] // groups, y.shape[-1] // groups
    if set(stride) != {1}:
        w = jnp.zeros((*size, inputs, y.shape[-1]), y.dtype)
        for part in _parts(space, size, y.shape[1:-1], stride, padding, dilation):
            given = to_kernel(y, x[:, *part.entries], part.size, **part.how, groups=groups)
            w += _at(part.taps, 0, given, w.shape)
        return w
    low = [p[0] for p in padding]
    larger = math.prod(space) - math.prod(y.shape[1:-1])  # a kernel larger than what it slides over is slow
    if larger > 0 or larger == 0 and not FILLED <= inputs <= channels:
        return jnp.moveaxis(_products(x, y, size, low, dilation, groups), 0, -2)
    last = [d * (t - 1) - b for t, d, b in zip(size, dilation, low, strict=True)]
    w = jnp.flip(_products(y, x, size, last, dilation, groups), range(1, y.ndim - 1))
    w = jnp.moveaxis(w.reshape(channels, *size, groups, inputs), (0, -1), (-1, -3))
    return w.reshape(*size, inputs, groups * channels)


def _products(a: Array, b: Array, times: Sequence[int], low: list[int], step: tuple, groups: int) -> Array:
    """p[i, t, j] = sum_{r, n} a[r, n + step t - low, i] b[r, n, j], where i and j are of the same group."""
    parts = zip(times, a.shape[1:-1], b.shape[1:-1], low, step, strict=True)
    pairs = tuple((before, s * (t - 1) + n - m - before) for t, m, n, before, s in parts)
    parted = a.reshape(*a.shape[:-1], groups, a.shape[-1] // groups)
    turned = jnp.moveaxis(parted, (-1, -2, 0), (0, -2, -1)).reshape(-1, *a.shape[1:-1], groups * len(a))
    ones = (1,) * len(step)
    return convolve(turned, jnp.moveaxis(b, 0, -2), stride=step, padding=pairs, dilation=ones, groups=groups)


# ------------------------------------------------------------------------------------ a stride, in parts


class _Part(NamedTuple):
    """Entries of x that lie a stride apart, the taps that meet them, how many these are, and how they are convolved."""

    entries: tuple[slice, ...]
    taps: tuple[slice, ...]
    space: tuple[int, ...]
    size: tuple[int, ...]
    how: dict[str, Any]


def _parts(
    space: Sequence[int], size: Sequence[int], out: Sequence[int], stride: tuple, padding: Pairs, dilation: tuple
) -> Iterator[_Part]:
    """The convolutions of stride 1 whose sum is one with a stride."""
    along = map(_parts_along, space, size, out, stride, padding, dilation)
    for axes in itertools.product(*along):
        entries, taps, lengths, sizes, pairs, dilations = zip(*axes, strict=True)
        how = {"stride": (1,) * len(axes), "padding": pairs, "dilation": dilations}
        yield _Part(entries, taps, lengths, sizes, how)


def _parts_along(
    space: int, size: int, out: int, stride: int, padding: tuple[int, int], dilation: int
) -> Iterator[tuple]:
    """Those along one axis: taps t that are p apart, where s divides d p, meet the same entries n = s o + d t - low."""
    apart = stride // math.gcd(stride, dilation)
    for tap in range(min(apart, size)):
        first = (dilation * tap - padding[0]) % stride
        if first < space:
            entries, taps, step = -(-(space - first) // stride), -(-(size - tap) // apart), dilation * apart // stride
            low = (padding[0] + first - dilation * tap) // stride
            pair = low, out - entries - low + step * (taps - 1)
            yield slice(first, None, stride), slice(tap, None, apart), entries, taps, pair, step


def _at(places: tuple[slice, ...], axis: int, a: Array, shape: tuple[int, ...]) -> Array:
    """``a`` at these places along the axes from ``axis`` on, and zeros elsewhere."""
    pads = [(0, 0, 0)] * a.ndim
    for i, place in enumerate(places, axis):
        reached = place.start + (a.shape[i] - 1) * place.step + 1
        pads[i] = place.start, shape[i] - reached, place.step - 1
    return lax.pad(a, jnp.zeros((), a.dtype), pads)


# ------------------------------------------------------------------------------------ what JAX is told of it


def _gives(x: Any, kernel: Any, **how: Any) -> Any:
    like = jax.eval_shape(functools.partial(plain, **how), x, kernel)
    return x.update(shape=like.shape, dtype=like.dtype, weak_type=False)


def _in_lanes(given: Any, axes: Any, *, groups: int, **how: Any) -> tuple:
    """Under vmap: lanes of x alone are more rows; lanes of the kernel are more channels, in groups of their own."""
    (x, kernel), (of_x, of_kernel) = given, axes
    if of_kernel is None:
        x = jnp.moveaxis(x, of_x, 0)
        y = convolve(x.reshape(-1, *x.shape[2:]), kernel, groups=groups, **how)
        return y.reshape(*x.shape[:2], *y.shape[1:]), 0
    lanes, kernel = kernel.shape[of_kernel], jnp.moveaxis(kernel, of_kernel, -2)
    if of_x is not None or groups > 1:
        x = jnp.broadcast_to(jnp.expand_dims(x, -2), (*x.shape[:-1], lanes, x.shape[-1])) if of_x is None else x
        x = jnp.moveaxis(x, -2 if of_x is None else of_x, -2)
        x, groups = x.reshape(*x.shape[:-2], -1), lanes * groups
    y = convolve(x, kernel.reshape(*kernel.shape[:-2], -1), groups=groups, **how)
    return y.reshape(*y.shape[:-1], lanes, -1), y.ndim - 1


@functools.cache
def _primitive() -> Any:
    """`convolve` as an operation of JAX that is linear in both its arguments, with its transposes and its lanes."""
    from jax.extend.core import Primitive  # importing it costs as much as all of Sonde

    convolution = Primitive("convolution")
    convolution.def_impl(jax.jit(plain, static_argnames=("stride", "padding", "dilation", "groups")))
    convolution.def_abstract_eval(_gives)
    mlir.register_lowering(convolution, mlir.lower_fun(plain, multiple_results=False))
    batching.primitive_batchers[convolution] = _in_lanes
    ad.defbilinear(
        convolution,
        lambda y, x, kernel, **how: to_input(y, kernel, x.aval.shape[1:-1], **how),
        lambda y, x, kernel, **how: to_kernel(y, x, kernel.aval.shape[:-2], **how),
    )
    return convolution
