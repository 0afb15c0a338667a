"""The formats that image data sets are published in, read into arrays."""

from __future__ import annotations

import gzip
import io
import math
import zipfile
import zlib
from pathlib import Path

import numpy as np

from sonde._errors import FormatError, SourceError

CIFAR_FOLDER = "cifar-10-batches-bin"
"""The folder in the archive of CIFAR-10's binary version."""

CIFAR_SHAPE = (3, 32, 32)
"""A picture of CIFAR-10 as it is stored: red, green and blue planes."""

_IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def idx(path: Path) -> np.ndarray:
    """The array in a file of LeCun's idx format, compressed or not.

    Two zero bytes, a byte for the type, one for the number of axes, four for the length of each, the values.

    Raises:
        FormatError: it is another format, truncated or damaged.
        SourceError: it cannot be read.
    """
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FormatError(f"{path} is truncated or damaged ({error}); replace it") from error
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}") from error
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in _IDX_TYPES or not 1 <= data[3] <= 8:
        begins = data[:4].hex(" ") or "nothing"
        raise FormatError(f"{path} is not an idx file, it begins with {begins}; replace it")
    dtype, begin = np.dtype(_IDX_TYPES[data[2]]), 4 + 4 * data[3]
    shape = tuple(int.from_bytes(data[at : at + 4], "big") for at in range(4, begin, 4))
    if len(data) != begin + math.prod(shape) * dtype.itemsize:
        raise FormatError(f"{path} has {len(data)} bytes, too few or many for {list(shape)}; replace it")
    return np.frombuffer(data, dtype, offset=begin).reshape(shape).astype(dtype.newbyteorder("="))


def cifar(path: Path) -> dict[str, np.ndarray]:
    """The arrays in the archive of CIFAR-10's binary version, of which nothing is unpacked on disk.

    Six files, five to train on; in each, a picture is a byte for the label, 1,024 for red, as many for green and blue.

    Returns:
        ``train_x`` uint8 [n, 32, 32, 3], ``train_y`` uint8 [n], ``test_x`` and ``test_y`` likewise.

    Raises:
        FormatError: it is another archive, truncated or damaged.
        SourceError: it cannot be read.
    """
    import tarfile  # takes a while

    files = {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]}
    wanted = {f"{CIFAR_FOLDER}/{name}": name for names in files.values() for name in names}
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                if member.name in wanted and member.isreg() and (file := archive.extractfile(member)):
                    found[wanted[member.name]] = file.read()
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FormatError(f"{path} is truncated or damaged ({error}); replace it") from error
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}") from error
    if lacking := sorted(set(wanted.values()) - found.keys()):
        raise FormatError(f"{path} has no {', '.join(lacking)} in {CIFAR_FOLDER}/; replace it")
    arrays, size = {}, 1 + math.prod(CIFAR_SHAPE)
    for split, names in files.items():
        data = b"".join(found[name] for name in names)
        if not data or len(data) % size or any(len(found[name]) % size for name in names):
            raise FormatError(f"{path} holds {len(data)} bytes to {split}, not {size} a picture; replace it")
        records = np.frombuffer(data, np.uint8).reshape(-1, size)
        if records[:, 0].max() > 9:
            raise FormatError(f"{path} has the label {records[:, 0].max()}, of 0 to 9; replace it")
        planes = records[:, 1:].reshape(-1, *CIFAR_SHAPE)
        arrays |= {f"{split}_x": np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), f"{split}_y": records[:, 0].copy()}
    return arrays


def jpegs(path: Path, splits: tuple[str, ...] = ("train", "test")) -> dict[str, np.ndarray]:
    """The pictures in an ``.npz`` that holds JPEG files one after the other, decoded.

    For each split, ``<split>_jpeg`` uint8 [bytes], ``<split>_offsets`` [n + 1] where each begins and the last ends,
    and ``<split>_labels`` uint8 [n]. All pictures are of one size.

    Returns:
        ``<split>_x`` uint8 [n, height, width, 3] and ``<split>_y`` uint8 [n] for each split.

    Raises:
        FormatError: it is something else, truncated or damaged.
        SourceError: it cannot be read.
    """
    from PIL import Image

    arrays, part = {}, lambda file, split, name: file[f"{split}_{name}"]
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            for split in splits:
                data, offsets = part(file, split, "jpeg").tobytes(), part(file, split, "offsets")
                pictures = [
                    np.asarray(Image.open(io.BytesIO(data[a:b])).convert("RGB"))
                    for a, b in zip(offsets[:-1], offsets[1:], strict=True)
                ]
                arrays |= {f"{split}_x": np.stack(pictures), f"{split}_y": part(file, split, "labels")}
                if len(pictures) != len(arrays[f"{split}_y"]):
                    raise ValueError(f"{len(pictures)} pictures and {len(arrays[f'{split}_y'])} labels")
    except (KeyError, ValueError, EOFError, SyntaxError, zipfile.BadZipFile, zlib.error) as error:
        raise FormatError(f"{path} is truncated or damaged ({error}); replace it") from error
    except OSError as error:  # Pillow says so too, without a number, of what it cannot decode
        if error.errno is None:
            raise FormatError(f"{path} is truncated or damaged ({error}); replace it") from error
        raise SourceError(f"cannot read {path}: {error.strerror}") from error
    return arrays
