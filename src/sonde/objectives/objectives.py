"""Objectives: what a turn minimizes, as a pure function of a bound network and a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from sonde._batch import Batch, scored
from sonde._errors import ArgumentError, DataError, ShapeError, check_interval, inside, shape_of
from sonde._types import Number, Part
from sonde._value import Value, show
from sonde.objectives.losses import (
    MEANS,
    absolute_error,
    absolute_percentage_error,
    binary_cross_entropy,
    cosine_distance,
    cross_entropy,
    half_squared_error,
    huber,
    kl_divergence,
    mean_of,
    poisson,
    squared_error,
)
from sonde.objectives.losses.given import lies_in_domain
from sonde.objectives.measures import as_measures, logits_of, measured
from sonde.objectives.probabilities import refuse_probabilities
from sonde.objectives.steps import by_step, place, targets

ELEMENTWISE = (
    absolute_error,
    absolute_percentage_error,
    binary_cross_entropy,
    cosine_distance,
    half_squared_error,
    huber,
    kl_divergence,
    poisson,
    squared_error,
)
"""The losses of numbers against numbers; others are of labels."""

_NAMED = " (sd.data.read makes it of the column that target= names)"


class Objective(Value):
    """A pure function ``(net, batch) -> loss | {part: loss} | (either, {metric: Mean})``.

    ``net`` is the network bound to this step (see `sonde.nn.Bound`), ``batch`` has the columns (``batch.x``)
    and ``batch.mean(rows)``. Losses and metrics are `Mean`s, so they merge exactly; a bare number stands for
    itself. Penalties are objectives too, and ``+`` adds: ``Classify() + L2(1e-4)``.

    Example:
        >>> import sonde as sd
        >>> class Median(sd.Objective):
        ...     def __call__(self, net, batch):
        ...         return batch.mean(abs(net(batch.x)[:, 0] - batch.y))
        >>> Median() + sd.L2(1e-3)
        Median() + L2(rate=0.001)
    """

    predicts: ClassVar[str] = ""
    """What the network that it trains is for: ``"classes"``, ``"numbers"``, or nothing to predict."""

    def __call__(self, net: Any, batch: Batch) -> Any:
        """The loss, or its parts, perhaps with metrics."""
        raise ArgumentError(f"{type(self).__name__} does not say what it minimizes")

    def prepare(self, columns: Mapping[str, Any]) -> Objective:
        """The same objective with what it needs to know of the training columns filled in, and them checked."""
        return self

    def admit(self, columns: Mapping[str, Any], split: str) -> Objective:
        """The same, prepared already, told of the rows that the network will be judged by; wrong ones are refused.

        Args:
            columns: of those rows.
            split: their name, ``"valid"`` or ``"test"``, for the error.
        """
        return self

    def __add__(self, other: Objective) -> Objective:
        return Sum((*_terms(self), *_terms(other)))


class Sum(Objective):
    """Objectives added up; `Objective.__add__` makes these. Each is a part of the loss under its own name.

    Example:
        >>> import sonde as sd
        >>> total = sd.Classify() + sd.L1(1e-5) + sd.L2(1e-4)
        >>> [type(term).__name__ for term in total.terms]
        ['Classify', 'L1', 'L2']
    """

    terms: Part

    def __call__(self, net: Any, batch: Batch) -> Any:
        """The parts of all terms, and all their metrics."""
        losses, metrics = {}, {}
        for term in self.terms:
            name = type(term).__name__.lower()
            parts, more = scored(term(net, batch), name)
            for part, loss in parts.items():
                losses[_unused(part, losses)] = loss
            for metric, mean in more.items():
                metrics[_unused(metric, metrics)] = mean
        return losses, metrics

    def prepare(self, columns: Mapping[str, Any]) -> Objective:
        """Every term, prepared."""
        return Sum(tuple(term.prepare(columns) for term in self.terms))

    def admit(self, columns: Mapping[str, Any], split: str) -> Objective:
        """Every term, told."""
        return Sum(tuple(term.admit(columns, split) for term in self.terms))

    def __repr__(self) -> str:
        return " + ".join(map(show, self.terms))


def _terms(objective: Objective) -> tuple:
    if not isinstance(objective, Objective):
        raise ArgumentError(f"only objectives and penalties can be added; got {objective!r}")
    return objective.terms if isinstance(objective, Sum) else (objective,)


def _unused(name: str, taken: Mapping) -> str:
    n, free = 1, name
    while free in taken:
        n += 1
        free = f"{name}_{n}"
    return free


class Classify(Objective):
    """A loss of class labels, by default softmax cross-entropy: L = -sum_i w_i log softmax(net(x_i))[y_i] / sum_i w_i.

    Args:
        smoothing: label smoothing s in [0, 1): the target is 1 - s + s / K for the label, s / K elsewhere.
        class_weight: a number for each class, by which its rows count; or ``"balanced"``, which makes every
            class count the same in total, n / (K n_class).
        method: the method of the network that gives logits [rows, K]; a single output z [rows, 1] stands for
            two classes with logits 0 and z, which makes this the binary cross-entropy of sigmoid(z).
        loss: of (logits [rows, K], labels [rows]) for each row: `cross_entropy`, or `hinge` and `squared_hinge`,
            which make it a support vector machine. Their outputs are scores: the largest is the answer, but
            they stand for no probabilities, so a ``log_loss`` of such a network says nothing.
        metrics: what else to measure, functions of (logits, labels) that give a number a row: `accuracy`,
            `TopK(5)`, any elementwise loss, or one's own (see `Measure`).

    Reads the columns ``x``, ``y`` (integers 0 .. K-1) and ``weight`` if there is one. Where a sampler has mixed rows
    (`data.Mixup`), ``y`` is [rows, K], probabilities t of classes: L = -sum_i w_i sum_k t_ik log softmax(net(x_i))[k] /
    sum_i w_i, and the label is the likeliest class. Metric: ``error``, the
    fraction of rows whose largest logit is not the label's; as sums, ``error.total`` is how many they are.

    Sequences may have a label for each step: ``y`` is `Padded` [rows, time], and so are the logits [rows, time, K].
    Then every real step counts as a row, with the weight of its sequence.

    Example:
        >>> import jax.numpy as jnp
        >>> import sonde as sd
        >>> net = sd.nn.build(sd.nn.Dense(2, kernel_init=sd.nn.zeros), jnp.ones((1, 3)))
        >>> batch = sd.Batch.of({"x": jnp.ones((4, 3)), "y": jnp.array([0, 1, 0, 1])}, jnp.ones(4, bool))
        >>> loss, metrics = sd.Classify()(net.bind(), batch)
        >>> round(float(loss.value), 4), float(metrics["error"].value)       # log 2, and half are wrong
        (0.6931, 0.5)
    """

    predicts: ClassVar[str] = "classes"
    smoothing: Number = 0.0
    class_weight: Part = None
    method: str = "__call__"
    classes: int = 0
    loss: Callable = cross_entropy
    metrics: Part = ()

    def check(self) -> None:
        """Refuse what cannot be a smoothing, a class weight or a metric."""
        if callable(self.smoothing):
            raise ArgumentError(
                f"the first argument of Classify is smoothing, a number; give Classify(loss={show(self.smoothing)})"
            )
        check_interval(self, "smoothing", "[0, 1)")
        _check_class_weight(self.class_weight)
        _check_loss(self, "Classify(loss=hinge)", takes_labels=True)
        if self.loss is not cross_entropy and isinstance(self.smoothing, int | float) and self.smoothing:
            raise ArgumentError(f"smoothing is for cross_entropy; Classify has the loss {show(self.loss)}")
        object.__setattr__(self, "metrics", as_measures(self, self.metrics))

    def prepare(self, columns: Mapping[str, Any]) -> Objective:
        """Check the labels; fill in balanced class weights."""
        if "y" not in columns:
            raise DataError(f"Classify needs labels in a column 'y'; there is {', '.join(columns)}{_NAMED}")
        given, columns = columns["y"], targets(columns)
        y = _labels(given, columns["y"])
        if y.min() == y.max():
            raise DataError(f"y has only one class ({y[0]}) in all {len(y):,} rows, so there is nothing to tell apart")
        classes = max(self.classes, int(y.max()) + 1)
        if not self.classes and classes > len(y):
            raise DataError(
                f"labels go up to {classes - 1}, so there are {classes:,} classes but only {len(y):,} rows; number the "
                f"classes 0, 1, 2, ... (or use Regress, if y is a quantity; or say Classify(classes={classes}))"
            )
        weights = self.class_weight
        if isinstance(weights, str):
            count = np.bincount(y, np.asarray(columns.get("weight", np.ones(len(y)))), classes)
            weights = (count.sum() / (np.count_nonzero(count) * np.where(count, count, np.inf))).astype(np.float32)
        if weights is not None and _many(weights) < classes:
            raise ArgumentError(f"class_weight has {_many(weights)} numbers, but there are {classes} classes")
        metrics = tuple(m.prepare(columns) for m in self.metrics)
        return self.replace(classes=classes, class_weight=weights, metrics=metrics)

    def admit(self, columns: Mapping[str, Any], split: str) -> Objective:
        """Check the labels of a split; the network must have an output for each of them, too."""
        y = _labels(columns["y"], targets(columns)["y"], f" of the {split} split")
        classes = max(self.classes, int(y.max()) + 1)
        if self.class_weight is not None and _many(self.class_weight) < classes:
            where = place(columns["y"], int(y.argmax()))
            raise ArgumentError(
                f"class_weight has {_many(self.class_weight)} numbers, but {where} of the {split} split has the "
                f"label {classes - 1}, which no training row has; say Classify(classes={classes}), or leave it out"
            )
        return self.replace(classes=classes)

    def __call__(self, net: Any, batch: Batch) -> Any:
        """The mean loss, the error rate, and what else is measured."""
        x = batch.x
        batch, logits, labels = by_step(batch, method_of(net, self.method)(x), batch.y)
        logits = logits_of(logits)
        refuse_probabilities(net, self.loss, lambda net: method_of(net, self.method)(x))
        if logits.ndim != 2:
            raise ShapeError(f"Classify needs logits [rows, classes]; got {shape_of(logits)}")
        outputs = logits.shape[-1]
        if self.classes > outputs:
            first = " (or give y - 1, if labels count from 1)" if self.classes == outputs + 1 else ""
            raise DataError(
                f"labels go up to {self.classes - 1}, but the network has only {outputs} outputs; "
                f"end it with nn.Dense({self.classes}){first}"
            )
        if self.class_weight is not None and _many(self.class_weight) > outputs:
            raise ArgumentError(
                f"class_weight has {_many(self.class_weight)} numbers, but there are {outputs} classes; "
                "give one number for each class"
            )
        target: Any = labels
        if jnp.issubdtype(target.dtype, jnp.floating):
            target = self._shares(target, logits)
            labels = target.argmax(-1)
        rows = batch
        if self.class_weight is not None:
            weights = jnp.asarray(self.class_weight, jnp.float32)
            if target is labels:
                counts = weights[labels]
            else:  # a share of a class counts as that class does
                counted = target * jnp.broadcast_to(weights[: target.shape[1]], target.shape)
                counts = counted.sum(-1)
                some = jnp.broadcast_to(counts[:, None], target.shape)
                target = jnp.where(some > 0, counted / jnp.where(some > 0, some, 1.0), target)
            rows = Batch({}, batch.weight * counts)
        options = {"smoothing": self.smoothing} if self.loss is cross_entropy else {}
        loss = rows.mean(self.loss(logits, target, **options))
        error = batch.mean(logits.argmax(-1) != labels)
        return loss, {"error": error} | measured(self.metrics, batch, logits, labels)

    def _shares(self, target: Any, logits: Any) -> Any:
        """Probabilities of classes [rows, classes] as targets, as `data.Mixup` makes them."""
        if self.loss is not cross_entropy:
            raise ArgumentError(
                f"the loss {show(self.loss)} takes labels, not probabilities of classes; use cross_entropy with Mixup"
            )
        if target.ndim != 2 or target.shape[1] > logits.shape[1]:
            raise ShapeError(
                f"Classify takes labels [rows], or their probabilities [rows, classes] of no more classes than there "
                f"are logits; got {shape_of(target)} for logits {shape_of(logits)}"
            )
        return jnp.pad(target, ((0, 0), (0, logits.shape[1] - target.shape[1])))  # a class without rows


class Regress(Objective):
    """The mean of an elementwise loss of predictions in original units: L = sum_i w_i l((net(x_i) - y_i) / unit).

    Args:
        loss: elementwise, of (prediction, target): `half_squared_error` (the mean is its minimizer),
            `absolute_error` (the median), `huber`, ... or `poisson` (counts), `binary_cross_entropy` (shares, or
            many yes or no at once), `kl_divergence` (probabilities), of which the network gives the logits.
        unit: what errors are measured in, usually the target's standard deviation, so that the loss, and with
            it a good learning rate, does not depend on the target's units.
        method: the method of the network that gives predictions, [rows] or [rows, 1] or like ``y``.
        metrics: what else to measure, functions of (prediction, target) that give a number a row: `R2`, any
            elementwise loss of quantities, or one's own (see `Measure`).

    Reads the columns ``x``, ``y`` and ``weight`` if there is one; of sequences a target for each step, where both are
    `Padded`. Metrics in original units: ``mse``, ``mae``;
    of what the outputs stand for where they are logits (`poisson`: of exp(outputs), the counts themselves).

    Example:
        >>> import jax.numpy as jnp
        >>> import sonde as sd
        >>> net = sd.nn.build(sd.nn.Dense(1, kernel_init=sd.nn.zeros), jnp.ones((1, 3)))
        >>> batch = sd.Batch.of({"x": jnp.ones((2, 3)), "y": jnp.array([1.0, 3.0])}, jnp.ones(2, bool))
        >>> loss, metrics = sd.Regress()(net.bind(), batch)
        >>> float(loss.value), float(metrics["mae"].value)
        (2.5, 2.0)
    """

    predicts: ClassVar[str] = "numbers"
    loss: Callable = half_squared_error
    unit: Number = 1.0
    method: str = "__call__"
    metrics: Part = ()

    def check(self) -> None:
        """Refuse a unit that cannot be divided by, or that logits cannot have."""
        _check_loss(self, "Regress(absolute_error)", takes_labels=False)
        check_interval(self, "unit", "(0, inf)")
        if self._named() in MEANS and isinstance(self.unit, int | float) and self.unit != 1:
            raise ArgumentError(
                f"unit of Regress must be 1 with {self._named()}, which takes logits; got {self.unit!r}"
            )
        object.__setattr__(self, "metrics", as_measures(self, self.metrics))

    def prepare(self, columns: Mapping[str, Any]) -> Objective:
        """Check the targets: those that count lie in the loss's domain."""
        if "y" not in columns:
            raise DataError(f"Regress needs targets in a column 'y'; there is {', '.join(columns)}{_NAMED}")
        columns = targets(columns)
        lies_in_domain(self._named(), "the target 'y'", columns["y"], columns.get("weight"))
        return self.replace(metrics=tuple(m.prepare(columns) for m in self.metrics))

    def admit(self, columns: Mapping[str, Any], split: str) -> Objective:
        """Check the targets of a split."""
        columns = targets(columns)
        lies_in_domain(self._named(), f"the target 'y' (of the {split} split)", columns["y"], columns.get("weight"))
        return self

    def _named(self) -> str:
        return getattr(self.loss, "__name__", "")

    def __call__(self, net: Any, batch: Batch) -> Any:
        """The mean loss, the mean squared and absolute errors, and what else is measured."""
        x = batch.x
        batch, prediction, target = by_step(batch, method_of(net, self.method)(x), batch.y)
        target = target.astype(jnp.float32)
        if prediction.shape == (*target.shape, 1):  # one output a row against a column of numbers
            prediction = prediction[..., 0]
        if prediction.shape != target.shape:
            raise ShapeError(
                f"predictions {shape_of(prediction)} and targets {shape_of(target)} differ in shape; "
                f"end the network with nn.Dense({target.shape[-1] if target.ndim > 1 else 1})"
            )
        refuse_probabilities(net, self.loss, lambda net: method_of(net, self.method)(x))
        each = jnp.asarray(self.loss(prediction / self.unit, target / self.unit))
        if each.shape[:1] != (len(batch),):
            raise ShapeError(
                f"{show(self.loss)} gives {shape_of(each)} for predictions {shape_of(prediction)}, not one entry a row"
            )
        said = mean_of(self._named(), prediction)
        rows = lambda each: batch.mean(each.reshape(len(batch), -1).mean(-1))
        metrics = {"mse": rows((said - target) ** 2), "mae": rows(abs(said - target))}
        return rows(each), metrics | measured(self.metrics, batch, said, target)


def _labels(given: Any, y: Any, whose: str = "") -> np.ndarray:
    """Labels as an array, those of steps one after the other; what is no class is refused."""
    y = np.asarray(y)
    if y.ndim != 1 or not np.issubdtype(y.dtype, np.integer):
        raise DataError(f"labels{whose} must be whole numbers [rows]; got {shape_of(given)}. {_as_labels(y)}")
    if y.min() < 0:
        raise DataError(f"labels{whose} must be 0, 1, 2, ...; {place(given, int(y.argmin()))} has {int(y.min())}")
    return y


def _as_labels(y: np.ndarray) -> str:
    """How to make labels of what is none."""
    whole = y.dtype.kind in "iub" or bool((y == np.round(y)).all())
    if whole and y.ndim == 2 and y.shape[1] == 1:
        return "Give y[:, 0]" + ("" if y.dtype.kind in "iu" else '.astype("int32")')
    if whole and y.ndim == 2 and ((y == 0) | (y == 1)).all() and (y.sum(1) == 1).all():
        return "They are one-hot: give y.argmax(-1)"
    if whole and y.ndim == 1:
        return 'If they are classes, give y.astype("int32"); if they are quantities, Regress takes them'
    if whole and y.ndim == 2:
        return "If they are a label for each step of a sequence, give sd.Padded(y, lengths)"
    return "Regress takes other numbers"


def _check_class_weight(given: Any) -> None:
    """Refuse what is no number for each class; what is traced was checked when it was concrete."""
    if given is None or (isinstance(given, str) and given == "balanced"):
        return
    if isinstance(given, Mapping):
        numbers = tuple(given[k] for k in sorted(given))
        raise ArgumentError(f"class_weight is a number for each class, in their order; give {numbers}, not {given}")
    if not isinstance(given, tuple) and not getattr(given, "shape", ()):
        raise ArgumentError(f"class_weight must be 'balanced' or a number a class; got {given!r}")
    each = given if isinstance(given, tuple) else (given,)
    if not all(inside(w, "[0, inf)") for w in each):
        raise ArgumentError(f"the numbers of class_weight must be 0 or above; got {show(given)}")
    if not any(isinstance(w, Tracer) or np.any(w) for w in each):
        raise ArgumentError("every number of class_weight is 0, so no row would count")


def _many(weights: Any) -> int:
    """For how many classes there are weights."""
    return len(weights) if isinstance(weights, tuple) else np.shape(weights)[-1]


def _check_loss(objective: Any, example: str, takes_labels: bool) -> None:
    """Refuse a loss that is no function, or one of Sonde that is of other targets."""
    loss, kind = objective.loss, type(objective).__name__
    if isinstance(loss, type) or not callable(loss):
        raise ArgumentError(f"loss of {kind} is a function, as in {example}, with sonde.objectives; got {loss!r}")
    if takes_labels and loss in ELEMENTWISE:
        remedy = f"Regress({show(loss)}) takes such targets"
        if loss is binary_cross_entropy:
            remedy = (
                "Classify() of a network that ends in nn.Dense(1) is the binary cross-entropy of two classes; for "
                "many answers of yes or no at once, Regress(binary_cross_entropy)"
            )
        raise ArgumentError(f"{show(loss)} is of numbers, entry by entry, and Classify is of labels. {remedy}")


def method_of(net: Any, name: str) -> Callable:
    """A network's method by its name, ``"__call__"`` being the network itself."""
    return net if name == "__call__" else getattr(net, name)
