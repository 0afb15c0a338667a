"""A variational autoencoder: an encoder that gives a Gaussian over codes, and a decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax.numpy as jnp

from sonde._errors import ArgumentError, ShapeError, shape_of
from sonde.nn.autoencoder import Autoencoder
from sonde.nn.scope import Scope

if TYPE_CHECKING:
    from jaxtyping import Array, Float


class VariationalAutoencoder(Autoencoder):
    """q(z | x) = N(m, diag(s^2)) with (m, log s^2) = encoder(x), and p(x | z) about decoder(z).

    The encoder ends in 2 n numbers a row: n means and n logarithms of variances, for a code of n. The decoder makes of
    a code what `objectives.Variational` compares with x: logits for yes or no an entry, or means. Draws of the code are
    the objective's, so that it can take several of them for a row.

    Args:
        encoder: gives [rows, 2 n]; end it with ``nn.Dense(2 * n)``.
        decoder: takes [rows, n], and gives what is of the shape of x.

    Called, it gives the reconstruction from the mean of the code, decoder(m), which draws nothing.

    Raises:
        ArgumentError: there is no decoder.

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

    def check(self) -> None:
        """Refuse to go without a decoder: what the encoder gives is not a code alone."""
        if self.decoder is None:
            raise ArgumentError("VariationalAutoencoder needs a decoder, such as nn.Dense(784)")

    def encode(self, scope: Scope, x: Any) -> tuple[Float[Array, "rows n"], Float[Array, "rows n"]]:
        """Mean and log variance of the code.

        Raises:
            ShapeError: the encoder gives no vectors of an even length.
        """
        both = super().encode(scope, x)
        if getattr(both, "ndim", 0) != 2 or both.shape[-1] % 2:
            raise ShapeError(
                f"the encoder gives {shape_of(both)}; it must give a mean and a log variance for each of n numbers, "
                "[rows, 2 n]: end it with nn.Dense(2 * n), behind nn.Flatten() if need be"
            )
        mean, log_variance = jnp.split(both, 2, axis=-1)
        return mean, log_variance

    def __call__(self, scope: Scope, x: Any) -> Any:
        """The reconstruction from the mean of the code."""
        return self.decode(scope, self.encode(scope, x)[0])
