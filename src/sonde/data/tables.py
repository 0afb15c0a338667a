"""Raw tables: whatever people have, as columns by name.

A table is ``{name: array}``: whole numbers as int64, other numbers as float64 (NaN where one is missing), bool,
datetime64 in microseconds (NaT where missing), and text as an array of str (None where missing). Dates that are
written as text stay text, which `sonde.data.Date` reads. A folder of images is a table of file names.
"""

from __future__ import annotations

import csv
import datetime
import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sonde._errors import DataError, FormatError, SourceError, shape_of

Table = dict[str, np.ndarray]

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
"""How the names of image files end."""

MISSING = ["", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None", "?"]
"""What stands for a missing value in a text file."""

SPLITS = {"train": "train", "training": "train", "valid": "valid", "validation": "valid", "val": "valid",
          "dev": "valid", "test": "test", "testing": "test"}  # fmt: skip
"""What folders and files call the parts of a data set, and what they are called here."""


def table_of(source: Any) -> Table:
    """Any source as a table.

    Args:
        source: a path (``.csv``, ``.tsv``, ``.txt``, ``.parquet``, ``.npz``, ``.npy``, an image, a folder of
            images with a sub-folder a class), a pandas or polars frame, columns by name, or a list of rows by name.

    Raises:
        SourceError: there is no such file, or it cannot be read.
        DataError: it is no table.

    Example:
        >>> from sonde.data import table_of
        >>> table_of([{"age": 31, "city": "Bonn"}, {"age": None, "city": "Graz"}])
        {'age': array([31., nan]), 'city': array(['Bonn', 'Graz'], dtype=object)}
    """
    if isinstance(source, str | Path):
        return _file(Path(source))
    if isinstance(source, Mapping):
        columns = {str(name): _column(str(name), given) for name, given in source.items()}
    elif isinstance(source, np.ndarray):
        columns = {"x": _column("x", source)}
    elif hasattr(source, "columns") and hasattr(source, "__getitem__"):  # a frame of pandas or polars
        columns = {str(name): _column(str(name), source[name]) for name in source.columns}
    elif isinstance(source, Sequence) and source and all(isinstance(row, Mapping) for row in source):
        names = list(dict.fromkeys(str(name) for row in source for name in row))
        columns = {name: _column(name, [row.get(name) for row in source]) for name in names}
    else:
        raise DataError(
            f"a table is a path, a frame, columns by name or a list of rows by name; got {type(source).__name__}"
        )
    return _whole(columns, "the table")


def _whole(columns: Table, what: str) -> Table:
    lengths = {name: len(column) for name, column in columns.items()}
    if not columns or not all(lengths.values()):
        raise DataError(f"{what} has no {'rows' if columns else 'columns'}")
    if len(set(lengths.values())) > 1:
        raise DataError(f"the columns of {what} differ in length: {lengths}")
    return columns


def _column(name: str, given: Any) -> np.ndarray:
    """A column in one of the five kinds; a Python object is told by what it is."""
    if hasattr(given, "to_numpy"):  # a series of pandas or polars
        array = given.to_numpy()
    else:
        try:
            array = np.asarray(given)
        except ValueError:
            raise DataError(f"column {name!r} has rows of different lengths") from None
        if array.dtype.kind in "US" and isinstance(given, list | tuple):
            array = np.asarray(given, object)  # as they were, before NumPy made text of all of them
    if array.ndim == 0:
        raise DataError(f"column {name!r} is a single value, not rows; one row is [{given!r}]")
    kind = array.dtype.kind
    if kind == "M":
        return array.astype("datetime64[us]")
    if kind in "ui":
        return array if array.ndim > 1 else array.astype(np.int64)
    if kind == "f":
        return array if array.ndim > 1 else array.astype(np.float64)
    if kind == "b":
        return array
    if kind in "US" and array.ndim == 1:
        return array.astype(str).astype(object)
    if kind == "O" and array.ndim == 1:
        return _objects(name, array)
    raise DataError(f"column {name!r} holds {shape_of(array)}; expected numbers, truths, dates or text")


def _objects(name: str, array: np.ndarray) -> np.ndarray:
    """Python objects, of which None, NaN and what pandas has for them are missing."""
    missing = np.array([v is None or type(v).__name__ in ("NAType", "NaTType") or v != v for v in array], bool)
    there = array[~missing]
    if not len(there):
        return np.full(len(array), np.nan)
    if all(isinstance(v, bool | np.bool_) for v in there):
        if not missing.any():
            return array.astype(bool)
        return np.array([None if m else str(bool(v)).lower() for v, m in zip(array, missing, strict=True)], object)
    if all(isinstance(v, int | float | np.number) for v in there):
        numbers = np.full(len(array), np.nan)
        numbers[~missing] = there.astype(float)
        whole = not missing.any() and all(isinstance(v, int | np.integer) for v in there)
        return array.astype(np.int64) if whole else numbers
    if all(isinstance(v, datetime.date | np.datetime64) for v in there):
        return np.array([None if m else _utc(v) for v, m in zip(array, missing, strict=True)], "datetime64[us]")
    if all(isinstance(v, str | Path | int | float | np.number | bool) for v in there):
        return np.array([None if m else str(v) for v, m in zip(array, missing, strict=True)], object)
    odd = next(v for v in there if not isinstance(v, str | Path | int | float))
    raise DataError(f"column {name!r} holds {type(odd).__name__} values; expected numbers, truths, dates or text")


def _utc(moment: Any) -> Any:
    """A moment of a time zone as one of UTC without it; NumPy knows no others."""
    if getattr(moment, "tzinfo", None) is None:
        return moment
    return moment.astimezone(datetime.UTC).replace(tzinfo=None)


def _file(path: Path) -> Table:
    if not path.exists():
        raise SourceError(f"there is no file or folder {path}; check the path")
    if path.is_dir():
        return _folder(path)
    kind = path.suffix.lower()
    if kind in PICTURES:
        return {"image": np.array([str(path)], object)}
    if kind in (".npz", ".npy"):
        return _numpy(path)
    if kind in (".parquet", ".pq"):
        return _frame(path, lambda polars: polars.read_parquet(path))
    if kind in (".csv", ".tsv", ".txt", ".data"):
        return _text(path)
    raise SourceError(
        f"{path} ends in {kind or 'nothing'}; expected .csv, .tsv, .parquet, .npz, .npy, an image or a folder of images"
    )


def _frame(path: Path, read: Any) -> Table:
    """What polars reads."""
    import polars

    try:
        frame = read(polars)
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror or error}") from None
    except (polars.exceptions.PolarsError, UnicodeDecodeError, ValueError) as error:
        why = str(error).strip().splitlines()[0]
        raise DataError(f"{path} cannot be read as a table: {why}") from None
    columns = {}
    for series in frame.iter_columns():
        if series.dtype == polars.Date:
            series = series.cast(polars.Datetime("us"))
        elif series.dtype == polars.Time:
            series = series.cast(polars.String)
        elif series.dtype.is_decimal():
            series = series.cast(polars.Float64)
        columns[series.name] = _files_beside(path, _column(series.name, series))
    return _whole(columns, str(path))


def _text(path: Path) -> Table:
    """A text file: what separates its columns is told from its first lines, and whether the first names them:
    not if a field is a number, or is found again below it.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = [line.rstrip("\n") for line in itertools.islice(file, 20)]
    except UnicodeDecodeError:
        raise DataError(f"{path} is not text in UTF-8; save it as such, or as Parquet") from None
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}") from None
    separator = "\t" if path.suffix.lower() == ".tsv" else _separator(lines)
    fields = [field.strip().strip('"') for field in (lines or [""])[0].split(separator)]

    def parsed(named: bool) -> Table:
        options = {"separator": separator, "has_header": named, "null_values": MISSING}
        quote = None if separator == "\t" else '"'
        return _frame(path, lambda polars: polars.read_csv(path, infer_schema_length=None, quote_char=quote, **options))

    table = {}
    named = not any(_is_number(field) for field in fields) and any(fields)
    if named:
        table = parsed(True)
        named = not any(column.dtype == object and name in set(column) for name, column in table.items())
    if named:
        names = [name.strip() for name in next(csv.reader(lines, delimiter=separator))]
        if twice := next((name for name in names if name and names.count(name) > 1), None):
            raise DataError(f"{path} has {names.count(twice)} columns called {twice!r}; give each a name of its own")
        return {name.strip(): column for name, column in table.items()}
    return {f"column_{i + 1}": column for i, column in enumerate(parsed(False).values())}


def _separator(lines: list[str]) -> str:
    """The mark that parts the first lines into the same number of fields, as many as can be."""

    def fields(mark: str) -> int:
        counts = {len(re.sub(r'"[^"]*"', "", line).split(mark)) for line in lines if line}
        return counts.pop() if len(counts) == 1 else 1

    return max(",;\t|", key=fields)


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _files_beside(path: Path, column: np.ndarray) -> np.ndarray:
    """Names of image files, which are meant as seen from the table, as seen from here."""
    if column.dtype != object or not all(is_picture(v) for v in column):
        return column
    return np.array([str(path.parent / v) for v in column], object)


def is_picture(value: Any) -> bool:
    """Whether a value is the name of an image file."""
    return isinstance(value, str) and value.lower().endswith(PICTURES)


def missing(column: np.ndarray) -> np.ndarray:
    """Where a column of a table has no value."""
    if column.dtype.kind == "O":
        return np.array([v is None for v in column], bool)
    return column != column  # NaN and NaT alone differ from themselves


def _numpy(path: Path) -> Table:
    try:
        with open(path, "rb") as file:
            start = file.read(6)
        if start[:2] != b"PK" and start != b"\x93NUMPY":
            raise FormatError(f"{path} is not a NumPy file (.npy, .npz); write one with numpy.save")
        read = np.load(path, allow_pickle=False)
        columns = {"x": read} if isinstance(read, np.ndarray) else {name: read[name] for name in read.files}
    except FormatError:
        raise
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror or error}") from None
    except MemoryError:
        raise DataError(f"{path} is damaged, or does not fit into memory") from None
    except Exception as error:  # what zipfile, zlib and NumPy say of damaged files
        said = str(error) or repr(error)
        why = "it holds Python objects" if "Object arrays" in said else said.splitlines()[0]
        raise DataError(f"{path} is not a NumPy file of numbers: {why}") from None
    return _whole({name: _column(name, array) for name, array in columns.items()}, str(path))


def _folder(path: Path) -> Table:
    """A folder of images: a sub-folder a class, perhaps below folders train, valid and test."""
    found = sorted(f for f in path.rglob("*") if is_picture(f.name) and not f.name.startswith("."))
    if not found:
        raise DataError(f"{path} holds no images ({', '.join(PICTURES)}); expected a sub-folder a class")
    inner = [f.relative_to(path).parts[:-1] for f in found]
    table = {"image": np.array([str(f) for f in found], object)}
    if all(parts and parts[0].lower() in SPLITS for parts in inner):
        table["split"] = np.array([SPLITS[parts[0].lower()] for parts in inner], object)
        inner = [parts[1:] for parts in inner]
    if all(inner):
        table["label"] = np.array([parts[0] for parts in inner], object)
    return table
