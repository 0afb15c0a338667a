"""A variational autoencoder: an encoder that gives a Gaussian over codes, and a decoder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp

from sonde._errors import ShapeError, shape_of
from sonde.nn.combine import as_layer
from sonde.nn.network import Layer
from sonde.nn.scope import Scope

if TYPE_CHECKING:
    from jaxtyping import Array, Float


class VariationalAutoencoder(Layer):
    """q(z | x) = N(m, diag(s^2)) with (m, log s^2) = encoder(x), and p(x | z) about decoder(z).

    The encoder ends in 2 n numbers a row: n means and n logarithms of variances, for a code of n. The decoder makes of
    a code what `objectives.Variational` compares with x: logits for yes or no an entry, or means. Draws of the code are
    the objective's, so that it can take several of them for a row.

    Args:
        encoder: gives [rows, 2 n]; end it with ``nn.Dense(2 * n)``.
        decoder: takes [rows, n], and gives what is of the shape of x.

    Called, it gives the reconstruction from the mean of the code, decoder(m), which draws nothing.

    Source: Kingma and Welling (2014), "Auto-encoding variational Bayes".

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde import nn
        >>> vae = nn.VariationalAutoencoder(encoder=nn.Dense(2 * 3), decoder=nn.Dense(5))
        >>> net = nn.build(vae, jnp.ones((1, 5)))
        >>> mean, log_variance = net.encode(jnp.ones((4, 5)))
        >>> mean.shape, log_variance.shape, net.decode(mean).shape
        ((4, 3), (4, 3), (4, 5))
    """

    encoder: Layer
    decoder: Layer

    def check(self) -> None:
        """Take a named function for a layer."""
        for name, layer in self.named_layers():
            object.__setattr__(self, name, as_layer(layer))

    def named_layers(self) -> Iterator[tuple[str, Any]]:
        """The two halves."""
        yield from (("encoder", self.encoder), ("decoder", self.decoder))

    def encode(self, scope: Scope, x: Any) -> tuple[Float[Array, "rows n"], Float[Array, "rows n"]]:
        """Mean and log variance of the code.

        Raises:
            ShapeError: the encoder gives no vectors of an even length.
        """
        both = scope("encoder", self.encoder, x)
        if getattr(both, "ndim", 0) != 2 or both.shape[-1] % 2:
            raise ShapeError(
                f"the encoder gives {shape_of(both)}; it must give a mean and a log variance for each of n numbers, "
                "[rows, 2 n]: end it with nn.Dense(2 * n), behind nn.Flatten() if need be"
            )
        return tuple(jnp.split(both, 2, axis=-1))  # pyright: ignore[reportReturnType]

    def decode(self, scope: Scope, z: Float[Array, "rows n"]) -> Any:
        """What is made of a code."""
        return scope("decoder", self.decoder, z)

    def __call__(self, scope: Scope, x: Any) -> Any:
        """The reconstruction from the mean of the code."""
        return self.decode(scope, self.encode(scope, x)[0])
