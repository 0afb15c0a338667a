"""Rates by path: smaller ones below, a larger one for what is new."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sonde._errors import ArgumentError, inside
from sonde._tree import match, select
from sonde._types import Part, Variables
from sonde.optim.wrapped import Wrapped


class PerPath(Wrapped):
    """An optimizer whose rate is multiplied by a factor, by path: p <- p + factor * (step of the optimizer).

    The first pattern that meets a path gives its factor; a path that none meets keeps the rate as it is. Factors
    are numbers of the plan: others compile nothing again. A factor of 0 keeps a path where it is, but ``trains`` of
    a turn does so without computing its gradient.

    What is done to weights after a step goes around it: ``Constrained(PerPath(...), ...)``.

    Args:
        optimizer: what takes the step.
        factors: a factor for each pattern of paths; ``*`` is any part of one name, ``**`` crosses ``/``. In a file
            they are two lists, ``patterns`` and ``factors``.

    Raises:
        ArgumentError: a factor that is negative or no number.
        PathError: when the run is built, a pattern meets nothing that is trained.

    Example:
        >>> import jax.numpy as jnp
        >>> import sonde as sd
        >>> slow = sd.optim.PerPath(sd.SGD(1.0), {"body/**": 0.25, "**bias": 2.0})
        >>> slow
        PerPath(SGD(rate=1), {'body/**': 0.25, '**bias': 2})
        >>> w = {path: jnp.float32(0) for path in ("body/bias", "head/kernel", "head/bias")}
        >>> uphill = {path: jnp.float32(-1) for path in w}
        >>> after, _ = slow.update(w, uphill, slow.init(w), rate=1.0, loss=None)
        >>> {path: float(after[path]) for path in w}
        {'body/bias': 0.25, 'head/kernel': 1.0, 'head/bias': 2.0}
    """

    patterns: tuple[str, ...] = ()
    factors: Part = ()

    def __init__(self, optimizer: Any, factors: Mapping[str, Any]) -> None:
        if not isinstance(factors, Mapping):
            raise ArgumentError(f"factors of PerPath go by pattern, {{'body/**': 0.1}}; got {factors!r}")
        self._set(optimizer=optimizer, patterns=tuple(factors), factors=tuple(factors.values()))

    def check(self) -> None:
        """Refuse factors that are none."""
        super().check()
        if not self.patterns or len(self.patterns) != len(self.factors):
            raise ArgumentError(
                f"PerPath needs a factor for each of at least one pattern; got {self.patterns} and {self.factors}"
            )
        for pattern, factor in zip(self.patterns, self.factors, strict=True):
            if not inside(factor, "[0, inf)"):
                raise ArgumentError(f"the factor of {pattern!r} must be a number in [0, inf); got {factor!r}")

    def init(self, params: Variables) -> Any:
        """What is remembered before the first step; patterns that meet nothing are refused here."""
        select(params, self.patterns)
        return super().init(params)

    def update(
        self, params: Variables, gradient: Variables, memory: Any, rate: Any, loss: Callable[[Variables], Any]
    ) -> tuple[Variables, Any]:
        """A step, of which each path goes its own fraction or multiple."""
        moved, memory = super().update(params, gradient, memory, rate, loss)
        for path, p in params.items():
            factor = next((f for on, f in zip(self.patterns, self.factors, strict=True) if match(on, path)), None)
            if factor is not None:
                moved = {**moved, path: (p + factor * (moved[path] - p)).astype(p.dtype)}
        return moved, memory

    def __repr__(self) -> str:
        factors = ", ".join(f"{on!r}: {f:g}" if isinstance(f, float) else f"{on!r}: {f}"
                            for on, f in zip(self.patterns, self.factors, strict=True))  # fmt: skip
        return f"PerPath({self.optimizer}, {{{factors}}})"
