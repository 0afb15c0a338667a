"""Which rows are odd: what an autoencoder of normal rows fails to give back, and from where on that is an alarm."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from sonde._errors import ArgumentError, DataError, ShapeError, inside, shape_of
from sonde.nn import Network


def reconstruction_errors(network: Network, x: Any) -> np.ndarray:
    """How badly each row is given back: the mean over its entries of (net(x) - x)^2, [rows].

    A network that was trained to give normal rows back gives odd ones back badly, and this is their score: the higher,
    the odder. It is no probability.

    Args:
        network: an autoencoder: called, it gives what has the shape of x.
        x: rows.

    Raises:
        ShapeError: the network gives something of another shape.

    Example:
        >>> import numpy as np
        >>> from sonde import nn
        >>> from sonde.diagnose import reconstruction_errors
        >>> x = np.array([[1.0, 1.0], [0.0, 2.0]], "float32")
        >>> reconstruction_errors(nn.build(nn.Dense(2, kernel_init=nn.zeros), x), x).tolist()
        [1.0, 2.0]
    """
    x = np.asarray(x)
    back = np.asarray(network.in_batches(x))
    if back.shape != x.shape:
        raise ShapeError(
            f"reconstruction_errors takes a network that gives its input back; of {shape_of(x)} this one makes "
            f"{shape_of(back)}"
        )
    return ((back.astype(np.float64) - x) ** 2).reshape(len(x), -1).mean(1)


class Alarm(NamedTuple):
    """A threshold for scores, and how often normal rows will lie above it; `set_alarm` makes these.

    Called with scores [rows], it says which of them are alarms.

    Attributes:
        threshold: scores above it are alarms.
        rate: the stated rate of false alarms: what share of normal rows has such scores, at most, in expectation.
        rows: from the scores of how many normal rows it was set.
        deviation: the standard deviation of the true rate, since those rows are a sample.
    """

    threshold: float
    rate: float
    rows: int
    deviation: float

    def __call__(self, scores: Any) -> np.ndarray:
        return np.asarray(scores) > self.threshold

    def __str__(self) -> str:
        return (
            f"above {self.threshold:.4g}: {100 * self.rate:.3g} % of normal rows, give or take "
            f"{100 * self.deviation:.2g} points (set from {self.rows:,})"
        )


def set_alarm(scores: Any, rate: float = 0.01) -> Alarm:
    """The threshold that normal rows exceed with a stated probability, from scores of normal rows held out.

        t = the k-th smallest of n scores,    k = ceil((n + 1) (1 - rate))

    A new normal row, drawn as these were, is equally likely to come in at each of n + 1 places among them, so it lies
    above t with probability (n + 1 - k) / (n + 1) at most, whatever the scores are. The share of all normal rows above
    this t is a random number with the distribution Beta(n + 1 - k, k), whose standard deviation is stated beside it.

    The rows must not be those that the network was trained on: it gives them back better than new ones.

    Args:
        scores: of normal rows held out, [n].
        rate: of false alarms that can be borne.

    Raises:
        ArgumentError: the rate is none, or too small for so few rows.
        DataError: a score is no number.

    Source: Vovk, Gammerman and Shafer (2005), conformal prediction.

    Example:
        >>> from sonde.diagnose import set_alarm
        >>> alarm = set_alarm([0.3, 0.1, 0.2, 0.5, 0.4, 0.9, 0.7, 0.8, 0.6], rate=0.2)
        >>> alarm.threshold, alarm([0.75, 0.85]).tolist()
        (0.8, [False, True])
        >>> print(alarm)
        above 0.8: 20 % of normal rows, give or take 12 points (set from 9)
    """
    given = np.asarray(scores, np.float64)
    if given.ndim != 1 or not len(given):
        raise ShapeError(f"set_alarm takes scores [rows]; got {shape_of(given)}")
    if wrong := int(np.isnan(given).sum()):
        raise DataError(f"{wrong} of {len(given):,} scores are nan; is the network's output finite?")
    if not inside(rate, "(0, 1)"):
        raise ArgumentError(f"rate of set_alarm is a fraction between 0 and 1; got {rate!r}")
    n = len(given)
    k = math.ceil((n + 1) * (1 - rate) - 1e-9)
    if k > n:
        raise ArgumentError(
            f"{n:,} normal rows cannot promise a rate of {rate:g}: the least is 1 / {n + 1}; hold out at least "
            f"{math.ceil(1 / rate - 1e-9) - 1:,} rows, or bear more false alarms"
        )
    a, b = n + 1 - k, k
    return Alarm(float(np.sort(given)[k - 1]), rate, n, math.sqrt(a * b / (a + b) ** 2 / (a + b + 1)))


__all__ = ["Alarm", "reconstruction_errors", "set_alarm"]
