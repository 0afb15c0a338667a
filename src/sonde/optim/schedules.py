"""Schedules: a rate as a function of where the phase stands."""

from __future__ import annotations

from typing import Any

from sonde._errors import ArgumentError, check_interval
from sonde._types import Clock, Number
from sonde._value import Value


class Schedule(Value):
    """A value that is a function of `Clock` (step, epoch, fraction done) and gives a rate.

    Example:
        >>> import sonde as sd
        >>> class Linear(sd.optim.Schedule):
        ...     first: sd.Number
        ...     def __call__(self, clock):
        ...         return self.first * (1 - clock.done)
        >>> Linear(0.5)(sd.Clock(step=50, per_epoch=10, total=100))
        0.25
    """

    def __call__(self, clock: Clock) -> Any:
        """The rate there."""
        raise ArgumentError(f"{type(self).__name__} does not say what the rate is")


class Exponential(Schedule):
    """rate(step) = first * factor ** (step / steps): by ``factor`` every ``steps`` updates, smoothly.

    Example:
        >>> import sonde as sd
        >>> decay = sd.Exponential(0.1, factor=0.1, steps=10_000)
        >>> round(decay(sd.Clock(step=20_000, per_epoch=100, total=30_000)), 6)
        0.001
    """

    first: Number
    factor: Number = 0.1
    steps: Number = 10_000

    def check(self) -> None:
        """Refuse rates that are no rates."""
        check_interval(self, "first", "(0, inf)")
        check_interval(self, "factor", "(0, inf)")
        check_interval(self, "steps", "(0, inf)")

    def __call__(self, clock: Clock) -> Any:
        """The rate at a step."""
        return self.first * self.factor ** (clock.step / self.steps)
