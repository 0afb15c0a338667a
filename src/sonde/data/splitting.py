"""Which rows go into which part: at random, by groups that stay together, by time, or as a column says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from sonde._errors import ArgumentError, DataError, shape_of

PARTS = {
    "train": "train",
    **dict.fromkeys(("valid", "validation", "val", "dev"), "valid"),
    "test": "test",
}
"""What a column of parts may say, and the split that it means."""

_DRAWS = 64
_NEWEST_FIRST = ("test", "valid")
_FEW_CLASSES = 100


def split_rows(
    n: int,
    fractions: Mapping[str, float],
    seed: int = 0,
    classes: Any = None,
    groups: Any = None,
    times: Any = None,
) -> dict[str, np.ndarray]:
    """Rows 0 .. n-1 parted: a part a fraction, and the rest as ``"train"``.

    Args:
        n: rows.
        fractions: the size of each part, by name.
        seed: which rows go where.
        classes: [n] whole numbers; every part gets the same mix of them (where there are enough of each).
        groups: [n] whom each row is of (a patient, a document): the rows of a group stay together. Sizes and the
            mix of classes are then as near to what is asked as the best of 64 orders of the groups comes.
            (scikit-learn's `GroupShuffleSplit` counts groups, not rows, and knows no classes.)
        times: [n] when each row was made, numbers or dates: the newest rows are ``"test"``, those before
            ``"valid"``, and the oldest are for training. Rows of one moment stay together.

    Returns:
        Row numbers by part, ``"train"`` first.

    Raises:
        ArgumentError: the fractions leave nothing for training, or both groups and times are given.
        DataError: a column has another length or lacks values, or there are fewer groups or moments than parts.

    Example:
        >>> from sonde.data import split_rows
        >>> {part: len(rows) for part, rows in split_rows(10, {"test": 0.3}).items()}
        {'train': 7, 'test': 3}
        >>> split_rows(6, {"test": 0.3}, groups=["a", "a", "b", "b", "c", "c"])["test"].tolist()
        [4, 5]
        >>> split_rows(6, {"test": 0.3}, times=[2020, 2024, 2021, 2023, 2022, 2019])["test"].tolist()
        [1, 3]
    """
    if groups is not None and times is not None:
        raise ArgumentError("rows are split by groups or by times, not by both; leave one out")
    sizes = _sizes(n, fractions)
    if groups is not None:
        return _by_groups(sizes, _codes("groups", groups, n), seed, classes)
    if times is not None:
        return _by_times(sizes, _codes("times", times, n))
    return _at_random(n, sizes, seed, classes)


def given_rows(column: Any) -> dict[str, np.ndarray]:
    """Rows by the part that a column names for each.

    Args:
        column: [rows] of ``train``, ``valid`` (``validation``, ``val``, ``dev``) and ``test``, in any case.

    Returns:
        Row numbers by part, ``"train"`` first; parts that no row names are absent.

    Raises:
        DataError: a row names another part or none, or no row is for training.

    Example:
        >>> from sonde.data.splitting import given_rows
        >>> {part: rows.tolist() for part, rows in given_rows(["train", "Test", "train", "val"]).items()}
        {'train': [0, 2], 'valid': [3], 'test': [1]}
    """
    said = np.asarray(column, object)
    if said.ndim != 1:
        raise DataError(f"a column of parts has one name a row; got {shape_of(said)}")
    parts = np.array([PARTS.get(str(name).strip().lower(), "") for name in said], object)
    if unknown := np.flatnonzero(parts == "").tolist():
        raise DataError(
            f"{said[unknown[0]]!r} in row {unknown[0]} names no part of the data; it must be one of {', '.join(PARTS)}"
        )
    if "train" not in parts:
        raise DataError("the column of parts leaves no row for training; name some rows 'train'")
    return {part: rows for part in ("train", "valid", "test") if len(rows := np.flatnonzero(parts == part))}


def _sizes(n: int, fractions: Mapping[str, float]) -> dict[str, int]:
    for part, fraction in fractions.items():
        if not 0 <= fraction < 1:
            raise ArgumentError(f"the {part} split must be a fraction in [0, 1); got {fraction!r}")
    if sum(fractions.values()) >= 1:
        raise ArgumentError(f"the splits {dict(fractions)} leave no rows for training")
    sizes = {part: round(fraction * n) for part, fraction in fractions.items()}
    if sum(sizes.values()) >= n:
        raise ArgumentError(f"the splits {dict(fractions)} of {n} rows leave none for training")
    return sizes


def _at_random(n: int, sizes: dict[str, int], seed: int, classes: Any) -> dict[str, np.ndarray]:
    from sklearn.model_selection import train_test_split

    rest, parts = np.arange(n), {}
    for i, (part, size) in enumerate(sizes.items()):
        if not size:
            parts[part] = rest[:0]
            continue
        stratify = None if classes is None else np.asarray(classes)[rest]
        if stratify is not None:
            counts = np.unique(stratify, return_counts=True)[1]
            enough = counts.min() >= 2 and size >= len(counts) <= len(rest) - size
            stratify = stratify if enough else None
        rest, parts[part] = train_test_split(rest, test_size=size, random_state=seed + i, stratify=stratify)
    return {"train": np.sort(rest)} | {part: np.sort(rows) for part, rows in parts.items()}


def _by_groups(sizes: dict[str, int], groups: np.ndarray, seed: int, classes: Any) -> dict[str, np.ndarray]:
    rng, kinds = np.random.default_rng(seed), np.zeros(len(groups), int)
    if classes is not None:
        kinds = _codes("classes", classes, len(groups))
        kinds = kinds if kinds.max() < _FEW_CLASSES else np.zeros_like(kinds)
    counts = np.zeros((groups.max() + 1, kinds.max() + 1), int)
    np.add.at(counts, (groups, kinds), 1)
    whole = counts.sum(0)

    def drawn(rest: np.ndarray, size: int, later: int) -> np.ndarray:
        draws = (rng.permutation(rest) for _ in range(_DRAWS))
        heads = [_head(order, counts, whole * (size / len(groups)), later) for order in draws]
        return min(heads, key=lambda head: head[1])[0]

    return _assign(sizes, groups, drawn, "groups")


def _by_times(sizes: dict[str, int], times: np.ndarray) -> dict[str, np.ndarray]:
    rank = lambda part: _NEWEST_FIRST.index(part) if part in _NEWEST_FIRST else len(_NEWEST_FIRST)
    ordered = {part: sizes[part] for part in sorted(sizes, key=rank)}
    counts = np.bincount(times)[:, None]

    def newest(rest: np.ndarray, size: int, later: int) -> np.ndarray:
        return _head(rest[::-1], counts, np.array([size]), later)[0]

    parts = _assign(ordered, times, newest, "moments")
    return {part: parts[part] for part in ("train", *sizes)}


def _assign(sizes: dict[str, int], units: np.ndarray, take: Callable, what: str) -> dict[str, np.ndarray]:
    """Units that stay together (groups, moments) to parts; ``take`` picks those of a part of the ones left."""
    wanted = {part: size for part, size in sizes.items() if size}
    rest = np.arange(units.max() + 1)
    if len(rest) <= len(wanted):
        parts = ", ".join(("train", *wanted))
        raise DataError(f"{len(rest)} {what} cannot be split into {parts}: each part needs at least one of its own")
    parts = {part: rest[:0] for part in sizes}
    for i, (part, size) in enumerate(wanted.items()):
        taken = take(rest, size, len(wanted) - i)
        parts[part] = np.flatnonzero(np.isin(units, taken))
        rest = np.setdiff1d(rest, taken)
    return {"train": np.flatnonzero(np.isin(units, rest))} | parts


def _head(order: np.ndarray, counts: np.ndarray, wanted: np.ndarray, later: int) -> tuple[np.ndarray, float]:
    """The first units of an order whose counts come nearest to the wanted ones, and by how much they miss them.

    ``later`` units at least stay for the parts that follow.
    """
    miss = np.abs(counts[order[: len(order) - later]].cumsum(0) - wanted).sum(1)
    return order[: miss.argmin() + 1], float(miss.min())


def _codes(name: str, column: Any, n: int) -> np.ndarray:
    """Values as whole numbers 0, 1, ... in their order; a column of another length or with gaps is refused."""
    values = column if isinstance(column, np.ndarray) else np.asarray(_plain(column))
    if values.shape != (n,):
        raise DataError(f"{name} must have one value a row, {n} of them; got {shape_of(values)}")
    values = _dates(values) if name == "times" else values
    bad = np.array([v is None or v != v for v in values]) if values.dtype.kind == "O" else values != values
    if bad.any():
        raise DataError(
            f"{name} lacks {int(bad.sum())} values, the first in row {int(bad.argmax())}; fill them or drop the rows"
        )
    if values.dtype.kind == "O":
        known = {value: i for i, value in enumerate(dict.fromkeys(values))}
        return np.array([known[value] for value in values])
    return np.unique(values, return_inverse=True)[1]


def _plain(column: Iterable) -> Any:
    """A list as it is, unless NumPy would make text of its gaps."""
    values = list(column)
    return np.array([*values, None], object)[:-1] if any(isinstance(value, str) for value in values) else values


def _dates(times: np.ndarray) -> np.ndarray:
    """Numbers and dates as they are, dates of other kinds (Python's, ISO text) as NumPy's."""
    if times.dtype.kind in "fiubmM":
        return times
    try:
        return times.astype("datetime64[us]")
    except (TypeError, ValueError) as error:
        raise DataError(f"times must be numbers or dates, so that they have an order; got others ({error})") from None
