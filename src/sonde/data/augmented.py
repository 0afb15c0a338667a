"""A sampler whose training rows are changed anew each time they are drawn."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from sonde._batch import Batch
from sonde._errors import ArgumentError, DataError, nearest
from sonde._random import derive
from sonde._types import Array, Part
from sonde._value import show
from sonde.data.augment import Augmentation
from sonde.data.augment_geometry import change_together, runs
from sonde.data.sampling import Draw, Sampler, as_sampler

_AUGMENT = 0xA06  # what keys are derived for


class Augmented(Sampler):
    """Draws as another sampler does, and changes what was drawn, inside the compiled step; nothing is stored.

    Rows for judging are never changed: not those of the validation split, nor those that a sampler holds out. What
    changes a row follows from the phase's key, the minibatch's number, the operation's place and the row: the same
    seed gives the same rows. Geometric operations in a row are done as one (see `Geometric`). What rests in a phase is
    computed for every minibatch, since outputs of changed rows cannot be looked up.

    Args:
        sampler: what draws, or a number of rows for ``Shuffled(rows)``.
        ops: an `Augmentation` or a tuple of them, applied in this order.
        column: the column that they change.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> import sonde as sd
        >>> sampler = sd.data.Augmented(32, (sd.data.Shift(2), sd.data.Rotate(10)))
        >>> draw = sampler.over({"x": jnp.ones((100, 28, 28), jnp.uint8)})
        >>> draw(jax.random.key(0), 0).x.shape
        (32, 28, 28)
        >>> sampler
        Augmented(Shuffled(), (Shift(by=2), Rotate(degrees=10)))
    """

    sampler: Part = None
    ops: Part = ()
    column: str = "x"

    alters: ClassVar[bool] = True

    def __init__(self, sampler: Any, ops: Any, column: str = "x") -> None:
        self._set(size=0, sampler=sampler, ops=ops, column=column)

    def check(self) -> None:
        """Refuse what is no sampler, and what does not change rows."""
        object.__setattr__(self, "sampler", as_sampler(self.sampler))
        object.__setattr__(self, "size", self.sampler.size)
        object.__setattr__(self, "ops", as_ops(self.ops))

    def prepare(self, columns: Mapping[str, Any]) -> Sampler:
        """The same, its parts told what the training columns are, and one minibatch drawn in thought."""
        sampler = self.sampler.prepare(columns)
        made = self.replace(sampler=sampler, ops=tuple(op.prepare(columns, self.column) for op in self.ops))
        shapes = jax.tree.map(lambda a: jax.ShapeDtypeStruct(np.shape(a), a.dtype), dict(columns))
        jax.eval_shape(lambda c: made.over(c)(jax.random.key(0), jnp.int32(0)), shapes)  # says what does not fit
        return made

    def per_epoch(self, columns: Mapping[str, Any]) -> int:
        """As many as without."""
        return self.sampler.per_epoch(columns)

    def fills(self, rows: int) -> bool:
        """As without."""
        return self.sampler.fills(rows)

    def over(self, columns: Mapping[str, Any]) -> Draw:
        """Minibatch u, changed."""
        draw, steps = self.sampler.over(columns), runs(self.ops)
        own = zlib.crc32(self.column.encode())  # two columns of one minibatch are not changed alike

        def changed(key: Array, u: Array) -> Batch:
            batch, first = draw(key, u), 0
            if self.column not in batch.columns:
                there = nearest(self.column, batch.columns)
                raise DataError(f"Augmented changes the column {self.column!r}, which is not there{there}")
            for ops in steps:
                keys = [derive(key, u, _AUGMENT, own, first + i) for i in range(len(ops))]
                batch, first = change_together(ops, keys, batch, self.column), first + len(ops)
            return batch

        return changed

    def judging(self) -> Sampler:
        """As without: rows for judging stay as they are."""
        return self.sampler.judging()

    def held_out(self, columns: Mapping[str, Any]) -> Draw | None:
        """As without."""
        return self.sampler.held_out(columns)

    @property
    def chunk(self) -> int:
        """Rows of the columns that are drawn from, where they are streamed."""
        return self.sampler.chunk

    def place(self, step: int) -> tuple[int, int, int]:
        """Where minibatch ``step`` of a stream is: see `Streamed`."""
        return self.sampler.place(step)

    def __repr__(self) -> str:
        ops = show(self.ops[0] if len(self.ops) == 1 else self.ops)
        column = "" if self.column == "x" else f", {self.column!r}"
        return f"Augmented({show(self.sampler)}, {ops}{column})"


def as_ops(given: Any) -> tuple[Augmentation, ...]:
    """An operation or several, as a tuple.

    Raises:
        ArgumentError: there is none, or something is no operation.
    """
    ops = tuple(given) if isinstance(given, tuple | list) else (given,)
    for op in ops:
        if isinstance(op, type):
            raise ArgumentError(f"augmentations are values, not classes: write {op.__name__}(...)")
        if not isinstance(op, Augmentation):
            raise ArgumentError(f"an augmentation is a value such as data.Shift(2), or a tuple of them; got {op!r}")
    if not ops:
        raise ArgumentError("Augmented needs at least one operation, such as data.Shift(2)")
    return ops
