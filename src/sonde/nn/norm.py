"""Normalization: by statistics of the batch, of a row's channels, or of groups of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax.numpy as jnp
from jax import lax

from sonde._errors import ShapeError, check_interval, check_whole, shape_of
from sonde._types import Number
from sonde.nn.initializers import ones, zeros
from sonde.nn.layer import Layer
from sonde.nn.scope import Scope

if TYPE_CHECKING:
    from jaxtyping import Array, Float


class BatchNorm(Layer):
    """y = (x - mean) / sqrt(var + epsilon) * scale + offset, each channel (last axis) by itself.

    While training mean and var are those of the batch (of its real rows, each counting as its weight, and of
    sequences of their real steps), and running averages of both are kept as
    ``a <- momentum a + (1 - momentum) batch``. At inference, and where the layer rests because no turn trains
    it, the running averages are used and stay as they are.

    Args:
        momentum: how slowly the running averages follow, in [0, 1).
        epsilon: keeps the division finite.

    Source: S. Ioffe and C. Szegedy (2015). Differs from PyTorch: ``momentum`` is the part that is kept
    (PyTorch's is 1 minus it) and the running variance is the batch's own, not the unbiased estimate.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from sonde import nn
        >>> x = jnp.array([[1.0], [3.0]])
        >>> nn.build(nn.BatchNorm(epsilon=0.0), x).bind(train=True)(x)
        Array([[-1.],
               [ 1.]], dtype=float32)
    """

    padded = "steps"

    momentum: Number = 0.9
    epsilon: Number = 1e-5

    def check(self) -> None:
        """Refuse a momentum that never moves."""
        check_interval(self, "momentum", "[0, 1)")
        check_interval(self, "epsilon", "[0, inf)")

    def __call__(self, scope: Scope, x: Float[Array, "*rows channels"]) -> Float[Array, "*rows channels"]:
        """x, standardized."""
        channels = x.shape[-1:]
        scale, offset = scope.param("scale", channels, ones), scope.param("offset", channels, zeros)
        mean, var = scope.get("mean", lambda: jnp.zeros(channels)), scope.get("var", lambda: jnp.ones(channels))
        spread, middle = lambda v: jnp.broadcast_to(v, x.shape), mean
        if scope.train:
            running_mean, running_var, a = mean, var, self.momentum
            # E[(x - c)^2] - (mean - c)^2 is the variance for every constant c. With c = mean the second term and its
            # slope are 0, so derivatives sum over the batch twice instead of four times. The mean comes after the
            # squares because a gradient that ends in the sum of two arrays is one that XLA computes only once.
            middle = scope.mean(lax.stop_gradient(x))
            squares = scope.mean((x - spread(middle)) ** 2)
            mean = scope.mean(x)
            var = squares - (mean - middle) ** 2
            scope.set("mean", a * running_mean + (1 - a) * mean)
            scope.set("var", a * running_var + (1 - a) * var)
        factor = lax.rsqrt(var + self.epsilon) * scale
        return (x - spread(middle)) * spread(factor) + spread(offset - (mean - middle) * factor)


class LayerNorm(Layer):
    """y = (x - mean) / sqrt(var + epsilon) * scale + offset, mean and var over the last axis.

    Every row, and every place of an image or a series, is standardized by its own channels: nothing depends on
    the batch, so training and inference are the same and there is no state.

    Args:
        epsilon: keeps the division finite.

    Source: J. Ba et al. (2016). Differs from Keras, whose epsilon is 1e-3.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde import nn
        >>> nn.build(nn.LayerNorm(epsilon=0.0), jnp.ones((1, 2)))(jnp.array([[1.0, 3.0], [10.0, 50.0]]))
        Array([[-1.,  1.],
               [-1.,  1.]], dtype=float32)
    """

    padded = "steps"

    epsilon: Number = 1e-5

    def check(self) -> None:
        """Refuse what could make a variance negative."""
        check_interval(self, "epsilon", "[0, inf)")

    def __call__(self, scope: Scope, x: Float[Array, "*rows channels"]) -> Float[Array, "*rows channels"]:
        """x, each row standardized."""
        return _scaled(scope, _standardized(x, (-1,), self.epsilon))


class GroupNorm(Layer):
    """y = (x - mean) / sqrt(var + epsilon) * scale + offset, mean and var over a row's group of channels.

    x [rows, *space, channels] is standardized row by row, over all of space and channels / groups neighboring
    channels at a time. One group is a row as a whole; as many groups as channels is instance normalization.
    Nothing depends on the batch, so it does as well with two rows as with two hundred.

    Args:
        groups: how many; they must divide the channels.
        epsilon: keeps the division finite.

    Source: Y. Wu and K. He (2018). Differs from Keras, whose epsilon is 1e-3.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde import nn
        >>> nn.build(nn.GroupNorm(2, epsilon=0.0), jnp.ones((1, 4)))(jnp.array([[1.0, 3.0, 10.0, 50.0]]))
        Array([[-1.,  1., -1.,  1.]], dtype=float32)
    """

    padded = "refused"

    groups: int
    epsilon: Number = 1e-5

    def check(self) -> None:
        """Refuse a number of groups that cannot be."""
        check_interval(self, "epsilon", "[0, inf)")
        check_whole(self, "groups")

    def __call__(self, scope: Scope, x: Float[Array, "rows *space channels"]) -> Float[Array, "rows *space channels"]:
        """x, each group of a row standardized."""
        channels = x.shape[-1]
        if channels % self.groups:
            raise ShapeError(
                f"{self.groups} groups do not divide the {channels} channels (last axis) of {shape_of(x)}; "
                f"choose a divisor of {channels}"
            )
        groups = x.reshape(x.shape[0], -1, self.groups, channels // self.groups)
        return _scaled(scope, _standardized(groups, (1, 3), self.epsilon).reshape(x.shape))


def _standardized(x: Array, axes: tuple[int, ...], epsilon: Number) -> Array:
    """x with mean 0 and variance 1 over some axes, in float32 at least."""
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    off = x - x.mean(axes, keepdims=True)
    return off * lax.rsqrt((off**2).mean(axes, keepdims=True) + epsilon)


def _scaled(scope: Scope, x: Array) -> Array:
    """x * scale + offset, a number each for every channel."""
    scale, offset = scope.param("scale", x.shape[-1:], ones), scope.param("offset", x.shape[-1:], zeros)
    return x * jnp.broadcast_to(scale, x.shape) + jnp.broadcast_to(offset, x.shape)
