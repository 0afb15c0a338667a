"""Augmentation: a row that is changed anew each time it is drawn, in a way that leaves its label right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from sonde._batch import Batch, Padded
from sonde._errors import ArgumentError, ShapeError
from sonde._random import derive
from sonde._types import Array
from sonde._value import Value

if TYPE_CHECKING:
    from jaxtyping import Shaped


class Augmentation(Value):
    """A random change of a row that leaves its label right: ``op(key, x) -> x``.

    Its strengths are numbers of the value: another strength compiles nothing. `Augmented` applies them inside the
    compiled step, and nothing is stored. A row keeps its type: what was 8-bit whole numbers is rounded and cut off at
    0 and 255.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> import sonde as sd
        >>> class Negative(sd.data.Augmentation):
        ...     rate: sd.Number = 0.5
        ...     def __call__(self, key, x):
        ...         return jnp.where(jax.random.bernoulli(key, self.rate), 255 - x, x)
        >>> batch = sd.Batch.of({"x": jnp.zeros((100, 4, 4), jnp.uint8)})
        >>> changed = Negative().change(jax.random.key(0), batch, "x")
        >>> changed.x.shape, sorted(set(changed.x.ravel().tolist()))
        ((100, 4, 4), [0, 255])
    """

    def __call__(self, key: Array, x: Shaped[Array, "..."]) -> Shaped[Array, "..."]:
        """One row, changed."""
        raise ArgumentError(f"{type(self).__name__} does not say how it changes a row")

    def prepare(self, columns: Mapping[str, Any], column: str) -> Augmentation:
        """The same, with what it needs to know of the training columns filled in; it will change ``column``."""
        return self

    def change(self, key: Array, batch: Batch, column: str) -> Batch:
        """A minibatch with that column changed, each row by a draw of its own."""
        rows = row_keys(key, len(batch))
        return with_column(batch, column, jax.vmap(self)(rows, numbers_of(self, batch, column)))


def row_keys(key: Array, rows: int) -> Array:
    """A key for each row."""
    return jax.vmap(lambda i: derive(key, i))(jnp.arange(rows))


def with_column(batch: Batch, column: str, values: Array) -> Batch:
    """The same minibatch with other values in one column."""
    return Batch({**batch.columns, column: values}, batch.weight)


def numbers_of(op: Augmentation, batch: Batch, column: str) -> Array:
    """The column that is to be changed: floats, or whole numbers of 8 bits.

    Raises:
        ShapeError: it holds something else.
    """
    rows, kind = batch.columns[column], type(op).__name__
    if isinstance(rows, Padded):
        raise ShapeError(f"{kind} takes rows of one length; column {column!r} holds sequences of different lengths")
    if rows.dtype != jnp.uint8 and not jnp.issubdtype(rows.dtype, jnp.floating):
        raise ShapeError(
            f"{kind} takes floating-point numbers or uint8; a row of {column!r} is {rows.dtype}{list(rows.shape[1:])}. "
            "Convert it: x.astype('float32')"
        )
    return rows


def settled(y: Array, dtype: Any) -> Array:
    """Numbers in the type that a row has: as 8-bit whole numbers they are rounded, and cut off at 0 and 255."""
    return jnp.clip(jnp.round(y), 0, 255).astype(jnp.uint8) if dtype == jnp.uint8 else y.astype(dtype)
