"""Augmentation of series and sound, [time] or [time, channels]: moved in time, louder, noisier, with gaps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax.numpy as jnp
from jax import lax

from sonde._errors import ShapeError, check_interval, shape_of
from sonde._random import derive, normal, uniform
from sonde._types import Array, Number
from sonde.data.augment import Augmentation, settled
from sonde.data.augment_images import MODES, check_outside

if TYPE_CHECKING:
    from jaxtyping import Shaped


def check_series(op: Augmentation, x: Array) -> None:
    """Refuse a row that is no series.

    Raises:
        ShapeError: it is not [time] or [time, channels].
    """
    if x.ndim not in (1, 2):
        mend = "Images are moved by data.Shift, and hidden in part by data.Cutout" if x.ndim > 2 else ""
        raise ShapeError(f"{type(op).__name__} takes series [time] or [time, channels]; a row is {shape_of(x)}. {mend}")


class TimeShift(Augmentation):
    """A series is moved in time by a whole number of steps, even in -by ... by.

    Args:
        by: steps at most.
        outside: what comes in: ``"zero"``, or ``"edge"`` for the first or last value.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> import sonde as sd
        >>> moved = sd.data.TimeShift(2)(jax.random.key(0), jnp.zeros(9).at[4].set(1))
        >>> 2 <= int(moved.argmax()) <= 6
        True
    """

    by: Number = 1.0
    outside: str = "zero"

    def check(self) -> None:
        """Refuse a negative shift."""
        check_interval(self, "by", "[0, inf)")
        check_outside(self, self.outside)

    def __call__(self, key: Array, x: Shaped[Array, "..."]) -> Shaped[Array, "..."]:
        """One series, later or earlier."""
        check_series(self, x)
        n, most = x.shape[0], jnp.floor(self.by)
        d = jnp.floor(uniform(key, (), -most, most + 1))
        wide = jnp.pad(x, ((n, n), *[(0, 0)] * (x.ndim - 1)), mode=MODES[self.outside])
        return lax.dynamic_slice_in_dim(wide, n - jnp.clip(d, -n, n).astype(jnp.int32), n)


class Amplify(Augmentation):
    """A series is multiplied by one factor, even in [1 - by, 1 + by]: a sound is louder or softer.

    Args:
        by: in [0, 1].

    Example:
        >>> import jax, jax.numpy as jnp
        >>> import sonde as sd
        >>> louder = sd.data.Amplify(0.5)(jax.random.key(0), jnp.ones(3))
        >>> bool(0.5 <= louder[0] <= 1.5 and (louder == louder[0]).all())
        True
    """

    by: Number = 0.2

    def check(self) -> None:
        """Refuse what turns signs."""
        check_interval(self, "by", "[0, 1]")

    def __call__(self, key: Array, x: Shaped[Array, "..."]) -> Shaped[Array, "..."]:
        """One series, louder or softer."""
        check_series(self, x)
        return settled(x * uniform(key, (), 1 - self.by, 1 + self.by), x.dtype)


class Noise(Augmentation):
    """Every number of a row gets noise: y = x + sigma z, z from N(0, 1). Rows may have any shape.

    `nn.GaussianNoise` does the same as a layer, which a network then carries with it.

    Args:
        sigma: the standard deviation, in the units of x.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> import sonde as sd
        >>> round(float(sd.data.Noise(0.5)(jax.random.key(0), jnp.zeros(10_000)).std()), 1)
        0.5
    """

    sigma: Number = 0.1

    def check(self) -> None:
        """Refuse a negative spread."""
        check_interval(self, "sigma", "[0, inf)")

    def __call__(self, key: Array, x: Shaped[Array, "..."]) -> Shaped[Array, "..."]:
        """One row with noise."""
        return settled(x + self.sigma * normal(key, x.shape), x.dtype)


class TimeMask(Augmentation):
    """A stretch of a series is set to 0: its length is even in 0 ... steps, its place anywhere.

    Args:
        steps: at most; a stretch is never longer than the series.

    Source: D. Park et al. (2019), who mask spectrograms so.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> import sonde as sd
        >>> masked = [sd.data.TimeMask(3)(jax.random.key(i), jnp.ones(9)) for i in range(20)]
        >>> sorted({int((m == 0).sum()) for m in masked})
        [0, 1, 2, 3]
    """

    steps: Number = 10.0

    def check(self) -> None:
        """Refuse a negative length."""
        check_interval(self, "steps", "[0, inf)")

    def __call__(self, key: Array, x: Shaped[Array, "..."]) -> Shaped[Array, "..."]:
        """One series with a gap."""
        check_series(self, x)
        n = x.shape[0]
        most = jnp.minimum(jnp.floor(self.steps), n)
        length = jnp.floor(uniform(derive(key, 0), (), 0.0, most + 1))
        first = jnp.floor(uniform(derive(key, 1), (), 0.0, n - length + 1))
        t = jnp.arange(n)
        gap = ((t >= first) & (t < first + length)).reshape(n, *[1] * (x.ndim - 1))
        return jnp.where(jnp.broadcast_to(gap, x.shape), jnp.zeros((), x.dtype), x)
