"""Controllers: pure judges of a round, inside the compiled program.

    init() -> memory
    observe(memory, report, clock) -> memory, Signal(outcome, scale, keep)

A round's network is *kept* when every controller says so; what is handed on when a phase ends, however it
ends, is the network kept last. So the best network is restored and a network with a NaN never is, with one
copy held in all.
"""

from __future__ import annotations

import enum
from typing import Any, NamedTuple

import jax.numpy as jnp

from sonde._errors import ArgumentError, PathError, check_interval, nearest
from sonde._types import Clock, Number
from sonde._value import Value
from sonde.objectives.metrics import better

Report = dict[str, Any]
"""What a round came to, by name: "train/loss", "valid/loss", "valid/error", "rate", ..."""


class Outcome(enum.IntEnum):
    """How a phase, or a run, ended."""

    RUNNING = 0
    FINISHED = 1
    STOPPED_EARLY = 2
    REACHED_TARGET = 3
    DIVERGED = 4
    OUT_OF_TIME = 5
    INTERRUPTED = 6

    @property
    def words(self) -> str:
        """As it is said: "stopped early"."""
        return self.name.lower().replace("_", " ")


class Signal(NamedTuple):
    """A controller's answer: go on or end, the scale of all rates, and whether to keep this round's network."""

    outcome: Any = Outcome.RUNNING
    scale: Any = 1.0
    keep: Any = True


class Controller(Value):
    """A judge of rounds; one that has nothing to say goes on, leaves rates alone and keeps every network.

    Example:
        >>> import jax.numpy as jnp
        >>> import sonde as sd
        >>> class Enough(sd.Controller):
        ...     def observe(self, memory, report, clock):
        ...         done = report["train/loss"] < 0.1
        ...         return memory, sd.Signal(jnp.where(done, sd.Outcome.REACHED_TARGET, sd.Outcome.RUNNING))
        >>> memory, signal = Enough().observe((), {"train/loss": 0.05}, sd.Clock(100, 100, 1000))
        >>> sd.Outcome(int(signal.outcome)).words
        'reached target'
    """

    def init(self) -> Any:
        """What is remembered before the first round."""
        return ()

    def observe(self, memory: Any, report: Report, clock: Clock) -> tuple[Any, Signal]:
        """Judge a round: what to remember, and what to do."""
        return memory, Signal()


def aim(watch: str, best: str = "") -> str:
    """Which value of a quantity is best: "smallest" or "largest"; by its name (`metrics.better`) if none is said."""
    return best or ("largest" if better(watch) > 0 else "smallest")


def cost(report: Report, watch: str, best: str = "") -> Any:
    """A quantity of the report, its sign turned where the largest is best: the less, the better.

    Raises:
        PathError: there is none of that name; says what there is.
    """
    if watch not in report:
        hint = "; give the data a validation split, or watch" if watch.startswith("valid/") else "; there is"
        known = [k for k in report if not k.startswith("rate")]
        near = f"{hint} {', '.join(map(repr, known))}" if watch.startswith("valid/") else nearest(watch, report)
        raise PathError(f"a controller watches {watch!r}, which is not in the report{near}")
    return -report[watch] if aim(watch, best) == "largest" else report[watch]


def _check_best(controller: Any) -> None:
    if controller.best not in ("", "smallest", "largest"):
        raise ArgumentError(
            f"best of {type(controller).__name__} must be 'smallest' or 'largest', or '' to go by the name of what is "
            f"watched; got {controller.best!r}"
        )


def _patience(epochs: Any, steps: Any, clock: Clock) -> Any:
    """How many steps to wait: half a step less, since epochs may be fractions."""
    return jnp.where(steps > 0, steps, epochs * clock.per_epoch) - 0.5


class _Best(NamedTuple):
    value: Any
    step: Any


class KeepBest(Controller):
    """Keep the network of the round in which ``watch`` was best.

    Args:
        watch: a quantity of the report.
        least: how much better it must be to count.
        best: "smallest" or "largest"; "" goes by the name: the largest accuracy or R2, the smallest of all else.

    Example:
        >>> import sonde as sd
        >>> best, memory = sd.KeepBest(), sd.KeepBest().init()
        >>> for step, loss in enumerate([0.5, 0.3, 0.4]):
        ...     memory, signal = best.observe(memory, {"valid/loss": loss}, sd.Clock(step, 1, 3))
        ...     print(bool(signal.keep))
        True
        True
        False
    """

    watch: str = "valid/loss"
    least: Number = 0.0
    best: str = ""

    def check(self) -> None:
        """Refuse a negative improvement."""
        check_interval(self, "least", "[0, inf)")
        _check_best(self)

    def init(self) -> _Best:
        """Nothing seen yet."""
        return _Best(jnp.float32(jnp.inf), jnp.int32(0))

    def observe(self, memory: _Best, report: Report, clock: Clock) -> tuple[_Best, Signal]:
        """Keep what is better; a NaN never is."""
        value = cost(report, self.watch, self.best)
        better = value < memory.value - self.least
        best = _Best(jnp.where(better, value, memory.value), jnp.where(better, clock.step, memory.step))
        return best, Signal(keep=better)


class Patience(Controller):
    """Keep the best network, and stop when it has not become better for so long.

    Args:
        epochs: how many epochs to wait; or
        steps: how many steps, if not 0.
        watch: a quantity of the report.
        least: how much better it must be to count.
        best: "smallest" or "largest"; "" goes by the name, as for `KeepBest`.

    Source: L. Prechelt, "Early stopping - but when?" (1998).

    Example:
        >>> import sonde as sd
        >>> sd.Patience(10), sd.Patience(steps=2000, watch="valid/error")
        (Patience(epochs=10), Patience(epochs=5, steps=2000, watch='valid/error'))
    """

    epochs: Number = 5
    steps: Number = 0
    watch: str = "valid/loss"
    least: Number = 0.0
    best: str = ""

    def check(self) -> None:
        """Refuse a patience of nothing."""
        check_interval(self, "epochs", "(0, inf]")
        check_interval(self, "steps", "[0, inf)")
        check_interval(self, "least", "[0, inf)")
        _check_best(self)

    def init(self) -> _Best:
        """Nothing seen yet."""
        return KeepBest().init()

    def observe(self, memory: _Best, report: Report, clock: Clock) -> tuple[_Best, Signal]:
        """Keep what is better; stop after too long without."""
        memory, signal = KeepBest(self.watch, self.least, self.best).observe(memory, report, clock)
        over = clock.step - memory.step >= _patience(self.epochs, self.steps, clock)
        return memory, signal._replace(outcome=jnp.where(over, Outcome.STOPPED_EARLY, Outcome.RUNNING))


class _Level(NamedTuple):
    value: Any
    step: Any
    scale: Any


class Plateau(Controller):
    """Multiply every rate by ``factor`` when ``watch`` has not become better for so long, and wait as long again.

    Args:
        factor: by how much.
        epochs: how many epochs to wait.
        watch: a quantity of the report.
        steps: how many steps to wait instead, if not 0.
        least: how much better it must be to count.
        lowest: where it ends, in units of the rates as they were given.
        best: "smallest" or "largest"; "" goes by the name, as for `KeepBest`.

    Source: performance scheduling, A. Senior et al., "An empirical study of learning rates" (2013).

    Example:
        >>> import sonde as sd
        >>> slower, memory = sd.Plateau(0.5, epochs=1), sd.Plateau().init()
        >>> for step, loss in enumerate([0.5, 0.4, 0.4], start=1):
        ...     memory, signal = slower.observe(memory, {"valid/loss": loss}, sd.Clock(step, 1, 4))
        ...     print(float(signal.scale))
        1.0
        1.0
        0.5
    """

    factor: Number = 0.5
    epochs: Number = 2
    watch: str = "valid/loss"
    steps: Number = 0
    least: Number = 0.0
    lowest: Number = 0.0
    best: str = ""

    def check(self) -> None:
        """Refuse factors that would raise the rate."""
        check_interval(self, "factor", "(0, 1]")
        check_interval(self, "epochs", "(0, inf)")
        check_interval(self, "steps", "[0, inf)")
        check_interval(self, "least", "[0, inf)")
        check_interval(self, "lowest", "[0, 1]")
        _check_best(self)

    def init(self) -> _Level:
        """Nothing seen yet, rates as they are."""
        return _Level(jnp.float32(jnp.inf), jnp.int32(0), jnp.float32(1))

    def observe(self, memory: _Level, report: Report, clock: Clock) -> tuple[_Level, Signal]:
        """Lower the rates after too long without progress, and begin to wait anew."""
        value = cost(report, self.watch, self.best)
        better = value < memory.value - self.least
        since = jnp.where(better, clock.step, memory.step)
        drop = clock.step - since >= _patience(self.epochs, self.steps, clock)
        scale = jnp.where(drop, jnp.maximum(memory.scale * self.factor, self.lowest), memory.scale)
        kept = _Level(jnp.where(better, value, memory.value), jnp.where(drop, clock.step, since), scale)
        return kept, Signal(scale=scale)


class Target(Controller):
    """End as soon as ``watch`` is as good as ``value``: at most that, or at least where the largest is best.

    Args:
        value: what is to be reached.
        watch: a quantity of the report.
        best: "smallest" or "largest"; "" goes by the name, as for `KeepBest`.

    Example:
        >>> import sonde as sd
        >>> sd.Target(0.02, watch="valid/error"), sd.Target(0.98, watch="valid/accuracy")
        (Target(value=0.02, watch='valid/error'), Target(value=0.98, watch='valid/accuracy'))
    """

    value: Number
    watch: str = "valid/loss"
    best: str = ""

    def check(self) -> None:
        """Refuse what nothing reaches."""
        check_interval(self, "value", "(-inf, inf)")
        _check_best(self)

    def observe(self, memory: Any, report: Report, clock: Clock) -> tuple[Any, Signal]:
        """End at the target."""
        goal = cost({self.watch: self.value}, self.watch, self.best)
        there = cost(report, self.watch, self.best) <= goal
        return memory, Signal(outcome=jnp.where(there, Outcome.REACHED_TARGET, Outcome.RUNNING))


class TimeBudget(Controller):
    """End after so many seconds of training. Judged by the clock between dispatches, not inside the program.

    The only controller under which a run cannot be repeated to the bit.

    Example:
        >>> import sonde as sd
        >>> sd.TimeBudget(600), (sd.Patience(5), sd.TimeBudget(3600))
        (TimeBudget(seconds=600), (Patience(epochs=5), TimeBudget(seconds=3600)))
    """

    seconds: Number = 60.0

    def check(self) -> None:
        """Refuse no time at all."""
        check_interval(self, "seconds", "(0, inf)")


def as_controllers(control: Any) -> tuple:
    """One controller, several, or none, as several."""
    control = control if isinstance(control, tuple | list) else () if control is None else (control,)
    for c in control:
        if not hasattr(c, "observe") or isinstance(c, type):
            raise ArgumentError(f"control takes controllers such as Patience(5); got {c!r}")
    return tuple(control)
