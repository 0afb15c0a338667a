"""Encodings: how one raw column becomes numbers. Each is fitted on training rows and then frozen.

Here are those of single values and of targets; `sonde.data.dates`, `sonde.data.text` and `sonde.data.images` have the
others.

`fit` fills in what has to be learned from the rows; `encode` uses it, and refuses rows that it was not fitted for.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar

import numpy as np

from sonde._errors import ArgumentError, DataError, shape_of
from sonde._value import Value


class Encoding(Value):
    """How a raw column becomes numbers: ``fit(values)``, then ``encode(values)`` gives an array [rows, width].

    A subclass has fields for what it learns, and gives them names in `names`.

    Example:
        >>> import numpy as np
        >>> import sonde as sd
        >>> class Length(sd.data.Encoding):
        ...     def encode(self, values):
        ...         return np.array([[len(v or "")] for v in values], "float32")
        >>> Length().fit(np.array(["ab", None], object)).encode(np.array(["abc"], object))
        array([[3.]], dtype=float32)
    """

    alone: ClassVar[bool] = False
    """Whether what it gives is a column of its own (an image, a sequence), not features beside others."""

    def fit(self, values: np.ndarray) -> Encoding:
        """The same encoding with what it learns from training rows filled in."""
        return self

    def encode(self, values: np.ndarray) -> Any:
        """The rows as numbers.

        Raises:
            DataError: they are not of the kind that it was fitted for.
        """
        raise ArgumentError(f"{type(self).__name__} does not say how it encodes")

    def odd(self, values: np.ndarray) -> str:
        """What it takes, but has not seen the like of in training, in words; "" if nothing is odd."""
        return ""

    def names(self, column: str) -> tuple[str, ...]:
        """The names of the features it gives."""
        return (column,)


class Numeric(Encoding):
    """Numbers, shifted and scaled: (v - center) / spread. Missing ones take the middle and are flagged.

    Args:
        scale: ``"standard"`` (mean and standard deviation), ``"min-max"`` (to 0 .. 1), ``"robust"`` (median and the
            distance between the quartiles) or ``"none"``.
        log: take sign(v) log(1 + |v|) first, for numbers over several orders of magnitude.
        center: learned.
        spread: learned; 1 for a constant column.
        fill: learned: the median, which stands for a missing value.
        flag: learned: whether values were missing; then a second feature says where they are.

    Example:
        >>> import numpy as np
        >>> import sonde as sd
        >>> ages = sd.data.Numeric().fit(np.array([20.0, 40.0, np.nan, 30.0]))
        >>> ages.names("age"), ages.encode(np.array([30.0, np.nan])).tolist()
        (('age', 'age is missing'), [[0.0, 0.0], [0.0, 1.0]])
    """

    scale: str = "standard"
    log: bool = False
    center: float = 0.0
    spread: float = 1.0
    fill: float = 0.0
    flag: bool = False

    def check(self) -> None:
        """Refuse an unknown scale and a spread that cannot be divided by."""
        if self.scale not in ("standard", "min-max", "robust", "none"):
            raise ArgumentError(f"scale must be 'standard', 'min-max', 'robust' or 'none'; got {self.scale!r}")
        if not self.spread > 0:
            raise ArgumentError(f"spread of Numeric must be above 0; got {self.spread!r}")

    def fit(self, values: np.ndarray) -> Encoding:
        """Learn where the numbers lie."""
        v = self._numbers(values)
        there = v[~np.isnan(v)]
        if not len(there):
            raise DataError("all of its values are missing; leave the column out")
        low, high = there.min(), there.max()
        quarter, median, three = np.percentile(there, [25, 50, 75])
        center, spread = {
            "standard": (there.mean(), there.std()),
            "min-max": (low, high - low),
            "robust": (median, three - quarter or there.std()),
            "none": (0.0, 1.0),
        }[self.scale]
        usable = spread > 1e-9 * max(abs(low), abs(high))
        learned = {"center": float(center), "spread": float(spread) if usable else 1.0, "fill": float(median)}
        return self.replace(**learned, flag=len(there) < len(v))

    def encode(self, values: np.ndarray) -> np.ndarray:
        """[rows, 1], or [rows, 2] with the flag."""
        v = self._numbers(values)
        missing = np.isnan(v)
        scaled = (np.where(missing, self.fill, v) - self.center) / self.spread
        return np.stack([scaled, missing] if self.flag else [scaled], 1).astype(np.float32)

    def odd(self, values: np.ndarray) -> str:
        """Numbers far from those that it was fitted on; without a scale nothing is known of these."""
        return "" if self.scale == "none" else far((self._numbers(values) - self.center) / self.spread, values)

    def names(self, column: str) -> tuple[str, ...]:
        """The column, and where it is missing."""
        return (column, f"{column} is missing") if self.flag else (column,)

    def _numbers(self, values: np.ndarray) -> np.ndarray:
        v = _as_numbers(values)
        return np.sign(v) * np.log1p(abs(v)) if self.log else v


class Categorical(Encoding):
    """One of several names: a feature a name, 1 where it is meant. Unseen names are 0 everywhere.

    Args:
        most: names kept at most, the most frequent ones; all others count as unseen.
        categories: learned. A missing value is a category of its own, if values were missing.

    Example:
        >>> import numpy as np
        >>> import sonde as sd
        >>> city = sd.data.Categorical().fit(np.array(["Bonn", "Graz", "Bonn"], object))
        >>> city.names("city"), city.encode(np.array(["Graz", "Oslo"], object)).tolist()
        (('city = Bonn', 'city = Graz'), [[0.0, 1.0], [0.0, 0.0]])
    """

    most: int = 100
    categories: tuple[str, ...] = ()

    def fit(self, values: np.ndarray) -> Encoding:
        """Learn the names."""
        count = Counter(as_names(values))
        kept = sorted(count, key=lambda name: (-count[name], name))[: self.most]
        return self.replace(categories=tuple(_ordered(kept)))

    def encode(self, values: np.ndarray) -> np.ndarray:
        """[rows, names]."""
        at = {name: i for i, name in enumerate(self.categories)}
        encoded = np.zeros((len(values), len(at)), np.float32)
        for row, name in zip(encoded, as_names(values), strict=True):
            if name in at:
                row[at[name]] = 1
        return encoded

    def odd(self, values: np.ndarray) -> str:
        """Names that are none of the known ones."""
        known = {"", *self.categories}
        unknown = [i for i, name in enumerate(as_names(values)) if name not in known]
        if not unknown:
            return ""
        return f"{_of(unknown, values)} none of the {len(self.categories)} known categories ({_first(unknown, values)})"

    def names(self, column: str) -> tuple[str, ...]:
        """A feature a name."""
        return tuple(f"{column} = {name or 'missing'}" for name in self.categories)


class Boolean(Encoding):
    """True and false (also 1 and 0, yes and no) as 1 and 0; a missing one is flagged, and 1/2.

    Example:
        >>> import numpy as np
        >>> import sonde as sd
        >>> sd.data.Boolean().fit(np.array([True, False])).encode(np.array(["yes", "no"], object)).tolist()
        [[1.0], [0.0]]
    """

    flag: bool = False

    def fit(self, values: np.ndarray) -> Encoding:
        """Learn whether values are missing."""
        return self.replace(flag=bool(np.isnan(self._truths(values)).any()))

    def encode(self, values: np.ndarray) -> np.ndarray:
        """[rows, 1], or [rows, 2] with the flag."""
        v = self._truths(values)
        missing = np.isnan(v)
        truths = np.where(missing, 0.5, v)
        return np.stack([truths, missing] if self.flag else [truths], 1).astype(np.float32)

    def names(self, column: str) -> tuple[str, ...]:
        """The column, and where it is missing."""
        return (column, f"{column} is missing") if self.flag else (column,)

    def _truths(self, values: np.ndarray) -> np.ndarray:
        known = {"true": 1.0, "yes": 1.0, "1": 1.0, "false": 0.0, "no": 0.0, "0": 0.0, "": np.nan}
        names = [name.lower() for name in as_names(values)]
        odd = next((i for i, name in enumerate(names) if name not in known), None)
        if odd is not None:
            raise DataError(f"it takes true and false; row {odd} has {names[odd]!r}")
        return np.array([known[name] for name in names])


class Array(Encoding):
    """Arrays of numbers, taken as they are: rows of the shape and type that it was fitted for.

    Example:
        >>> import numpy as np
        >>> import sonde as sd
        >>> sd.data.Array().fit(np.zeros((5, 8, 8), "uint8"))
        Array(shape=(8, 8), dtype='uint8')
    """

    shape: tuple[int, ...] = ()
    dtype: str = "float32"
    alone: ClassVar[bool] = True

    def fit(self, values: np.ndarray) -> Encoding:
        """Learn shape and type."""
        kept = values.dtype if values.dtype.itemsize < 8 else np.dtype("f4" if values.dtype.kind == "f" else "i4")
        return self.replace(shape=tuple(values.shape[1:]), dtype=kept.name)

    def encode(self, values: np.ndarray) -> np.ndarray:
        """The same rows."""
        if values.dtype == object or tuple(values.shape[1:]) != tuple(self.shape):
            raise DataError(f"it takes {self.dtype}[rows, {', '.join(map(str, self.shape))}]; got {shape_of(values)}")
        if np.dtype(self.dtype).kind in "iu" and values.dtype.kind == "f" and (values != np.round(values)).any():
            raise DataError(f"it was fitted on whole numbers ({self.dtype}); got fractions")
        return values.astype(self.dtype)


class Labels(Encoding):
    """A target of classes: names as the whole numbers 0, 1, 2, ... of their order, and back.

    Example:
        >>> import numpy as np
        >>> import sonde as sd
        >>> kinds = sd.data.Labels().fit(np.array(["spam", "ham", "spam"], object))
        >>> kinds.classes, kinds.encode(np.array(["spam", "ham"], object)).tolist()
        (('ham', 'spam'), [1, 0])
    """

    classes: tuple[str, ...] = ()

    def fit(self, values: np.ndarray) -> Encoding:
        """Learn the names."""
        return self.replace(classes=tuple(_ordered(set(as_names(values)) - {""})))

    def encode(self, values: np.ndarray) -> np.ndarray:
        """int32 [rows]."""
        at = {name: i for i, name in enumerate(self.classes)}
        names = as_names(values)
        odd = next((i for i, name in enumerate(names) if name not in at), None)
        if odd is not None:
            known = ", ".join(self.classes[:10])
            more = "; if it is a number to predict, say task='numbers' (--task numbers)"
            raise DataError(
                f"the label {names[odd]!r} of row {odd} was not among the training rows ({known})"
                + (more if _is_float(names[odd]) and all(map(_is_float, self.classes)) else "")
            )
        return np.array([at[name] for name in names], np.int32)


class Amount(Encoding):
    """A target of numbers, in its own units; what lies between the network and them is learned here.

    Args:
        center: learned: the mean of the training rows.
        spread: learned: their standard deviation. A network ends with ``nn.Scale(spread, center)``, so it learns
            standardized numbers and predicts original ones.

    Example:
        >>> import numpy as np
        >>> import sonde as sd
        >>> sd.data.Amount().fit(np.array([100.0, 300.0]))
        Amount(center=200, spread=100)
    """

    center: float = 0.0
    spread: float = 1.0

    def fit(self, values: np.ndarray) -> Encoding:
        """Learn mean and standard deviation."""
        v = self._numbers(values)
        return self.replace(center=float(v.mean()), spread=float(v.std()) or 1.0)

    def encode(self, values: np.ndarray) -> np.ndarray:
        """float32 [rows]."""
        return self._numbers(values).astype(np.float32)

    def _numbers(self, values: np.ndarray) -> np.ndarray:
        v = _as_numbers(values)
        if np.isnan(v).any():
            raise DataError(f"row {int(np.isnan(v).argmax())} has no target")
        return v


FAR = 10
"""So many spreads from the center a number is odd."""


def far(distance: np.ndarray, values: np.ndarray) -> str:
    """What is said of values whose distance from the center, in spreads, is above `FAR`."""
    rows = np.flatnonzero(abs(distance) > FAR).tolist()  # NaN is not
    if not rows:
        return ""
    return f"{_of(rows, values)} a value over {FAR} spreads from those in training ({_first(rows, values)})"


def _of(rows: list[int], values: np.ndarray) -> str:
    return f"{len(rows):,} of {len(values):,} rows {'has' if len(rows) == 1 else 'have'}"


def _first(rows: list[int], values: np.ndarray) -> str:
    value = values[rows[0]]
    return f"row {rows[0]}: {value!r}" if isinstance(value, str) else f"row {rows[0]}: {value}"


def _as_numbers(values: np.ndarray) -> np.ndarray:
    """A raw column of numbers, NaN where one is missing."""
    if values.dtype.kind in "fiub" and values.ndim == 1:
        v = values.astype(np.float64)
        if np.isinf(v).any():
            raise DataError(f"row {int(np.isinf(v).argmax())} is infinite; fill it or drop the row")
        return v
    if values.dtype == object:
        try:
            return np.array([np.nan if v is None else float(v) for v in values])
        except (TypeError, ValueError):
            odd = next(i for i, v in enumerate(values) if v is not None and not _is_float(v))
            raise DataError(f"it takes numbers; row {odd} has {values[odd]!r}") from None
    raise DataError(f"it takes numbers; got {shape_of(values)}")


def _is_float(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def as_names(values: np.ndarray) -> list[str]:
    """A raw column as text, "" where a value is missing; 3.0 is the same name as 3."""
    if values.ndim != 1:
        raise DataError(f"it takes one value a row; got {shape_of(values)}")
    if values.dtype.kind == "M":
        return ["" if np.isnat(v) else str(v) for v in values]
    if values.dtype.kind == "f":
        return ["" if np.isnan(v) else str(int(v)) if v == np.round(v) else str(v) for v in values.tolist()]
    return ["" if v is None else str(v) for v in values.tolist()]


def _ordered(names: Any) -> list[str]:
    """Names in the order of their numbers if they are numbers, else of the alphabet."""
    return sorted(names, key=lambda n: (0, float(n), n) if _is_float(n) else (1, 0.0, n))
