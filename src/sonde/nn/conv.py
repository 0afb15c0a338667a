"""Layers whose outputs each see a window of the input: convolution, its transpose, and local connections."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from sonde._errors import ArgumentError, ShapeError, is_whole, shape_of
from sonde._random import derive
from sonde._types import Array
from sonde.nn.activations import identity
from sonde.nn.convolve import convolve, to_input
from sonde.nn.dense import check_affine, check_floats
from sonde.nn.initializers import Initializer, glorot_uniform, zeros
from sonde.nn.layer import Layer
from sonde.nn.scope import Scope
from sonde.nn.windows import Padding, Sizes, along, check_sizes, grid, space_of, windows

if TYPE_CHECKING:
    from jaxtyping import Float, Shaped


class Conv(Layer):
    """y[o] = activation(sum_t x[stride o + dilation t - before] W[t] + b): one kernel slides over the axes of space.

    Every output sees a window of the input, all windows share the weights, and each of the ``channels`` is a feature
    map of its own that sums over all inputs. Series [rows, time, channels], images [rows, height, width, channels]
    and volumes are told apart by the number of axes of x; grey images need their channel: ``nn.Reshape(28, 28, 1)``.

    Args:
        channels: the number of feature maps.
        size: the entries of the kernel along each axis: 5 (5x5 on images), or (5, 3).
        stride: how far apart the windows are.
        padding: ``"same"`` puts zeros around x so that there are ceil(n / stride) outputs (an odd one after the end);
            ``"valid"`` puts none: floor((n - size) / stride) + 1 outputs; or (before, after) for each axis.
        dilation: how far apart the entries of a window are.
        groups: inputs and channels in so many parts, each channel seeing its part of the inputs only; as many as
            there are inputs is a depthwise convolution.
        activation: an elementwise function such as `relu`.
        kernel_init: what W [*size, inputs / groups, channels] starts as.
        bias_init: what b [channels] starts as, or None for no bias.

    Takes x [rows, *space, inputs] and gives [rows, *out, channels]. As everywhere in networks this is
    cross-correlation: the convolution of mathematics (`numpy.convolve`) has the kernel the other way round.

    Its derivatives, of any order and in either mode, are fast inside a training loop on a CPU (`sonde.nn.convolve`).

    Source: Y. LeCun et al. (1989). Differs from PyTorch: channels come last, the kernel is [*size, in, out], and the
    usual padding is ``"same"``.

    Raises:
        ShapeError: x is not floating-point, has another number of axes than a given tuple, or is smaller than a window.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde import nn
        >>> average = nn.Conv(1, 3, padding="valid", kernel_init=nn.Constant(1 / 3))
        >>> series = jnp.arange(1.0, 8.0).reshape(1, 7, 1)
        >>> nn.build(average, series)(series).ravel().round(5)
        Array([2., 3., 4., 5., 6.], dtype=float32)
    """

    padded = "refused"

    channels: int
    size: Sizes
    stride: Sizes = 1
    padding: Padding = "same"
    dilation: Sizes = 1
    groups: int = 1
    activation: Callable = identity
    kernel_init: Initializer = glorot_uniform
    bias_init: Initializer | None = zeros

    def check(self) -> None:
        """Refuse sizes that cannot be, and channels that do not part into the groups."""
        check_affine(self, "channels")
        check_sizes(self, "size", "stride", "dilation")
        if not is_whole(self.groups, 1) or self.channels % self.groups:
            raise ArgumentError(
                f"groups of Conv must be a whole number that divides its {self.channels} channels; got {self.groups!r}"
            )

    def __call__(self, scope: Scope, x: Shaped[Array, "rows *space inputs"]) -> Float[Array, "rows *out channels"]:
        """activation(x * W + b)."""
        check_floats(self, x)
        g, inputs = grid(self, x), x.shape[-1]
        if inputs % self.groups:
            raise ShapeError(f"the {inputs} inputs of {shape_of(x)} do not part into the {self.groups} groups of Conv")
        kernel = scope.param("kernel", (*g.size, inputs // self.groups, self.channels), self.kernel_init)
        x, kernel = _of_one_type(x, kernel)
        y = convolve(x, kernel, stride=g.stride, padding=g.padding, dilation=g.dilation, groups=self.groups)
        return _finished(self, scope, y, (self.channels,))


class ConvTranspose(Layer):
    """y = activation(A' x + b), A' the transpose of a convolution: every input paints a kernel into the output.

    y[stride o + t - before] sums x[o] W[t]. Where the convolution A of the same size, stride and padding makes an array
    smaller, this makes it larger: the way from a code to an image.

    Args:
        channels: the number of outputs at each place.
        size: the entries of the kernel along each axis.
        stride: how far apart the painted kernels are: the factor by which the array grows.
        padding: that of A: with ``"same"`` an axis of n becomes stride n; with ``"valid"`` stride (n - 1) + size;
            (before, after) are entries cut off from that.
        activation: an elementwise function.
        kernel_init: what W [*size, inputs, channels] starts as.
        bias_init: what b [channels] starts as, or None for no bias.

    Takes x [rows, *space, inputs] and gives [rows, *out, channels]. A size that is a multiple of the stride paints
    every place equally often, which avoids a checkerboard.

    Source: M. Zeiler et al. (2010). Differs from Keras: the kernel is [*size, inputs, channels], as that of `Conv`, not
    the other way round; from PyTorch also in the padding and in that channels come last.

    Raises:
        ShapeError: x is not floating-point, or has another number of axes than a given tuple.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde import nn
        >>> paint = nn.ConvTranspose(1, 2, stride=2, kernel_init=nn.Constant(1.0))
        >>> series = jnp.array([1.0, 2.0, 3.0]).reshape(1, 3, 1)
        >>> nn.build(paint, series)(series).ravel()
        Array([1., 1., 2., 2., 3., 3.], dtype=float32)
    """

    padded = "refused"

    channels: int
    size: Sizes
    stride: Sizes = 1
    padding: Padding = "same"
    activation: Callable = identity
    kernel_init: Initializer = glorot_uniform
    bias_init: Initializer | None = zeros

    def check(self) -> None:
        """Refuse sizes that cannot be."""
        check_affine(self, "channels")
        check_sizes(self, "size", "stride")

    def __call__(self, scope: Scope, x: Shaped[Array, "rows *space inputs"]) -> Float[Array, "rows *out channels"]:
        """activation(A' x + b)."""
        check_floats(self, x)
        space, size, stride = space_of(self, x), along(self, "size", x), along(self, "stride", x)
        padding = ((0, 0),) * len(space) if isinstance(self.padding, str) else along(self, "padding", x)
        if self.padding == "same":
            cut = [max(k - s, 0) for k, s in zip(size, stride, strict=True)]
            padding = tuple((c // 2, c - c // 2) for c in cut)
            out = tuple(n * s for n, s in zip(space, stride, strict=True))
        else:
            each = zip(space, size, stride, padding, strict=True)
            out = tuple((n - 1) * s + k - sum(p) for n, k, s, p in each)
        if min(out) < 1:
            raise ShapeError(f"padding={self.padding} of ConvTranspose cuts everything off what {shape_of(x)} gives")
        kernel = scope.param("kernel", (*size, x.shape[-1], self.channels), self.kernel_init)
        x, kernel = _of_one_type(x, kernel.swapaxes(-2, -1))
        y = to_input(x, kernel, out, stride=stride, padding=padding, dilation=(1,) * len(size), groups=1)
        return _finished(self, scope, y, (self.channels,))


class LocallyConnected(Layer):
    """y[o] = activation(sum_t x[stride o + t - before] W[o, t] + b[o]): `Conv`, but with weights for each window.

    For inputs where a place means something by itself, such as faces that are always in the middle. It holds as
    many times more weights than `Conv` as there are windows, and still far fewer than `Dense`.

    Args:
        channels: the number of outputs for each window.
        size: the entries of a window along each axis.
        stride: how far apart the windows are.
        padding: ``"valid"``, ``"same"``, or (before, after) for each axis; see `Conv`.
        activation: an elementwise function.
        kernel_init: what each W[o] [*size, inputs, channels] starts as, drawn for each window by itself.
        bias_init: what b [*out, channels] starts as, or None for no bias.

    Takes x [rows, *space, inputs] and gives [rows, *out, channels]; the kernel is [*out, *size, inputs, channels].

    Source: K. Fukushima (1980) and Y. Taigman et al. (2014).

    Raises:
        ShapeError: x is not floating-point, has another number of axes than a given tuple, or is smaller than a window.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde import nn
        >>> local = nn.build(nn.LocallyConnected(1, 4, bias_init=None), jnp.ones((1, 32, 32, 1)))
        >>> local(jnp.ones((1, 32, 32, 1))).shape, local.params["kernel"].size
        ((1, 29, 29, 1), 13456)
    """

    padded = "refused"

    channels: int
    size: Sizes
    stride: Sizes = 1
    padding: Padding = "valid"
    activation: Callable = identity
    kernel_init: Initializer = glorot_uniform
    bias_init: Initializer | None = zeros

    def check(self) -> None:
        """Refuse sizes that cannot be."""
        check_affine(self, "channels")
        check_sizes(self, "size", "stride")

    def __call__(self, scope: Scope, x: Shaped[Array, "rows *space inputs"]) -> Float[Array, "rows *out channels"]:
        """activation(x W[o] + b[o]) for every window o."""
        check_floats(self, x)
        g = grid(self, x)
        one = (*g.size, x.shape[-1], self.channels)

        def each(key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
            draw = lambda place: self.kernel_init(derive(key, place), one, dtype)
            return jax.vmap(draw)(jnp.arange(math.prod(g.out))).reshape(shape)

        kernel = scope.param("kernel", (*g.out, *one), each)
        held, taps = windows(x, g)
        places = [axis for axis in range(held.ndim - 1) if axis not in taps]  # of rows, and of windows
        flat = held.transpose(*places, *taps, held.ndim - 1).reshape(x.shape[0], *g.out, -1)
        where = "hwd"[: len(g.out)]
        y = jnp.einsum(f"r{where}t,{where}tc->r{where}c", flat, kernel.reshape(*g.out, -1, self.channels))
        return _finished(self, scope, y, (*g.out, self.channels))


def _of_one_type(x: Array, kernel: Array) -> tuple[Array, Array]:
    """Both as the type that their product has."""
    dtype = jnp.result_type(x, kernel)
    return x.astype(dtype), kernel.astype(dtype)


def _finished(layer: Conv | ConvTranspose | LocallyConnected, scope: Scope, y: Array, bias: tuple[int, ...]) -> Array:
    """activation(y + b)."""
    if layer.bias_init is not None:
        y = y + jnp.broadcast_to(scope.param("bias", bias, layer.bias_init), y.shape)
    return layer.activation(y)
