"""What happened: the record of a phase, how it ended, and what to make of that."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from sonde.train.control import Outcome


@dataclasses.dataclass
class Record:
    """One phase, as it went.

    Attributes:
        outcome: how it ended.
        history: reports by name, one entry a round: "step", "epoch", "train/loss", "valid/loss", "rate", ...
        steps: updates done.
        per_epoch: updates in an epoch.
        total: updates that the phase would have had at most.
        compile_seconds: spent tracing and compiling (not part of what a resumed run repeats).
        train_seconds: spent in steps and rounds.
        blame: where the first number that is not finite appeared, if it diverged.
        trained: the paths of the parameters that it trained; all others rested.
        devices: among how many devices the rows of a minibatch were shared.
        cores: among how many cores they would have been, were each core a device.
    """

    outcome: Outcome = Outcome.RUNNING
    history: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    steps: int = 0
    per_epoch: int = 1
    total: int = 0
    compile_seconds: float = 0.0
    train_seconds: float = 0.0
    blame: str = ""
    trained: tuple[str, ...] = ()
    devices: int = 1
    cores: int = 1

    def extend(self, report: dict[str, np.ndarray]) -> None:
        """Add rounds."""
        if not self.history:
            self.history = {k: v for k, v in report.items()} | {"epoch": report["step"] / self.per_epoch}
            return
        report = report | {"epoch": report["step"] / self.per_epoch}
        self.history = {k: np.concatenate([self.history[k], v]) for k, v in report.items()}

    @property
    def rounds(self) -> int:
        """Rounds closed."""
        return len(self.history.get("step", ()))

    @property
    def epochs(self) -> float:
        """Epochs done, with fraction."""
        return self.steps / self.per_epoch

    @property
    def best(self) -> int | None:
        """The round whose network was handed on; None where it is the one the phase began with."""
        kept = np.flatnonzero(self.history.get("kept", ()))
        return int(kept[-1]) if len(kept) else None

    def at_best(self, name: str) -> float | None:
        """A quantity of the report in the round whose network was handed on."""
        if self.best is None or name not in self.history:
            return None
        return float(self.history[name][self.best])


def advice(record: Record) -> str:
    """How a phase ended and what to try next, in a sentence or two."""
    kept, train, valid = record.best, record.history.get("train/loss"), record.history.get("valid/loss")
    if record.outcome == Outcome.DIVERGED:
        rates = record.history.get("rate", (0.0,))
        smaller = f"a rate near {min(rates[-1] / 10, 0.1):.1g}" if rates[-1] > 0 else "a smaller rate"
        where = f" ({record.blame})" if record.blame else ""
        kept_words = "the network it began with" if kept is None else f"the network of epoch {_epoch(record, kept)}"
        return (
            f"the loss was no longer a finite number at step {record.steps - 1}{where}; "
            f"handed on is {kept_words}. Try {smaller}, or inputs scaled to about 1."
        )
    if record.outcome == Outcome.INTERRUPTED:
        return f"interrupted at epoch {in_words(record.epochs)}; the network kept so far is handed on. Resume to go on."
    if record.outcome == Outcome.OUT_OF_TIME:
        return f"out of time at epoch {in_words(record.epochs)}; the network kept so far is handed on."
    if kept is None:
        return "no round was better than where it began. Try another rate."
    if valid is None or train is None or record.rounds < 4:
        return ""
    if record.outcome == Outcome.FINISHED and kept >= record.rounds - max(1, record.rounds // 10):
        return "validation was still getting better at the end: more epochs may help."
    gap = valid[kept] - train[kept]
    if gap > 0.5 * abs(valid[kept]) and record.rounds - kept > 2:
        return (
            "it learned the training rows much better than the validation rows (overfitting): "
            "more data, dropout or L2 may help."
        )
    return ""


def _epoch(record: Record, round: int) -> str:
    return in_words(record.history["epoch"][round])


def in_words(epochs: float) -> str:
    """A number of epochs: "0.432", "12.5", "4,310"."""
    return f"{epochs:,.0f}" if epochs >= 100 else f"{epochs:.3g}"


def numbers(report: dict[str, Any]) -> dict[str, float]:
    """The last entry of each quantity, as plain numbers."""
    return {k: float(v[-1]) for k, v in report.items() if len(v)}
