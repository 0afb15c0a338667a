"""Files that are written whole or not at all, and arrays with a header in one file.

A file of arrays is a safetensors file with one metadata key, ``sonde``: canonical JSON that says of which
kind it is and carries a header, sealed by a digest over all of it. Nothing is ever unpickled, so opening a
stranger's file cannot run code; a file that is damaged, foreign or from the future is refused in one line.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from sonde._errors import DataError, FormatError, SourceError

FORMAT = 1
"""The layout of files of arrays; a Sonde that changes it counts up."""

STORABLE = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("bfloat16", "float16", "float32", "float64"),
)
"""The dtypes that every safetensors we support writes and reads back as NumPy arrays."""

PathLike = str | os.PathLike[str]


def cache_folder() -> Path:
    """Where Sonde keeps what can be had again: ``$SONDE_CACHE``, or a folder in the user's cache."""
    if given := os.environ.get("SONDE_CACHE"):
        return Path(given).expanduser()
    import platformdirs

    return platformdirs.user_cache_path("sonde")


def write_atomically(path: PathLike, data: bytes) -> None:
    """Make ``data`` the content of a file, or leave what was there as it was, whatever happens meanwhile.

    The bytes go to a second file in the same folder (made if need be) and to the disk, then take the name.
    A link is followed: what it points to is replaced.

    Raises:
        SourceError: if the file cannot be written, with the reason (a full disk, no permission).
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException as error:  # Ctrl-C too leaves nothing behind
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        raise SourceError(f"cannot write {path}: {_reason(error)}; nothing there has changed") from error
    with contextlib.suppress(OSError):  # the name, too, to the disk; not every file system can
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_json(path: PathLike, value: Any) -> None:
    """Write a value as JSON that people can read, atomically; NaN and infinities are written as Python does.

    Raises:
        FormatError: if JSON has no way to write the value.
        SourceError: if the file cannot be written.
    """
    write_atomically(path, (_dumps(value, path, indent=2) + "\n").encode())


def read_json(path: PathLike) -> Any:
    """The value in a JSON file.

    Raises:
        SourceError: if the file is missing or cannot be read.
        FormatError: if it is not JSON.
    """
    _check_file(path)
    try:
        return json.loads(Path(path).read_bytes())
    except OSError as error:
        raise SourceError(f"cannot read {path}: {_reason(error)}") from error
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path} is not JSON ({_reason(error)}); mend it or write it again") from error


def write_arrays(path: PathLike, arrays: Mapping[str, np.ndarray], header: dict[str, Any], kind: str) -> None:
    """Write named arrays and a header into one file, atomically; the same input gives the same bytes.

    Args:
        path: where to.
        arrays: of any shape and layout; the dtypes are those in `STORABLE`.
        header: plain JSON; tuples come back as lists, keys as strings.
        kind: what the file is, such as ``"network"``; `read_arrays` must be told the same.

    Raises:
        FormatError: if an array or the header cannot be written into a file.
        SourceError: if the file cannot be written.
    """
    plain = {name: _dense(array) for name, array in arrays.items()}
    for name, array in plain.items():
        if array.dtype.name not in STORABLE:
            raise FormatError(f"the array {name!r} is {array.dtype}, which a file cannot hold; convert it")
        if name == "__metadata__":
            raise FormatError(f"an array in a file cannot be called {name!r}; choose another name")
    header = json.loads(_dumps(header, path))  # as it will be read back
    note = {"kind": kind, "format": FORMAT, "digest": _digest(plain, header), "header": header}
    try:
        data = save(plain, {"sonde": _canonical(note)})
    except (SafetensorError, ValueError) as error:
        raise FormatError(f"cannot write {path}: {_reason(error)}") from error
    write_atomically(path, data)


def read_arrays(path: PathLike, kind: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays, in the order of their names, and the header that `write_arrays` wrote.

    Raises:
        SourceError: if the file is missing or cannot be read.
        FormatError: if it is truncated, damaged, altered, made by another program, of another kind or of a
            newer format.
    """
    _check_file(path)
    try:
        with open(path, "rb") as file:
            start = file.read(9)
        if not start:
            raise FormatError(f"{path} is empty; copy or save it again")
        if start[8:] not in (b"{", b""):  # eight bytes of length, then JSON
            raise FormatError(f"{path} is not a safetensors file; give one that Sonde saved")
        with safe_open(path, framework="numpy") as file:
            note = _note(path, (file.metadata() or {}).get("sonde"), kind)
            arrays = {name: file.get_tensor(name) for name in sorted(file.keys())}
        if note["digest"] != _digest(arrays, note["header"]):
            raise FormatError(f"{path} was altered since it was saved (digest); copy or save it again")
    except FormatError:
        raise
    except OSError as error:
        raise SourceError(f"cannot read {path}: {_reason(error)}") from error
    except Exception as error:  # SafetensorError, and what NumPy says of absurd shapes and dtypes
        why = _reason(error)
        raise FormatError(f"{path} is truncated or damaged ({why}); copy or save it again") from error
    return arrays, note["header"]


def fingerprint(columns: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of names, dtypes, shapes and contents, to recognize data that changed.

    The order of the columns, their layout in memory and their byte order do not matter.

    Raises:
        DataError: if a column holds Python objects, which have no bytes of their own.
    """
    seal = hashlib.sha256()
    for name in sorted(columns):
        array = _dense(columns[name])
        if array.dtype.hasobject:
            raise DataError(f"column {name!r} holds Python objects; make it numbers, or text by .astype('U')")
        seal.update(_canonical([name, array.dtype.name, array.shape]).encode() + b"\n")
        seal.update(array.reshape(-1).view(np.uint8).data)
    return seal.hexdigest()


def _digest(arrays: Mapping[str, np.ndarray], header: Any) -> str:
    return hashlib.sha256((fingerprint(arrays) + _canonical(header)).encode()).hexdigest()


def _dense(array: Any) -> np.ndarray:
    """The array without gaps, in C order and the byte order of the machine; scalars stay scalars."""
    array = np.asarray(array, order="C")
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _note(path: PathLike, text: str | None, kind: str) -> dict[str, Any]:
    """What a file says of itself, once it is clear that this Sonde and this caller can read it."""
    if text is None:
        raise FormatError(f"{path} was made by another program; give one that Sonde saved")
    note = json.loads(text)
    number = note["format"]
    if type(number) is not int or number < 1:
        raise ValueError(f"format {number!r}")
    if number > FORMAT:
        raise FormatError(f"{path} has format {number} and this Sonde reads up to {FORMAT}; upgrade sonde")
    if note["kind"] != kind:
        raise FormatError(f"{path} is a file of another kind: expected {kind!r}, got {note['kind']!r}")
    if not isinstance(note["header"], dict):
        raise TypeError("its header is not an object")
    return note


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _dumps(value: Any, path: PathLike, indent: int | None = None) -> str:
    try:
        return json.dumps(value, indent=indent)
    except (TypeError, ValueError, RecursionError) as error:
        raise FormatError(f"cannot write {path} as JSON: {_reason(error)}") from error


def _check_file(path: PathLike) -> None:
    if not os.path.exists(path):
        raise SourceError(f"there is no file {path}; check the path")
    if not os.path.isfile(path):
        what = "a folder" if os.path.isdir(path) else "a device"
        raise FormatError(f"{path} is {what}, not a file; name the file")


def _reason(error: BaseException) -> str:
    """Why, in one line."""
    if isinstance(error, KeyError):
        return f"it lacks {error}"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())
