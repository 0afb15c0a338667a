"""Finding a rate: one short run whose rate rises until the loss runs away."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from sonde._errors import ArgumentError, inside, is_whole
from sonde._random import checked_seed
from sonde._types import Clock, Number
from sonde._value import Value
from sonde.data import Dataset
from sonde.data.sampling import as_sampler
from sonde.data.stream import placed
from sonde.diagnose.pictures.figure import COLORS, PathLike, blank, save, set_scale, styled
from sonde.nn import Layer, Network
from sonde.nn.network import as_network
from sonde.optim import Exponential, Optax, Wrapped, as_optimizer
from sonde.train import Controller, Outcome, Phase, Plan, Signal, Turn, execute
from sonde.train.control import Report

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TIMES = 4
"""The test ends when the moving mean of the loss is so many times its smallest."""


@dataclasses.dataclass(frozen=True, eq=False)
class RateTest:
    """What `find_rate` found; it prints as a line.

    Attributes:
        rates: of the steps made, rising.
        losses: of the minibatches, each before the step at its rate was made. One that is not finite ends the test and
            is left out.
        smoothed: their moving mean, sum_j b^(k-j) losses[j] / sum_j b^(k-j) over j <= k.
        suggestion: a tenth of the rate at which ``smoothed`` is smallest.
        outcome: STOPPED_EARLY if the loss ran away, DIVERGED if it was no longer finite, FINISHED if the last rate was
            reached.
    """

    rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    suggestion: float
    outcome: Outcome

    def __repr__(self) -> str:
        best = int(self.smoothed.argmin())
        after = f", then rose to {self.smoothed[-1]:.3g} at {self.rates[-1]:.2g}"
        if best == len(self.rates) - 1:
            done = self.outcome == Outcome.FINISHED
            after = ", the highest rate: try higher ones" if done else ", and was no finite number after that"
        return (
            f"try a rate near {self.suggestion:.2g}: the loss fell from {self.smoothed[0]:.3g} to "
            f"{self.smoothed[best]:.3g} at {self.rates[best]:.2g}{after}"
        )

    def draw(self, path: PathLike) -> Path:
        """The loss against the rate, on a logarithmic axis, with the suggestion marked.

        Returns:
            The path of the PNG file.

        Raises:
            SourceError: if the file cannot be written.
        """
        return save(_draw_test(self), path)


def find_rate(
    network: Layer | Network,
    data: Dataset,
    objective: Any,
    optimizer: Any,
    low: float = 1e-6,
    high: float = 10.0,
    steps: int = 200,
    batch: Any = 32,
    seed: int = 0,
) -> RateTest:
    """A rate to begin with, by a range test: one short run whose rate rises until the loss runs away.

        rate(k) = low (high / low) ** (k / (steps - 1)),   k = 0, ..., steps - 1

    Too small a rate changes nothing, a good one makes the loss fall, too large a one makes it rise. The test ends when
    the moving mean of the loss is 4 times its smallest, or a loss is not finite. It sees training rows only, and
    the network given stays as it is.

    The suggestion is a tenth of the rate at which the moving mean was smallest: at that rate itself it is about to
    rise. The usual other choice is the rate at which it fell most steeply. On the digits, over two networks (of 1 and
    of 4 hidden layers), four optimizers and two seeds, five epochs at a tenth came to a validation error of 0.10 in the
    mean and 0.25 at worst; at the steepest to 0.17 and 0.90: a loss may fall most steeply just before it runs away, and
    that is no rate to train with. A tenth errs on the slow side, most of all by SGD without momentum, where a few
    times more is often better. It is a rate to begin with, not the best one.

    Args:
        network: a spec, or a network to begin from.
        data: its training split is drawn from.
        objective: what to minimize, such as ``Classify()``.
        optimizer: how; its rate, be it a number or a schedule, is replaced by the rising one. Wrappers stay around it.
        low: the first rate.
        high: the last one, if the loss does not run away before.
        steps: so many steps at most. The moving mean looks back over about a twentieth of them, so it lags by that.
        batch: rows in a minibatch, or a sampler: that of the training to come, since a good rate depends on it.
        seed: everything random follows from it.

    Returns:
        A `RateTest`: ``.suggestion``, and ``.draw(path)`` for the picture.

    Raises:
        ArgumentError: not 0 < low < high; too few steps; a transformation of Optax, which has its rate inside; or the
            loss fell at none of the rates tried.

    Source: L. Smith, "Cyclical learning rates for training neural networks" (2017), 3.3, where the rate rises along a
    line; by a factor a step, as in fast.ai.

    Example:
        >>> import sonde as sd
        >>> from sonde import nn
        >>> net = nn.Sequential(nn.Flatten(), nn.Scale(1 / 16), hidden=nn.Dense(64, nn.relu), head=nn.Dense(10))
        >>> found = sd.diagnose.find_rate(net, sd.data.load("digits"), sd.Classify(), sd.Adam())
        >>> 1e-3 < found.suggestion < 1e-1
        True
    """
    if not isinstance(data, Dataset):
        raise ArgumentError(f"data of find_rate must be a Dataset, such as Dataset.of(x, y); got {type(data).__name__}")
    if not (inside(low, "(0, inf)") and inside(high, "(0, inf)") and low < high):
        raise ArgumentError(f"low and high of find_rate must be rates, 0 < low < high; got {low!r} and {high!r}")
    if not is_whole(steps, 20):
        raise ArgumentError(f"steps of find_rate must be a whole number of at least 20; got {steps!r}")
    seed, slow = checked_seed(seed), 1 - 20 / steps
    turn = Turn(objective, _at_rate(as_optimizer(optimizer), Exponential(low, high / low, steps - 1)))
    phase = Phase(turn, as_sampler(batch), steps=steps, every=1, control=_RunsAway(slow))
    train = placed(Dataset(data.train, chunk=data.chunk))
    _, (record,) = execute(as_network(network), Plan(phase).prepare(dict(data.train)), train, seed)
    if record.outcome == Outcome.INTERRUPTED:
        raise KeyboardInterrupt
    losses = record.history["train/loss"].astype(np.float64)
    losses = losses[: np.isfinite(np.append(losses, np.nan)).argmin()]
    rates, smoothed = low * (high / low) ** (np.arange(len(losses)) / (steps - 1)), _smoothed(losses, slow)
    if not len(losses) or not smoothed.argmin():
        raise ArgumentError(
            f"the loss fell at no rate from {low:.2g}; give find_rate a smaller low, or inputs scaled to about 1"
        )
    return RateTest(rates, losses, smoothed, float(rates[smoothed.argmin()] / 10), record.outcome)


def _at_rate(optimizer: Any, rate: Exponential) -> Any:
    """An optimizer, the innermost one of which has another rate."""
    if isinstance(optimizer, Wrapped):
        return optimizer.replace(optimizer=_at_rate(optimizer.optimizer, rate))
    if isinstance(optimizer, Optax) or not isinstance(optimizer, Value):
        raise ArgumentError(
            f"find_rate sets the rate of an optimizer such as Adam(), and that of {optimizer!r} cannot be set: give it "
            "one of sonde.optim, or one of your own with a direction()"
        )
    return optimizer.replace(rate=rate)


class _Mean(NamedTuple):
    total: Any
    weight: Any
    smallest: Any


class _RunsAway(Controller):
    """End when the moving mean of the loss has risen to so many times its smallest."""

    slow: Number

    def init(self) -> _Mean:
        """Nothing seen yet."""
        return _Mean(jnp.float32(0), jnp.float32(0), jnp.float32(jnp.inf))

    def observe(self, memory: _Mean, report: Report, clock: Clock) -> tuple[_Mean, Signal]:
        """Average, and compare; of a loss below 0 the smallest counts by its size."""
        total, weight = self.slow * memory.total + report["train/loss"], self.slow * memory.weight + 1
        mean = total / weight
        smallest = jnp.minimum(mean, memory.smallest)
        away = mean > smallest + (TIMES - 1) * jnp.abs(smallest)
        return _Mean(total, weight, smallest), Signal(jnp.where(away, Outcome.STOPPED_EARLY, Outcome.RUNNING))


def _smoothed(losses: np.ndarray, slow: float) -> np.ndarray:
    """The moving mean that `_RunsAway` saw, after each step."""
    total, weight, means = 0.0, 0.0, []
    for loss in losses:
        total, weight = slow * total + loss, slow * weight + 1
        means.append(total / weight)
    return np.asarray(means)


@styled
def _draw_test(test: RateTest) -> Figure:
    figure = blank(6.4, 3.3)
    ax = figure.add_subplot()
    ax.plot(test.rates, test.losses, color="#BBBBBB", linewidth=0.9, label="minibatches")
    ax.plot(test.rates, test.smoothed, color=COLORS[0], linewidth=1.8, label="moving mean")
    best = test.smoothed.argmin()
    ax.plot(test.rates[best], test.smoothed[best], "o", color="black", markersize=5, zorder=3, label="smallest")
    words = f"suggestion {test.suggestion:.2g}"
    ax.axvline(test.suggestion, color=COLORS[1], linestyle="--", linewidth=1.4, label=words)
    ax.set_xscale("log")
    set_scale(ax, "loss", test.losses)
    ax.set_xlabel("rate")
    ax.set_ylabel("loss")
    figure.legend(loc="outside upper left", ncols=4, frameon=False)
    return figure
