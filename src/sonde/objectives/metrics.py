"""What a finished network achieved: numbers from predictions on the host, in float64, with their errors.

They are computed once, from all predictions, by scikit-learn where it has them. (What is watched during
training is a mean over batches, and belongs to the objectives.)

A row's ``weight`` says how much it counts: for every value, a weight of 2 is the same as the row standing
there twice. For the errors it is not: a row repeated is no new observation, so a sample of weighted rows is
taken to be worth n_eff = (sum w)^2 / sum w^2 rows (Kish, 1965), which is n when all weights are equal.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from sonde._errors import DataError, ShapeError, shape_of

BETTER: dict[str, int] = {
    "accuracy": 1,
    "balanced_accuracy": 1,
    "top_3_accuracy": 1,
    "top_5_accuracy": 1,
    "f1": 1,
    "roc_auc": 1,
    "pr_auc": 1,
    "r2": 1,
    "log_loss": -1,
    "rmse": -1,
    "mae": -1,
    "loss": -1,
    "error": -1,
}
"""Which way is better: 1 where higher is, -1 where lower is, by a metric's name."""


def better(name: str) -> int:
    """Which way is better for a quantity of a report, such as ``"valid/top_2_accuracy"``; lower, if unknown."""
    last = name.rpartition("/")[2]
    return 1 if last.endswith("accuracy") else BETTER.get(last, -1)


class Score(NamedTuple):
    """A value and its standard error, in the unit of the value; the error is None where none is stated.

    Example:
        >>> from sonde.objectives.metrics import Score
        >>> print(Score(3.14159, 0.02))
        3.142 ± 0.020
        >>> value, error = Score(3.14159, 0.02)
        >>> float(Score(3.14159, None))
        3.14159
    """

    value: float
    error: float | None = None

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        return _with_error(self.value, self.error, digits=4)


class Fraction(Score):
    """A score between 0 and 1 that is a share of rows, printed in percent.

    Example:
        >>> from sonde.objectives.metrics import Fraction
        >>> print(Fraction(0.978, 0.007))
        97.8 % ± 0.7 %
    """

    __slots__ = ()

    def __str__(self) -> str:
        if self.error is None or not math.isfinite(self.error):
            return f"{100 * self.value:.1f} %"
        places = max(1, _places(100 * self.error, 1))
        return f"{100 * self.value:.{places}f} % ± {100 * self.error:.{places}f} %"


def classification_metrics(probabilities: Any, labels: Any, weight: Any = None) -> dict[str, Score]:
    """How good class probabilities are, from ``probabilities`` [n, K] and ``labels`` [n] (0 to K - 1).

    =================  ==============================================================  =================
    name               value                                                           standard error^2
    =================  ==============================================================  =================
    accuracy           share of rows whose most probable class is the label            p (1 - p) / n_eff
    balanced_accuracy  mean over the classes that occur of their own accuracies        sum_k (same) / K^2
    top_3_accuracy     share of rows whose label is among the three most probable      p (1 - p) / n_eff
    f1                 mean over classes of 2 TP / (2 TP + FP + FN)
    log_loss           mean of -log of the label's probability, in nats                var / (n_eff - 1)
    roc_auc            mean over classes k of P(p_k is higher in a row of k than in another)
    pr_auc             mean over classes k of the average precision of p_k
    =================  ==============================================================  =================

    A share p of 0 or 1 would claim no error at all; there, p (1 - p) is taken at
    p' = (n_eff p + 1/2) / (n_eff + 1), the mean of a proportion's posterior under Jeffreys' prior, so that
    100 of 100 right prints as 100.0 % ± 0.7 %.

    From 100 classes on it is ``top_5_accuracy``; with three classes or fewer it is left out. The mean of f1
    is over classes that occur among labels or predictions. ``roc_auc`` and ``pr_auc`` are left out if a
    class has no row (of weight above 0), since they are undefined then. log_loss counts a probability as at
    least 2.2e-16 (36 nats).

    Returns:
        A `Score` by name, those that are shares of rows as `Fraction`.

    Raises:
        ShapeError: if the shapes do not fit.
        DataError: if a probability is NaN, below 0 or not one of a sum of 1, a label lies outside 0..K-1, or
            a weight is negative or NaN, naming the row.

    Example:
        >>> import numpy as np
        >>> from sonde.objectives.metrics import classification_metrics
        >>> p = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]])
        >>> scores = classification_metrics(p, np.array([0, 1, 1, 1]))
        >>> print(scores["accuracy"])
        75.0 % ± 21.7 %

    Differs from scikit-learn in averaging over both classes (not the second one's score alone) when K is 2.
    """
    from sklearn import metrics

    p, y, w = _checked_classes(probabilities, labels, weight)
    classes = p.shape[1]
    said = p.argmax(1)
    present = np.unique(y)

    right = (said == y).astype(np.float64)
    own = [(np.average(right[y == k], weights=w[y == k]), w[y == k]) for k in present]
    scores: dict[str, Score] = {
        "accuracy": _share(metrics.accuracy_score(y, said, sample_weight=w), w),
        "balanced_accuracy": Fraction(
            float(np.mean([share for share, _ in own])),
            math.hypot(*(_share_error(*each) for each in own)) / len(own),
        ),
    }
    if classes > 3:
        k = 5 if classes >= 100 else 3
        among = metrics.top_k_accuracy_score(y, p, k=k, labels=np.arange(classes), sample_weight=w)
        scores[f"top_{k}_accuracy"] = _share(among, w)
    f1 = metrics.f1_score(y, said, average="macro", sample_weight=w)
    scores["f1"] = Score(float(f1))
    tidy = p / p.sum(1, keepdims=True)
    surprise = -np.log(np.maximum(tidy[np.arange(len(y)), y], np.finfo(np.float64).eps))
    loss = metrics.log_loss(y, tidy, labels=np.arange(classes), sample_weight=w)
    scores["log_loss"] = Score(float(loss), _mean_error(surprise, w))
    if len(present) == classes:
        hits = [(y == k, p[:, k]) for k in range(classes)]
        roc = [metrics.roc_auc_score(hit, score, sample_weight=w) for hit, score in hits]
        precision = [metrics.average_precision_score(hit, score, sample_weight=w) for hit, score in hits]
        scores["roc_auc"], scores["pr_auc"] = Score(float(np.mean(roc))), Score(float(np.mean(precision)))
    return scores


def confusion_matrix(labels: Any, predictions: Any, classes: int) -> np.ndarray:
    """How often each class was taken for each: [classes, classes], the true one down, the predicted across.

        matrix[i, j] = the number of rows with label i and prediction j

    ``labels`` [n] and ``predictions`` [n] are integers from 0 to ``classes`` - 1.

    Returns:
        The counts, int64.

    Raises:
        ShapeError: if the shapes differ.
        DataError: if a label or a prediction lies outside 0..classes-1, naming the row.

    Example:
        >>> from sonde.objectives.metrics import confusion_matrix
        >>> confusion_matrix([0, 1, 1], [0, 1, 0], classes=2).tolist()
        [[1, 0], [1, 1]]
    """
    y, said = np.asarray(labels), np.asarray(predictions)
    if y.ndim != 1 or y.shape != said.shape or not len(y):
        raise ShapeError(
            "confusion_matrix takes labels and predictions of one shape [n], n > 0; "
            f"got {shape_of(y)} and {shape_of(said)}"
        )
    for name, given in (("labels", y), ("predictions", said)):
        _check_range(name, given, classes)
    pairs = y.astype(np.int64) * classes + said
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes).astype(np.int64)


def regression_metrics(prediction: Any, target: Any, weight: Any = None) -> dict[str, Score]:
    """How close predictions of quantities are, from ``prediction`` and ``target`` [n] or [n, ...].

        rmse = sqrt(mean (p - t)^2)        error: that of the mean square, divided by 2 rmse
        mae  = mean |p - t|                error: standard deviation over rows / sqrt(n_eff - 1)
        r2   = 1 - sum (p - t)^2 / sum (t - mean t)^2

    The means are over rows and outputs; for the errors, an entry is a row's mean over its outputs. rmse and
    mae have the target's unit. r2 is averaged over outputs, and left out if an output's target is constant,
    where it is undefined. An error is None where it cannot be estimated: from one row, or an rmse of 0.

    Returns:
        A `Score` by name.

    Raises:
        ShapeError: if the shapes differ.
        DataError: if a prediction, target or weight is NaN or infinite, naming the row.

    Example:
        >>> from sonde.objectives.metrics import regression_metrics
        >>> scores = regression_metrics([1.0, 2.0, 3.0, 5.0], [1.0, 2.0, 4.0, 4.0])
        >>> print(scores["mae"])
        0.50 ± 0.29

    Differs from scikit-learn's ``root_mean_squared_error`` for several outputs: the root of the mean, as in
    the loss, not the mean of the roots.
    """
    from sklearn import metrics

    p, t = np.asarray(prediction, np.float64), np.asarray(target, np.float64)
    if p.shape != t.shape or not p.ndim or not p.size:
        raise ShapeError(
            "regression_metrics takes a prediction and a target of one shape [n] or [n, outputs], n > 0; "
            f"got {shape_of(p)} and {shape_of(t)}"
        )
    p, t = p.reshape(len(p), -1), t.reshape(len(t), -1)
    _check_finite("the prediction", p)
    _check_finite("the target", t)
    w = _checked_weight(weight, len(p))
    p, t, w = p[w > 0], t[w > 0], w[w > 0]

    square = metrics.mean_squared_error(t, p, sample_weight=w)
    rmse = math.sqrt(square)
    square_error = _mean_error(np.square(p - t).mean(1), w)
    scores = {
        "rmse": Score(rmse, None if square_error is None or not rmse else square_error / (2 * rmse)),
        "mae": Score(float(metrics.mean_absolute_error(t, p, sample_weight=w)), _mean_error(np.abs(p - t).mean(1), w)),
    }
    if np.ptp(t, axis=0).all():
        scores["r2"] = Score(float(metrics.r2_score(t, p, sample_weight=w)))
    return scores


def _effective(w: np.ndarray) -> float:
    """How many equally weighted rows these are worth."""
    return float(w.sum() ** 2 / np.square(w).sum())


def _share(p: float, w: np.ndarray) -> Fraction:
    return Fraction(float(p), _share_error(p, w))


def _share_error(p: float, w: np.ndarray) -> float:
    """The standard error of a share of rows of these weights; at 0 and 1 by Jeffreys' posterior mean."""
    n = _effective(w)
    p = min(max(float(p), 0.0), 1.0)  # a weighted mean may round to just above 1
    p = p if 0 < p < 1 else (n * p + 0.5) / (n + 1)
    return math.sqrt(p * (1 - p) / n)


def _mean_error(rows: np.ndarray, w: np.ndarray) -> float | None:
    """The standard error of the weighted mean of ``rows`` [n]; None from a single row."""
    n = _effective(w)
    if n <= 1 or len(rows) < 2:
        return None
    variance = np.average(np.square(rows - np.average(rows, weights=w)), weights=w)
    return math.sqrt(variance / (n - 1))


def _checked_classes(probabilities: Any, labels: Any, weight: Any) -> tuple[np.ndarray, ...]:
    """Probabilities, labels and weights of the rows that count, all checked."""
    p, y = np.asarray(probabilities), np.asarray(labels)
    if p.ndim != 2 or p.shape[1] < 2:
        hint = ""
        if p.ndim == 1 or (p.ndim == 2 and p.shape[1] == 1):
            hint = ". For the probability q of yes, give np.stack([1 - q, q], -1)"
        raise ShapeError(
            f"classification_metrics takes probabilities [n, classes], classes > 1; got {shape_of(p)}{hint}"
        )
    if y.shape != p.shape[:1] or not len(y):
        hint = ". Give labels.argmax(-1)" if y.shape == p.shape else ""
        raise ShapeError(
            "classification_metrics takes one label a row, n > 0; "
            f"got probabilities {shape_of(p)} and labels {shape_of(y)}{hint}"
        )
    _check_range("labels", y, p.shape[1])
    p = p.astype(np.float64)
    _check_finite("the probabilities", p)
    sums = p.sum(1)
    wrong = np.flatnonzero((p.min(1) < 0) | (np.abs(sums - 1) > 0.02))
    if len(wrong):
        i = wrong[0]
        raise DataError(
            f"the probabilities of row {i} are {np.array2string(p[i], precision=3, threshold=8)}, "
            f"which sum to {sums[i]:.4g}, not 1. Of logits, give the softmax"
        )
    w = _checked_weight(weight, len(y))
    return p[w > 0], y[w > 0], w[w > 0]


def _check_range(name: str, given: np.ndarray, classes: int) -> None:
    if not np.issubdtype(given.dtype, np.integer):
        raise DataError(f"{name} must be integers from 0 to {classes - 1}; got {shape_of(given)}")
    wrong = np.flatnonzero((given < 0) | (given >= classes))
    if len(wrong):
        raise DataError(f"{name} must lie from 0 to {classes - 1}; row {wrong[0]} has {given[wrong[0]]}")


def _check_finite(what: str, given: np.ndarray) -> None:
    rows = np.flatnonzero(~np.isfinite(given).all(1))
    if len(rows):
        found = given[rows[0]][~np.isfinite(given[rows[0]])][0]
        raise DataError(f"{what} of row {rows[0]} contain {found} ({len(rows)} of {len(given)} rows do)")


def _checked_weight(weight: Any, n: int) -> np.ndarray:
    if weight is None:
        return np.ones(n)
    w = np.asarray(weight, np.float64)
    if w.shape != (n,):
        raise ShapeError(f"weight must have one entry a row, [{n}]; got {shape_of(w)}")
    wrong = np.flatnonzero(~(np.isfinite(w) & (w >= 0)))
    if len(wrong):
        raise DataError(f"weights must be finite and not negative; row {wrong[0]} has {w[wrong[0]]}")
    if not w.any():
        raise DataError("every weight is 0, so there is nothing to measure")
    return w


def _places(error: float, digits: int) -> int:
    """How many decimal places show ``digits`` digits of an error."""
    return 0 if error <= 0 else max(0, digits - 1 - math.floor(math.log10(error)))


def _with_error(value: float, error: float | None, digits: int) -> str:
    if error is None or not math.isfinite(error) or error <= 0:
        return f"{value:.{digits}g}"
    places = _places(error, 2)
    return f"{value:.{places}f} ± {error:.{places}f}"
