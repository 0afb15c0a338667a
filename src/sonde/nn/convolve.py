"""Convolution with derivatives that stay fast inside a training loop on a CPU.

    y[r, o, c] = sum_{t, i} x[r, s o + d t - low, i] w[t, i, c]

over the taps t of the kernel and the inputs i, along each axis of space with its stride s and its dilation d; beyond
the edges x is 0. That is linear in x and in w, so every derivative consists of such sums and of their transposes

    x'[r, n, i] = sum_{o, c} y'[r, o, c] w[t, i, c]        w'[t, i, c] = sum_{r, o} x[r, n, i] y'[r, o, c]

where n = s o + d t - low. XLA runs these, as JAX writes them, tens of times slower inside a loop on a CPU than
outside (jax issue 12868). Here both are written as sums of the first kind, which stay fast: x' is y' with s - 1 zeros
between its entries, convolved with the reversed kernel; w' is x, rows and inputs in each other's place, convolved
with that y'. So derivatives of any order and in either mode are convolutions again.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.interpreters import ad, batching, mlir

from sonde._types import Array

if TYPE_CHECKING:
    from jaxtyping import Float

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
    y, reach = _spread(y, stride), [d * (t - 1) for t, d in zip(size, dilation, strict=True)]
    low = [r - p[0] for r, p in zip(reach, padding, strict=True)]
    high = [n + r - b - m for n, r, b, m in zip(space, reach, low, y.shape[1:-1], strict=True)]
    parted = jnp.flip(kernel, range(len(size))).reshape(*size, inputs, groups, channels // groups)
    turned = parted.swapaxes(-3, -1).reshape(*size, channels // groups, groups * inputs)
    pairs = tuple(zip(low, high, strict=True))
    return convolve(y, turned, stride=(1,) * len(size), padding=pairs, dilation=dilation, groups=groups)


def to_kernel(y: Array, x: Array, size: tuple, *, stride: tuple, padding: Pairs, dilation: tuple, groups: int) -> Array:
    """w', the transpose of `convolve` along the kernel, which has so many taps."""
    rows, *space, inputs = x.shape
    y, reach = _spread(y, stride), [d * (t - 1) for t, d in zip(size, dilation, strict=True)]
    high = [r + m - n - p[0] for r, m, n, p in zip(reach, y.shape[1:-1], space, padding, strict=True)]
    pairs = tuple((p[0], h) for p, h in zip(padding, high, strict=True))
    parted = x.reshape(rows, *space, groups, inputs // groups)
    turned = jnp.moveaxis(parted, (-1, -2, 0), (0, -2, -1)).reshape(inputs // groups, *space, groups * rows)
    kernel = jnp.moveaxis(y, 0, -2)
    w = convolve(turned, kernel, stride=dilation, padding=pairs, dilation=(1,) * len(size), groups=groups)
    return jnp.moveaxis(w, 0, -2)


def _spread(y: Array, stride: tuple) -> Array:
    """y with zeros between its entries, so that they are ``stride`` apart."""
    if set(stride) == {1}:
        return y
    return lax.pad(y, jnp.zeros((), y.dtype), ((0, 0, 0), *((0, 0, s - 1) for s in stride), (0, 0, 0)))


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
