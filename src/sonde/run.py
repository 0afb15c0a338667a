"""A run: a network, and an honest account of how it came about."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from sonde._batch import Padded
from sonde._errors import ArgumentError, nearest
from sonde._html import listed, paragraph, table
from sonde._store import write_json
from sonde.artifact import Artifact
from sonde.data import Columns, Dataset
from sonde.folder import FILES, FORMAT, device_name, strict, versions
from sonde.nn import Network
from sonde.objectives.losses import MEANS
from sonde.objectives.metrics import Score
from sonde.objectives.objectives import Objective, Sum
from sonde.objectives.steps import targets
from sonde.train import Outcome, Plan, Record, advice
from sonde.train.record import in_words

if TYPE_CHECKING:
    from sonde.diagnose.pictures import Pictures

SPLITS = ("train", "valid", "test")


@dataclasses.dataclass(eq=False)
class Run:
    """What a fit came to. ``print(run)`` tells it.

    Attributes:
        network: the network handed on: the best one by validation where that was watched.
        records: what happened, a `Record` a phase.
        plan: what was to be done.
        seed: from which everything random follows.
        data: what it was trained on.
        decisions: what was decided on the way, in words.
        seconds: ``compile``, ``train`` and ``total``.
        folder: where it is saved, or None.
    """

    network: Network
    records: list[Record]
    plan: Plan
    seed: int
    data: Dataset
    decisions: list[str]
    seconds: dict[str, float]
    folder: Path | None = None

    @property
    def outcome(self) -> Outcome:
        """How the last phase that ran ended."""
        return self.records[-1].outcome

    @property
    def history(self) -> dict[str, np.ndarray]:
        """Reports of the last phase by name, an entry a round; `records` has every phase's."""
        return self.records[-1].history

    @functools.cached_property
    def artifact(self) -> Artifact:
        """The network with what is needed to use it on raw rows."""
        x = self.data.train["x"] if "x" in self.data.train else next(iter(self.data.train.values()))
        padded = isinstance(x, Padded)
        low, high = self.data.train.range("x" if "x" in self.data.train else next(iter(self.data.train)))
        inputs = {"shape": list(x.shape[1:]), "dtype": str(x.dtype), "low": low, "high": high}
        inputs |= {"padded": True} if padded else {}
        objective = predictor(self.plan)
        method = getattr(objective, "method", "__call__")
        kind = objective.predicts if objective else ""
        labels = self.data.labels
        if kind == "classes" and labels is None:
            labels = tuple(map(str, range(self.data.classes)))
        labels = labels if kind == "classes" else None
        loss = getattr(getattr(objective, "loss", None), "__name__", "") if kind == "numbers" else ""
        loss = loss if loss in MEANS else ""
        return Artifact(self.network, inputs, kind, labels, method, self.data.encoder, loss)

    def evaluate(self, split: str | Columns | dict = "test") -> dict[str, Score]:
        """Metrics of the network handed on, by name, on a split of the data or on other columns.

        Classes: accuracy, balanced accuracy, F1, log loss, ... (see `sonde.objectives.metrics`); numbers:
        RMSE, MAE and R2 in original units. The test split is computed once and remembered.
        """
        if isinstance(split, str):
            if split not in SPLITS:
                raise ArgumentError(f"no split is called {split!r}{nearest(split, SPLITS)}")
            if split not in self._evaluated:
                part = self.data.splits.get(split)
                self._evaluated[split] = {} if part is None else self._metrics(part)
            return self._evaluated[split]
        return self._metrics(Columns(split))

    @functools.cached_property
    def _evaluated(self) -> dict[str, dict[str, Score]]:
        return {}

    def _metrics(self, part: Columns) -> dict[str, Score]:
        if not self.artifact.predicts:
            return {}
        return self.artifact.metrics(self.artifact.outputs(part.x), part.y, part.get("weight"))

    def save(self, folder: str | Path) -> Path:
        """Write the network, the report and the history into a folder.

        Returns:
            The path of the artifact.
        """
        folder = Path(folder)
        if (folder / FILES["run"]).exists() and folder != self.folder:
            raise ArgumentError(f"another run is in {folder}; save this one into another folder")
        histories = [{k: v.tolist() for k, v in sorted(record.history.items())} for record in self.records]
        write_json(folder / FILES["history"], strict(histories))
        path = self.artifact.save(folder / FILES["network"])
        write_json(folder / FILES["report"], self.report())
        self.folder = folder
        return path

    @overload
    def plot(self) -> Pictures: ...

    @overload
    def plot(self, folder: str | Path) -> list[Path]: ...

    def plot(self, folder: str | Path | None = None) -> Pictures | list[Path]:
        """Draw how it went and how good it is.

        The learning curves of every phase; for classes the confusion matrix and the worst mistakes; for numbers the
        predicted against the true and what is left over. Pictures other than the curves are of the validation
        split, or of the training split without one.

        Args:
            folder: where PNG files go; None: none are written.

        Returns:
            The paths of the files; without a folder the figures, which a notebook shows.
        """
        pictures = self._pictures()
        return pictures if folder is None else pictures.save(folder)

    def _pictures(self) -> Pictures:
        from sonde.diagnose import pictures
        from sonde.objectives.metrics import confusion_matrix

        made = self._curves()
        part = self.data.valid or self.data.train
        right: Any = np.asarray(targets(part)["y"]) if "y" in part else None
        rows = "training rows" if self.data.valid is None else "validation rows"
        if self.artifact.predicts == "classes":
            p, labels = self.said(part), self.artifact.labels or ()
            said = p.argmax(-1)
            made["confusion"] = pictures.draw_confusion(confusion_matrix(right, said, p.shape[1]), labels, rows)
            if not isinstance(part.x, Padded) and np.ndim(part.x) in (3, 4):
                made["mistakes"] = pictures.draw_mistakes(part.x, part.y, said, p, labels, rows=rows)
        elif self.artifact.predicts == "numbers":
            y = right[:, 0] if right.ndim == 2 and right.shape[1] == 1 else right.reshape(len(right), -1)
            made["predictions"] = pictures.draw_predictions(y, self.said(part).reshape(y.shape), rows=rows)
        return made

    def said(self, part: Columns) -> np.ndarray:
        """What the network handed on says of rows: the probability of each class, or numbers.

        Where it answers for each step of sequences, these are the answers for the real steps, one after the other.
        """
        outputs = self.artifact.outputs(part.x)
        said = self.artifact.shares(outputs) if self.artifact.predicts == "classes" else self.artifact.said(outputs)
        return said.steps if isinstance(said, Padded) else said

    def _curves(self) -> Pictures:
        """The learning curves of every phase that has a round."""
        from sonde.diagnose import pictures

        made = pictures.Pictures()
        for i, record in enumerate(self.records):
            if record.rounds:
                drawn = sorted(record.history.keys() - {"step", "kept"}, key=_place)
                name = "curves" if len(self.records) == 1 else f"curves-{i + 1}"
                made[name] = pictures.draw_curves({n: record.history[n] for n in drawn}, record.best)
        return made

    def report(self) -> dict[str, Any]:
        """What the run came to, as plain numbers and words: strict JSON, in which None is what is not finite."""
        report = {
            "format": FORMAT,
            "outcome": self.outcome.words,
            "phases": [_plain_record(record) for record in self.records],
            "metrics": {
                "validation": plain_metrics(self.evaluate("valid")),
                "test": plain_metrics(self.evaluate("test")),
            },
            "seconds": self.seconds,
            "decisions": self.decisions,
            "seed": self.seed,
            "device": device_name(),
            "versions": versions(),
        }
        return strict(report)

    def explain(self) -> str:
        """The run in words: what was decided, how it ended, what that says, and what to try next.

        How good it is, is said beside what always giving the same answer comes to: the most frequent class of the
        training rows, or their mean. What to try is judged by the validation rows, never by the test rows.
        """
        from sonde.diagnose.explain import explain

        return explain(self)

    def _repr_html_(self) -> str:
        """For notebooks: how it ended, metrics, the learning curves, and what was decided."""
        head, *rest = str(self).split("\n")
        names = {"valid": "validation", "test": "test"}
        metrics = {names[split]: self.evaluate(split) for split in names}
        metrics = {name: scores for name, scores in metrics.items() if scores}
        known = list(dict.fromkeys(metric for scores in metrics.values() for metric in scores))
        rows = [[m.replace("_", " "), *(scores.get(m, "") for scores in metrics.values())] for m in known]
        scored = table(["metric", *metrics], rows) if rows else ""
        said = [line.strip() for line in rest if not line.strip().startswith(tuple(metrics))]
        return paragraph(head, strong=True) + scored + self._curves()._repr_html_() + listed(said)

    def __str__(self) -> str:
        lines = [f"{self.outcome.words} after {count(sum(r.epochs for r in self.records), 'epoch')}"]
        last = self.records[-1]
        if last.best is not None and last.history:
            lines[0] += f", network of epoch {in_words(last.history['epoch'][last.best])}"
        if said := advice(last):
            lines.append(f"  {said}")
        for split, name in (("valid", "validation"), ("test", "test")):
            metrics = self.evaluate(split)
            for metric, score in list(metrics.items())[: 3 if "r2" in metrics else 2]:
                lines.append(f"  {name} {metric.replace('_', ' ')}: {score}")
        compiling, training = self.seconds["compile"], self.seconds["train"]
        total = max(self.seconds["total"], compiling + training)  # of a resumed run the parts are of all sessions
        lines.append(f"  {total:.1f} s ({compiling:.1f} to compile, {training:.1f} to train)")
        lines += [f"  {d}" for d in self.decisions]
        return "\n".join(lines)

    __repr__ = __str__


def predictor(plan: Plan) -> Any:
    """The objective, of the last that there is, that trains the network to predict."""
    for phase in reversed(plan.phases):
        for turn in phase.turns:
            terms = turn.objective.terms if isinstance(turn.objective, Sum) else (turn.objective,)
            for term in terms:
                if isinstance(term, Objective) and term.predicts:
                    return term
    return None


def _place(name: str) -> tuple:
    """Where a quantity stands among the learning curves: losses, then metrics, then rates and probes."""
    kinds = ("loss", "error", "mse", "mae")
    last = name.rpartition("/")[2]
    return (name.startswith(("rate", "probe")), kinds.index(last) if last in kinds else len(kinds), last, name)


def _plain_record(record: Record) -> dict[str, Any]:
    counted = {name: getattr(record, name) for name in ("steps", "per_epoch", "total", "epochs", "blame")}
    seconds = {"compile": record.compile_seconds, "train": record.train_seconds}
    return {"outcome": record.outcome.words} | counted | {"best_round": record.best, "seconds": seconds}


def plain_metrics(metrics: dict[str, Score]) -> dict[str, Any]:
    """Scores as plain numbers: ``{"accuracy": {"value": 0.98, "error": 0.01}}``."""
    return {name: {"value": score.value, "error": score.error} for name, score in metrics.items()}


def count(n: float, what: str) -> str:
    """So many of something, in words: "1 step", "430 steps"."""
    return f"{n:,.5g} {what}{'' if n == 1 else 's'}"
