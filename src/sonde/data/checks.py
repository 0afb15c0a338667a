"""Checks at the door: what looks wrong in data, each in a plain sentence with what to do about it.

`examine_table` looks at raw tables, before anything is encoded; `examine` at the columns of a `Dataset`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np

from sonde._errors import DataError, nearest
from sonde.data.dates import as_dates, formats_of
from sonde.data.tables import is_picture, missing

LARGE, SAMPLE_ROWS, SAMPLE_BYTES = 2**27, 50_000, 2**25
"""Of columns of more than ``LARGE`` bytes, or on disk, so much at most is looked at, in evenly spaced rows."""

_ENOUGH = 50
_TINY = 10
_AGREE = 0.9999
_SCREEN = 200
_IDENTIFIER = re.compile(
    r"(?i:|id|idx|index|row|row_?(id|nr|num|number)|uuid|guid|unnamed(: ?\d+)?)|.+[_ -](?i:id)|.*[a-z]I[dD]"
)
_NUMBER = re.compile(  # with a mark for thousands, a currency or a unit
    r"[-+]?([$€£¥]?) ?[-+]?(?:\d{1,3}(?:[ ,.'’]\d{3})+|\d+)(?:[.,]\d+)? ?([%$€£¥]|[A-Za-zµ°²³/]{0,5})"
)


# ---------------------------------------------------------------------- data sets


def examine(data: Any) -> tuple[str, ...]:
    """What looks wrong in the columns ``x`` and ``y`` of a data set; empty for sets of fewer than ten rows.

    Args:
        data: a `Dataset`. Of columns of more than 128 MiB or on disk, evenly spaced rows are looked at: 50,000 or
            32 MiB at most.

    Returns:
        Sentences that say what, where, and what to do.

    Example:
        >>> import numpy as np
        >>> from sonde.data import Dataset
        >>> from sonde.data.checks import examine
        >>> x = np.random.default_rng(0).normal(size=(60, 3)) * [1, 1, 0]
        >>> for finding in examine(Dataset({"x": x})):
        ...     print(finding)
        feature 2 of x has the same value in every row of train and teaches nothing; leave it out
    """
    if data.train.rows < _TINY:
        return ()
    x, y = (data.train.get(name) for name in ("x", "y"))
    table = isinstance(x, np.ndarray) and x.ndim == 2
    findings = []
    if table:
        findings += [*_constant(data, x), *_few_rows(x), *_scales(data, x)]
        findings += _telltale(data, x, y) if isinstance(y, np.ndarray) and x.shape[1] > 1 else []
    if isinstance(x, np.ndarray) and np.prod(x.shape[1:]) > 1:
        findings += _leaks(data)
    if isinstance(y, np.ndarray):
        findings += _classes(data, y)
    return tuple(findings)


def _constant(data: Any, x: np.ndarray) -> Iterator[str]:
    maybe = np.flatnonzero((x[:_SCREEN] == x[:1]).all(0)).tolist()
    seen = _look(x)
    same = [i for i in maybe if (seen[:, i] == seen[0, i]).all()]
    if len(same) == 1:
        yield f"{_feature(data, same[0])} has the same value in every row of train and teaches nothing; leave it out"
    elif same:
        yield (
            f"{len(same)} of {x.shape[1]} features of x have the same value in every row of train "
            f"({_some(_feature(data, i).removesuffix(' of x') for i in same)}) and teach nothing; leave them out"
        )


def _few_rows(x: np.ndarray) -> Iterator[str]:
    if len(x) < x.shape[1]:
        yield (
            f"train has {len(x):,} rows of {x.shape[1]:,} features, so a network can learn it by heart; "
            "use fewer features, a penalty such as L2(1e-3), or more rows"
        )


def _scales(data: Any, x: np.ndarray) -> Iterator[str]:
    if x.dtype.kind != "f" or getattr(data, "encoder", None) is not None:
        return
    size = abs(_look(x)).max(0)
    big, small = int(size.argmax()), int(np.where(size > 0, size, np.inf).argmin())
    remedy = "bring features to a common scale, by (x - mean) / std of train, by nn.Scale, or by sd.data.read"
    if size[big] > 1e3:
        yield f"{_feature(data, big)} goes up to {size[big]:.3g}, at which networks learn badly; {remedy}"
    elif size[big] > 100 * size[small]:
        yield (
            f"{_feature(data, big)} goes up to {size[big]:.3g}, {_feature(data, small)} only to {size[small]:.3g}; "
            f"{remedy}"
        )


def _telltale(data: Any, x: np.ndarray, y: np.ndarray) -> Iterator[str]:
    """Features that give the target away: by correlation for numbers, by value or thresholds for classes."""
    if y.ndim != 1 or len(x) < _ENOUGH:
        return
    seen, target = _look(x), y[_looked_at(x)]
    if _labels(data, y) is not None:
        determines, what, tells = _separates, "tells all classes apart", "or a part of it under another name"
    elif y.dtype.kind in "fiu":
        determines, what, tells = _correlates, "is the target up to a factor and a constant", "or computed from it"
    else:
        return
    few = np.random.default_rng(0).permutation(len(seen))[:_SCREEN]  # most features are ruled out by these rows
    for i in range(x.shape[1]):
        if determines(seen[few, i], target[few], True) and determines(seen[:, i], target, False):
            yield (
                f"{_feature(data, i)} alone {what}; if it is the target itself, {tells}, which new rows will not have, "
                "leave it out"
            )


def _leaks(data: Any) -> Iterator[str]:
    """Rows that are in two splits, unless most rows repeat anyway (few features with few values)."""
    parts = list(data.splits.items())
    keys = {name: _keys(part.x) for name, part in parts}
    if len(set(keys["train"])) < len(keys["train"]) / 2:
        return
    for i, (name, part) in enumerate(parts):
        for other, later in parts[i + 1 :]:
            if part is later or part.x is later.x:  # on purpose
                continue
            where = {key: row for row, key in enumerate(keys[name])}
            pairs = [(where[key], row) for row, key in enumerate(keys[other]) if key in where]
            if pairs:
                yield (
                    f"{len(pairs):,} of {len(keys[other]):,} rows of x in {other} stand in {name} too"
                    f"{_agreement(part, later, pairs)}, so {other} looks better than new data will; "
                    "remove repeated rows, or keep them together by groups"
                )


def _agreement(one: Any, other: Any, pairs: list[tuple[int, int]]) -> str:
    a, b = one.get("y"), other.get("y")
    if not (isinstance(a, np.ndarray) and isinstance(b, np.ndarray)):
        return ""
    first, second = (np.array(rows) for rows in zip(*pairs, strict=True))
    same = a[_looked_at(one.x)][first] == b[_looked_at(other.x)][second]
    same = int(same.reshape(len(pairs), -1).all(1).sum())
    return f", {'all' if same == len(pairs) else f'{same:,} of them'} with the same y"


def _classes(data: Any, y: np.ndarray) -> Iterator[str]:
    """Classes that a split lacks, that are rare, or that are far larger than others."""
    many = _labels(data, y)
    if many is None:
        return
    counts = {split: np.bincount(part.y, minlength=many)[:many] for split, part in data.splits.items()}
    name = lambda c: repr(data.labels[c]) if data.labels is not None else str(c)
    there = np.sum(list(counts.values()), 0) > (-1 if data.labels is not None else 0)
    for split, count in counts.items():
        if lacking := np.flatnonzero(there & (count == 0)).tolist():
            cost = "be learned" if split == "train" else "be judged"
            yield (
                f"{split} has no rows of {_plural(lacking)} {_some(map(name, lacking))}, which cannot {cost} there; "
                "add rows, or merge rare classes"
            )
    train = counts["train"]
    if rare := np.flatnonzero((train > 0) & (train < 5)).tolist():
        yield (
            f"train has fewer than 5 rows of {_plural(rare)} {_some(map(name, rare))}, too few to learn from; "
            "add rows, or merge rare classes"
        )
    large, small = int(train.argmax()), int(np.where(train, train, np.inf).argmin())
    if train[large] > 20 * train[small]:
        yield (
            f"classes are unbalanced in train: {train[large]:,} rows of class {name(large)}, {train[small]:,} of class "
            f'{name(small)}; use data.Balanced or Classify(class_weight="balanced"), and look at balanced_accuracy'
        )


def _labels(data: Any, y: np.ndarray) -> int | None:
    """How many classes there are, if these are labels: named ones, or whole numbers with few values."""
    if y.ndim != 1 or y.dtype.kind not in "iu" or min(int(part.y.min()) for part in data.splits.values()) < 0:
        return None
    if data.labels is not None:
        return len(data.labels)
    many = max(int(part.y.max()) for part in data.splits.values()) + 1
    return many if many <= min(1000, len(y) / 2) and len(np.unique(y)) > 1 else None


def _separates(feature: np.ndarray, y: np.ndarray, perhaps: bool) -> bool:
    """Whether a feature's values (if they are few), or thresholds on it, tell every class apart.

    Of a part of the rows, one can only say that it is ruled out, or ``perhaps``.
    """
    order = np.lexsort((y, feature))
    value, label = feature[order], y[order]
    new_value, new_label = value[1:] != value[:-1], label[1:] != label[:-1]
    if (new_label & ~new_value).any():
        return False
    classes, few = len(np.unique(y)), 1 + int(new_value.sum()) <= len(y) // (2 if perhaps else 10)
    return few or 1 + int(new_label.sum()) == classes


def _correlates(feature: np.ndarray, y: np.ndarray, perhaps: bool) -> bool:
    """Whether one is a linear function of the other, or nearly so; of a part of the rows ``perhaps``."""
    a, b = (v - v.mean() for v in (feature.astype(np.float64), y.astype(np.float64)))
    size = np.sqrt((a @ a) * (b @ b))
    return perhaps if size == 0 else bool(abs(a @ b) > _AGREE * size)


def _keys(x: np.ndarray) -> list[bytes]:
    """Rows as bytes: equal rows have equal bytes, different rows different ones."""
    seen = _look(x).reshape(len(_look(x)), -1)
    seen = np.ascontiguousarray(seen + seen.dtype.type(0) if seen.dtype.kind == "f" else seen)  # -0 is 0
    return seen.view(f"S{seen.shape[1] * seen.itemsize}")[:, 0].tolist()


def _looked_at(column: np.ndarray) -> slice | np.ndarray:
    """All rows of a column, or of one that is large or on disk an evenly spaced part."""
    most = max(1, min(SAMPLE_ROWS, SAMPLE_BYTES // max(1, column.nbytes // len(column))))
    if len(column) <= most or (column.nbytes <= LARGE and not _on_disk(column)):
        return slice(None)
    return np.linspace(0, len(column) - 1, most).astype(int)


def _look(column: np.ndarray) -> np.ndarray:
    return column[_looked_at(column)]


def _on_disk(column: Any) -> bool:
    while isinstance(column, np.ndarray):
        if isinstance(column, np.memmap):
            return True
        column = column.base
    return False


def _feature(data: Any, i: int) -> str:
    names = getattr(getattr(data, "encoder", None), "features", ())
    return f"feature {names[i]!r} of x" if i < len(names) == data.train.x.shape[1] else f"feature {i} of x"


def _plural(some: list) -> str:
    return "class" if len(some) == 1 else "classes"


def _some(names: Any, most: int = 5) -> str:
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


# ---------------------------------------------------------------------- raw tables


def examine_table(
    table: Mapping[str, np.ndarray], target: str | None, meant: Collection[str] = ()
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Which columns of a raw table to leave out, with the reason, and what else looks wrong.

    Args:
        table: columns of equal length: numbers (NaN is missing), booleans, text (None), dates (NaT), or others
            (images, lists), which are passed over.
        target: the column to predict, or None.
        meant: columns whose encodings are chosen; they are kept.

    Returns:
        ``({column: reason}, findings)``.

    Raises:
        DataError: the target is absent, missing in every row or everywhere the same, or a column holds infinity.

    Example:
        >>> import numpy as np
        >>> from sonde.data.checks import examine_table
        >>> table = {"id": np.arange(30), "size": np.arange(30.0) % 7, "price": np.arange(30.0) ** 2}
        >>> examine_table(table, "price")[0]
        {'id': 'an identifier: consecutive whole numbers, each once'}
    """
    if target is not None and target not in table:
        raise DataError(f"there is no column {target!r} to predict{nearest(target, table)}")
    plain = {name: c for name, c in table.items() if c.ndim == 1 and (c.dtype.kind in "fiubM" or _is_text(c))}
    for name, column in plain.items():
        if column.dtype.kind == "f" and (infinite := np.isinf(column)).any():
            raise DataError(
                f"column {name!r} has {int(infinite.sum())} infinite values, "
                f"the first in row {int(infinite.argmax())}; replace them, or make them missing (NaN)"
            )
    present = {name: ~missing(column) for name, column in plain.items()}
    findings = [] if target not in plain else list(_of_target(target, plain[target], present[target]))
    left_out = {}
    for name, column in plain.items():
        there = column[present[name]]
        number = "" if name in meant else _number_as_text(there)
        if number and name == target:
            findings.append(f"target {name!r} holds {number}; convert them before, or they are classes")
        if name == target:
            continue
        if there.dtype.kind == "O" and (formats := formats_of(there)):
            there = as_dates(there, formats[0])
        if name not in meant and (reason := _useless(name, there, len(column))):
            left_out[name] = f"{number}, another in every row; convert them before" if number else reason
            continue
        if number:
            findings.append(f"column {name!r} holds {number}; convert them before, or they are categories")
        if target in plain:
            both = present[name] & present[target]
            findings += _gives_away(name, column[both], target, plain[target][both])
        findings += _oddities(name, there, len(column))
    return left_out, tuple(findings)


def _of_target(target: str, y: np.ndarray, present: np.ndarray) -> Iterator[str]:
    if not present.any():
        raise DataError(f"the target {target!r} is missing in every row; name another column as the target")
    values = set(y[present].tolist())
    if len(values) == 1 and len(y) > 1:
        raise DataError(
            f"the target {target!r} is {next(iter(values))!r} in every row, so there is nothing to learn; "
            "name another column as the target"
        )
    if missing := int((~present).sum()):
        yield f"target {target!r} is missing in {missing:,} of {len(y):,} rows; they are left out"


def _useless(name: str, there: np.ndarray, n: int) -> str:
    """Why a column teaches nothing, or nothing."""
    if not len(there):
        return "missing in every row"
    distinct = len(set(there.tolist()))
    if distinct == 1 and len(there) == n > 1:
        return f"the same in every row: {there[0]}"
    if distinct < len(there):
        return ""
    if there.dtype.kind in "iu":
        if n >= 20 and int(there.max()) - int(there.min()) == n - 1:
            return "an identifier: consecutive whole numbers, each once"
        if n > 2 and _IDENTIFIER.fullmatch(name.strip()):
            return "an identifier: by its name, and another whole number in every row"
    if there.dtype.kind == "O" and len(there) >= 20 and np.median([len(text.split()) for text in there]) <= 2:
        return "an identifier: another short text in every row"
    return ""


def _number_as_text(there: np.ndarray) -> str:
    """What is said of numbers written as text, five or more with one unit at most; digits alone are codes."""
    if there.dtype.kind != "O" or not len(there) or not _NUMBER.fullmatch(there[0].strip()):
        return ""
    distinct = dict.fromkeys(text.strip() for text in there.tolist())
    found = [_NUMBER.fullmatch(text) for text in distinct]
    marks = {match.groups() if match else None for match in found} - {("", "")}
    if len(distinct) < 5 or len(marks) > 1 or None in marks:
        return ""
    marked = [text for text in distinct if not text.isdigit()]
    return f"numbers written as text, such as {marked[0]!r}" if marked else ""


def _gives_away(name: str, column: np.ndarray, target: str, y: np.ndarray) -> Iterator[str]:
    """A warning about a column that is the target under another name."""
    if len(y) < 20:
        return
    remedy = f"if new rows will not have it, leave it out with drop=[{name!r}]"
    if column.dtype.kind == y.dtype.kind and (column == y).all():
        yield f"column {name!r} equals the target {target!r} in every row; {remedy}"
    elif column.dtype.kind in "fiub" and y.dtype.kind in "fiub" and _correlates(column, y, False):
        yield f"column {name!r} is the target {target!r} up to a factor and a constant; {remedy}"
    elif len(y) >= _ENOUGH and column.dtype.kind != "f" and y.dtype.kind != "f":
        pairs = set(zip(column.tolist(), y.tolist(), strict=True))
        ours, theirs = (len({pair[i] for pair in pairs}) for i in (0, 1))
        if 1 < ours == theirs == len(pairs) < len(y) / 2:
            yield f"column {name!r} says the same as the target {target!r} in other words; {remedy}"


def _oddities(name: str, there: np.ndarray, n: int) -> Iterator[str]:
    if len(there) < n / 2:
        yield (
            f"column {name!r} is missing in {n - len(there):,} of {n:,} rows; "
            f"if it says little, leave it out with drop=[{name!r}]"
        )
    if there.dtype.kind == "O" and np.median([len(text.split()) for text in there]) <= 2:
        if (distinct := len(set(there.tolist()))) > 100:
            yield (
                f"column {name!r} has {distinct:,} different values, many of them rare; "
                f"merge the rare ones, or leave it out with drop=[{name!r}]"
            )


def _is_text(column: np.ndarray) -> bool:
    text = column.dtype.kind == "O" and all(v is None or isinstance(v, str) for v in column)
    return text and not all(map(is_picture, column))
