"""A rectifier that learns what it lets through below 0."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax.numpy as jnp

from sonde._errors import ArgumentError
from sonde.nn.initializers import Constant, Initializer
from sonde.nn.layer import Layer
from sonde.nn.scope import Scope

if TYPE_CHECKING:
    from jaxtyping import Array, Float


class PReLU(Layer):
    """y = x where x > 0, else slope x, with a slope that is learned for each channel (last axis).

    Args:
        slope_init: what slope [channels] starts as.

    Source: K. He et al. (2015). Differs from PyTorch, where one slope is shared by all channels unless asked, and
    from Keras, where each entry of a row has its own and 0 is the start.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde import nn
        >>> nn.build(nn.PReLU(), jnp.ones((1, 2)))(jnp.array([[-1.0, 2.0]]))
        Array([[-0.25,  2.  ]], dtype=float32)
    """

    padded = "steps"

    slope_init: Initializer = Constant(0.25)

    def check(self) -> None:
        """Refuse what is no initializer."""
        if not callable(self.slope_init):
            raise ArgumentError(
                f"slope_init of PReLU must be an initializer such as nn.Constant(0.25); got {self.slope_init!r}"
            )

    def __call__(self, scope: Scope, x: Float[Array, "*rows channels"]) -> Float[Array, "*rows channels"]:
        """x where x > 0, else slope x."""
        slope = scope.param("slope", x.shape[-1:], self.slope_init)
        return jnp.where(x > 0, x, jnp.broadcast_to(slope, x.shape) * x)
