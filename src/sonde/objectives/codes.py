"""Penalties on codes: what an autoencoder's code should be like, added to `Reconstruct` with ``+``."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from sonde._batch import Batch, Mean
from sonde._errors import ArgumentError, ShapeError, check_interval, check_whole, shape_of
from sonde._types import Number
from sonde.objectives.losses.given import distance
from sonde.objectives.objectives import Objective
from sonde.objectives.probabilities import last_of
from sonde.objectives.reconstruct import reached
from sonde.objectives.steps import by_step


class ActivityL1(Objective):
    """rate * mean_i sum_j |h_ij| of the code h: few units are far from 0 (a *sparse* autoencoder).

    Args:
        rate: how much it counts beside the reconstruction, which is a mean over entries where this is a sum over units.
        at: the path of the layer that gives the code; its input is not spoiled here.

    Metric: ``activity``, the mean of |h|.

    Example:
        >>> import sonde as sd
        >>> from sonde.objectives import ActivityL1, Reconstruct
        >>> Reconstruct() + ActivityL1(1e-3)
        Reconstruct() + ActivityL1(rate=0.001)

    Source: the L1 norm as a measure of sparseness, B. Olshausen and D. Field (1996).
    """

    rate: Number = 1e-3
    at: str = "encoder"

    def check(self) -> None:
        """Refuse a reward for activity."""
        check_interval(self, "rate", "[0, inf)")

    def __call__(self, net: Any, batch: Batch) -> Any:
        """The penalty, and the mean activity."""
        batch, code = _code(net, self.at, batch)
        size = distance(code.reshape(len(batch), -1))
        return self.rate * batch.mean(size.sum(-1)), {"activity": batch.mean(size.mean(-1))}


class ActivityKL(Objective):
    """rate * sum_j KL(share || m_j), m_j the mean of unit j over the batch: each unit is on for few rows.

    KL(s || m) = s log(s / m) + (1 - s) log((1 - s) / (1 - m)), which is 0 where m = s, and grows without bound towards
    a unit that is never on, or always. A channel of a convolution is a unit, at whatever place.

    Args:
        rate: how much it counts beside the reconstruction, which is a mean over entries where this is a sum over units.
        share: of the rows for which a unit should be on, in (0, 1).
        at: the path of the layer that gives the code, of sigmoid units: a mean that is none of a share has no KL.

    Metric: ``activity``, the mean of all units.

    Raises:
        ArgumentError: the layer does not end in a sigmoid or a softmax.

    Example:
        >>> import sonde as sd
        >>> from sonde.objectives import ActivityKL, Reconstruct
        >>> Reconstruct() + ActivityKL(0.1, share=0.05)
        Reconstruct() + ActivityKL(rate=0.1)

    Source: A. Ng, CS294A lecture notes (2011); G. Hinton, A practical guide to training RBMs (2010).
    """

    rate: Number = 0.1
    share: Number = 0.05
    at: str = "encoder"

    def check(self) -> None:
        """Refuse a reward, and what is no share."""
        check_interval(self, "rate", "[0, inf)")
        check_interval(self, "share", "(0, 1)")

    def __call__(self, net: Any, batch: Batch) -> Any:
        """The penalty, and the mean activity."""
        if net.building and not last_of(jax.make_jaxpr(lambda: _code(net.still, self.at, batch)[1])().jaxpr):
            raise ArgumentError(
                f"ActivityKL takes units from 0 to 1, and {self.at} does not end in a sigmoid; give it nn.sigmoid, or "
                "take ActivityL1, which is for units of any kind"
            )
        batch, code = _code(net, self.at, batch)
        units = code.reshape(len(batch), -1, code.shape[-1]).mean(1)
        total, count = batch.mean(units)
        m = jnp.clip(total / jnp.maximum(count, 1e-9), 1e-6, 1 - 1e-6)
        kl = self.share * jnp.log(self.share / m) + (1 - self.share) * jnp.log((1 - self.share) / (1 - m))
        return self.rate * Mean(kl.sum() * count, count), {"activity": batch.mean(units.mean(-1))}


class Contractive(Objective):
    """rate * mean_i |dh/dx (x_i)|^2, the squared Frobenius norm of the code's Jacobian: codes that move little.

    The reconstruction keeps the directions in which rows differ; all others are contracted.

    - One dense layer h = a(z), z = x W + b: in closed form, sum_j a'(z_j)^2 sum_i W_ij^2.
    - Any other encoder, ``probes = 0``: exactly, by one backward pass for each number of the code. For small codes.
    - Any other encoder, ``probes = k``: the mean of |v^T dh/dx|^2 over k random vectors v of signs, whose expectation
      it is (M. Hutchinson, 1989). It costs k backward passes whatever the code's size, and is noisy.

    Args:
        rate: how much it counts beside the reconstruction.
        at: the path of the layer that gives the code.
        probes: random vectors; 0: exactly.

    Metric: ``slopes``, the mean of |dh/dx|^2.

    Example:
        >>> import sonde as sd
        >>> from sonde.objectives import Contractive, Reconstruct
        >>> Reconstruct() + Contractive(0.1, probes=4)
        Reconstruct() + Contractive(rate=0.1, probes=4)

    Source: S. Rifai et al. (2011).
    """

    rate: Number = 0.1
    at: str = "encoder"
    probes: int = 0

    def check(self) -> None:
        """Refuse a reward for slopes, and less than no probes."""
        check_interval(self, "rate", "[0, inf)")
        check_whole(self, "probes", 0)

    def __call__(self, net: Any, batch: Batch) -> Any:
        """The penalty, and the size of the slopes."""
        layer, x = reached(net, self.at, batch.x)
        if not jnp.issubdtype(x.dtype, jnp.floating):
            raise ShapeError(
                f"a code has no slopes by whole numbers {shape_of(x)}; put nn.Scale(1 / 255) before {self.at}"
            )
        norm = layer.squared_slopes(x) if hasattr(layer, "squared_slopes") else None
        if norm is None:
            norm = squared_slopes(layer.still, x, net.key("probes") if self.probes else None, self.probes)
        slopes = batch.mean(norm)
        return self.rate * slopes, {"slopes": slopes}


def squared_slopes(function: Any, x: Any, key: Any = None, probes: int = 0) -> Any:
    """|dh/dx|^2 for each row of h = function(x): exactly, or with ``probes`` random vectors of signs on average."""
    code, back = jax.vjp(function, x)
    if probes:
        ways = jax.random.rademacher(key, (probes, *code.shape), code.dtype)
    else:
        size = math.prod(code.shape[1:])
        units = jnp.eye(size, dtype=code.dtype).reshape(size, 1, *code.shape[1:])
        ways = jnp.broadcast_to(units, (size, *code.shape))
    slopes = jax.vmap(lambda way: back(way)[0])(ways)
    each = (slopes.reshape(*slopes.shape[:2], -1) ** 2).sum(-1)
    return each.mean(0) if probes else each.sum(0)


def _code(net: Any, at: str, batch: Batch) -> tuple[Batch, Any]:
    """What the layer at a path gives for rows that are not spoiled; of sequences the real steps as rows."""
    layer, x = reached(net, at, batch.x)
    code = layer(x)
    batch, code, _ = by_step(batch, code, code)
    return batch, code


__all__ = ["ActivityKL", "ActivityL1", "Contractive"]
