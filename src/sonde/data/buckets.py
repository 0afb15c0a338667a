"""Buckets: columns filled up to a round number of rows, so that tables of nearly the same size share a program.

A program is compiled for shapes. Where the number of rows is an argument instead, and columns have the places of a
bucket, the folds of a cross-validation, a cleaned table and its successor of next week run what is compiled already.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

SMALLEST = 32
"""The step from bucket to bucket of small tables; of larger ones it is a 32nd of the next power of two."""


@jax.tree_util.register_pytree_node_class
class Filled(dict):
    """Columns whose first ``rows`` rows are data; whoever draws asks `rows_of` and never draws the others."""

    def __init__(self, columns: Mapping[str, Any], rows: Any) -> None:
        super().__init__(columns)
        self.rows = rows

    def __or__(self, others: Any) -> Filled:
        return Filled({**self, **others}, self.rows)

    def tree_flatten(self) -> tuple[tuple, None]:
        """For JAX."""
        return (dict(self), self.rows), None

    @classmethod
    def tree_unflatten(cls, _: None, leaves: Any) -> Filled:
        """For JAX."""
        return cls(*leaves)


def places_of(columns: Mapping[str, Any]) -> int:
    """How many rows the columns have room for."""
    return jax.tree.leaves(dict(columns))[0].shape[0]


def rows_of(columns: Mapping[str, Any]) -> Any:
    """How many rows of the columns are data; a traced number where they are `Filled`."""
    return columns.rows if isinstance(columns, Filled) else places_of(columns)


def bucket(rows: int) -> int:
    """The places that so many rows get: at most 31 more up to 1024 rows, at most a sixteenth more beyond.

    Example:
        >>> from sonde.data.buckets import bucket
        >>> [bucket(n) for n in (7, 404, 405, 1617, 60_000)]
        [32, 416, 416, 1664, 61440]
    """
    step = max(SMALLEST, 2 ** max(0, (rows - 1).bit_length() - 5))
    return -(-rows // step) * step


def filled(columns: Mapping[str, Any], rows: int) -> Filled:
    """Columns on the device with the places of a bucket; what is beyond the data repeats the first row."""

    def column(values: Any) -> Any:
        room = aligned((bucket(rows), *values.shape[1:]), values.dtype)
        room[:rows], room[rows:] = values, values[:1]
        return jnp.asarray(room)

    return Filled(jax.tree.map(column, dict(columns)), np.int32(rows))


def aligned(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array that JAX takes as it is where the device has the host's memory: a copy would be a second one."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.empty(size + 64, np.uint8)
    shift = -raw.ctypes.data % 64
    return raw[shift : shift + size].view(dtype).reshape(shape)
