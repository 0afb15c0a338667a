"""From any source to a `Dataset`: read, split, fit the encoder on the training rows, encode."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sonde._errors import ArgumentError, DataError, nearest
from sonde.data.checks import examine_table
from sonde.data.dataset import Dataset
from sonde.data.dates import Date, as_dates, formats_of
from sonde.data.encoder import Encoder, Labels, Windows, as_encoding, blaming, rows_of_table, task_of
from sonde.data.files import CARD, open_folder
from sonde.data.images import BrokenImages, broken
from sonde.data.splitting import given_rows, split_rows
from sonde.data.tables import Table, is_picture, table_of


def read(
    source: Any,
    target: str | None = None,
    *,
    task: str = "auto",
    columns: Mapping[str, Any] | None = None,
    drop: Any = (),
    valid: float = 0.15,
    test: float = 0.15,
    seed: int = 0,
    groups: str | None = None,
    time: str | None = None,
    split: str | None = None,
    weight: str | None = None,
    window: Windows | None = None,
) -> Dataset:
    """A data set from a CSV or Parquet file, arrays, a frame, or a folder of images; nothing has to be numbers.

    A folder that `write` wrote is opened as it is.

    The rows are split first; the encoder is fitted on the training rows only. What has to be known of the
    columns to encode new rows is in ``data.encoder``, which the artifact keeps.

    Args:
        source: what `table_of` takes.
        target: the column to predict; for images in sub-folders, the sub-folder if nothing is said.
        task: ``"classes"``, ``"numbers"``, or ``"auto"``: see `task_of`.
        columns: encodings, or words for them, of columns where the choice is yours; see `Encoder.of`.
        drop: columns to leave out.
        valid: the fraction of rows for validation.
        test: the fraction of rows for testing.
        seed: which rows go where.
        groups: a column; rows where it is equal stay together (a patient, a house). It is no input.
        time: a column; the newest rows are for testing, those before for validation.
        split: a column that says train, valid or test. It is no input.
        weight: a column that says how much a row counts. It is no input.
        window: cut the rows into windows of a series; they are split by time, or by their order.

    Returns:
        A `Dataset` with an encoder; ``data.notes`` says what was decided and what looks odd.

    Example:
        >>> import sonde as sd
        >>> rows = [{"size": 30 + 7 * i % 90, "kind": "flat", "price": 2.5 * (7 * i % 90)} for i in range(100)]
        >>> data = sd.data.read(rows, target="price", drop=["kind"])
        >>> data.train.x.shape, data.encoder.features
        ((70, 1), ('size',))
    """
    if isinstance(source, str | Path) and (Path(source) / CARD).exists():
        return open_folder(source)
    table = table_of(source)
    if isinstance(source, str | Path) and Path(source).is_dir():
        target = target or ("label" if "label" in table else None)
        split = split or ("split" if "split" in table else None)
        if target is None:
            raise DataError(f"{source} holds images but no sub-folders, so nothing says what they show")
    for name in (*drop, *(columns or {}), *filter(None, (target, groups, time, split, weight))):
        if name not in table:
            raise DataError(f"there is no column {name!r}{nearest(name, table)}")
    if sum(v is not None for v in (groups, time, split)) > 1:
        raise ArgumentError("rows are split by groups, by time, or as a column says; choose one")
    notes: list[str] = []
    if target is not None:
        table, dropped = _with_target(table, target)
        notes += [f"{dropped:,} rows have no {target}, and are left out"] if dropped else []
    apart = {name for name in (groups, split, weight) if name}
    inputs = {name: c for name, c in table.items() if name not in apart and name not in drop}
    left_out, found = examine_table(inputs, target, {*(columns or {}), *filter(None, [time])})
    notes += [f"column {name!r} is left out: {why}" for name, why in left_out.items()] + list(found)
    inputs = {name: c for name, c in inputs.items() if name not in left_out}
    if groups is not None:
        notes.append(f"column {groups!r} keeps rows together and is no input")
    if target is None:
        named = ", ".join(map(repr, inputs))
        notes.append(f"no target is named, so nothing can be predicted; target= (--target) takes one of {named}")

    if left_out and window is None and not inputs.keys() - {target}:
        raise DataError(
            f"no column is left to learn from: {'; '.join(f'{name!r} is {why}' for name, why in left_out.items())}"
        )

    dated = {name for name in table if name in inputs and (name != target or window is not None)} | {time}
    dates, doubts = _dates({name: c for name, c in table.items() if name in dated}, columns or {})
    notes += doubts
    own = {**(columns or {}), **dates}
    moments = None if time is None else _moments(time, table[time], own.get(time))
    parts = _split(table, target, task, valid, test, seed, groups, time, moments, split, window)
    own = {name: e for name, e in own.items() if name in inputs}
    encoded: dict[str, Any] = {}
    try:
        encoder = Encoder.of(rows_of_table(inputs, parts["train"]), target, task=task, columns=own, window=window)
        encoded = {part: _encoded(encoder, inputs, rows, part) for part, rows in parts.items() if len(rows)}
    except BrokenImages:  # in one split; those in the others are named with them
        for name, values in inputs.items():
            if all(v is None or is_picture(v) for v in values) and (said := broken(values)):
                raise DataError(f"column {name!r}: {said}") from None
        raise
    if weight is not None:
        if window is not None:
            raise ArgumentError("windows of a series have no weights")
        for part in encoded:
            encoded[part]["weight"] = table[weight][parts[part]]
    return Dataset(**encoded, labels=encoder.labels, encoder=encoder, notes=tuple(notes))


def _encoded(encoder: Encoder, inputs: Table, rows: np.ndarray, part: str) -> dict[str, Any]:
    """Some rows as arrays."""
    try:
        return encoder.encode(rows_of_table(inputs, rows))
    except BrokenImages:
        raise
    except DataError as error:
        raise DataError(f"in the {part} split, {error}") from None


def _with_target(table: Table, target: str) -> tuple[Table, int]:
    """The rows that have a target, and how many have none."""
    y = table[target]
    if y.ndim > 1:
        raise DataError(f"the target {target!r} must be one value a row; got rows of {list(y.shape[1:])}")
    missing = np.isnan(y) if y.dtype.kind == "f" else np.array([v is None for v in y]) if y.dtype == object else None
    if missing is None or not missing.any():
        return table, 0
    if missing.all():
        raise DataError(f"the target {target!r} is missing in every row")
    return rows_of_table(table, ~missing), int(missing.sum())


def _dates(inputs: Table, columns: Mapping[str, Any]) -> tuple[dict[str, Date], list[str]]:
    """Dates written as text, in the format that all rows fit, and the columns where two formats do."""
    dates, doubts = {}, []
    for name, values in inputs.items():
        meant = as_encoding(columns[name], values) if name in columns else None
        if values.dtype != object or not (meant is None or isinstance(meant, Date)):
            continue
        found = formats_of(values)
        if meant is None and not found:
            continue
        with blaming(name):
            dates[name] = (meant or Date()).told(values)
        if len(found) > 1 and (meant is None or not meant.format):
            doubts.append(
                f"column {name!r} fits {found[0]} and {found[1]}, and is read as {found[0]}; if the month comes first, "
                f"say columns={{{name!r}: 'month-first'}} (--column {name}=month-first), else 'day-first'"
            )
    return dates, doubts


def _moments(name: str, values: np.ndarray, encoding: Any) -> np.ndarray:
    """What orders the rows in time: numbers or dates as they are, text as dates."""
    if values.dtype != object:
        return values
    with blaming(name):
        told = (encoding if isinstance(encoding, Date) else Date()).told(values)
        return as_dates(values, told.format)


def _split(
    table: Table, target: str | None, task: str, valid: float, test: float, seed: int,
    groups: str | None, time: str | None, moments: np.ndarray | None, split: str | None, window: Windows | None,
) -> dict[str, np.ndarray]:  # fmt: skip
    n = len(next(iter(table.values())))
    fractions = {"test": test, "valid": valid}
    if split is not None:
        parts = given_rows(table[split])
        if "train" not in parts:
            raise DataError(f"column {split!r} names no row 'train'")
        if "valid" not in parts and valid:  # a part of the training rows, so that the test split stays as given
            rows = parts["train"]
            inner = split_rows(len(rows), {"valid": valid}, seed, _classes(table, target, task, rows))
            parts |= {name: rows[some] for name, some in inner.items()}
        return parts
    if moments is not None and window is not None and (np.diff(moments.astype(np.int64)) < 0).any():
        raise DataError(f"windows are cut from rows in their order; sort them by {time!r} first")
    if moments is not None or window is not None:
        return split_rows(n, fractions, seed, times=np.arange(n) if moments is None else moments)
    return split_rows(
        n,
        fractions,
        seed,
        classes=_classes(table, target, task, slice(None)),
        groups=None if groups is None else table[groups],
    )


def _classes(table: Table, target: str | None, task: str, rows: Any) -> np.ndarray | None:
    """The target as whole numbers, if it is one of classes."""
    if target is None or (task_of(table[target]) if task == "auto" else task) != "classes":
        return None
    y = table[target][rows]
    return Labels().fit(y).encode(y)
