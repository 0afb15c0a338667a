"""A plan is a value: what is minimized, how, in which order, judged by whom."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sonde._errors import ArgumentError, check_interval, check_whole
from sonde._random import root
from sonde._tree import Patterns
from sonde._types import Number, Part
from sonde._value import Value, show
from sonde.optim import as_optimizer

PRECISIONS = ("float32", "bfloat16")
"""What the products of a training step may be computed in."""


class Turn(Value):
    """One update: what it minimizes, how, and which paths it may write.

    Args:
        objective: a function of (net, batch), such as `Classify`.
        optimizer: how parameters move, such as `Adam`.
        trains: patterns of paths. What a turn trains is what the patterns meet *and* its objective uses.
        repeats: updates in a row, each with a minibatch and randomness of its own; the step counts once.
        name: goes before the names of its losses in reports; needed where a phase has several turns.

    Example:
        >>> import sonde as sd
        >>> sd.Turn(sd.Classify(), sd.Adam(1e-3), trains="head/**")
        Turn(objective=Classify(), optimizer=Adam(rate=0.001), trains='head/**')
    """

    objective: Part
    optimizer: Part
    trains: Patterns = "**"
    repeats: int = 1
    name: str = ""

    def check(self) -> None:
        """Refuse what is neither an objective nor an optimizer."""
        for part in (self.objective, self.optimizer):
            if isinstance(part, type):
                raise ArgumentError(f"a turn takes values, not classes: write {part.__name__}(...)")
        if not callable(self.objective) or not isinstance(self.objective, Value):
            given = show(self.objective) if callable(self.objective) else repr(self.objective)
            raise ArgumentError(
                "objective must be a function of (net, batch) that is a value, such as Classify(), Regress(loss) with "
                f"a loss of (prediction, target), or a class of your own made from sd.Objective; got {given}"
            )
        object.__setattr__(self, "optimizer", as_optimizer(self.optimizer))
        check_whole(self, "repeats")


class Phase(Value):
    """Turns in order, each step, until the phase ends; every round is judged by the controllers.

    Args:
        turns: one `Turn` or a tuple of them.
        batch: a sampler, such as ``data.Shuffled(32)``.
        epochs: how long the phase lasts at most, in epochs; or
        steps: the same in steps.
        every: steps in a round (0: an epoch). At its end the network is evaluated, judged and written down.
        control: controllers, such as ``Patience(5)``.
        probes: what else to measure at a round's end, such as ``GradientNorm()``.
        average: averaged weights that are judged, kept and handed on instead of the last ones, such as ``EMA(0.999)``.
        precision: of the products with weights in a training step: ``"float32"``, or ``"bfloat16"``, which has the
            range of float32 and 8 bits of its 24. Layers are handed inputs and matrices in it; weights, biases,
            statistics, losses, gradients of weights and what the optimizer remembers stay float32, and so do judging
            and the network that is handed on. Source: P. Micikevicius et al., "Mixed precision training" (2018).
        devices: among how many devices the rows of each minibatch are shared; None: as many as pay (see
            `sonde.train.parallel`). The numbers are the same to rounding.

    Example:
        >>> import sonde as sd
        >>> turn = sd.Turn(sd.Classify(), sd.Adam(1e-3))
        >>> sd.Phase(turn, sd.data.Shuffled(32), epochs=20, control=sd.Patience(5)).control
        (Patience(epochs=5),)
    """

    turns: Part
    batch: Part
    epochs: Number = 0
    steps: Number = 0
    every: Number = 0
    control: Part = ()
    probes: Part = ()
    average: Part = None
    precision: str = "float32"
    devices: int | None = None

    def check(self) -> None:
        """Refuse a phase without turns, an end, or names that tell its turns apart."""
        for field in ("turns", "control", "probes"):
            if not isinstance(getattr(self, field), tuple):
                object.__setattr__(self, field, (getattr(self, field),))
        if not hasattr(self.batch, "over"):
            raise ArgumentError(f"batch of a phase must be a sampler, such as data.Shuffled(32); got {self.batch!r}")
        if self.average is not None and not hasattr(self.average, "observe"):
            raise ArgumentError(f"average of a phase must be one, such as EMA(0.999); got {self.average!r}")
        if self.precision not in PRECISIONS:
            raise ArgumentError(f"precision of a phase must be one of {', '.join(PRECISIONS)}; got {self.precision!r}")
        if self.devices is not None:
            check_whole(self, "devices")
        names = [t.name for t in self.turns]
        if not names or len(set(names)) < len(names):
            raise ArgumentError(f"the turns of a phase need names that differ, Turn(..., name=...); got {names}")
        for field in ("epochs", "steps", "every"):
            check_interval(self, field, "[0, inf)")
            if isinstance(given := getattr(self, field), float) and not given.is_integer():
                raise ArgumentError(f"{field} of a phase must be a whole number; got {given!r}")
        whole = [v for v in (self.epochs, self.steps) if isinstance(v, int | float)]
        if len(whole) == 2 and bool(self.epochs) == bool(self.steps):
            raise ArgumentError(
                f"a phase lasts a number of epochs or of steps; got epochs={self.epochs}, steps={self.steps}"
            )

    def describe(self) -> str:
        """What is minimized, how, and for how long, in a line."""
        turns = "; ".join(f"{t.objective} by {t.optimizer}" for t in self.turns)
        length = f"{self.steps:,} steps" if self.steps else f"{self.epochs:,} epochs"
        return f"{turns}, at most {length}" + "".join(f", {c}" for c in (*self.control, *filter(None, (self.average,))))

    def prepare(self, columns: Mapping[str, Any]) -> Phase:
        """The same phase, its objectives and its sampler told what the training columns are."""
        turns = tuple(t.replace(objective=_prepared(t.objective, columns)) for t in self.turns)
        phase = self.replace(turns=turns, batch=_prepared(self.batch, columns))
        for turn in turns:
            if getattr(turn.optimizer, "whole", False):
                _check_whole_batches(turn.optimizer, phase.batch, columns)
        return phase

    def admit(self, columns: Mapping[str, Any], split: str) -> Phase:
        """The same phase, its objectives told what the columns of another split are."""
        objectives = (t.objective for t in self.turns)
        told = (o.admit(columns, split) if hasattr(o, "admit") else o for o in objectives)
        return self.replace(turns=tuple(t.replace(objective=o) for t, o in zip(self.turns, told, strict=True)))


class Plan(Value):
    """Phases in order; each takes over the network that the one before handed on.

    Example:
        >>> import sonde as sd
        >>> turn = sd.Turn(sd.Classify(), sd.Adam(1e-3))
        >>> sd.Plan(sd.Phase(turn, sd.data.Shuffled(32), epochs=5)).phases[0].turns
        (Turn(objective=Classify(), optimizer=Adam(rate=0.001)),)
    """

    phases: Part

    def check(self) -> None:
        """Refuse a plan without phases."""
        if not isinstance(self.phases, tuple):
            object.__setattr__(self, "phases", (self.phases,))
        if not self.phases:
            raise ArgumentError("a plan needs at least one phase")

    def prepare(self, columns: Mapping[str, Any]) -> Plan:
        """The same plan, told what the training columns are."""
        return self.replace(phases=tuple(p.prepare(columns) for p in self.phases))

    def admit(self, columns: Mapping[str, Any], split: str) -> Plan:
        """The same plan, prepared already, told what the columns of another split are; wrong ones are refused."""
        return self.replace(phases=tuple(p.admit(columns, split) for p in self.phases))


def _check_whole_batches(optimizer: Any, batch: Any, columns: Mapping[str, Any]) -> None:
    """Refuse minibatches of which one is not like the other, for an optimizer that compares steps on the same rows."""
    rows = {name: jax.tree.map(jnp.asarray, column) for name, column in columns.items()}
    per, draw = batch.per_epoch(columns), batch.over(rows)
    in_any_order = lambda batch: [np.sort(column, axis=0) for column in jax.tree.leaves(batch)]
    first, second = (in_any_order(draw(root(0), u)) for u in (0, 1))
    if per > 1 or not all(map(np.array_equal, first, second)):
        why = f"makes {per} minibatches of an epoch" if per > 1 else "draws other rows each step"
        n = len(jax.tree.leaves(rows)[0])
        raise ArgumentError(
            f"{show(optimizer)} needs the same rows each step, and {show(batch)} {why}: give all {n:,} at once, "
            f"batch={n}, with nothing augmented; or train with Adam"
        )


def _prepared(part: Any, columns: Mapping[str, Any]) -> Any:
    return part.prepare(columns) if hasattr(part, "prepare") else part
