"""Normalization by statistics of the batch: the layers with running state."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax.numpy as jnp
from jax import lax

from sonde._errors import check_interval
from sonde._types import Number
from sonde.nn.initializers import ones, zeros
from sonde.nn.network import Layer
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
        spread = lambda v: jnp.broadcast_to(v, x.shape)
        if scope.train:
            running_mean, running_var, a = mean, var, self.momentum
            mean = scope.mean(x)
            var = scope.mean((x - spread(mean)) ** 2)
            scope.set("mean", a * running_mean + (1 - a) * mean)
            scope.set("var", a * running_var + (1 - a) * var)
        factor = lax.rsqrt(var + self.epsilon) * scale
        return (x - spread(mean)) * spread(factor) + spread(offset)
