"""A run explained: what was decided, how it ended, what that says, and what to try next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from sonde.objectives.metrics import Score, classification_metrics, confusion_matrix, regression_metrics
from sonde.objectives.steps import targets
from sonde.train import Outcome, Patience, advice
from sonde.train.record import in_words

ROWS = 10_000
"""Training rows, evenly spread, that the comparison with validation looks at."""

SHOWN = {"classes": ("accuracy", "balanced_accuracy", "log_loss"), "numbers": ("rmse", "mae", "r2")}
FIRST = {"classes": "accuracy", "numbers": "rmse"}
"""The metric that networks and the baseline are compared by."""


def explain(run: Any) -> str:
    """A run in words: see `sonde.run.Run.explain`."""
    parts: dict[str, list[str]] = {
        "What was decided": list(_decided(run)),
        "How it ended": list(_ended(run)),
        "What that says": list(_says(run)),
        "What to try": _next(run) or ["nothing stands out. Another seed tells how much of this is luck."],
    }
    return "\n".join(f"{title}\n" + "\n".join(f"  {line}" for line in lines) for title, lines in parts.items() if lines)


def baseline(kind: str, train: Any, part: Any) -> dict[str, Score]:
    """Metrics on a split of always saying the same: the most frequent class of the training rows, or their mean.

    The probabilities are the classes' shares of the training rows, each a row more than there are, so that a class
    that is not among them is not impossible.
    """
    train, part = targets(train), targets(part)
    weight = np.ones(len(train["y"])) if train.get("weight") is None else np.asarray(train["weight"])
    y, there = np.asarray(train["y"]), np.asarray(part["y"])
    if kind == "classes":
        classes = 1 + max(int(y.max()), int(there.max()))
        counts = np.bincount(y, weight, classes) + 1
        shares = np.tile(counts / counts.sum(), (len(there), 1))
        return classification_metrics(shares, there, part.get("weight"))
    mean = np.average(y.astype(np.float64), axis=0, weights=weight)
    return regression_metrics(np.broadcast_to(mean, there.shape).copy(), there, part.get("weight"))


def _decided(run: Any) -> Iterator[str]:
    splits = {"train": "training", "valid": "validation", "test": "test"}
    sizes = ", ".join(f"{part.rows:,} {splits[split]}" for split, part in run.data.splits.items())
    columns = ", ".join(f"{name} {c.dtype}{list(c.shape[1:]) or ''}" for name, c in run.data.train.items())
    yield f"data: {sizes} rows of {columns}"
    told = [d for d in run.decisions if not d.startswith(("network: ", "training: "))]
    yield f"network: {_short(str(run.network.spec))}"
    for i, phase in enumerate(run.plan.phases):
        label = f"phase {i + 1}" if len(run.plan.phases) > 1 else "training"
        yield _short(f"{label}: {phase.describe()}")
    yield from told


def _ended(run: Any) -> Iterator[str]:
    last = run.records[-1]
    best = None if last.best is None else in_words(last.history["epoch"][last.best])
    kept = "" if best is None else f"; handed on is the network of epoch {best}"
    yield f"{run.outcome.words} after {in_words(sum(r.epochs for r in run.records))} epochs{kept}"
    there = [(name, last.at_best(f"{split}/loss")) for split, name in (("train", "training"), ("valid", "validation"))]
    if losses := [f"{name} loss {loss:.4g}" for name, loss in there if loss is not None]:
        yield f"there: {', '.join(losses)}"
    kind = run.artifact.predicts
    for split, name in (("valid", "validation"), ("test", "test")):
        metrics = run.evaluate(split)
        if said := [f"{m.replace('_', ' ')} {metrics[m]}" for m in SHOWN.get(kind, ()) if m in metrics]:
            always = baseline(kind, run.data.train, run.data.splits[split])[FIRST[kind]]
            what = "the most frequent class" if kind == "classes" else "the mean of the training rows"
            yield f"{name}: {', '.join(said)}; always saying {what}: {always}"


def _says(run: Any) -> Iterator[str]:
    kind, valid = run.artifact.predicts, run.data.valid
    if kind not in FIRST:
        return
    name = FIRST[kind]
    train = _scores(run, run.data.train)[name]
    if valid is None:
        yield f"{name} on training rows {train}; there are no validation rows to tell what it learned by heart"
        return
    there, gap, error = _gap(run, kind, train)
    both = f"{name} {train} on training rows, {there} on validation rows"
    if gap <= 2 * error:
        yield f"{both}: no more apart than chance makes them, so it learned little by heart"
    else:
        yield f"{both}: part of what it learned holds for the training rows only"
    if not _learned(run, there, kind):
        yield "validation is no better than always saying the same: it learned nothing that lasts"


def _next(run: Any) -> list[str]:
    last, kind = run.records[-1], run.artifact.predicts
    said = advice(last)
    if "overfitting" in said and kind in FIRST and not _apart(run, kind):
        said = (
            f"by the loss it learned the training rows much better than the validation rows, by the {FIRST[kind]} not: "
            f"it grows too sure of itself. {'' if _stops(run) else 'Fewer epochs (Patience), '}L2 or "
            "Classify(smoothing=0.1) may help."
        )
    tries = [said] if said else []
    if last.outcome == Outcome.FINISHED and last.rounds >= 4 and last.best is not None:
        if last.best >= last.rounds - max(1, last.rounds // 10) and run.data.valid is not None:
            tries.append(f"to go on from here: fit(run.network, ..., epochs={max(1, round(last.epochs))})")
    if kind not in FIRST or last.outcome == Outcome.DIVERGED:
        return tries
    tries += _fit_of(run, kind) + ([] if "by the loss" in said or "overfitting" in said else _by_heart(run, kind))
    part, whose = (run.data.train, "training") if run.data.valid is None else (run.data.valid, "validation")
    told = run.said(part)
    return tries + (_classes(run, part, told, whose) if kind == "classes" else _residuals(part, told, whose))


def _fit_of(run: Any, kind: str) -> list[str]:
    """Underfitting: not even the training rows come out well."""
    scores, same = _scores(run, run.data.train), baseline(kind, run.data.train, run.data.train)
    if kind == "classes":
        poor = 1 - scores["accuracy"].value > 0.5 * (1 - same["accuracy"].value)
    else:
        poor = scores["rmse"].value > 0.7 * same["rmse"].value  # R2 below about a half
    if not poor:
        return []
    return [
        "even the training rows do not come out well (underfitting, or there is not more in the columns): a wider or "
        "deeper network, more epochs, or another rate may help; inputs should be scaled to about 1."
    ]


def _by_heart(run: Any, kind: str) -> list[str]:
    """Overfitting: the training rows come out far better than the validation rows."""
    if run.data.valid is None:
        return []
    valid, gap, _ = _gap(run, kind, _scores(run, run.data.train)[FIRST[kind]])
    if gap <= 0.5 * (1 - valid.value if kind == "classes" else valid.value) or not _apart(run, kind):
        return []
    return [
        "more than half of what is wrong on validation rows is right on training rows (overfitting): "
        f"{'' if _stops(run) else 'KeepBest() or Patience(5), '}Dropout, L2 or more data may help."
    ]


def _stops(run: Any) -> bool:
    """Whether the last phase ends by itself once validation is no better."""
    return any(isinstance(controller, Patience) for controller in run.plan.phases[-1].control)


def _gap(run: Any, kind: str, train: Score) -> tuple[Score, float, float]:
    """The first metric on validation rows, how much better it is on training rows, and that difference's error."""
    there = run.evaluate("valid")[FIRST[kind]]
    gap = (train.value - there.value) * _better(kind)
    return there, gap, float(np.hypot(train.error or 0, there.error or 0))


def _apart(run: Any, kind: str) -> bool:
    """Whether training and validation rows differ by more than chance."""
    _, gap, error = _gap(run, kind, _scores(run, run.data.train)[FIRST[kind]])
    return gap > 2 * error


def _classes(run: Any, part: Any, told: np.ndarray, whose: str) -> list[str]:
    """The pair that is confused most, and classes that are rarely found."""
    names, said = run.artifact.labels or (), told.argmax(-1)
    counts = confusion_matrix(targets(part)["y"], said, told.shape[1]).astype(np.float64)
    rows, right = counts.sum(1), np.diag(counts)
    tries, wrong = [], counts - np.diag(right)
    i, j = np.unravel_index(wrong.argmax(), wrong.shape)
    if wrong[i, j] >= 2:
        tries.append(
            f"{names[i]!r} is taken for {names[j]!r} most often ({wrong[i, j]:g} of {rows[i]:g} {whose} rows, and "
            f"{counts[j, i]:g} the other way): look at those rows; a wrong label or a missing feature shows there."
        )
    recall = right / np.maximum(rows, 1)
    enough = rows >= 10
    whole = right.sum() / max(rows.sum(), 1)
    error = np.sqrt(np.maximum(whole * (1 - whole), 1e-9) / np.maximum(rows, 1))
    weak = np.flatnonzero(enough & (recall < whole - 0.1) & (recall < whole - 3 * error))
    if len(weak):
        worst = weak[recall[weak].argmin()]
        share = np.mean(np.asarray(targets(run.data.train)["y"]) == worst)
        rare = share < 0.5 / len(rows)
        remedy = "data.Balanced batches or more rows of it" if rare else "more rows of it"
        tries.append(
            f"only {100 * recall[worst]:.0f} % of class {names[worst]!r} are found, against {100 * whole:.0f} % of all "
            f"({100 * share:.3g} % of the training rows are of it): {remedy} may help."
        )
    return tries


def _residuals(part: Any, told: np.ndarray, whose: str) -> list[str]:
    """Numbers that are too high or too low on the whole."""
    y = np.asarray(targets(part)["y"], np.float64)
    y = y.reshape(len(y), -1)
    rest = y - np.asarray(told, np.float64).reshape(y.shape)
    tries = []
    for i in range(rest.shape[1]):
        mean, spread = rest[:, i].mean(), rest[:, i].std()
        if len(rest) >= 10 and abs(mean) > max(3 * spread / np.sqrt(len(rest)), 0.1 * np.sqrt(np.square(rest).mean())):
            which = "" if rest.shape[1] == 1 else f" of output {i}"
            tries.append(
                f"predictions{which} are too {'low' if mean > 0 else 'high'} by {abs(mean):.3g} on the mean of the "
                f"{whose} rows: it has not come to rest (more epochs or a larger rate), or these rows differ from the "
                "training rows."
            )
    return tries[:2]


def _scores(run: Any, part: Any) -> dict[str, Score]:
    """Metrics on a split, of evenly spread rows where there are many."""
    rows = np.unique(np.linspace(0, part.rows - 1, min(part.rows, ROWS)).astype(int))
    return run.evaluate({name: column[rows] for name, column in part.items()})


def _better(kind: str) -> int:
    """The direction in which `FIRST` is good."""
    return 1 if kind == "classes" else -1


def _learned(run: Any, there: Score, kind: str) -> bool:
    same = baseline(kind, run.data.train, run.data.valid)[FIRST[kind]]
    return (there.value - same.value) * _better(kind) > 2 * (there.error or 0)


def _short(text: str, most: int = 200) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
