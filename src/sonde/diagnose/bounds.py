"""How likely rows are to a variational autoencoder: two bounds, and which axes of its code say something."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from sonde._random import derive, normal, root
from sonde._types import Array
from sonde.nn import Network
from sonde.objectives import Variational, gaussian_kl


class Bounds(NamedTuple):
    """What `bounds` finds, in nats.

    Attributes:
        variational: [rows], the variational lower bound of log p(x).
        weighted: [rows], the importance-weighted one, which lies between it and log p(x).
        kl: [n], the divergence of each axis of the code from N(0, 1), mean over rows; they add up to that of the code.
    """

    variational: np.ndarray
    weighted: np.ndarray
    kl: np.ndarray

    def active(self, least: float = 0.01) -> int:
        """How many axes of the code say something; the posterior of the others has collapsed to N(0, 1)."""
        return int((self.kl > least).sum())


def bounds(
    network: Network, x: Any, objective: Variational, samples: int = 500, seed: int = 0, size: int = 500
) -> Bounds:
    """Two lower bounds of log p(x), from draws of each row's code.

        log w_l = log p(x | z_l) + log p(z_l) - log q(z_l | x),    z_l from q(z | x),    l = 1 ... L

    The mean of log w is the variational bound, whatever the number L of draws; log (1/L) sum_l w_l is the
    importance-weighted one, which comes to log p(x) itself as L grows, from below (on average over draws).

    Args:
        network: with methods ``encode`` and ``decode``, as an `nn.VariationalAutoencoder` has them.
        x: rows.
        objective: what it was trained by; it says what is likely. Its beta and its number of draws do not matter.
        samples: draws for each row, L.
        seed: what is drawn follows from it.
        size: how many rows are done at a time.

    Source: Burda, Grosse and Salakhutdinov (2016), "Importance weighted autoencoders", equation 8.

    Example:
        >>> import numpy as np
        >>> import sonde as sd
        >>> from sonde import nn
        >>> from sonde.diagnose import bounds
        >>> from sonde.objectives import Variational
        >>> x = np.eye(4, dtype="float32")
        >>> net = nn.build(nn.VariationalAutoencoder(encoder=nn.Dense(4), decoder=nn.Dense(4)), x)
        >>> found = bounds(net, x, Variational(), samples=50)
        >>> found.weighted.shape, found.kl.shape, bool((found.weighted > found.variational).all())
        ((4,), (2,), True)
    """
    x, key, done = np.asarray(x), root(seed), []
    for at in range(0, len(x), size):
        done.append(jax.tree.map(np.asarray, _of_rows(network, objective, x[at : at + size], derive(key, at), samples)))
    variational, weighted, kl = (np.concatenate(parts) for parts in zip(*done, strict=True))
    return Bounds(variational, weighted, kl.mean(0))


@functools.partial(jax.jit, static_argnums=4)
def _of_rows(network: Network, objective: Variational, x: Array, key: Array, samples: int) -> tuple:
    """The two bounds of each row, and the divergence of each axis of its code."""
    net = network.bind()
    mean, log_variance = net.encode(x)

    def one(given: tuple) -> tuple:
        *of_row, i = given
        x, m, v = (jnp.broadcast_to(a, (samples, *a.shape)) for a in of_row)
        noise = normal(derive(key, i), m.shape)
        z = m + jnp.exp(v / 2) * noise
        likelihood = objective.log_likelihood(net.still.decode(z), x)
        log_w = likelihood + (noise**2 + v - z**2).sum(-1) / 2  # log p(z) - log q(z | x): the constants cancel
        return log_w.mean(), jax.nn.logsumexp(log_w) - jnp.log(samples)

    values = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    variational, weighted = lax.map(one, (values, mean, log_variance, jnp.arange(len(x))))
    return variational, weighted, gaussian_kl(mean[..., None], log_variance[..., None])


__all__ = ["Bounds", "bounds"]
