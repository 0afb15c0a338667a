"""Layers that draw at random while training and do nothing at inference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax.numpy as jnp

from sonde._errors import check_interval
from sonde._random import bernoulli
from sonde._types import Number
from sonde.nn.network import Layer
from sonde.nn.scope import Scope

if TYPE_CHECKING:
    from jaxtyping import Array, Float


class Dropout(Layer):
    """y = x m / (1 - rate), m Bernoulli(1 - rate) for each entry: units are left out at random while training.

    At inference y = x, and that is also the expectation while training ("inverted" dropout).

    Args:
        rate: the fraction that is dropped, in [0, 1): 0.2 for inputs, up to 0.5 for hidden layers. Never on
            outputs. A number of the spec: another rate does not compile again.

    Source: N. Srivastava et al. (2014).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from sonde import nn
        >>> net = nn.build(nn.Dropout(0.5), jnp.ones((1, 4)))
        >>> net(jnp.ones((1, 4)))
        Array([[1., 1., 1., 1.]], dtype=float32)
        >>> sorted(set(net.bind(jax.random.key(0), train=True)(jnp.ones((1, 100))).ravel().tolist()))
        [0.0, 2.0]
    """

    padded = "steps"

    rate: Number = 0.5

    def check(self) -> None:
        """Refuse to drop everything."""
        check_interval(self, "rate", "[0, 1)", "It is the fraction dropped, not the fraction kept.")

    def __call__(self, scope: Scope, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """x with some entries left out, or x itself at inference."""
        if not scope.train:
            return x
        keep = bernoulli(scope.key("dropout"), 1 - self.rate, x.shape)
        return jnp.where(keep, x / (1 - self.rate), 0)
