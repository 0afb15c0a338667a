"""The encoder: raw tables to the columns a network takes, and labels back into names. Fitted once, then frozen."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from sonde._errors import ArgumentError, DataError, SourceError, check_whole, nearest, shape_of
from sonde._value import Value
from sonde.data.dates import Date, formats_of
from sonde.data.encoding import (
    Amount,
    Array,
    Boolean,
    Categorical,
    Encoding,
    Labels,
    Numeric,
)
from sonde.data.images import Picture
from sonde.data.tables import Table, is_picture, missing, table_of
from sonde.data.text import BagOfWords, Tokens, words_of

WORDS: dict[str, Encoding] = {
    "number": Numeric(),
    "min-max": Numeric("min-max"),
    "robust": Numeric("robust"),
    "log": Numeric(log=True),
    "category": Categorical(),
    "boolean": Boolean(),
    "date": Date(),
    "day-first": Date("day-first"),
    "month-first": Date("month-first"),
    "text": BagOfWords(),
    "words": Tokens("word"),
    "characters": Tokens("character"),
    "image": Picture(),
    "array": Array(),
}
"""Encodings by the words that the command line and files have for them."""

TASKS = ("auto", "classes", "numbers")


class Windows(Value):
    """A series as windows: ``steps`` rows up to a moment, and the target ``horizon`` rows after it. No look-ahead.

    Example:
        >>> import sonde as sd
        >>> table = {"load": [1.0, 2.0, 3.0, 4.0, 5.0]}
        >>> encoder = sd.data.Encoder.of(table, "load", window=sd.data.Windows(3, horizon=1))
        >>> part = encoder.encode(table)
        >>> part["x"].shape, part["y"].tolist()
        ((2, 3, 1), [4.0, 5.0])
    """

    steps: int = 24
    horizon: int = 1

    def check(self) -> None:
        """Refuse windows of no rows, and targets that are not ahead."""
        for name in ("steps", "horizon"):
            check_whole(self, name)

    def cut(self, x: np.ndarray) -> np.ndarray:
        """[rows, features] as windows [rows - steps + 1, steps, features]; window i ends with row i + steps - 1."""
        if len(x) < self.steps:
            raise DataError(f"a window needs {self.steps} rows; there are {len(x)}")
        return np.lib.stride_tricks.sliding_window_view(x, self.steps, axis=0).swapaxes(1, 2)


class Encoder(Value):
    """How raw columns become ``x`` and ``y``: an encoding a column, fitted on training rows only.

    Features of all columns stand side by side in ``x`` [rows, features]. An image, an array or a sequence is a
    column of its own: ``x`` if nothing stands beside it, else under its own name.

    Args:
        columns: ``((name, encoding), ...)`` of the inputs.
        target: ``((name, encoding),)`` of what is predicted, or nothing.
        window: for a series.

    Example:
        >>> import sonde as sd
        >>> rows = {"age": [20, 30, None], "city": ["Bonn", "Graz", "Bonn"], "buys": ["no", "yes", "no"]}
        >>> encoder = sd.data.Encoder.of(rows, target="buys")
        >>> encoder.features
        ('age', 'age is missing', 'city = Bonn', 'city = Graz')
        >>> encoder.encode({"age": [25], "city": ["Oslo"]})["x"].tolist(), encoder.labels
        ([[0.0, 0.0, 0.0, 0.0]], ('no', 'yes'))
    """

    columns: tuple[tuple[str, Encoding], ...]
    target: tuple[tuple[str, Encoding], ...] = ()
    window: Windows | None = None

    def check(self) -> None:
        """Refuse what is no encoding, and a window over what is no series of numbers."""
        for pair in (*self.columns, *self.target):
            if not (isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[1], Encoding)):
                raise ArgumentError(f"an encoder takes pairs of a column's name and its encoding; got {pair!r}")
        if not self.columns:
            raise ArgumentError("an encoder needs at least one column")
        if self.window is not None and any(encoding.alone for _, encoding in self.columns):
            raise ArgumentError("windows are cut from numbers, categories and dates; not from images or text")

    @staticmethod
    def of(
        table: Any,
        target: str | None = None,
        *,
        task: str = "auto",
        columns: Mapping[str, Any] | None = None,
        drop: Any = (),
        window: Windows | None = None,
    ) -> Encoder:
        """An encoder fitted on a table of training rows; what is not said is chosen by `chosen` and `task_of`.

        Args:
            table: training rows, as `table_of` takes them.
            target: the column to predict.
            task: ``"classes"``, ``"numbers"``, or ``"auto"`` (numbers for a series of numbers).
            columns: an encoding, or a word for one (see `WORDS`), for the columns where the choice is yours.
            drop: columns to leave out.
            window: cut the rows, in their order, into windows; the target's past is an input then.
        """
        table, given = table_of(table), dict(columns or {})
        for name in (*given, *drop, *([target] if target else [])):
            if name not in table:
                raise DataError(f"there is no column {name!r}{nearest(name, table)}")
        inputs = [n for n in table if n not in drop and (n != target or window is not None)]
        if not inputs:
            raise DataError("there is no column to learn from; only the target is left")
        fitted = []
        for name in inputs:
            with blaming(name):
                fitted.append((name, as_encoding(given.get(name), table[name]).fit(table[name])))
        goal = ()
        if target is not None:
            with blaming(target):
                series = window is not None and table[target].dtype.kind in "iuf"
                kind = task if task != "auto" else "numbers" if series else task_of(table[target])
                if kind not in TASKS:
                    raise ArgumentError(f"task must be one of {', '.join(TASKS)}; got {task!r}{nearest(task, TASKS)}")
                goal = ((target, (Labels() if kind == "classes" else Amount()).fit(table[target])),)
        return Encoder(tuple(fitted), goal, window)

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the features in ``x`` [rows, features]."""
        return tuple(f for name, encoding in self.columns if not encoding.alone for f in encoding.names(name))

    @property
    def labels(self) -> tuple[str, ...] | None:
        """The names of the classes, or None if numbers are predicted."""
        return next((e.classes for _, e in self.target if isinstance(e, Labels)), None)

    @property
    def amount(self) -> Amount | None:
        """What is known of the target's units, or None if classes are predicted."""
        return next((e for _, e in self.target if isinstance(e, Amount)), None)

    def has_target(self, table: Mapping[str, Any]) -> bool:
        """Whether the rows of a table say what is right."""
        return bool(self.target) and self.target[0][0] in table

    def inputs(self, raw: Any) -> dict[str, Any]:
        """What the network takes, for raw rows; the target is not looked at.

        Args:
            raw: what `table_of` takes; an array [rows, columns] stands for the columns in their order.

        Raises:
            DataError: a column is missing, or is not of the kind that it was fitted for; it is named.
        """
        table = self._table(raw)
        features, apart = [], {}
        for name, encoding in self.columns:
            with blaming(name):
                encoded = encoding.encode(table[name])
            if encoding.alone:
                apart[name] = encoded
            else:
                features.append(encoded)
        if features:
            x = np.concatenate(features, 1)
            return {"x": x if self.window is None else self.window.cut(x)} | apart
        return {"x": next(iter(apart.values()))} if len(apart) == 1 else apart

    def encode(self, raw: Any) -> dict[str, Any]:
        """Inputs, and ``y`` if the target is among the columns: rows to train on or to judge by.

        Of a series, only the windows whose target is known.
        """
        table = table_of(raw)
        encoded = self.inputs(table)
        if not self.has_target(table):
            return encoded
        ((name, encoding),) = self.target
        with blaming(name):
            y = encoding.encode(table[name])
        if self.window is None:
            return encoded | {"y": y}
        ahead = self.window.steps - 1 + self.window.horizon
        if len(y) <= ahead:
            raise DataError(f"a series needs more than {ahead} rows for one window and its target; there are {len(y)}")
        return {"x": encoded["x"][: len(y) - ahead], "y": y[ahead:]}

    def odd(self, raw: Any) -> list[str]:
        """What rows have that no training row had, a line a column, though they are encoded all the same.

        That is: a category that is none of the known ones (it counts as none of them), a column that is missing in
        every row, or a number or a date over ten spreads from the center of those in training.

        Args:
            raw: what `inputs` takes.

        Example:
            >>> import sonde as sd
            >>> encoder = sd.data.Encoder.of({"age": [20, 30, 40], "city": ["Bonn", "Graz", "Bonn"]})
            >>> for line in encoder.odd({"age": [35, 2000], "city": ["Oslo", "Bonn"]}):
            ...     print(line)
            column 'age': 1 of 2 rows has a value over 10 spreads from those in training (row 1: 2000)
            column 'city': 1 of 2 rows has none of the 2 known categories (row 0: 'Oslo')
        """
        table, lines = self._table(raw), []
        for name, encoding in self.columns:
            values = table[name]
            if values.ndim == 1 and missing(values).all():
                lines.append(f"column {name!r} is missing in every row")
                continue
            with blaming(name):
                lines += [f"column {name!r}: {said}"] if (said := encoding.odd(values)) else []
        return lines

    def _table(self, raw: Any) -> Table:
        """Raw rows as a table that has every column."""
        table = self._named(raw) if isinstance(raw, np.ndarray) else table_of(raw)
        for name, _ in self.columns:
            if name not in table:
                raise DataError(f"the network needs the column {name!r}{nearest(name, table)}")
        return table

    def _named(self, rows: np.ndarray) -> Table:
        """An array as a table: its columns in the order of ours."""
        if len(self.columns) == 1 and self.columns[0][1].alone:
            return {self.columns[0][0]: rows}
        if rows.ndim != 2 or rows.shape[1] != len(self.columns):
            names = ", ".join(name for name, _ in self.columns)
            raise DataError(f"the network takes rows with the columns {names}; got {shape_of(rows)}")
        return table_of({name: rows[:, i] for i, (name, _) in enumerate(self.columns)})

    def summary(self) -> list[str]:
        """What is taken for what, in a few words: columns by their kind, and the target."""
        kinds: dict[str, list[str]] = {}
        for name, encoding in self.columns:
            kinds.setdefault(re.split("[,(]", _described(encoding))[0], []).append(name)
        lines = [f"{kind}: {', '.join(names)}" for kind, names in kinds.items()]
        if self.window is not None:
            lines.append(f"windows of {self.window.steps} rows, the target {self.window.horizon} after them")
        return lines + [f"predicts {name}: {_described(encoding)}" for name, encoding in self.target]

    def describe(self) -> str:
        """A line a column: what it is taken for."""
        return "\n".join(f"  {name}: {kind}" for name, kind in self.lines())

    def lines(self) -> list[tuple[str, str]]:
        """Each column with what it is taken for, the target last."""
        columns = [(name, _described(e)) for name, e in self.columns]
        return columns + [(f"{name} (target)", _described(e)) for name, e in self.target]


def task_of(target: np.ndarray) -> str:
    """``"classes"`` for text, truths, and up to 20 different whole numbers; else ``"numbers"``.

    More than two whole numbers of which none comes twice are numbers: there is nothing to learn of such classes.
    """
    if target.dtype.kind in "Ob":
        return "classes"
    there = target[~np.isnan(target)] if target.dtype.kind == "f" else target
    whole = target.dtype.kind in "iu" or bool((there == np.round(there)).all())
    distinct = len(np.unique(there))
    return "classes" if whole and distinct <= 20 and (distinct < len(there) or distinct <= 2) else "numbers"


def chosen(values: np.ndarray) -> Encoding:
    """The encoding of a raw column of which nothing is said.

    Dates are dates and truths are booleans. Numbers are standardized, after a logarithm if they are never negative
    and very skewed (skewness above 2). Text is an image if it names image files; a date if all of it fits a format
    of dates (see `formats_of`); a category if a value comes twice on average, or is a word or two; else a bag of words.
    """
    kind = values.dtype.kind
    if values.ndim > 1:
        return Array()
    if kind == "M":
        return Date()
    if kind == "b":
        return Boolean()
    if kind in "iuf":
        there = values[np.isfinite(values)].astype(float)
        if len(there) and there.min() >= 0 and there.std() > 0:
            skewness = (((there - there.mean()) / there.std()) ** 3).mean()
            return Numeric(log=bool(skewness > 2))
        return Numeric()
    there = [v for v in values if v is not None]
    if there and all(map(is_picture, there)):
        return Picture()
    if formats := formats_of(values):
        return Date(formats[0])
    truths = {"true", "false", "yes", "no"}
    if there and {v.lower() for v in there} <= truths:
        return Boolean()
    lengths = sorted(len(words_of(v)) for v in there)
    wordy = bool(lengths) and lengths[len(lengths) // 2] > 2
    return BagOfWords() if wordy and 2 * len(set(there)) > len(there) else Categorical()


def as_encoding(given: Any, values: np.ndarray) -> Encoding:
    """An encoding as itself, a word for one, or the chosen one if nothing is given."""
    if given is None:
        return chosen(values)
    if isinstance(given, Encoding):
        return given
    if given in WORDS:
        return WORDS[given]
    raise ArgumentError(f"no encoding is called {given!r}{nearest(str(given), WORDS)}")


@contextlib.contextmanager
def blaming(column: str) -> Iterator[None]:
    """Errors name the column."""
    try:
        yield
    except (DataError, SourceError) as error:
        raise type(error)(f"column {column!r}: {error}") from None


def _described(e: Encoding) -> str:
    if isinstance(e, Numeric):
        steps = (f"{'log, ' if e.log else ''}{e.scale}", "missing values filled and flagged" if e.flag else "")
        return "number, " + ", ".join(filter(None, steps))
    if isinstance(e, Categorical):
        return f"category, one of {len(e.categories)}"
    if isinstance(e, Labels):
        return f"class, one of {', '.join(e.classes[:10])}{', ...' if len(e.classes) > 10 else ''}"
    if isinstance(e, Amount):
        return f"number, {e.center:.6g} on average, standard deviation {e.spread:.6g}"
    if isinstance(e, BagOfWords):
        return f"text, {len(e.words):,} words counted"
    if isinstance(e, Tokens):
        return f"text, {len(e.vocabulary):,} {e.by}s, {e.longest} at most"
    if isinstance(e, Picture):
        return f"image, {e.height} x {e.width} x {e.channels}"
    if isinstance(e, Array):
        return f"array, {e.dtype}{list(e.shape)}"
    if isinstance(e, Date):
        return f"date, written {e.format}" if e.format else "date"
    return "true or false" if isinstance(e, Boolean) else repr(e)


def rows_of_table(table: Table, rows: Any) -> Table:
    """Some rows of every column."""
    return {name: column[rows] for name, column in table.items()}
