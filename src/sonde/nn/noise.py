"""Layers that draw at random while training and do nothing at inference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax.numpy as jnp

from sonde._errors import ArgumentError, ShapeError, check_interval, shape_of
from sonde._random import bernoulli, normal, uniform
from sonde._types import Number
from sonde.nn.layer import Layer
from sonde.nn.scope import Scope

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Shaped


class Dropout(Layer):
    """y = x m / (1 - rate), m Bernoulli(1 - rate) for each entry: units are left out at random while training.

    At inference y = x, and that is also the expectation while training ("inverted" dropout). N entries have 2^N
    masks: each step trains another of 2^N networks with shared weights, and inference stands for their average.

    Args:
        rate: the fraction that is dropped, in [0, 1): 0.2 for inputs, up to 0.5 for hidden layers. Never on
            outputs. A number of the spec: another rate does not compile again.
        inverted: False for the original form: y = x m while training, and y = (1 - rate) x at inference.

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
    inverted: bool = True

    def check(self) -> None:
        """Refuse to drop everything."""
        check_interval(self, "rate", "[0, 1)", "It is the fraction dropped, not the fraction kept.")
        if not isinstance(self.inverted, bool):
            raise ArgumentError(f"inverted of Dropout must be True or False; got {self.inverted!r}")

    def __call__(self, scope: Scope, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """x with some entries left out, or x itself at inference."""
        if not scope.train:
            return x if self.inverted else x * (1 - self.rate)
        keep = bernoulli(scope.key("dropout"), 1 - self.rate, x.shape)
        return jnp.where(keep, x / (1 - self.rate) if self.inverted else x, 0)


class GaussianNoise(Layer):
    """y = x + sigma z, z from N(0, 1) for each entry, while training; y = x at inference.

    On inputs it makes more of few rows; on hidden layers it keeps units from relying on exact values.

    Args:
        sigma: the standard deviation of the noise, in the units of x.

    Source: C. Bishop (1995), who shows that small noise on inputs is a penalty on the slopes of the network.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from sonde import nn
        >>> x = jnp.zeros((1000, 10))
        >>> round(float(nn.build(nn.GaussianNoise(0.2), x).bind(jax.random.key(0), train=True)(x).std()), 2)
        0.2
    """

    padded = "steps"

    sigma: Number = 0.1

    def check(self) -> None:
        """Refuse a negative spread."""
        check_interval(self, "sigma", "[0, inf)")

    def __call__(self, scope: Scope, x: Shaped[Array, "*shape"]) -> Float[Array, "*shape"]:
        """x with noise, or x itself at inference."""
        if not jnp.issubdtype(x.dtype, jnp.floating):
            raise ShapeError(
                f"GaussianNoise takes floating-point numbers, got {shape_of(x)}; put nn.Scale(1 / 255) before it"
            )
        if not scope.train:
            return x
        return x + (self.sigma * normal(scope.key("noise"), x.shape)).astype(x.dtype)


class MaskNoise(Layer):
    """y = x m, m Bernoulli(1 - rate) for each entry, while training; y = x at inference.

    What is left is not made larger, as `Dropout` does: this is the corruption that a denoising autoencoder undoes.

    Args:
        rate: the fraction of entries set to 0, in [0, 1]; 0.3 is usual.

    Source: P. Vincent et al. (2010).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from sonde import nn
        >>> x = jnp.ones((1, 100))
        >>> sorted(set(nn.build(nn.MaskNoise(), x).bind(jax.random.key(0), train=True)(x).ravel().tolist()))
        [0.0, 1.0]
    """

    padded = "steps"

    rate: Number = 0.3

    def check(self) -> None:
        """Refuse what is not a fraction."""
        check_interval(self, "rate", "[0, 1]")

    def __call__(self, scope: Scope, x: Shaped[Array, "*shape"]) -> Shaped[Array, "*shape"]:
        """x with some entries 0, or x itself at inference."""
        if not scope.train:
            return x
        return jnp.where(bernoulli(scope.key("mask"), 1 - self.rate, x.shape), x, jnp.zeros((), x.dtype))


class SaltPepper(Layer):
    """Each entry of x becomes low or high with probability rate / 2 each, while training; y = x at inference.

    Args:
        rate: the fraction of entries that are replaced, in [0, 1].
        low: the least value that there is, such as black.
        high: the greatest.

    Source: P. Vincent et al. (2010).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from sonde import nn
        >>> x = jnp.full((1, 100), 0.5)
        >>> sorted(set(nn.build(nn.SaltPepper(0.3), x).bind(jax.random.key(0), train=True)(x).ravel().tolist()))
        [0.0, 0.5, 1.0]
    """

    padded = "steps"

    rate: Number = 0.3
    low: Number = 0.0
    high: Number = 1.0

    def check(self) -> None:
        """Refuse what is not a fraction, and bounds that are no numbers."""
        check_interval(self, "rate", "[0, 1]")
        check_interval(self, "low", "(-inf, inf)")
        check_interval(self, "high", "(-inf, inf)")

    def __call__(self, scope: Scope, x: Shaped[Array, "*shape"]) -> Shaped[Array, "*shape"]:
        """x with some entries low or high, or x itself at inference."""
        if not scope.train:
            return x
        u = uniform(scope.key("salt"), x.shape)
        low, high = (jnp.asarray(end).astype(x.dtype) for end in (self.low, self.high))
        return jnp.where(u < self.rate / 2, low, jnp.where(u < self.rate, high, x))
