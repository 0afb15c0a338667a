"""Pooling: windows are replaced by one number a channel; and the way back, upsampling."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from sonde._batch import Padded
from sonde._errors import ArgumentError, ShapeError
from sonde._types import Array
from sonde.nn.dense import check_floats
from sonde.nn.layer import Layer
from sonde.nn.scope import Scope
from sonde.nn.windows import Grid, Padding, Sizes, along, check_sizes, grid, space_of, windows

if TYPE_CHECKING:
    from jaxtyping import Float, Shaped


class MaxPool(Layer):
    """y[o] = max_t x[stride o + t - before], each channel by itself: whether a feature is anywhere in the window.

    Args:
        size: the entries of a window along each axis.
        stride: how far apart the windows are; None: as far as they are long, side by side.
        padding: ``"valid"`` (what does not fill a window at the end is left out), ``"same"``, or (before, after) for
            each axis; padded entries are never the largest.

    Takes x [rows, *space, channels] and gives [rows, *out, channels]. Where several entries of a window are the
    largest, which is usual after ReLU, they share the derivative in equal parts: of all subgradients the one that does
    not depend on their order.

    Differs from PyTorch and Keras, which give the first of the largest the whole derivative.

    Raises:
        ShapeError: x has no axis of space, another number of them than a given tuple, or is smaller than a window.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde import nn
        >>> x = jnp.array([1.0, 3.0, 2.0, 5.0, 4.0]).reshape(1, 5, 1)
        >>> nn.build(nn.MaxPool(), x)(x).ravel(), nn.build(nn.MaxPool(3, stride=1), x)(x).ravel()
        (Array([3., 5.], dtype=float32), Array([3., 5., 5.], dtype=float32))
    """

    padded = "refused"

    size: Sizes = 2
    stride: Sizes | None = None
    padding: Padding = "valid"

    def check(self) -> None:
        """Refuse sizes that cannot be."""
        check_sizes(self, "size", *(() if self.stride is None else ("stride",)))

    def __call__(self, scope: Scope, x: Shaped[Array, "rows *space channels"]) -> Shaped[Array, "rows *out channels"]:
        """The largest number of each window."""
        least = -jnp.inf if jnp.issubdtype(x.dtype, jnp.floating) else jnp.iinfo(x.dtype).min
        held, taps = windows(x, _grid(self, x), least)
        return held.max(taps)


class AveragePool(Layer):
    """y[o] = mean_t x[stride o + t - before], each channel by itself, over the entries that x has.

    Args:
        size: the entries of a window along each axis.
        stride: how far apart the windows are; None: as far as they are long, side by side.
        padding: ``"valid"``, ``"same"``, or (before, after) for each axis; padded entries do not count.

    Takes x [rows, *space, channels] and gives [rows, *out, channels].

    Differs from PyTorch, where padded entries count as zeros by default.

    Raises:
        ShapeError: x is not floating-point, has no axis of space or another number of them than a given tuple, or is
            smaller than a window.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde import nn
        >>> x = jnp.array([1.0, 3.0, 2.0, 5.0, 4.0]).reshape(1, 5, 1)
        >>> nn.build(nn.AveragePool(2, padding="same"), x)(x).ravel()
        Array([2. , 3.5, 4. ], dtype=float32)
    """

    padded = "refused"

    size: Sizes = 2
    stride: Sizes | None = None
    padding: Padding = "valid"

    def check(self) -> None:
        """Refuse sizes that cannot be."""
        check_sizes(self, "size", *(() if self.stride is None else ("stride",)))

    def __call__(self, scope: Scope, x: Shaped[Array, "rows *space channels"]) -> Float[Array, "rows *out channels"]:
        """The mean of each window."""
        check_floats(self, x)
        g = _grid(self, x)
        held, taps = windows(x, g)
        real, beside = windows(jnp.ones((1, *x.shape[1:-1], 1), x.dtype), g)
        share = 1 / real.sum(beside)
        return held.sum(taps) * jnp.broadcast_to(share, (x.shape[0], *g.out, x.shape[-1]))


def _grid(pool: MaxPool | AveragePool, x: Array) -> Grid:
    g = grid(pool.replace(stride=pool.size) if pool.stride is None else pool, x)
    if any(max(p) >= k for p, k in zip(g.padding, g.size, strict=True)):
        raise ShapeError(
            f"padding={pool.padding} of {type(pool).__name__} makes windows of size {g.size} that see nothing of x; "
            "pad less than the size"
        )
    return g


class GlobalMaxPool(Layer):
    """y = the largest number over all axes of space, each channel by itself.

    Takes x [rows, *space, channels] and gives [rows, channels], whatever the lengths of the axes. Of `Padded` sequences
    only the steps within a row's length count; a row of length 0 gives 0. Entries that are equally large share the
    derivative.

    Raises:
        ShapeError: x has no axis of space.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde import nn
        >>> x = jnp.array([[1.0, -3.0], [2.0, -4.0]]).reshape(1, 2, 2)
        >>> nn.build(nn.GlobalMaxPool(), x)(x)
        Array([[ 2., -3.]], dtype=float32)
    """

    def __call__(
        self, scope: Scope, x: Shaped[Array, "rows *space channels"] | Padded
    ) -> Float[Array, "rows channels"]:
        """The largest over all places."""
        axes = tuple(range(1, len(space_of(self, x)) + 1))
        if not isinstance(x, Padded):
            return x.max(axes)
        there = jnp.broadcast_to(x.real.reshape(*x.shape[:2], *[1] * len(x.shape[2:])), x.shape)
        largest = jnp.where(there, x.values, -jnp.inf).max(axes)
        return jnp.where(jnp.broadcast_to((x.lengths > 0)[:, None], largest.shape), largest, 0)


class GlobalAveragePool(Layer):
    """y = the mean over all axes of space, each channel by itself.

    Takes x [rows, *space, channels] and gives [rows, channels], whatever the lengths of the axes. Of `Padded` sequences
    only the steps within a row's length count; a row of length 0 gives 0.

    Source: M. Lin et al. (2014), in place of the dense layers at the end of a convolutional network.

    Raises:
        ShapeError: x is not floating-point, or has no axis of space.

    Example:
        >>> import jax.numpy as jnp
        >>> import sonde as sd
        >>> from sonde import nn
        >>> x = sd.Padded(jnp.array([[1.0, 3.0, 0.0], [5.0, 0.0, 0.0]]).reshape(2, 3, 1), jnp.array([2, 1]))
        >>> nn.build(nn.GlobalAveragePool(), x)(x)
        Array([[2.],
               [5.]], dtype=float32)
    """

    def __call__(
        self, scope: Scope, x: Shaped[Array, "rows *space channels"] | Padded
    ) -> Float[Array, "rows channels"]:
        """The mean over all places."""
        check_floats(self, x)
        axes = tuple(range(1, len(space_of(self, x)) + 1))
        if not isinstance(x, Padded):
            return x.mean(axes)
        places = jnp.maximum(x.lengths, 1) * math.prod(x.shape[2:-1])
        total = x.values.sum(axes)  # the filling is 0
        return total / jnp.broadcast_to(places.astype(total.dtype)[:, None], total.shape)


class Upsample(Layer):
    """An axis of n entries becomes one of ``factor`` n: repeated, or interpolated.

    Args:
        factor: how many times as long an axis gets, for all alike or one for each.
        method: ``"nearest"`` repeats every entry; ``"linear"`` draws lines between the middles of entries (and stays
            level before the first and after the last).

    Takes x [rows, *space, channels] and gives [rows, *out, channels].

    Differs from PyTorch in the names only: ``"linear"`` is its ``bilinear`` on images, without ``align_corners``.

    Raises:
        ShapeError: x has no axis of space or another number of them than a given tuple; or is not floating-point, for
            ``"linear"``.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde import nn
        >>> x = jnp.array([0.0, 4.0]).reshape(1, 2, 1)
        >>> nn.build(nn.Upsample(), x)(x).ravel(), nn.build(nn.Upsample(method="linear"), x)(x).ravel()
        (Array([0., 0., 4., 4.], dtype=float32), Array([0., 1., 3., 4.], dtype=float32))
    """

    padded = "refused"

    factor: Sizes = 2
    method: str = "nearest"

    def check(self) -> None:
        """Refuse factors and methods that cannot be."""
        check_sizes(self, "factor")
        if self.method not in ("nearest", "linear"):
            raise ArgumentError(f"method of Upsample must be 'nearest' or 'linear'; got {self.method!r}")

    def __call__(self, scope: Scope, x: Shaped[Array, "rows *space channels"]) -> Shaped[Array, "rows *out channels"]:
        """x, made longer."""
        factors = along(self, "factor", x)
        if self.method == "linear":
            check_floats(self, x)
            out = tuple(n * f for n, f in zip(x.shape[1:-1], factors, strict=True))
            return jax.image.resize(x, (x.shape[0], *out, x.shape[-1]), "linear")
        for axis, factor in enumerate(factors, start=1):
            x = jnp.repeat(x, factor, axis)
        return x
