"""A dataset: named columns per split, checked at the door."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from sonde._batch import Padded
from sonde._errors import ArgumentError, DataError, MemberError, is_whole, nearest, shape_of
from sonde._html import listed, table
from sonde._store import fingerprint
from sonde.data.checks import examine
from sonde.data.encoder import Encoder
from sonde.data.mapping import evidence, pieces
from sonde.data.splitting import split_rows

_SHOWN = 20  # classes that a notebook shows


class Columns(Mapping[str, np.ndarray]):
    """Arrays of equally many rows by name; ``columns.x`` is ``columns["x"]``."""

    def __init__(self, columns: Mapping[str, Any], split: str = "data") -> None:
        self._hold({name: _checked(name, column, split) for name, column in columns.items()}, split)

    @classmethod
    def trusted(cls, columns: Mapping[str, Any], split: str, ranges: Mapping[str, tuple[float, float]]) -> Columns:
        """Columns whose values were checked when they were written, with the range of each: none is read."""
        self = cls.__new__(cls)
        self._hold(dict(columns), split)
        self._ranges.update(ranges)
        return self

    def _hold(self, columns: dict[str, Any], split: str) -> None:
        self._columns, self._ranges = columns, dict[str, tuple[float, float]]()
        rows = {name: len(column) for name, column in self._columns.items()}
        if not rows:
            raise DataError(f"the {split} split has no columns")
        if len(set(rows.values())) > 1:
            raise DataError(f"the columns of the {split} split differ in length: {rows}")
        if not self.rows:
            raise DataError(f"the {split} split has no rows")

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._columns:
            raise MemberError(f"there is no column {name!r}{nearest(name, self._columns)}")
        return self._columns[name]

    def __getattr__(self, name: str) -> np.ndarray:
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def range(self, name: str) -> tuple[float, float]:
        """The smallest and the largest value of a column."""
        if name not in self._ranges:
            column: Any = self[name]
            parts = pieces(column.values if isinstance(column, Padded) else column)
            low, high = zip(*((float(part.min()), float(part.max())) for part in parts), strict=True)
            self._ranges[name] = min(low), max(high)
        return self._ranges[name]

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(next(iter(self._columns.values())))

    def __repr__(self) -> str:
        each = (f"{k} {_row(v)}" for k, v in self._columns.items())
        return f"{self.rows:,} rows of {', '.join(each)}"


def _row(column: Any) -> str:
    """What a row of a column is, in words: ``float32[28, 28]``, or ``up to 5 steps of float32[2]``."""
    steps = isinstance(column, Padded)
    each = f"{column.dtype}{list(column.shape[1 + steps :]) or ''}"
    return f"up to {column.shape[1]} steps of {each}" if steps else each


def _checked(name: str, column: Any, split: str) -> Any:
    """A column as an array that a program can take; what cannot be trained on is refused."""
    if isinstance(column, Padded):
        return Padded(_checked(name, column.values, split), _checked(f"{name}.lengths", column.lengths, split))
    try:
        array = np.asarray(column)
    except ValueError:
        raise DataError(f"column {name!r} of the {split} split has rows of different lengths") from None
    if array.ndim == 0:
        raise DataError(f"column {name!r} of the {split} split is a single value, not an array of rows")
    if array.dtype.kind not in "fiub":
        raise DataError(
            f"column {name!r} of the {split} split holds {array.dtype} values; arrays of numbers are needed "
            "(sd.data.read numbers categories and keeps their names; of an array of names, "
            "names, y = np.unique(y, return_inverse=True))"
        )
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):  # what is beyond 32 bits becomes infinite, and is refused as such
            array = array.astype(np.float32) if array.dtype.itemsize > 4 else array
        each = tuple(range(1, array.ndim))
        bad = np.concatenate([~np.isfinite(part).all(axis=each) for part in pieces(array)])
        if bad.any():
            raise DataError(
                f"column {name!r} of the {split} split has {int(bad.sum())} rows with NaN or infinite values "
                f"(or beyond 32 bits), first row {int(bad.argmax())}; fill or drop them"
            )
    elif array.dtype.itemsize == 8:
        if len(array) and (array.max() > 2**31 - 1 or array.min() < -(2**31)):
            raise DataError(f"column {name!r} of the {split} split has whole numbers beyond 32 bits")
        array = array.astype(np.int32)
    if name == "weight" and (array.ndim != 1 or (array < 0).any()):
        raise DataError(
            f"column 'weight' of the {split} split must be one number of at least 0 a row; got {shape_of(array)}"
            + (f" with {array.min()} in row {int(array.argmin())}" if array.ndim == 1 else "")
        )
    return array


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """Named columns per split.

    Args:
        train: columns, such as ``{"x": ..., "y": ...}``: arrays with one leading axis of rows. A column
            ``weight`` says how much each row counts.
        valid: the same columns for choosing (when to stop, which network to keep), or None.
        test: the same columns for the last word, or None.
        labels: the names of the classes 0, 1, 2, ..., or None.
        encoder: what made the columns from raw ones, or None; the artifact takes raw rows by it.
        notes: what was decided when the data was read, in words.
        chunk: rows of ``train`` to have on the device at a time; a larger split is streamed. None: 64 MiB worth of
            rows of a split in files (see `open_folder`), and all rows of one in memory.

    Example:
        >>> import numpy as np
        >>> import sonde as sd
        >>> x, y = np.random.default_rng(0).normal(size=(100, 3)), np.arange(100) % 2
        >>> data = sd.data.Dataset.of(x, y, valid=0.2, test=0.2)
        >>> data.train.rows, data.valid.rows, data.test.rows, data.classes
        (60, 20, 20, 2)
    """

    train: Any
    valid: Any = None
    test: Any = None
    labels: tuple[str, ...] | None = None
    encoder: Encoder | None = None
    notes: tuple[str, ...] = ()
    chunk: int | None = None

    def __post_init__(self) -> None:
        if self.chunk is not None and not is_whole(self.chunk, 1):
            raise ArgumentError(f"chunk of a Dataset must be a number of rows, at least 1; got {self.chunk!r}")
        for split in ("train", "valid", "test"):
            given = getattr(self, split)
            if given is not None and not isinstance(given, Columns):
                object.__setattr__(self, split, Columns(given, split))
        for split in ("valid", "test"):
            given = getattr(self, split)
            if given is None:
                continue
            if missing := set(self.train) ^ set(given):
                raise DataError(f"the train and {split} splits differ in their columns: {', '.join(sorted(missing))}")
            for name in given:
                a, b = self.train[name], given[name]
                if a.shape[1:] != b.shape[1:] or a.dtype != b.dtype:
                    raise DataError(
                        f"column {name!r} is {shape_of(a[:1])} a row in train but {shape_of(b[:1])} in {split}"
                    )
        if self.labels is not None:
            object.__setattr__(self, "labels", tuple(map(str, self.labels)))
            for split, part in self.splits.items():
                _check_labels(part.get("y"), self.labels, split)

    @staticmethod
    def of(
        x: Any,
        y: Any = None,
        *,
        valid: float = 0.15,
        test: float = 0.15,
        seed: int = 0,
        labels: Any = None,
        groups: Any = None,
        times: Any = None,
        **columns: Any,
    ) -> Dataset:
        """Arrays, split at random; whole-number ``y`` is split so that every part has the same mix of classes.

        Args:
            x: inputs [rows, ...].
            y: labels or targets [rows, ...], or None.
            valid: the fraction of rows for validation (0: none).
            test: the fraction of rows for testing (0: none).
            seed: which rows go where.
            labels: names of the classes.
            groups: [rows] whom each row is of: rows of a group are never in two splits; see `split_rows`. No column.
            times: [rows] when each row was made: the newest rows are for testing, those before for validation.
                No column.
            columns: further columns, such as ``weight``.
        """
        whole = Columns({"x": x, **({} if y is None else {"y": y}), **columns})
        classes = whole["y"] if "y" in whole and _labels(whole["y"]) else None
        rows = split_rows(whole.rows, {"test": test, "valid": valid}, seed, classes, groups, times)
        parts: dict[str, Any] = {n: {k: v[r] for k, v in whole.items()} for n, r in rows.items() if len(r)}
        return Dataset(**parts, labels=labels)

    def only(self, *classes: int | str) -> Dataset:
        """The rows of some classes, in every split; these are numbered anew, in the order in which they are given.

        Raises:
            ArgumentError: there is no such class, or one is given twice.

        Example:
            >>> import sonde as sd
            >>> small = sd.data.load("digits").only(0, 1, 2, 3, 4)
            >>> small.classes, small.train.rows
            (5, 585)
        """
        names = self.labels or tuple(map(str, range(self.classes)))
        self._one_a_row()
        for name in map(str, classes):
            if name not in names:
                raise ArgumentError(f"there is no class {name!r}{nearest(name, names)}")
        if len(set(map(str, classes))) < max(len(classes), 1):
            raise ArgumentError(f"only takes one or more different classes; got {classes}")
        numbers = np.full(len(names), -1, np.int32)
        numbers[[names.index(str(name)) for name in classes]] = np.arange(len(classes))
        parts: dict[str, Any] = {}
        for split, part in self.splits.items():
            rows = np.flatnonzero(numbers[part.y] >= 0)
            parts[split] = _rows(part, rows) | {"y": numbers[part.y[rows]]}
        kept = tuple(map(str, classes))
        encoder = self.encoder
        if encoder is not None:
            encoder = encoder.replace(target=tuple((name, e.replace(classes=kept)) for name, e in encoder.target))
        return dataclasses.replace(self, **parts, labels=kept, encoder=encoder)

    def few(self, per_class: int, seed: int = 0) -> Dataset:
        """The same, with so many training rows of each class, drawn by the seed; the other splits stay.

        Raises:
            DataError: a class has fewer rows.

        Example:
            >>> import sonde as sd
            >>> sd.data.load("digits").few(20).train.rows
            200
        """
        return dataclasses.replace(self, train=_rows(self.train, self._of_each(per_class, seed)))

    def hold_out(self, per_class: int, seed: int = 0) -> Dataset:
        """The same, with so many training rows of each class, drawn by the seed, as the validation split instead.

        Raises:
            DataError: a class has fewer rows.

        Example:
            >>> import sonde as sd
            >>> data = sd.data.load("digits", valid=0).hold_out(25)
            >>> data.train.rows, data.valid.rows
            (1188, 250)
        """
        held = self._of_each(per_class, seed)
        rest = np.setdiff1d(np.arange(self.train.rows), held)
        return dataclasses.replace(self, train=_rows(self.train, rest), valid=_rows(self.train, held))

    def _of_each(self, per_class: int, seed: int) -> np.ndarray:
        """So many training rows of each class, in their order."""
        if not is_whole(per_class, 1):
            raise ArgumentError(f"per_class must be a whole number of at least 1; got {per_class!r}")
        self._one_a_row()
        counts = np.bincount(self.train.y, minlength=self.classes)
        if counts.min() < per_class:
            k = int(counts.argmin())
            name = self.labels[k] if self.labels else k
            raise DataError(f"{per_class:,} rows of each class are wanted; class {name!r} has {counts[k]:,} in train")
        rng = np.random.default_rng(seed)
        drawn = [rng.permutation(np.flatnonzero(self.train.y == k))[:per_class] for k in range(self.classes)]
        return np.sort(np.concatenate(drawn))

    def _one_a_row(self) -> None:
        if isinstance(self.train.y, Padded):
            raise ArgumentError("y has a label for each step of a sequence, so rows are of no one class")

    @property
    def classes(self) -> int:
        """How many classes ``y`` has: the named ones, else the largest label of any split plus one."""
        if self.labels is not None:
            return len(self.labels)
        if self.train.y.dtype.kind not in "iu":
            raise DataError("y holds numbers, not labels, so it has no classes")
        return max(int(part.range("y")[1]) for part in (self.train, self.valid, self.test) if part is not None) + 1

    @functools.cached_property
    def findings(self) -> tuple[str, ...]:
        """What looks wrong, each with a remedy: `notes`, and what `sonde.data.checks.examine` finds."""
        return (*self.notes, *examine(self))

    @property
    def splits(self) -> dict[str, Columns]:
        """The splits that there are, by name."""
        return {s: part for s in ("train", "valid", "test") if (part := getattr(self, s)) is not None}

    @property
    def fingerprint(self) -> str:
        """A digest of every value in it, by which a resumed run knows its data again.

        Of memory maps, which may be larger than what can be read in a while, it is a digest of their names, types,
        shapes, and the bytes of 64 blocks all over them. `chunk` is part of it where it is given.
        """
        arrays = {}
        for split, part in self.splits.items():
            for name, column in part.items():
                padded = isinstance(column, Padded)
                arrays |= {f"{split}/{name}": column.values if padded else column}
                arrays |= {f"{split}/{name}.lengths": column.lengths} if padded else {}
        if self.chunk is not None:
            arrays["chunk"] = np.array(self.chunk)
        return fingerprint(dict(evidence(name, array) for name, array in arrays.items()))

    def _repr_html_(self) -> str:
        """For notebooks: the columns of each split, how often each class is there, and what to know of them."""
        kinds = {name: _row(c) for name, c in self.train.items()}
        rows = [[name, kind, *(f"{part.rows:,}" for part in self.splits.values())] for name, kind in kinds.items()]
        told = [] if self.encoder is None else self.encoder.summary()
        told += [f"look: {finding}" for finding in self.findings]
        shown = table(["column", "a row", *self.splits], rows, "Dataset")
        return shown + self._counts() + (listed(told) if told else "")

    def _counts(self) -> str:
        """How often each class is there, as a table; nothing where there are no classes."""
        y = self.train.get("y")
        if not _labels(y):
            return ""
        classes = self.classes
        counts = [np.bincount(part.y, minlength=classes) for part in self.splits.values()]
        names = self.labels or tuple(map(str, range(classes)))
        few = [[names[k], *(f"{c[k]:,}" for c in counts)] for k in range(min(classes, _SHOWN))]
        more = f"the first {_SHOWN} of {classes:,} classes" if classes > _SHOWN else "rows of each class"
        return table(["class", *self.splits], few, more)

    def __repr__(self) -> str:
        lines = [f"  {split}: {part}" for split, part in self.splits.items()]
        return "Dataset\n" + "\n".join(lines)


def _rows(part: Any, rows: np.ndarray) -> dict[str, Any]:
    return {name: column[rows] for name, column in part.items()}


def _labels(y: Any) -> bool:
    """Whether a column has a whole number for each row."""
    return isinstance(y, np.ndarray) and y.ndim == 1 and y.dtype.kind in "iu"


def _check_labels(y: Any, labels: tuple[str, ...], split: str) -> None:
    """Refuse labels that have no name."""
    each = y.steps if isinstance(y, Padded) else y
    if not _labels(each):
        return
    for i in (int(each.argmax()), int(each.argmin())):
        if not 0 <= each[i] < len(labels):
            where = "row {}, step {}".format(*y.at(i)) if isinstance(y, Padded) else f"row {i}"
            raise DataError(
                f"y of the {split} split has the label {each[i]} in {where}, but the {len(labels)} named classes are "
                f"0 to {len(labels) - 1}; name every class, or number them from 0"
            )
