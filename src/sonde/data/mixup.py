"""Mixup: rows that lie between rows, with labels that lie between labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sonde._batch import Batch
from sonde._errors import DataError, check_interval, nearest
from sonde._random import derive, uniform
from sonde._types import Array, Number
from sonde.data.augment import Augmentation, numbers_of, settled, with_column
from sonde.data.sampling import shuffle


class Mixup(Augmentation):
    """Every row is mixed with another of its minibatch: x = m x_i + (1 - m) x_j, and y likewise; m from Beta(a, a).

    Whole-number labels become probabilities of classes [rows, classes], which `Classify` takes; quantities (floats)
    stay quantities. Validation rows keep their labels. A row of weight 0 is mixed into none.

    Args:
        alpha: a above 0: near 0 nearly every row stays itself, at 1 every mixture is as likely, above 1 halves are
            the likeliest. 0.1 to 0.4 is usual.
        label: the column of labels; ``""`` if nothing is to be mixed but x.

    Source: H. Zhang et al. (2018). Theirs has one m for a minibatch, this one for every row.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> import sonde as sd
        >>> columns = {"x": jnp.array([[0.0], [1.0]]), "y": jnp.array([0, 1])}
        >>> mixed = sd.data.Mixup(1.0).prepare(columns, "x").change(jax.random.key(1), sd.Batch.of(columns), "x")
        >>> mixed.y.shape, bool(jnp.allclose(mixed.x[:, 0], mixed.y[:, 1]))
        ((2, 2), True)
    """

    alpha: Number = 0.2
    label: str = "y"
    classes: int = 0

    def check(self) -> None:
        """Refuse what is no distribution."""
        check_interval(self, "alpha", "(0, inf)")

    def prepare(self, columns: Mapping[str, Any], column: str) -> Augmentation:
        """Count the classes.

        Raises:
            DataError: there are no labels.
        """
        if not self.label:
            return self
        if self.label not in columns:
            raise DataError(
                f"Mixup mixes the labels in column {self.label!r} too, which is not there"
                f"{nearest(self.label, columns)}; Mixup(label='') mixes none"
            )
        y = columns[self.label]
        whole = np.issubdtype(y.dtype, np.integer)
        return self.replace(classes=max(self.classes, int(np.asarray(y).max()) + 1)) if whole else self

    def change(self, key: Array, batch: Batch, column: str) -> Batch:
        """A minibatch of mixtures."""
        n, x = len(batch), numbers_of(self, batch, column)
        other = shuffle(derive(key, 0), jnp.arange(n), n)
        share = symmetric_beta(derive(key, 1), self.alpha, n)
        share = jnp.where(batch.weight[other] > 0, share, 1.0)

        def mixed(v: Array) -> Array:
            m = jnp.broadcast_to(share.reshape(n, *[1] * (v.ndim - 1)), v.shape).astype(
                jnp.promote_types(v.dtype, jnp.float32)
            )
            return m * v + (1 - m) * v[other]

        batch = with_column(batch, column, settled(mixed(x), x.dtype))
        if not self.label:
            return batch
        y = batch.columns[self.label]
        if jnp.issubdtype(y.dtype, jnp.integer):
            y = jax.nn.one_hot(y, self.classes)
        return with_column(batch, self.label, mixed(y))


def symmetric_beta(key: Array, a: Any, n: int) -> Array:
    """Independent draws from Beta(a, a), of two even numbers each and without rejections, so quick to compile.

        b = (1 + c / sqrt(r / (1 - r) + c^2)) / 2,    r = u^(1/a),    c = cos(2 pi v)

    Source: G. Ulrich (1984); L. Devroye (1996), "Random variate generation in one line of code".
    """
    u, v = uniform(derive(key, 0), (n,)), uniform(derive(key, 1), (n,))
    r, c = u ** (1 / jnp.asarray(a, jnp.float32)), jnp.cos(2 * jnp.pi * v)
    return jnp.clip((1 + c / jnp.sqrt(r / (1 - r) + c**2)) / 2, 0, 1)  # rounded, it may be a little outside
