"""Streams: columns too large for the device, drawn from chunk by chunk.

An epoch is an order of the *blocks* of the columns (up to 256 rows that lie together), and chunk k of it is rows
``[k * chunk, (k + 1) * chunk)`` of that order; within a chunk, rows are shuffled one by one, on the device. Which
rows a chunk holds follows from the phase's key (that is from the seed and the phase), the epoch and k, and
minibatch u is a function of (key, u): so the step in a checkpoint *is* the place in the stream.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sonde._batch import Batch
from sonde._errors import ArgumentError, check_whole, is_whole, shape_of
from sonde._random import derive
from sonde._types import Array
from sonde.data.augmented import Augmented
from sonde.data.buckets import aligned, filled, rows_of
from sonde.data.dataset import Dataset
from sonde.data.mapping import forget, mapped, row_bytes
from sonde.data.sampling import Draw, Sampler, Shuffled, shuffle, take

CHUNK_BYTES = 64 * 2**20
"""What a chunk takes at most, where nobody says how many rows it has."""

VALID_BYTES = 2**30
"""What a validation split in files takes at most: it goes onto the device whole."""

BLOCK_ROWS = 256
"""Rows that stay together when an epoch is ordered; fewer where a chunk would hold fewer than so many blocks."""

_ROWS, _BLOCKS = 0x57A3, 0x57A4  # what keys are derived for


class Streamed(Sampler):
    """Every row once an epoch, of columns of which one *chunk* at a time is on the device.

    The last minibatch of an epoch is filled with rows of weight 0, as by `Shuffled`. `fit` puts it in the place
    of ``Shuffled(size)`` where the data is streamed.

    Args:
        size: rows in a minibatch.
        rows: rows of the whole split.
        chunk: rows of the columns that are drawn from, a multiple of ``size``.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> import sonde as sd
        >>> sampler = sd.data.Streamed(2, rows=6, chunk=4)
        >>> sampler.place(0), sampler.place(2)          # (epoch, chunk, the step at which it is used up)
        ((0, 0, 2), (0, 1, 3))
        >>> draw = sampler.over({"x": jnp.arange(4)})   # chunk 0 of epoch 0
        >>> sorted(int(x) for u in range(2) for x in draw(jax.random.key(0), u).x)
        [0, 1, 2, 3]
    """

    rows: int = 32
    chunk: int = 32

    def check(self) -> None:
        """Refuse a chunk that minibatches do not fill."""
        super().check()
        for field in ("rows", "chunk"):
            check_whole(self, field)
        if self.chunk % self.size:
            raise ArgumentError(f"chunk of Streamed must be a multiple of its size {self.size}; got {self.chunk}")

    def per_epoch(self, columns: Mapping[str, Any]) -> int:
        """Minibatches in an epoch of the whole split."""
        return -(-self.rows // self.size)

    def place(self, step: int) -> tuple[int, int, int]:
        """Where minibatch ``step`` is: the epoch, the chunk of it, and the first step beyond that chunk."""
        per, each = self.per_epoch({}), self.chunk // self.size
        epoch, within = divmod(step, per)
        k = within // each
        return epoch, k, epoch * per + min((k + 1) * each, per)

    def over(self, columns: Mapping[str, Any]) -> Draw:
        """Minibatch u, of the columns that are the chunk in which it is."""
        if rows_of(columns) != self.chunk:
            raise ArgumentError(
                f"Streamed draws from chunks of {self.chunk} rows; got {rows_of(columns)}. "
                "Give fit a batch size: it streams what is to be streamed"
            )
        per, each = self.per_epoch(columns), self.chunk // self.size
        last = (self.rows - 1) // self.chunk

        def draw(key: Array, u: Array) -> Batch:
            epoch, within = u // per, u % per
            k = within // each
            here = jnp.where(k == last, self.rows - last * self.chunk, self.chunk)
            i = within % each * self.size + jnp.arange(self.size)
            rows = shuffle(derive(key, epoch, k, _ROWS), i % here, here)
            return Batch.of(take(columns, rows), i < here)

        return draw


@functools.partial(jax.jit, static_argnums=2)
def _order(key: Array, epoch: Any, blocks: int) -> Array:
    return shuffle(derive(key, epoch, _BLOCKS), jnp.arange(blocks), blocks)


class Stream:
    """Columns that stay where they are, on the disk or on the host, and are read chunk by chunk.

    Args:
        columns: arrays with one leading axis of rows, such as memory maps.
        chunk: rows in a chunk, at most.

    Example:
        >>> import jax, numpy as np
        >>> from sonde.data.stream import Stream
        >>> stream = Stream({"x": np.arange(10)}, chunk=5)
        >>> sampler = stream.sampler(2)
        >>> spans = [stream.spans(sampler, jax.random.key(0), step) for step in (0, 2, 4)]
        >>> sorted(row for chunk in spans for start, stop in chunk for row in range(start, stop))
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """

    def __init__(self, columns: Mapping[str, Any], chunk: int) -> None:
        self.columns, self.rows, self._most = dict(columns), rows_of(columns), chunk

    def sampler(self, batch: Any) -> Any:
        """The sampler that draws from this stream as ``batch`` would from columns on the device.

        Raises:
            ArgumentError: it needs more than a chunk at a time.
        """
        if isinstance(batch, Augmented):
            return batch.replace(sampler=self.sampler(batch.sampler))
        if is_whole(batch):
            batch = Shuffled(batch)
        if type(batch) is not Shuffled:
            raise ArgumentError(
                f"{batch!r} needs every row at hand, and the training data is streamed from chunk to chunk; give a "
                "number of rows, batch=32, or data that fits (Dataset(..., chunk=) says how much does)"
            )
        size = min(batch.size, self.rows)
        return Streamed(size, self.rows, max(size, min(self._most, self.rows) // size * size))

    def like(self, sampler: Streamed) -> dict[str, Any]:
        """The shapes and types of a chunk."""
        return jax.tree.map(lambda v: jax.ShapeDtypeStruct((sampler.chunk, *v.shape[1:]), v.dtype), self.columns)

    def head(self, rows: int) -> dict[str, Any]:
        """The first rows: an example of what the columns are."""
        return jax.tree.map(lambda v: jnp.asarray(np.array(v[:rows])), self.columns)

    def spans(self, sampler: Streamed, key: Array, step: int) -> list[tuple[int, int]]:
        """The rows of the chunk that ``step`` draws from, as ranges that lie together, from front to back."""
        epoch, k, _ = sampler.place(step)
        block = min(BLOCK_ROWS, max(1, sampler.chunk // BLOCK_ROWS))
        order = np.asarray(_order(key, epoch, -(-self.rows // block))).astype(np.int64)
        start = order * block
        length = np.minimum(block, self.rows - start)
        end = np.cumsum(length)
        low, high = k * sampler.chunk, min((k + 1) * sampler.chunk, self.rows)
        inside = slice(np.searchsorted(end, low, "right"), np.searchsorted(end, high, "left") + 1)
        begin = end[inside] - length[inside]  # where each block begins in the epoch
        first = start[inside] + np.maximum(low - begin, 0)
        stop = start[inside] + np.minimum(length[inside], high - begin)
        return sorted(zip(first.tolist(), stop.tolist(), strict=True))

    def read(self, sampler: Streamed, spans: list[tuple[int, int]]) -> dict[str, Any]:
        """Those rows of every column, in memory of the shape of a chunk; what is left over repeats the first row."""

        def column(values: Any) -> np.ndarray:
            read, at = aligned((sampler.chunk, *values.shape[1:]), values.dtype), 0
            for start, stop in spans:
                read[at : at + stop - start] = values[start:stop]
                at += stop - start
            read[at:] = read[:1]
            forget(values)
            return read

        return jax.tree.map(column, self.columns)

    def __repr__(self) -> str:
        return f"Stream({self.rows:,} rows of {shape_of(self.like(Streamed(1, 1, 1)))}, chunks of {self._most:,})"


def placed(data: Dataset, samplers: Sequence[Any] = ()) -> dict[str, Any]:
    """What training draws from, by split: columns on the device, or for what is larger than a chunk a `Stream`.

    Columns are streamed where `Dataset.chunk` says how many rows to have at a time, and where they are memory
    maps of more than `CHUNK_BYTES`. The validation split is always on the device.

    Args:
        data: columns by split.
        samplers: all that will draw from them. Where every one of them can tell rows from filling
            (`Sampler.fills`), columns on the device are filled up to a bucket.

    Raises:
        ArgumentError: the validation split is in files and larger than `VALID_BYTES`.

    Example:
        >>> import numpy as np
        >>> import sonde as sd
        >>> from sonde.data.stream import placed
        >>> placed(sd.data.Dataset(train={"x": np.zeros((100, 4), np.float32)}, chunk=40))
        {'train': Stream(100 rows of {x: float32[1, 4]}, chunks of 40)}
    """
    found: dict[str, Any] = {}
    for split in ("train", "valid"):
        part = data.splits.get(split)
        if part is None:
            continue
        arrays = jax.tree.leaves(dict(part))
        in_files = any(mapped(a) is not None for a in arrays)
        row = sum(map(row_bytes, arrays))
        if split == "train":
            chunk = data.chunk or (max(1, CHUNK_BYTES // row) if in_files else part.rows)
            if part.rows > chunk:
                found[split] = Stream(part, chunk)
                continue
        elif in_files and row * part.rows > VALID_BYTES:
            raise ArgumentError(
                f"the validation split takes {row * part.rows / 2**30:.1f} GiB and goes onto the device whole; "
                f"write a smaller one, of at most {VALID_BYTES // row:,} rows, and leave the others to train"
            )
        drawing = [s.judging() for s in samplers] if split == "valid" else samplers
        if drawing and all(_fills(s, part.rows) for s in drawing):
            found[split] = filled(dict(part), part.rows)
        else:
            found[split] = jax.tree.map(_copied, dict(part))
        for array in arrays:
            forget(array)
    return found


def _fills(sampler: Any, rows: int) -> bool:
    return hasattr(sampler, "fills") and sampler.fills(rows)


def _copied(array: Any) -> Any:
    return jnp.asarray(array) if mapped(array) is None else jnp.array(array)
