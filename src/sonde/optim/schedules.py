"""Schedules: a rate as a function of where the phase stands.

A schedule is asked before every update; the first one is at step 0 and the last at ``total - 1``. What a schedule
ends with is reached at step ``total``: it is what the update after the last would have, so no update is made with
a rate of 0.

A length is in steps, or, if it is at most 1, a fraction of the phase: ``Cosine(0.1, steps=5000)`` lasts 5,000
updates, ``Cosine(0.1, steps=0.5)`` the first half of whatever phase it is in. Every number is an argument of the
compiled program: another rate or length compiles nothing.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from sonde._errors import ArgumentError, check_interval, inside
from sonde._types import Clock, Number, Part
from sonde._value import Value


class Schedule(Value):
    """A value that is a function of `Clock` (step, epoch, fraction done) and gives a rate.

    Example:
        >>> import sonde as sd
        >>> class Falling(sd.optim.Schedule):
        ...     first: sd.Number
        ...     def __call__(self, clock):
        ...         return self.first * (1 - clock.done) ** 2
        >>> Falling(0.4)(sd.Clock(step=50, per_epoch=10, total=100))
        0.1
    """

    def __call__(self, clock: Clock) -> Any:
        """The rate there."""
        raise ArgumentError(f"{type(self).__name__} does not say what the rate is")


def in_steps(length: Any, clock: Clock) -> Any:
    """A length in steps: what is at most 1 is a fraction of the phase, in whole steps and at least one."""
    return jnp.where(length <= 1, jnp.maximum(jnp.round(length * clock.total), 1), length)


def _part(clock: Clock, length: Any) -> Any:
    """How much of a length is behind, from 0 to 1."""
    return jnp.minimum(clock.step / in_steps(length, clock), 1)


def _cosine(first: Any, last: Any, part: Any) -> Any:
    """From ``first`` to ``last`` along half a wave, as ``part`` goes from 0 to 1."""
    return last + (first - last) * (1 + jnp.cos(jnp.pi * part)) / 2


class Piecewise(Schedule):
    """rate(step) = rates[k], where k boundaries are at or before the step.

    Args:
        boundaries: steps, or fractions of the phase, rising: the update at a boundary has the next rate already.
        rates: one more than boundaries.

    Differs from Keras, where the update at a boundary has the rate before it.

    Raises:
        ArgumentError: a rate is negative or no number, there is not one more of them than of boundaries, or the
            boundaries do not rise.

    Example:
        >>> import sonde as sd
        >>> steps = sd.optim.Piecewise((1000, 2000), (0.1, 0.01, 0.001))
        >>> [round(float(steps(sd.Clock(at, 100, 3000))), 6) for at in (0, 999, 1000, 2999)]
        [0.1, 0.1, 0.01, 0.001]
    """

    boundaries: Part
    rates: Part

    def check(self) -> None:
        """Refuse rates that are no rates, and boundaries that do not part them."""
        for name, interval in (("boundaries", "(0, inf)"), ("rates", "[0, inf)")):
            given = getattr(self, name)
            if not isinstance(given, tuple) or not all(inside(number, interval) for number in given):
                raise ArgumentError(f"{name} of Piecewise must be a tuple of numbers in {interval}; got {given!r}")
        if len(self.rates) != len(self.boundaries) + 1:
            raise ArgumentError(
                f"Piecewise takes one rate more than boundaries; got {len(self.boundaries)} boundaries and "
                f"{len(self.rates)} rates"
            )
        plain = [b for b in self.boundaries if isinstance(b, int | float)]
        if plain != sorted(set(plain)) or (plain and plain[0] <= 1 < plain[-1]):
            raise ArgumentError(
                f"boundaries of Piecewise must rise, and be all steps or all fractions; got {self.boundaries!r}"
            )

    def __call__(self, clock: Clock) -> Any:
        """The rate at a step."""
        rate = self.rates[0] + jnp.zeros_like(clock.step / clock.total)
        for boundary, then in zip(self.boundaries, self.rates[1:], strict=True):
            rate = jnp.where(clock.step >= in_steps(boundary, clock), then, rate)
        return rate


class Linear(Schedule):
    """rate(step) = first + (last - first) min(step / steps, 1): a straight line, then level.

    Args:
        first: the rate of the first update.
        last: the rate after ``steps``.
        steps: in steps, or a fraction of the phase; 1 is all of it.

    Example:
        >>> import sonde as sd
        >>> line = sd.optim.Linear(0.4, 0.2)
        >>> [round(float(line(sd.Clock(at, 10, 100))), 6) for at in (0, 50, 100)]
        [0.4, 0.3, 0.2]
    """

    first: Number
    last: Number = 0.0
    steps: Number = 1

    def check(self) -> None:
        """Refuse rates that are no rates."""
        check_interval(self, "first", "[0, inf)")
        check_interval(self, "last", "[0, inf)")
        check_interval(self, "steps", "(0, inf)")

    def __call__(self, clock: Clock) -> Any:
        """The rate at a step."""
        return self.first + (self.last - self.first) * _part(clock, self.steps)


class Exponential(Schedule):
    """rate(step) = first * factor ** (step / steps): by ``factor`` every ``steps`` updates, smoothly.

    Args:
        first: the rate of the first update.
        factor: by how much.
        steps: how often: in steps, or a fraction of the phase; with 1 it falls by ``factor`` in all.
        staircase: whether to fall all at once every ``steps`` updates, and to stay level between.

    Example:
        >>> import sonde as sd
        >>> decay = sd.Exponential(0.1, factor=0.1, steps=10_000)
        >>> round(float(decay(sd.Clock(step=20_000, per_epoch=100, total=30_000))), 6)
        0.001
    """

    first: Number
    factor: Number = 0.1
    steps: Number = 10_000
    staircase: bool = False

    def check(self) -> None:
        """Refuse rates that are no rates."""
        check_interval(self, "first", "(0, inf)")
        check_interval(self, "factor", "(0, inf)")
        check_interval(self, "steps", "(0, inf)")

    def __call__(self, clock: Clock) -> Any:
        """The rate at a step."""
        divided = jnp.floor_divide if self.staircase else jnp.true_divide  # a compiled floor(141 / 141) may be 0
        return self.first * self.factor ** divided(clock.step, in_steps(self.steps, clock))


class Power(Schedule):
    """rate(step) = first / (1 + step / steps) ** power: ever more slowly, as stochastic approximation asks for.

    Args:
        first: the rate of the first update.
        power: 1: half after ``steps``, a third after twice as many; 1/2: the root of that.
        steps: in steps, or a fraction of the phase.

    With a power in (1/2, 1] the rates sum to infinity and their squares do not, so descent arrives wherever it began
    and its noise dies out (H. Robbins and S. Monro, 1951).

    Source: A. Senior et al., "An empirical study of learning rates in deep neural networks" (2013).

    Example:
        >>> import sonde as sd
        >>> slower = sd.optim.Power(0.6, steps=100)
        >>> [round(float(slower(sd.Clock(at, 10, 500))), 6) for at in (0, 100, 200, 500)]
        [0.6, 0.3, 0.2, 0.1]
    """

    first: Number
    power: Number = 1.0
    steps: Number = 10_000

    def check(self) -> None:
        """Refuse rates that are no rates."""
        check_interval(self, "first", "(0, inf)")
        check_interval(self, "power", "(0, inf)")
        check_interval(self, "steps", "(0, inf)")

    def __call__(self, clock: Clock) -> Any:
        """The rate at a step."""
        return self.first * (1 + clock.step / in_steps(self.steps, clock)) ** -self.power


class Cosine(Schedule):
    """rate(step) = last + (first - last) (1 + cos(pi min(step / steps, 1))) / 2: slowly, then fast, then slowly.

    Args:
        first: the rate of the first update.
        last: the rate after ``steps``.
        steps: in steps, or a fraction of the phase; 1 is all of it.
        restarts: whether to begin again at ``first`` every ``steps``, instead of staying at ``last``.

    Source: I. Loshchilov and F. Hutter, "SGDR: stochastic gradient descent with warm restarts" (2017).

    Example:
        >>> import sonde as sd
        >>> wave = sd.optim.Cosine(0.4)
        >>> [round(float(wave(sd.Clock(at, 10, 300))), 6) for at in (0, 100, 150, 200, 300)]
        [0.4, 0.3, 0.2, 0.1, 0.0]
    """

    first: Number
    last: Number = 0.0
    steps: Number = 1
    restarts: bool = False

    def check(self) -> None:
        """Refuse rates that are no rates."""
        check_interval(self, "first", "[0, inf)")
        check_interval(self, "last", "[0, inf)")
        check_interval(self, "steps", "(0, inf)")

    def __call__(self, clock: Clock) -> Any:
        """The rate at a step."""
        if self.restarts:
            clock = clock._replace(step=jnp.mod(clock.step, in_steps(self.steps, clock)))
        return _cosine(self.first, self.last, _part(clock, self.steps))


class WarmUp(Schedule):
    """rate(step) = min((step + 1) / steps, 1) * then(step - steps): up in a straight line, then as ``then`` says.

    Args:
        then: the rate after that: a number, or a schedule, for which the phase begins when the warm-up is over.
        steps: in steps, or a fraction of the phase.

    The k-th update has k / steps of the rate, so the first one is small but not 0.

    Differs from Keras (``CosineDecay(warmup_steps=)``), where the first update has the rate 0.

    Source: P. Goyal et al., "Accurate, large minibatch SGD" (2017), 2.2, gradual warm-up.

    Example:
        >>> import sonde as sd
        >>> warm = sd.optim.WarmUp(sd.optim.Cosine(0.4), steps=100)
        >>> [round(float(warm(sd.Clock(at, 10, 300))), 6) for at in (0, 49, 99, 100, 200, 300)]
        [0.004, 0.2, 0.4, 0.4, 0.2, 0.0]
    """

    then: Part
    steps: Number = 0.1

    def check(self) -> None:
        """Refuse what is no rate."""
        check_rate(self, "then")
        check_interval(self, "steps", "(0, inf)")

    def __call__(self, clock: Clock) -> Any:
        """The rate at a step."""
        steps = in_steps(self.steps, clock)
        rest = clock._replace(step=jnp.maximum(clock.step - steps, 0), total=jnp.maximum(clock.total - steps, 1))
        then: Any = self.then
        then = then(rest) if callable(then) else then
        return jnp.minimum((clock.step + 1) / steps, 1) * then


class OneCycle(Schedule):
    """From ``first * peak`` up to ``peak`` in the first part of the phase, then down to ``last * peak``: along cosines.

    Args:
        peak: the largest rate: what a range test suggests (`sonde.diagnose.find_rate`), or a few times that.
        up: how long it rises: a fraction of the phase, or steps.
        first: the rate of the first update, in units of the peak.
        last: the rate at the end, in units of the peak.

    Differs from PyTorch's ``OneCycleLR``, which lets the momentum fall while the rate rises; here it stays.

    Source: L. Smith and N. Topin, "Super-convergence" (2018); cosines and 0.3 as in PyTorch and fast.ai.

    Example:
        >>> import sonde as sd
        >>> cycle = sd.optim.OneCycle(0.5)
        >>> [round(float(cycle(sd.Clock(at, 10, 100))), 6) for at in (0, 15, 30, 65, 100)]
        [0.02, 0.26, 0.5, 0.250001, 2e-06]
    """

    peak: Number
    up: Number = 0.3
    first: Number = 0.04
    last: Number = 4e-6

    def check(self) -> None:
        """Refuse rates that are no rates."""
        check_interval(self, "peak", "(0, inf)")
        check_interval(self, "up", "(0, inf)")
        check_interval(self, "first", "[0, 1]")
        check_interval(self, "last", "[0, 1]")

    def __call__(self, clock: Clock) -> Any:
        """The rate at a step."""
        up = in_steps(self.up, clock)
        rising = _cosine(self.first, 1, jnp.minimum(clock.step / up, 1))
        down = jnp.maximum(clock.step - up, 0) / jnp.maximum(clock.total - up, 1)
        return self.peak * jnp.where(clock.step < up, rising, _cosine(1, self.last, jnp.minimum(down, 1)))


def check_rate(owner: Value, name: str) -> None:
    """Refuse what is neither a number from 0 nor a schedule."""
    rate = getattr(owner, name)
    kind = type(owner).__name__
    if isinstance(rate, type):
        raise ArgumentError(f"{name} of {kind} must be a value, not a class: write {rate.__name__}(...)")
    if callable(rate) and not isinstance(rate, Value):
        raise ArgumentError(
            f"{name} of {kind} must be a number or a schedule, such as Exponential(0.1); got the function "
            f"{getattr(rate, '__name__', rate)!r}: write a class of optim.Schedule with it as __call__(self, clock)"
        )
    if not callable(rate):
        check_interval(owner, name, "[0, inf)", "A schedule, such as Exponential(0.1), may stand there too.")
