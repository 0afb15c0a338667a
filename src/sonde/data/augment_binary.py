"""Augmentation of what is a probability: each entry is drawn to be all or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np

from sonde._errors import DataError
from sonde._random import bernoulli
from sonde._types import Array
from sonde.data.augment import Augmentation, settled

if TYPE_CHECKING:
    from jaxtyping import Shaped


class Binarize(Augmentation):
    """y = 1 with probability x, else 0, for each entry on its own: x is a row of probabilities, drawn anew each time.

    So a gray image stands for a distribution of black and white ones, whose mean it is, and a network sees another of
    them in each epoch. Whole numbers of 8 bits are probabilities x / 255, and become 0 or 255. Judged rows stay
    as they are: draw those of the validation and test splits once, beforehand.

    Raises:
        DataError: an entry is no probability.

    Source: Salakhutdinov and Murray (2008), who draw the digits of MNIST so.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> import sonde as sd
        >>> drawn = sd.data.Binarize()(jax.random.key(0), jnp.full(10_000, 0.3))
        >>> sorted(set(drawn.tolist())), round(float(drawn.mean()), 1)
        ([0.0, 1.0], 0.3)
    """

    def prepare(self, columns: Mapping[str, Any], column: str) -> Augmentation:
        """Check that floating numbers lie in [0, 1]."""
        x = columns.get(column)
        if isinstance(x, np.ndarray | jnp.ndarray) and jnp.issubdtype(x.dtype, jnp.floating) and x.size:
            low, high = float(x.min()), float(x.max())
            if not (low >= 0 and high <= 1):
                raise DataError(
                    f"Binarize takes probabilities from 0 to 1; the column {column!r} goes from {low:g} to {high:g}. "
                    "Divide by the largest value that an entry can have"
                )
        return self

    def __call__(self, key: Array, x: Shaped[Array, "..."]) -> Shaped[Array, "..."]:
        """One row, drawn."""
        top = 255 if x.dtype == jnp.uint8 else 1
        drawn = bernoulli(key, x.astype(jnp.float32) / top, x.shape)
        return settled(top * drawn.astype(jnp.float32), x.dtype)
