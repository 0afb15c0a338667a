"""Arrays that stay on the disk: telling them, going through them piece by piece, knowing them again."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import Any

import numpy as np

PIECE_BYTES = 16 * 2**20
"""How much of a memory map is looked at at once."""

SAMPLED_BLOCKS = 64
"""Of how many places of a memory map the bytes are looked at, to know it again."""

_BLOCK_BYTES = 2**16


def mapped(array: Any) -> np.memmap | None:
    """The memory map that an array is, or is a view of; None if it lies in memory.

    Example:
        >>> import numpy as np
        >>> from sonde.data.mapping import mapped
        >>> mapped(np.zeros(3)) is None
        True
    """
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap) and getattr(array, "_mmap", None) is not None:
            return array
        array = array.base
    return None


def row_bytes(array: Any) -> int:
    """Bytes in a row."""
    return max(1, array.dtype.itemsize * int(np.prod(array.shape[1:])))


def pieces(array: Any) -> Iterator[Any]:
    """An array as one, a memory map in slices of `PIECE_BYTES`, none of which is kept in memory."""
    if mapped(array) is None or not len(array):
        yield array
        return
    rows = max(1, PIECE_BYTES // row_bytes(array))
    for at in range(0, len(array), rows):
        yield array[at : at + rows]
        forget(array)


def forget(array: Any) -> None:
    """Hand back the memory that the pages of a memory map take, where the system can; they are read again at need."""
    found = mapped(array)
    if found is not None and found.mode == "r" and hasattr(mmap, "MADV_DONTNEED"):
        pages: Any = found._mmap  # pyright: ignore[reportAttributeAccessIssue]
        pages.madvise(mmap.MADV_DONTNEED)


def evidence(name: str, array: Any) -> tuple[str, Any]:
    """What an array is recognized by: itself, or of a memory map its shape and the bytes of blocks all over it."""
    if mapped(array) is None:
        return name, array
    rows = max(1, _BLOCK_BYTES // row_bytes(array))
    starts = np.unique(np.linspace(0, max(0, len(array) - rows), SAMPLED_BLOCKS).astype(np.int64))
    found = np.concatenate([array[at : at + rows] for at in starts.tolist()])
    forget(array)
    return f"{name} of {array.shape}", found
