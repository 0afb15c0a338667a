"""A batch of rows, and means of rows that merge exactly: the currency between data, objectives and training."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from sonde._errors import ArgumentError, DataError, MemberError, ShapeError, nearest, shape_of


class Mean(NamedTuple):
    """A weighted mean as its two sums, ``total / count``, so that means merge exactly.

    Adding the sums of several batches, repeats or devices gives the mean over all their rows, whatever
    their sizes. A mean may be scaled and shifted by a number; two means do not add, since they may be over
    different rows: an objective returns them as parts, ``{"reconstruction": a, "sparsity": b}``.

    Example:
        >>> from sonde import Mean
        >>> a, b = Mean(6.0, 3.0), Mean(2.0, 1.0)        # means 2 over three rows and 2 over one
        >>> Mean(a.total + b.total, a.count + b.count).value
        2.0
        >>> (0.5 * a + 1).value
        2.0
    """

    total: Any
    count: Any

    __array_ufunc__ = None  # NumPy's numbers leave the arithmetic to us

    def __mul__(self, factor: Any) -> Mean:  # pyright: ignore[reportIncompatibleMethodOverride]
        return Mean(self.total * _number(factor), self.count)

    def __add__(self, shift: Any) -> Mean:  # pyright: ignore[reportIncompatibleMethodOverride]
        return Mean(self.total + _number(shift) * self.count, self.count)

    def __truediv__(self, divisor: Any) -> Mean:
        return Mean(self.total / _number(divisor), self.count)

    def __neg__(self) -> Mean:
        return Mean(-self.total, self.count)

    def __sub__(self, shift: Any) -> Mean:
        return self + -_number(shift)

    def __rsub__(self, number: Any) -> Mean:
        return -self + number

    __rmul__, __radd__ = __mul__, __add__

    @property
    def value(self) -> Any:
        """``total / count``."""
        return self.total / self.count


@jax.tree_util.register_pytree_node_class
class Padded:
    """A column of sequences of different lengths: ``values`` [rows, longest, ...] and ``lengths`` [rows].

    What lies behind the length of a row is filling, and 0. A part of the rows is ``padded[rows]``.

    Raises:
        ShapeError: there is not one length a row.
        DataError: a length is no whole number from 0 to the longest.

    Example:
        >>> import numpy as np
        >>> from sonde import Padded
        >>> words = Padded.of([[3, 1, 2], [5]])
        >>> words.values.tolist(), words.lengths.tolist(), words[1:].values.tolist()
        ([[3, 1, 2], [5, 0, 0]], [3, 1], [[5, 0, 0]])
    """

    def __init__(self, values: Any, lengths: Any) -> None:
        self.values: Any = np.asarray(values) if isinstance(values, list | tuple) else values
        self.lengths: Any = np.asarray(lengths) if isinstance(lengths, list | tuple) else lengths
        _check_lengths(self.values, self.lengths)

    @staticmethod
    def of(sequences: Any, longest: int | None = None, dtype: Any = None) -> Padded:
        """Sequences one after the other as one padded array; what is beyond ``longest`` is cut off.

        Args:
            sequences: of numbers, or of steps [length, ...] that have one shape.
            longest: how many steps at most; None: those of the longest sequence.
            dtype: of the values; None: that of the data, in 32 bits where it has 64.

        Raises:
            DataError: a sequence is text, a single number, or has steps of another shape than those before it.

        Example:
            >>> from sonde import Padded
            >>> Padded.of([[0.5, 1.5], [0.25]]).values.tolist()
            [[0.5, 1.5], [0.25, 0.0]]
        """
        cut = [_sequence(i, s)[:longest] for i, s in enumerate(sequences)]
        dtype = _common(cut) if dtype is None else dtype
        width = longest or max((len(s) for s in cut), default=0)
        first, inner = next(((i, s.shape[1:]) for i, s in enumerate(cut) if len(s) or s.ndim > 1), (0, ()))
        for i, s in enumerate(cut):
            if len(s) and s.shape[1:] != inner:
                raise DataError(
                    f"all steps must have one shape; those of sequence {first} have {list(inner)}, those of sequence "
                    f"{i} have {list(s.shape[1:])}"
                )
        values = np.zeros((len(cut), max(width, 1), *inner), dtype)
        for row, sequence in zip(values, cut, strict=True):
            row[: len(sequence)] = sequence
        return Padded(values, np.array([len(s) for s in cut], np.int32))

    @property
    def real(self) -> Any:
        """[rows, longest], which entries are steps and which are filling."""
        return jnp.arange(self.values.shape[1])[None] < jnp.asarray(self.lengths)[:, None]

    def with_values(self, values: Any) -> Padded:
        """Sequences of the same lengths with other values [rows, longest, ...]; the filling is 0 again.

        Raises:
            ShapeError: the values have other rows or steps.
        """
        if values.shape[:2] != self.values.shape[:2]:
            raise ShapeError(f"sequences {list(self.values.shape[:2])} cannot have the values {shape_of(values)}")
        real = self.real.reshape(*values.shape[:2], *[1] * (values.ndim - 2))
        return Padded(jnp.where(real, values, jnp.zeros((), values.dtype)), self.lengths)

    @property
    def steps(self) -> np.ndarray:
        """[steps, ...], the real steps of all rows one after the other, on the host.

        Example:
            >>> from sonde import Padded
            >>> Padded.of([[3, 1, 2], [5]]).steps.tolist()
            [3, 1, 2, 5]
        """
        return np.asarray(self.values)[np.asarray(self.real)]

    def at(self, step: int) -> tuple[int, int]:
        """Where a step of `steps` stands: its row, and its place in that row."""
        row, place = np.argwhere(np.asarray(self.real))[step]
        return int(row), int(place)

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the values."""
        return self.values.shape

    @property
    def dtype(self) -> Any:
        """That of the values."""
        return self.values.dtype

    def __len__(self) -> int:
        return self.lengths.shape[0]

    def __getitem__(self, rows: Any) -> Padded:
        return Padded(self.values[rows], self.lengths[rows])

    def __repr__(self) -> str:
        return f"Padded({shape_of(self.values)}, lengths {shape_of(self.lengths)})"

    def tree_flatten(self) -> tuple[tuple, None]:
        """For JAX."""
        return (self.values, self.lengths), None

    @classmethod
    def tree_unflatten(cls, _: None, leaves: Any) -> Padded:
        """For JAX."""
        made = object.__new__(cls)  # leaves may be anything here
        made.values, made.lengths = leaves
        return made


def _check_lengths(values: Any, lengths: Any) -> None:
    """Refuse what are no lengths of these rows; numbers that are traced were checked when they were concrete."""
    rows, longest = (*np.shape(values), 0, 0)[:2]
    if np.ndim(values) < 2 or np.shape(lengths) != (rows,):
        raise ShapeError(
            "Padded needs values [rows, longest, ...] and a length a row; "
            f"got {shape_of(values)} and {shape_of(lengths)}"
        )
    if np.dtype(lengths.dtype).kind not in "iu":
        raise DataError(f"lengths of Padded must be whole numbers [rows]; got {shape_of(lengths)}")
    if not isinstance(lengths, np.ndarray | jax.Array) or isinstance(lengths, Tracer):
        return
    known = np.asarray(lengths)
    wrong = np.flatnonzero((known < 0) | (known > longest))
    if wrong.size:
        raise DataError(
            f"lengths of Padded must be from 0 to {longest}, the steps that values have; row {wrong[0]} has "
            f"{known[wrong[0]]}"
        )


def _sequence(i: int, given: Any) -> np.ndarray:
    """A sequence as an array; what cannot be padded is refused."""
    try:
        array = np.asarray(given)
    except ValueError:
        raise DataError(f"the steps of sequence {i} differ in shape, so they are no array of numbers") from None
    if array.dtype.kind not in "fiub":
        what = repr(given) if isinstance(given, str) else str(array.dtype)
        raise DataError(
            f"sequences are of numbers; sequence {i} is {what}. sd.data.read makes them of text by "
            'Tokens("word"); by hand, number the words first'
        )
    if not array.ndim:
        raise DataError(f"each sequence is a list of steps; sequence {i} is the single number {array}")
    return array


def _common(sequences: list[np.ndarray]) -> np.dtype:
    """The dtype that holds the numbers of all sequences, in 32 bits where it has 64."""
    found = np.result_type(*{s.dtype for s in sequences if s.size} or {np.dtype(np.int32)})
    if found.kind in "iu" and found.itemsize == 8:
        found = np.dtype(np.int32)
        if any(abs(s).max() > np.iinfo(found).max for s in sequences if s.size):
            raise DataError("sequences hold whole numbers beyond 32 bits; give them as floats, or say dtype=")
    return np.dtype(np.float32) if found.kind == "f" and found.itemsize > 4 else found


def _number(given: Any) -> Any:
    if isinstance(given, tuple) or np.shape(given):
        what = "another mean" if isinstance(given, Mean) else shape_of(given)
        raise ArgumentError(
            f"a mean takes part in arithmetic with single numbers only; got {what}. Return the parts of a loss by "
            'name, {"a": batch.mean(a), "b": 0.1 * batch.mean(b)}, or combine rows before: batch.mean(a + b)'
        )
    return given


@jax.tree_util.register_pytree_node_class
class Batch:
    """Named columns of some rows, and how much each row counts.

    ``batch.x`` is the column ``x``. ``weight`` is 0 for a row that only fills the batch up, else the row's
    own weight (a column called ``weight``) or 1: a weight of 2 means the same as the row standing there twice.
    """

    def __init__(self, columns: dict[str, Any], weight: Any) -> None:
        self.columns, self.weight = columns, weight

    @staticmethod
    def of(columns: dict[str, Any], real: Any = None) -> Batch:
        """A batch of rows of which ``real`` [rows] says which are data and which only fill up; None: all are data."""
        own = columns.get("weight")
        if real is None:
            real = jnp.ones(jax.tree.leaves(columns)[0].shape[0], bool)
        return Batch(columns, real.astype(jnp.float32) if own is None else jnp.where(real, own, 0.0))

    def __len__(self) -> int:
        return self.weight.shape[0]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self.__dict__.get("columns", {}):
            columns = self.__dict__.get("columns", {})
            raise MemberError(f"the batch has no column {name!r}{nearest(name, columns)}")
        return self.columns[name]

    def mean(self, rows: Any) -> Mean:
        """The mean over rows of ``rows`` [rows, ...], each counting as its weight; filling rows never matter.

        Raises:
            ShapeError: if ``rows`` has not one entry a row of the batch.
        """
        rows = jnp.asarray(rows)
        if rows.shape[:1] != self.weight.shape:
            raise ShapeError(
                f"batch.mean takes one entry a row, [{len(self)}, ...]; got {shape_of(rows)}. "
                "Losses are elementwise: leave the mean to the batch"
            )
        rows = rows.astype(jnp.promote_types(rows.dtype, jnp.float32))
        w = self.weight.reshape(-1, *[1] * (rows.ndim - 1))
        return Mean(jnp.where(w > 0, w * rows, 0).sum(0), self.weight.sum())

    def tree_flatten(self) -> tuple[tuple, None]:
        """For JAX."""
        return (self.columns, self.weight), None

    @classmethod
    def tree_unflatten(cls, _: None, leaves: Any) -> Batch:
        """For JAX."""
        return cls(*leaves)


Scored = tuple[dict[str, Mean], dict[str, Mean]]
"""The parts of a loss, and metrics, by name."""


def scored(out: Any, name: str = "loss") -> Scored:
    """What an objective returned, in full form: ``loss | {part: loss} | (either, {metric: Mean})``."""
    parts, metrics = out if type(out) is tuple else (out, {})
    number = lambda v: jnp.asarray(v, jnp.promote_types(jnp.result_type(v), jnp.float32))
    lift = lambda v: v if isinstance(v, Mean) else Mean(number(v), jnp.ones(()))
    parts = parts if isinstance(parts, dict) else {name: parts}
    for what, given in {**parts, **metrics}.items():
        if np.shape(lift(given).value):
            raise ShapeError(
                f"{what!r} must be one number, such as batch.mean(rows) with rows [rows]; "
                f"got {shape_of(lift(given).value)}"
            )
    return {k: lift(v) for k, v in parts.items()}, {k: lift(v) for k, v in metrics.items()}


def loss_of(parts: dict[str, Mean]) -> Any:
    """The loss that is minimized: the sum of its parts."""
    return sum(m.value for m in parts.values())
