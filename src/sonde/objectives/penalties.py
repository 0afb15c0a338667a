"""Penalties: objectives of the weights alone, added to another with ``+``."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from sonde._batch import Batch
from sonde._errors import check_interval
from sonde._tree import Patterns
from sonde._types import Number
from sonde.objectives.losses.given import distance
from sonde.objectives.objectives import Objective


class L2(Objective):
    """rate / 2 * sum w^2 over the weights whose path meets ``on``: small weights (Gaussian prior, ridge).

    Its gradient is ``rate * w``. Biases and normalization are spared by the usual pattern. Differs from Keras,
    whose ``l2(r)`` has no half: ours at rate 2 r.

    Example:
        >>> import jax.numpy as jnp
        >>> import sonde as sd
        >>> net = sd.nn.build(sd.nn.Dense(2, kernel_init=sd.nn.ones), jnp.ones((1, 3)))
        >>> float(sd.L2(0.1)(net.bind(), None))                              # 0.1 / 2 * 6
        0.30000001192092896
    """

    rate: Number = 1e-4
    on: Patterns = "**kernel"

    def check(self) -> None:
        """Refuse a reward for large weights."""
        check_interval(self, "rate", "[0, inf)")

    def __call__(self, net: Any, batch: Batch | None) -> Any:
        """The penalty."""
        return 0.5 * self.rate * _total(net, self.on, jnp.square)


class L1(Objective):
    """rate * sum |w| over the weights whose path meets ``on``: few weights (Laplace prior, lasso).

    Its gradient is ``rate * sign(w)``, 0 at 0. A gradient step shrinks weights towards 0 without landing on it.

    Example:
        >>> import sonde as sd
        >>> sd.Classify() + sd.L1(1e-5, on="hidden/kernel")
        Classify() + L1(rate=1e-05, on='hidden/kernel')
    """

    rate: Number = 1e-4
    on: Patterns = "**kernel"

    def check(self) -> None:
        """Refuse a reward for large weights."""
        check_interval(self, "rate", "[0, inf)")

    def __call__(self, net: Any, batch: Batch | None) -> Any:
        """The penalty."""
        return self.rate * _total(net, self.on, distance)


class L1L2(Objective):
    """l1 * sum |w| + l2 / 2 * sum w^2: both at once (elastic net, H. Zou and T. Hastie, 2005).

    Example:
        >>> import sonde as sd
        >>> sd.Regress() + sd.L1L2(1e-5, 1e-4)
        Regress() + L1L2(l1=1e-05, l2=0.0001)
    """

    l1: Number
    l2: Number
    on: Patterns = "**kernel"

    def check(self) -> None:
        """Refuse a reward for large weights."""
        check_interval(self, "l1", "[0, inf)")
        check_interval(self, "l2", "[0, inf)")

    def __call__(self, net: Any, batch: Batch | None) -> Any:
        """The penalty."""
        return L1(self.l1, self.on)(net, batch) + L2(self.l2, self.on)(net, batch)


def _total(net: Any, on: Patterns, each: Any) -> Any:
    return sum((each(w).sum() for w in net.weights(on).values()), jnp.zeros(()))
