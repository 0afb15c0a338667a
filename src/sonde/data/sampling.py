"""Samplers: minibatch number u of a phase as a function of (key, u), so that only u needs saving.

A sampler is bound to columns, ``draw = sampler.over(columns)``, and then ``draw(key, u)`` is a `Batch`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from sonde._batch import Batch
from sonde._errors import ArgumentError, DataError, check_interval, check_whole, is_whole
from sonde._random import below, derive, mix, root, words
from sonde._types import Array, Number
from sonde._value import Value
from sonde.data.buckets import places_of, rows_of

Draw = Callable[[Array, Array], Batch]


@functools.partial(jax.jit, static_argnames="rounds")
def shuffle(key: Array, i: Array, n: Any, rounds: int = 4) -> Array:
    """Where positions ``i`` of 0 .. n-1 go: a keyed bijection, computed for the positions asked for.

    A Feistel network on a power of two, walked until it lands inside: a microsecond for a minibatch
    where a permutation of 50,000 rows takes milliseconds, and nothing to carry. One program shuffles any number of
    rows, and what draws is traced several times before a run begins, but this only once.

    Source: J. Black and P. Rogaway, "Ciphers with arbitrary finite domains" (2002).
    """
    n, one_bit = jnp.asarray(n).astype(jnp.uint32), jnp.uint32(1)
    size = jnp.maximum(jnp.uint32(6), jnp.uint32(32) - lax.clz(n - 1))  # of fewer bits not all orders come out
    half = (size + 1) // 2
    mask, rest = (one_bit << half) - 1, (one_bit << (size - half)) - 1
    keys = [words(derive(key, r)) for r in range(rounds)]

    def once(j: Array) -> Array:
        left, right = j >> half, j & mask
        for one, other in keys:
            left = left ^ (mix(right ^ one) & rest)
            right = right ^ (mix(left ^ other) & mask)
        return (left << half) | right

    def walk(state: tuple[Array, Array]) -> tuple[Array, Array]:
        j, outside = state
        j = jnp.where(outside, once(j), j)
        return j, j >= n

    begin = jnp.minimum(i.astype(jnp.uint32), n - 1), jnp.ones(i.shape, bool)
    there, _ = lax.while_loop(lambda state: state[1].any(), walk, begin)
    return there.astype(jnp.int32)


def take(columns: Mapping[str, Any], rows: Array) -> dict[str, Any]:
    """Some rows of every column."""
    return jax.tree.map(lambda v: v.at[rows].get(mode="promise_in_bounds"), dict(columns))


class Sampler(Value):
    """How minibatches are made of a split.

    Attributes:
        size: rows in a minibatch (fewer where the split has fewer).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> import sonde as sd
        >>> class FirstRows(sd.data.Sampler):
        ...     def over(self, columns):
        ...         first = {name: column[: self.size] for name, column in columns.items()}
        ...         return lambda key, u: sd.Batch.of(first, jnp.ones(self.size, bool))
        >>> FirstRows(2).over({"x": jnp.arange(6)})(jax.random.key(0), 0).x
        Array([0, 1], dtype=int32)
    """

    size: int = 32

    alters: ClassVar[bool] = False
    """Whether drawn rows are others than those of the columns, so that nothing known of a row can be looked up."""

    def check(self) -> None:
        """Refuse an empty batch."""
        check_whole(self, "size")

    def prepare(self, columns: Mapping[str, Any]) -> Sampler:
        """The same sampler with what it needs to know of the training columns filled in."""
        return self

    def per_epoch(self, columns: Mapping[str, Any]) -> int:
        """Minibatches in an epoch."""
        return -(-rows_of(columns) // min(self.size, places_of(columns)))

    def fills(self, rows: int) -> bool:
        """Whether columns of so many rows may be filled up (see `data.buckets`): rows beyond are never drawn."""
        return False

    def over(self, columns: Mapping[str, Any]) -> Draw:
        """Minibatch u of these columns, as a function of (key, u)."""
        raise ArgumentError(f"{type(self).__name__} does not say how it draws")

    def judging(self) -> Sampler:
        """The sampler for judging on another split: every row once, in order."""
        return InOrder(max(self.size, 1000))

    def held_out(self, columns: Mapping[str, Any]) -> Draw | None:
        """Minibatch u of rows of these very columns that are never drawn for training, if there are any."""
        return None


class Shuffled(Sampler):
    """Every row once an epoch, in an order of its own each epoch. ``batch=32`` is short for ``Shuffled(32)``.

    The last minibatch of an epoch is filled with real rows of weight 0.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> import sonde as sd
        >>> draw = sd.data.Shuffled(4).over({"x": jnp.arange(6)})
        >>> epoch = [draw(jax.random.key(0), u) for u in range(2)]
        >>> sorted(int(x) for b in epoch for x, w in zip(b.x, b.weight) if w)
        [0, 1, 2, 3, 4, 5]
    """

    def fills(self, rows: int) -> bool:
        """Where minibatches are drawn; a full batch is the columns as they are."""
        return type(self) is Shuffled and rows > self.size

    def over(self, columns: Mapping[str, Any]) -> Draw:
        """Minibatch u."""
        n, per = rows_of(columns), self.per_epoch(columns)
        size = min(self.size, places_of(columns))
        if isinstance(n, int) and size == n:
            return lambda key, u: Batch.of(dict(columns), jnp.ones(n, bool))

        def draw(key: Array, u: Array) -> Batch:
            at = u % per * size + jnp.arange(size)
            rows = shuffle(derive(key, u // per), at % n, n)
            return Batch.of(take(columns, rows), at < n)

        return draw


class InOrder(Sampler):
    """Every row once an epoch, in the order of the data.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> import sonde as sd
        >>> sd.data.InOrder(4).over({"x": jnp.arange(6)})(jax.random.key(0), 0).x
        Array([0, 1, 2, 3], dtype=int32)
    """

    def fills(self, rows: int) -> bool:
        """Always."""
        return type(self) is InOrder

    def over(self, columns: Mapping[str, Any]) -> Draw:
        """Minibatch u."""
        n, per = rows_of(columns), self.per_epoch(columns)
        size = min(self.size, places_of(columns))

        def draw(key: Array, u: Array) -> Batch:
            at = u % per * size + jnp.arange(size)
            return Batch.of(take(columns, at % n), at < n)

        return draw


class Balanced(Sampler):
    """Every class equally often: a class at random, then one of its rows at random (with replacement).

    An epoch is as many minibatches as there would be without balancing.

    Args:
        size: rows in a minibatch.
        label: the column of integer labels.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> import sonde as sd
        >>> columns = {"y": jnp.array([0] * 90 + [1] * 10)}
        >>> draw = sd.data.Balanced(100).prepare(columns).over(columns)
        >>> bool(30 < draw(jax.random.key(0), 0).y.sum() < 70)
        True
    """

    label: str = "y"
    classes: int = 0

    def prepare(self, columns: Mapping[str, Any]) -> Sampler:
        """Count the classes."""
        return self.replace(classes=_classes(self, columns))

    def over(self, columns: Mapping[str, Any]) -> Draw:
        """Minibatch u."""
        by_class = _ByClass(columns[self.label], self.classes)
        size = min(self.size, rows_of(columns))

        def draw(key: Array, u: Array) -> Batch:
            which, within = derive(key, u, 0), derive(key, u, 1)
            c = by_class.present[below(which, (size,), by_class.classes)]
            rows = by_class.row(c, below(within, (size,), by_class.count[c]))
            return Batch.of(take(columns, rows), jnp.ones(size, bool))

        return draw


class Bootstrap(Sampler):
    """A resampled set of as many rows as there are, drawn once with replacement, then shuffled every epoch.

    For bagging: another ``member`` is another resampled set.

    Source: L. Breiman, "Bagging predictors" (1996).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> import sonde as sd
        >>> draw = sd.data.Bootstrap(100, member=1).over({"x": jnp.arange(100)})
        >>> bool(50 < len(set(draw(jax.random.key(0), 0).x.tolist())) < 75)      # 1 - 1/e of the rows
        True
    """

    member: Number = 0

    def over(self, columns: Mapping[str, Any]) -> Draw:
        """Minibatch u."""
        positions = Shuffled(self.size).over({"at": jnp.arange(rows_of(columns))})

        def draw(key: Array, u: Array) -> Batch:
            batch = positions(key, u)
            return Batch.of(take(columns, self._rows(columns, batch.at)), batch.weight > 0)

        return draw

    def _rows(self, columns: Mapping[str, Any], at: Array) -> Array:
        """The rows at these places of the resampled set."""
        resample, n = derive(root(0x5EED), self.member), rows_of(columns)
        return jax.vmap(lambda i: below(derive(resample, i), (), n))(at)

    def left_out(self, columns: Mapping[str, Any]) -> Array:
        """[rows], which rows of the columns are never drawn."""
        n = rows_of(columns)
        return jnp.ones(n, bool).at[self._rows(columns, jnp.arange(n))].set(False)


class Pairs(Sampler):
    """Pairs of rows, half of one class (``same`` = 1), half of two: columns ``a_x``, ``b_x``, ..., ``same``.

    Args:
        size: pairs in a minibatch.
        label: the column of integer labels.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> import sonde as sd
        >>> columns = {"x": jnp.arange(6), "y": jnp.array([0, 0, 1, 1, 2, 2])}
        >>> batch = sd.data.Pairs(4).prepare(columns).over(columns)(jax.random.key(0), 0)
        >>> sorted(batch.columns), bool(((batch.a_y == batch.b_y) == batch.same).all())
        (['a_x', 'a_y', 'b_x', 'b_y', 'same'], True)
    """

    label: str = "y"
    classes: int = 0

    alters: ClassVar[bool] = True

    def prepare(self, columns: Mapping[str, Any]) -> Sampler:
        """Count the classes; pairs need two."""
        classes = _classes(self, columns)
        if len(np.unique(np.asarray(columns[self.label]))) < 2:
            raise DataError(f"Pairs needs rows of at least two classes in {self.label!r}; there is one")
        return self.replace(classes=classes)

    def over(self, columns: Mapping[str, Any]) -> Draw:
        """Minibatch u."""
        y = columns[self.label]
        n, size, by_class = rows_of(columns), self.size, _ByClass(y, self.classes)

        def draw(key: Array, u: Array) -> Batch:
            first, twin, stranger = (derive(key, u, use) for use in range(3))
            a = below(first, (size,), n)
            c = y[a]
            same = jnp.arange(size) % 2
            twins = by_class.row(c, below(twin, (size,), by_class.count[c]))
            other = below(stranger, (size,), n - by_class.count[c])
            other = other + jnp.where(other >= by_class.start[c], by_class.count[c], 0)  # step over the class
            b = jnp.where(same, twins, by_class.order[other])
            both = {f"{side}_{k}": v for side, r in (("a", a), ("b", b)) for k, v in take(columns, r).items()}
            return Batch.of(both | {"same": same}, jnp.ones(size, bool))

        return draw

    def judging(self) -> Sampler:
        """Pairs of the other split, the same ones every time."""
        return self.replace(size=max(self.size, 1000))

    def per_epoch(self, columns: Mapping[str, Any]) -> int:
        """As many minibatches as the rows would make."""
        return -(-rows_of(columns) // self.size)


class Folds(Sampler):
    """Cross-validation: rows outside fold ``fold`` of ``folds`` are shuffled for training, the fold is held out.

    Which rows belong to a fold depends on ``seed`` only. ``fold`` is a number of the value, so the folds of a
    cross-validation can be lanes of one program.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> import sonde as sd
        >>> columns = {"x": jnp.arange(6)}
        >>> folds = [sd.data.Folds(size=4, folds=3, fold=i).held_out(columns)(jax.random.key(0), 0).x for i in range(3)]
        >>> sorted(int(x) for fold in folds for x in fold)
        [0, 1, 2, 3, 4, 5]
    """

    folds: int = 5
    fold: Number = 0
    seed: int = 0

    def check(self) -> None:
        """Refuse a fold that is not there."""
        super().check()
        check_whole(self, "folds", 2)
        check_interval(self, "fold", f"[0, {self.folds})")

    def _parts(self, columns: Mapping[str, Any]) -> tuple:
        n = rows_of(columns)
        if n < self.folds:
            raise DataError(f"{n} rows cannot be parted into {self.folds} folds")
        edge = lambda f: (jnp.asarray(f, jnp.int32) * n) // self.folds
        start = edge(self.fold)
        key = root(self.seed)
        return n, start, edge(jnp.asarray(self.fold, jnp.int32) + 1) - start, key

    def per_epoch(self, columns: Mapping[str, Any]) -> int:
        """Minibatches that hold all training rows of any fold."""
        n = rows_of(columns)
        most = n - n // self.folds
        return -(-most // min(self.size, most))

    def over(self, columns: Mapping[str, Any]) -> Draw:
        """Minibatch u of the rows outside the fold."""
        n, start, held, parting = self._parts(columns)
        most, per = n - n // self.folds, self.per_epoch(columns)
        size = min(self.size, most)

        def draw(key: Array, u: Array) -> Batch:
            at = u % per * size + jnp.arange(size)
            i = shuffle(derive(key, u // per), at % most, most)
            real = (at < most) & (i < n - held)
            i = jnp.where(i < n - held, i, 0)
            return Batch.of(take(columns, shuffle(parting, i + jnp.where(i >= start, held, 0), n)), real)

        return draw

    def held_out(self, columns: Mapping[str, Any]) -> Draw:
        """The fold, as one minibatch."""
        n, start, held, parting = self._parts(columns)
        size = -(-n // self.folds)

        def draw(key: Array, u: Array) -> Batch:
            i = jnp.arange(size)
            rows = shuffle(parting, jnp.minimum(start + i, n - 1), n)
            return Batch.of(take(columns, rows), i < held)

        return draw


def as_sampler(batch: Any) -> Sampler:
    """A number of rows as a sampler that shuffles, a sampler as itself."""
    if isinstance(batch, Sampler):
        return batch
    if is_whole(batch):
        return Shuffled(batch)
    raise ArgumentError(f"batch must be a number of rows or a sampler such as data.Shuffled(32); got {batch!r}")


class _ByClass:
    """Rows sorted by class: ``order[start[c] : start[c] + count[c]]`` are the rows of class c."""

    def __init__(self, y: Array, classes: int) -> None:
        self.order = jnp.argsort(y)
        self.count = jnp.bincount(y, length=classes)
        self.start = jnp.cumsum(self.count) - self.count
        self.present = jnp.argsort(self.count == 0)  # the classes that have rows, then those that have none
        self.classes = (self.count > 0).sum()

    def row(self, c: Array, i: Array) -> Array:
        """The i-th row of class c."""
        return self.order[self.start[c] + i]


def _classes(sampler: Any, columns: Mapping[str, Any]) -> int:
    if sampler.label not in columns:
        raise DataError(f"{type(sampler).__name__} needs labels in a column {sampler.label!r}")
    return int(np.asarray(columns[sampler.label]).max()) + 1
