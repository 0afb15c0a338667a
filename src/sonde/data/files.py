"""A dataset in a folder: written chunk after chunk, opened without being read.

The folder holds ``dataset.json`` (the format's number, labels, the encoder, and each split's columns with their
types, shapes and ranges) and a folder a split with a plain ``.npy`` file a column: ``train/x.npy``; of a `Padded`
column ``train/x.values.npy`` and ``train/x.lengths.npy``. Nothing in it is ever unpickled.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from sonde._batch import Padded
from sonde._errors import ArgumentError, DataError, FormatError, SondeError, SourceError, shape_of
from sonde._store import read_json, write_json
from sonde._value import from_json, to_json
from sonde.data.dataset import Columns, Dataset
from sonde.data.mapping import row_bytes

FORMAT = 1
"""The layout of the folder."""

CARD = "dataset.json"
"""What says what the folder holds."""

SPLITS = ("train", "valid", "test")

_WRITE_BYTES = 64 * 2**20


def write(
    folder: str | Path,
    parts: Dataset | Iterable[Mapping[str, Any]],
    split: str = "train",
    labels: Iterable[str] | None = None,
) -> Path:
    """Write a split into a folder, part after part, of which only one is in memory; `open_folder` opens it.

    Each part is checked as a `Dataset` checks columns. A split appears whole or not at all.

    Args:
        folder: where to; splits that are in it stay.
        parts: columns of some rows each, such as ``({"x": x, "y": y} for x, y in ...)``; or a `Dataset`, all
            of whose splits are written.
        split: ``"train"``, ``"valid"`` or ``"test"``.
        labels: the names of the classes.

    Returns:
        The folder.

    Raises:
        ArgumentError: the split is there already.
        DataError: a part cannot be trained on, or is not like the first one, with the column and the part.
        SourceError: the files cannot be written.

    Example:
        >>> import numpy as np, tempfile
        >>> import sonde as sd
        >>> parts = ({"x": np.full((100, 3), i, np.float32), "y": np.arange(100) % 2} for i in range(5))
        >>> folder = sd.data.write(tempfile.mkdtemp(), parts, labels=["even", "odd"])
        >>> sd.data.open_folder(folder).train
        500 rows of x float32[3], y int32
    """
    folder = Path(folder)
    if isinstance(parts, Dataset):
        for name, columns in parts.splits.items():
            _write_split(folder, _cut(columns), name, parts.labels, parts.encoder)
        return folder
    return _write_split(folder, parts, split, labels, None)


def _cut(columns: Columns) -> Iterable[dict[str, Any]]:
    """Columns in parts."""
    widths = [a for c in columns.values() for a in ((c.values, c.lengths) if isinstance(c, Padded) else (c,))]
    rows = max(1, _WRITE_BYTES // sum(map(row_bytes, widths)))
    for at in range(0, columns.rows, rows):
        yield {name: column[at : at + rows] for name, column in columns.items()}


def _write_split(folder: Path, parts: Iterable[Mapping[str, Any]], split: str, labels: Any, encoder: Any) -> Path:
    if split not in SPLITS:
        raise ArgumentError(f"split must be one of {', '.join(SPLITS)}; got {split!r}")
    card = _card(folder) if (folder / CARD).exists() else {"format": FORMAT, "labels": None, "encoder": None}
    splits = card.setdefault("splits", {})
    if split in splits:
        raise ArgumentError(f"there is a {split} split in {folder} already; choose another folder")
    temporary = folder / f".{secrets.token_hex(8)}.tmp"
    try:
        temporary.mkdir(parents=True)
        splits[split] = _write_files(temporary, parts, split)
        shutil.rmtree(folder / split, ignore_errors=True)  # the card does not name it: it was never finished
        os.replace(temporary, folder / split)
    except OSError as error:
        if isinstance(error, SondeError):
            raise
        raise SourceError(f"cannot write into {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    if labels is not None:
        card["labels"] = [str(label) for label in labels]
    if encoder is not None:
        card["encoder"] = to_json(encoder)
    write_json(folder / CARD, card)
    return folder


def _write_files(folder: Path, parts: Iterable[Mapping[str, Any]], split: str) -> dict[str, Any]:
    """Write every part of a split; what the card says of it."""
    files: dict[str, _File] = {}
    padded: list[str] = []
    try:
        for number, part in enumerate(parts):
            try:
                columns = Columns(part, split)
            except DataError as error:
                raise DataError(f"part {number} (from 0): {error}") from None
            arrays, padded = _flat(columns)
            if not files:
                for name in columns:
                    _check_name(name)
                files = {name: _File(folder / f"{name}.npy", array) for name, array in arrays.items()}
            if missing := sorted(files.keys() ^ arrays.keys()):
                raise DataError(f"part {number} (from 0) of the {split} split differs in its columns: {missing}")
            for name, array in arrays.items():
                files[name].append(array, f"column {name!r} of part {number} (from 0) of the {split} split")
    finally:
        for file in files.values():
            file.close()
    if not files:
        raise DataError(f"there are no parts to write as the {split} split")
    return {"columns": {name: file.card for name, file in files.items()}, "padded": padded}


def _flat(columns: Columns) -> tuple[dict[str, np.ndarray], list[str]]:
    """The arrays to write by the name of their file, and which columns are padded."""
    arrays: dict[str, np.ndarray] = {}
    padded: list[str] = []
    for name, column in columns.items():
        if isinstance(column, Padded):
            arrays |= {f"{name}.values": column.values, f"{name}.lengths": column.lengths}
            padded.append(name)
        else:
            arrays[name] = column
    return arrays, padded


def _check_name(name: Any) -> None:
    if not isinstance(name, str) or not name or name[0] == "." or set(name) & set('/\\:\0<>"|?*'):
        raise DataError(f"a column called {name!r} cannot be a file; choose another name")


class _File:
    """An .npy file that grows: its header, which says how many rows there are, is fixed at the end."""

    def __init__(self, path: Path, first: np.ndarray) -> None:
        self.file: BinaryIO = open(path, "wb")  # noqa: SIM115  (closed by close)
        self.dtype, self.shape, self.rows = first.dtype.newbyteorder("="), first.shape[1:], 0
        self.low, self.high = float("inf"), float("-inf")
        self._header()
        self.begin = self.file.tell()

    def _header(self) -> None:
        header = {"descr": np.lib.format.dtype_to_descr(self.dtype), "fortran_order": False}
        np.lib.format.write_array_header_1_0(self.file, header | {"shape": (self.rows, *self.shape)})

    def append(self, array: np.ndarray, what: str) -> None:
        """Write more rows."""
        if array.dtype.newbyteorder("=") != self.dtype or array.shape[1:] != self.shape:
            raise DataError(
                f"{what} is {shape_of(array[:1])} a row, and {self.dtype.name}{[1, *self.shape]} in the parts before; "
                "make them alike (Padded.of takes longest=)"
            )
        array = np.ascontiguousarray(array, self.dtype)
        self.file.write(array.reshape(-1).view(np.uint8).data)
        self.rows += len(array)
        if array.size:
            self.low, self.high = min(self.low, float(array.min())), max(self.high, float(array.max()))

    @property
    def card(self) -> dict[str, Any]:
        """What there is to say of it."""
        return {
            "dtype": self.dtype.name,
            "shape": [self.rows, *self.shape],
            "range": [self.low, self.high] if self.low <= self.high else [0.0, 0.0],
        }

    def close(self) -> None:
        """Fix the header."""
        if not self.file.closed:
            self.file.seek(0)
            self._header()  # NumPy leaves room in it for the number of rows to grow
            if self.file.tell() != self.begin:
                raise FormatError(f"NumPy {np.__version__} wrote a header of another length; report this")
            self.file.flush()
            os.fsync(self.file.fileno())
            self.file.close()


def open_folder(folder: str | Path, chunk: int | None = None) -> Dataset:
    """The dataset in a folder that `write` wrote. Its columns are memory maps: nothing is read before it is used.

    Values are not looked at again: what cannot be trained on was refused when it was written.

    Args:
        folder: what was given to `write`.
        chunk: rows to have on the device at a time (see `Dataset`).

    Raises:
        SourceError: there is no such folder, or a file of it is missing.
        FormatError: it is damaged, not such a folder, or from a newer Sonde.

    Example:
        >>> import numpy as np, tempfile
        >>> import sonde as sd
        >>> folder = sd.data.write(tempfile.mkdtemp(), [{"x": np.zeros((4, 2)), "y": np.arange(4)}])
        >>> data = sd.data.open_folder(folder)
        >>> data.train.rows, type(data.train.x).__name__
        (4, 'memmap')
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise SourceError(f"there is no folder {folder}; check the path")
    card = _card(folder)
    try:
        splits = {split: _open_split(folder / split, said, split) for split, said in card["splits"].items()}
        encoder = None if card["encoder"] is None else from_json(card["encoder"])
        labels = None if card["labels"] is None else tuple(map(str, card["labels"]))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, SondeError):
            raise
        why = f"{type(error).__name__}: {error}"
        raise FormatError(f"{folder / CARD} is damaged ({why}); write the folder again") from None
    if "train" not in splits:
        raise FormatError(f"{folder} has no train split; write one")
    valid, test = splits.get("valid"), splits.get("test")
    return Dataset(splits["train"], valid, test, labels, encoder, chunk=chunk)


def _card(folder: Path) -> dict[str, Any]:
    """What ``dataset.json`` says."""
    path = folder / CARD
    if not path.exists():
        raise FormatError(f"{folder} is not the folder of a dataset (no {CARD}); write one with sonde.data.write")
    card = read_json(path)
    number = card.get("format") if isinstance(card, dict) else None
    if type(number) is not int or number < 1 or not {"splits", "labels", "encoder"} <= card.keys():
        raise FormatError(f"{path} does not describe a dataset; write the folder again")
    if number > FORMAT:
        raise FormatError(f"{path} has format {number} and this Sonde reads up to {FORMAT}; upgrade sonde")
    if not isinstance(card["splits"], dict) or set(card["splits"]) - set(SPLITS):
        raise FormatError(f"{path} does not describe a dataset (its splits); write the folder again")
    return card


def _open_split(folder: Path, said: dict[str, Any], split: str) -> Columns:
    arrays, ranges = {}, {}
    for name, card in said["columns"].items():
        _check_name(name)
        path = folder / f"{name}.npy"
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:
            raise SourceError(f"there is no file {path}; copy or write the folder again") from None
        except (OSError, ValueError, EOFError, SyntaxError, OverflowError) as error:
            raise FormatError(f"{path} is truncated or damaged ({error}); copy or write the folder again") from None
        if not isinstance(array, np.memmap) or [array.dtype.name, list(array.shape)] != [card["dtype"], card["shape"]]:
            raise FormatError(f"{path} is not what {CARD} says; copy or write the folder again")
        low, high = card["range"]
        arrays[name], ranges[name] = array, (float(low), float(high))
    for name in said["padded"]:
        arrays[name] = Padded(arrays.pop(f"{name}.values"), arrays.pop(f"{name}.lengths"))
        ranges[name] = ranges.pop(f"{name}.values")
    return Columns.trusted(arrays, split, ranges)
