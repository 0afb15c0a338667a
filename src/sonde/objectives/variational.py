"""The objective of a variational autoencoder: the lower bound of the data's likelihood, with draws of the code."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp

from sonde._batch import Batch, Padded
from sonde._errors import ArgumentError, DataError, ShapeError, check_interval, check_whole, shape_of
from sonde._random import normal
from sonde._types import Array, Number
from sonde._value import show
from sonde.objectives.losses import binary_cross_entropy, gaussian_kl, half_squared_error
from sonde.objectives.losses.given import lies_in_domain
from sonde.objectives.objectives import Objective
from sonde.objectives.probabilities import refuse_probabilities


class Variational(Objective):
    """Minus the variational lower bound, in nats a row: L = sum_i w_i (R_i + beta KL_i) / sum_i w_i.

        R = -1/L sum_l log p(x | z_l),    z_l = m + s e_l,    e_l from N(0, 1),    KL = KL(N(m, s^2), N(0, 1))

    with (m, log s^2) = ``net.encode(x)`` and p(x | z) about ``net.decode(z)``. The noise e depends on no weight, so the
    gradient reaches m and s through z: the reparameterization. The divergence is taken in closed form. For beta = 1,
    -L is at most the mean of log p(x), and all the nearer the better the code's Gaussian fits its posterior.

    Args:
        beta: what the divergence counts. Above 1 codes say less and their axes are more independent; 0 leaves an
            autoencoder with noise of its own choice. A number of the objective: another compiles nothing.
        samples: draws of the code for each row and step, L. One is enough where minibatches are large.
        loss: `binary_cross_entropy` for a Bernoulli variable an entry, x from 0 to 1, of which the decoder gives the
            logits; or `half_squared_error` for Gaussian ones, of which it gives the means.
        spread: the standard deviation of the Gaussian ones, in units of x.

    Reads the columns ``x`` and ``weight`` if there is one. Metrics, in nats a row: ``reconstruction`` (R), ``kl``, and
    ``bound`` = -R - KL whatever beta is.

    Raises:
        ArgumentError: the loss is no likelihood.

    Source: Kingma and Welling (2014), "Auto-encoding variational Bayes", equation 10; beta: Higgins et al. (2017).

    Example:
        >>> import numpy as np
        >>> import sonde as sd
        >>> from sonde import nn
        >>> from sonde.objectives import Variational, half_squared_error
        >>> x = np.random.default_rng(0).normal(size=(400, 1)).astype("float32") @ np.ones((1, 3), "float32")
        >>> vae = nn.VariationalAutoencoder(encoder=nn.Dense(2), decoder=nn.Dense(3))
        >>> run = sd.fit(vae, (x, x), Variational(loss=half_squared_error, spread=0.5), sd.Adam(0.01), epochs=10)
        >>> sorted(name for name in run.history if name.startswith("train"))
        ['train/bound', 'train/kl', 'train/loss', 'train/reconstruction']
    """

    beta: Number = 1.0
    samples: int = 1
    loss: Callable = binary_cross_entropy
    spread: Number = 1.0

    def check(self) -> None:
        """Refuse what is no likelihood, and numbers that none has."""
        check_interval(self, "beta", "[0, inf)")
        check_interval(self, "spread", "(0, inf)")
        check_whole(self, "samples")
        if self.loss not in (binary_cross_entropy, half_squared_error):
            raise ArgumentError(
                "loss of Variational must be a likelihood, binary_cross_entropy or half_squared_error (of "
                f"sonde.objectives); got {show(self.loss)}"
            )
        if self.loss is binary_cross_entropy and isinstance(self.spread, int | float) and self.spread != 1:
            raise ArgumentError(
                f"spread is that of Gaussian outputs: give loss=half_squared_error, or leave out spread={self.spread}"
            )

    def prepare(self, columns: Mapping[str, Any]) -> Objective:
        """Check the inputs: they are what the decoder gives the likelihood of."""
        if "x" not in columns:
            raise DataError(f"Variational needs inputs in a column 'x'; there is {', '.join(columns)}")
        return self.admit(columns, "train")

    def admit(self, columns: Mapping[str, Any], split: str) -> Objective:
        """Check the inputs of a split."""
        name = f"the column 'x' (of the {split} split)"
        if isinstance(columns["x"], Padded):
            raise DataError(f"Variational takes rows of one shape; {name} holds sequences of different lengths")
        lies_in_domain(self.loss.__name__, name, columns["x"], columns.get("weight"))
        return self

    def __call__(self, net: Any, batch: Batch) -> Any:
        """The loss, and its parts in nats."""
        x = batch.x.astype(jnp.promote_types(batch.x.dtype, jnp.float32))
        mean, log_variance = net.encode(batch.x)
        again = lambda rows: jnp.tile(rows, (self.samples, *[1] * (rows.ndim - 1)))  # all rows, and all again
        m, s = again(mean), again(jnp.exp(log_variance / 2))
        z = m + s * normal(net.key("code"), m.shape)
        outputs = net.over(Batch({}, again(batch.weight))).decode(z)
        _check_outputs(net, self.loss, z, outputs, x)
        reconstruction = -self.log_likelihood(outputs, again(x)).reshape(self.samples, -1).mean(0)
        kl = gaussian_kl(mean, log_variance)
        parts = {"reconstruction": reconstruction, "kl": kl, "bound": -reconstruction - kl}
        return batch.mean(reconstruction + self.beta * kl), {name: batch.mean(each) for name, each in parts.items()}

    def log_likelihood(self, outputs: Array, x: Array) -> Array:
        """log p(x | z) in nats: a number for each row of what the decoder gave, ``outputs`` [rows, ...] like ``x``."""
        each = -jnp.asarray(self.loss(outputs / self.spread, x / self.spread))
        if self.loss is half_squared_error:
            each = each - jnp.log(self.spread) - math.log(2 * math.pi) / 2
        return each.reshape(len(x), -1).sum(-1)


def _check_outputs(net: Any, loss: Callable, z: Array, outputs: Array, x: Array) -> None:
    """Refuse outputs of another shape than x, and probabilities where logits belong."""
    remedy = "Leave the last activation of the decoder out, as in nn.Dense(784)"
    refuse_probabilities(net, loss, lambda net: net.decode(z), remedy)
    if outputs.shape[1:] != x.shape[1:]:
        end = f"nn.Reshape{tuple(x.shape[1:])}" if outputs[0].size == x[0].size else f"nn.Dense({x.shape[-1]})"
        raise ShapeError(
            f"the decoder gives {list(outputs.shape[1:])} for a row, which is {shape_of(x[0])}; end it with {end}"
        )
