"""What is measured batch by batch, while training: numbers a row, whose sums merge exactly into those of all rows.

A measure is a function of (outputs, target) that gives a number a row, and the batch takes the mean: so every
elementwise loss is one, and so is `accuracy`. What is no mean of rows, such as `R2`, is a function of a few means.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import jax.numpy as jnp
import numpy as np

from sonde._batch import Batch, Mean
from sonde._errors import TRACED, ArgumentError, ShapeError, SondeError, check_whole, shape_of, spare
from sonde._types import Number
from sonde._value import Value, named, show

if TYPE_CHECKING:
    from jax.typing import ArrayLike
    from jaxtyping import Array, Bool, Float, Shaped


class Measure(Value):
    """A measure that has settings; ``(outputs, target) -> rows``. One without settings is a named function.

    Example:
        >>> import jax.numpy as jnp
        >>> import sonde as sd
        >>> class Within(sd.objectives.Measure):
        ...     distance: sd.Number = 1.0
        ...     def __call__(self, outputs, target):
        ...         return abs(outputs - target) <= self.distance
        >>> sd.Regress(metrics=(Within(2.0), sd.objectives.R2()))
        Regress(metrics=(Within(distance=2), R2()))
    """

    sums: ClassVar[type[Mean]] = Mean
    """What holds the sums of its rows, and makes a number of them."""

    @property
    def name(self) -> str:
        """What it is called in the history."""
        return type(self).__name__.lower()

    def __call__(self, outputs: Any, target: Any) -> Any:
        """The numbers of each row, [rows] or [rows, ...]."""
        raise ArgumentError(f"{type(self).__name__} does not say what it measures")

    def prepare(self, columns: Mapping[str, Any]) -> Measure:
        """The same measure with what it needs to know of the training columns filled in."""
        return self


def logits_of(outputs: Any) -> Any:
    """A classifier's outputs as logits [rows, classes]: a single output z means the logits (0, z) of two classes.

    softmax((0, z)) = (1 - sigmoid(z), sigmoid(z)), so one logistic unit is a classifier too.
    """
    if outputs.ndim == 2 and outputs.shape[1] == 1:
        return jnp.concatenate([jnp.zeros_like(outputs), outputs], 1)
    return outputs


def _classified(measure: str, logits: Any, labels: Any) -> tuple[Any, Any]:
    """Logits of two classes or more, and a whole-number label for each row of them."""
    z, y = logits_of(jnp.asarray(logits)), jnp.asarray(labels)
    if not z.ndim or y.shape != z.shape[:-1] or not jnp.issubdtype(y.dtype, jnp.integer):
        remedies = {(*z.shape[:-1], 1): "Give labels[..., 0]", z.shape: "Give labels.argmax(-1)"}
        raise ShapeError(
            f"{measure} takes logits [rows, classes] and a whole-number label a row; got logits {shape_of(logits)} and "
            f"labels {shape_of(labels)}. {remedies.get(y.shape, 'One label a row of logits is needed')}"
        )
    return z, y


@named
def accuracy(
    logits: Shaped[ArrayLike, "*rows classes"], labels: Shaped[ArrayLike, "..."]
) -> Bool[Array, "*rows"]:
    """Whether the largest logit is the label's; a single output z [rows, 1] stands for the logits 0 and z.

    Raises:
        ShapeError: there is not one whole-number label a row of logits.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde.objectives import accuracy
        >>> accuracy(jnp.array([[2.0, 1.0], [2.0, 1.0]]), jnp.array([0, 1])).tolist()
        [True, False]
    """
    z, y = _classified("accuracy", logits, labels)
    return z.argmax(-1) == y


class TopK(Measure):
    """Whether the label's logit is among the k largest; a logit as large as the last of them is.

    Args:
        k: how many classes may be named, 1 or more; k = 1 is `accuracy`, but for equal logits.

    Example:
        >>> import jax.numpy as jnp
        >>> import sonde as sd
        >>> logits = jnp.array([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]])
        >>> sd.objectives.TopK(2)(logits, jnp.array([1, 2])).tolist()
        [True, False]
        >>> sd.objectives.TopK(2).name
        'top_2_accuracy'
    """

    k: int = 5

    def check(self) -> None:
        """Refuse what is no number of classes."""
        check_whole(self, "k")

    @property
    def name(self) -> str:
        """``top_5_accuracy``."""
        return f"top_{self.k}_accuracy"

    def __call__(
        self, logits: Shaped[ArrayLike, "rows classes"], labels: Shaped[ArrayLike, "..."]
    ) -> Bool[Array, " rows"]:
        """Whether fewer than k logits are larger than the label's."""
        z, y = _classified(self.name, logits, labels)
        if self.k >= z.shape[-1]:
            raise ArgumentError(f"every label is among the {self.k} likeliest of {z.shape[-1]} classes")
        own = jnp.take_along_axis(z, y[:, None].astype(jnp.int32), 1)
        larger = (z > jnp.broadcast_to(own, z.shape)).sum(-1)
        return (larger < self.k) & jnp.isfinite(own[:, 0])


class Explained(Mean):
    """The means of ((t - p)^2, t, t^2) as one number: 1 - mean (t - p)^2 / var t, averaged over outputs.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde.objectives.measures import Explained
        >>> float(Explained(jnp.array([[1.0], [6.0], [20.0]]), 2.0).value)     # errors of 0.5, a variance of 1
        0.5
    """

    __slots__ = ()

    @property
    def value(self) -> Any:
        """R2, NaN where a target is constant."""
        error, first, second = jnp.asarray(self.total) / self.count
        return (1 - error / (second - first**2)).mean()


class R2(Measure):
    """The share of the target's variance that is explained, averaged over outputs.

        r2 = 1 - sum_i w_i (t_i - p_i)^2 / sum_i w_i (t_i - m)^2,    m = sum_i w_i t_i / sum_i w_i

    Over a round of batches it is that of all its rows, not a mean over batches: what is summed is (t - p)^2,
    t and t^2. To keep their differences exact in float32, t is counted from ``center``.

    Args:
        center: about the mean of the target; `Regress` fills in that of the training rows.

    Example:
        >>> import jax.numpy as jnp
        >>> import sonde as sd
        >>> batch = sd.Batch.of({"y": jnp.array([1.0, 2.0, 3.0])})
        >>> rows = sd.objectives.R2()(jnp.array([1.0, 2.0, 2.0]), batch.y)
        >>> round(float(sd.objectives.R2.sums(*batch.mean(rows)).value), 4)
        0.5
    """

    sums: ClassVar[type[Mean]] = Explained
    center: Number = 0.0

    def prepare(self, columns: Mapping[str, Any]) -> Measure:
        """Count from the mean of the training targets."""
        y = np.asarray(columns["y"], np.float64)
        return self.replace(center=float(np.average(y.reshape(len(y), -1).mean(1), weights=columns.get("weight"))))

    def __call__(self, outputs: Float[Array, " rows *shape"], target: Float[Array, " rows *shape"]) -> Any:
        """(t - p)^2, t and t^2, [rows, 3, outputs]."""
        p, t = (v.reshape(len(v), -1) - self.center for v in (outputs, target))
        if p.shape != t.shape:
            raise ShapeError(
                f"R2 is of quantities, for Regress, and takes predictions and targets of one shape; got "
                f"{shape_of(outputs)} and {shape_of(target)}"
            )
        return jnp.stack([(t - p) ** 2, t, t**2], 1)


class Each(Measure):
    """A function of (outputs, target) as a measure; objectives make these of the functions they are given.

    Example:
        >>> import sonde as sd
        >>> sd.Classify(metrics=(sd.objectives.accuracy,)).metrics == (sd.objectives.Each(sd.objectives.accuracy),)
        True
    """

    function: Callable

    @property
    def name(self) -> str:
        """The function's."""
        return self.function.__name__

    def __call__(self, outputs: Any, target: Any) -> Any:
        """function(outputs, target)."""
        return self.function(outputs, target)

    def __repr__(self) -> str:
        return show(self.function)


def as_measures(owner: object, given: Any) -> tuple[Measure, ...]:
    """What a person gave as ``metrics``, as measures.

    Raises:
        ArgumentError: it is no tuple of measures and named functions, or two have one name.
    """
    kind, found = type(owner).__name__, []
    for metric in given if isinstance(given, tuple) else (given,):
        if not isinstance(metric, Measure):
            if isinstance(metric, type) or not hasattr(metric, "__name__"):
                raise ArgumentError(
                    f"metrics of {kind} are functions of (outputs, target), such as objectives.accuracy or "
                    f"objectives.TopK(5); got {metric!r}"
                )
            metric = Each(metric)
        found.append(metric)
    names = [metric.name for metric in found]
    if len(set(names)) < len(names):
        raise ArgumentError(f"metrics of {kind} need names that differ; got {', '.join(names)}")
    return tuple(found)


def measured(metrics: tuple[Measure, ...], batch: Batch, outputs: Any, target: Any) -> dict[str, Mean]:
    """Each measure of a batch, by name, as sums that merge."""
    found = {}
    for metric in metrics:
        try:
            rows = jnp.asarray(metric(outputs, target))
        except (TypeError, ValueError) as error:
            if isinstance(error, (SondeError, *TRACED)):
                raise
            raise ShapeError(
                f"the metric {metric.name!r} went wrong on outputs {shape_of(outputs)} and targets {shape_of(target)}: "
                f"{str(error).strip().splitlines()[0]}"
            ).with_traceback(spare(error)) from None
        if rows.shape[:1] != (len(batch),):
            raise ShapeError(
                f"the metric {metric.name!r} must give one entry a row, [{len(batch)}, ...]; got {shape_of(rows)}"
            )
        if metric.sums is Mean:
            rows = rows.reshape(len(batch), -1).astype(jnp.float32).mean(-1)
        found[metric.name] = metric.sums(*batch.mean(rows))
    return found
