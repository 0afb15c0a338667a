"""Augmentation of where things are in an image: moved, turned, sheared, mirrored, larger or smaller."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax import lax

from sonde._batch import Batch
from sonde._errors import ArgumentError, check_interval
from sonde._random import bernoulli, derive, uniform
from sonde._types import Array, Number, Part
from sonde.data.augment import Augmentation, numbers_of, row_keys, settled, with_column
from sonde.data.augment_images import as_frames, bordered, check_outside

if TYPE_CHECKING:
    from jaxtyping import Float, Shaped


class Geometric(Augmentation):
    """A change of where things are in an image: result(p) = image(A p + b), with p in pixels from the middle.

    Between pixels the image is bilinear; beyond its border it is 0, or goes on as its edge does. Several such
    operations in a row are one: their (A, b) are multiplied and the image is read once. That costs one interpolation,
    blurs once, and what one operation moves out of the image another may move back in.

    A subclass has a ``matrix``, and says ``outside`` what lies beyond the border.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> import sonde as sd
        >>> class Transpose(sd.data.Geometric):
        ...     def matrix(self, key, height, width):
        ...         return jnp.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
        >>> Transpose()(jax.random.key(0), jnp.arange(4.0).reshape(2, 2)).tolist()
        [[0.0, 2.0], [1.0, 3.0]]
    """

    def matrix(self, key: Array, height: int, width: int) -> Float[Array, "2 3"]:
        """(A | b): from (down, across) in the result to (down, across) in the image."""
        raise ArgumentError(f"{type(self).__name__} does not say what it moves where")

    @property
    def beyond(self) -> str:
        """What lies beyond the border: ``"zero"`` or ``"edge"``; ``""`` where it makes no difference."""
        return getattr(self, "outside", "")

    @property
    def whole_pixels(self) -> bool:
        """Whether pixels come to lie on pixels, so that nothing is interpolated."""
        return False

    def __call__(self, key: Array, x: Shaped[Array, "..."]) -> Shaped[Array, "..."]:
        """One image, or one video."""
        return moved((self,), (key,), x)


def moved(ops: tuple[Geometric, ...], keys: tuple[Array, ...], x: Array) -> Array:
    """An image after several operations, read once: what the last one looks for is found through all before it."""
    frames, back = as_frames(ops[0], x)
    last = jnp.array([[0.0, 0.0, 1.0]])
    square = [
        jnp.concatenate([op.matrix(key, *frames.shape[1:3]), last]) for op, key in zip(ops, keys, strict=True)
    ]
    whole = functools.reduce(functools.partial(jnp.matmul, precision="highest"), square)
    return back(read_at(frames, whole[:2], next((op.beyond for op in ops if op.beyond), "zero")))


def read_at(frames: Array, matrix: Array, outside: str) -> Array:
    """Frames [frames, height, width, channels] read at A p + b, bilinearly.

    The four neighbors of every place are put side by side first, so each pixel of the result reads one stretch of
    memory. A border of one pixel is all that lies outside: places are cut off there.
    """
    _, height, width, channels = frames.shape
    middle = (height - 1) / 2, (width - 1) / 2
    p, q = jnp.meshgrid(jnp.arange(height) - middle[0], jnp.arange(width) - middle[1], indexing="ij")
    down, across = (row[0] * p + row[1] * q + row[2] for row in matrix)
    down, across = jnp.clip(down + middle[0], -1, height), jnp.clip(across + middle[1], -1, width)
    i, j = jnp.floor(down), jnp.floor(across)
    f, g = (down - i)[None, :, :, None], (across - j)[None, :, :, None]

    wide = bordered(frames, outside, (1, 2), (1, 2))
    corners = [wide[:, a : a + height + 2, b : b + width + 2] for a in (0, 1) for b in (0, 1)]
    four = jnp.concatenate(corners, -1).reshape(len(frames), (height + 2) * (width + 2), 4 * channels)
    at = (i.astype(jnp.int32) + 1) * (width + 2) + j.astype(jnp.int32) + 1
    found = four.at[:, at].get(mode="promise_in_bounds").astype(jnp.promote_types(frames.dtype, jnp.float32))
    above_left, above_right, below_left, below_right = jnp.split(found, 4, -1)
    above, below = above_left + g * (above_right - above_left), below_left + g * (below_right - below_left)
    return settled(above + f * (below - above), frames.dtype)


def runs(ops: tuple[Augmentation, ...]) -> list[tuple[Augmentation, ...]]:
    """The operations in order, those in one tuple that are done as one.

    That is the geometric ones in a row, unless all of them only move whole pixels: one by one these are exact, and
    cost less.
    """
    found: list[list[Augmentation]] = []
    for op in ops:
        run = [*found[-1], op] if found else []
        if run and all(isinstance(o, Geometric) for o in run) and len({_beyond(o) for o in run} - {""}) < 2:
            found[-1].append(op)
        else:
            found.append([op])
    joined = []
    for run in found:
        exact = all(isinstance(o, Geometric) and o.whole_pixels for o in run)
        joined += [(o,) for o in run] if exact else [tuple(run)]
    return joined


def _beyond(op: Any) -> str:
    return op.beyond


def change_together(ops: tuple[Any, ...], keys: list[Array], batch: Batch, column: str) -> Batch:
    """A minibatch after a run of operations, with a key for each."""
    if len(ops) == 1:
        return ops[0].change(keys[0], batch, column)
    rows = numbers_of(ops[0], batch, column)
    drawn = tuple(row_keys(key, len(batch)) for key in keys)
    return with_column(batch, column, jax.vmap(functools.partial(moved, ops))(drawn, rows))


class Shift(Geometric):
    """An image is moved down and across by d1 and d2, each even in [-by, by].

    Args:
        by: pixels at most; or two numbers, (down, across).
        whole: whether by whole pixels, -by ... by all equally likely: then nothing is interpolated.
        outside: what comes in: ``"zero"``, or ``"edge"`` for the pixels at the border.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> import sonde as sd
        >>> image = jnp.zeros((5, 5)).at[2, 2].set(1)
        >>> moved = sd.data.Shift((0, 2))(jax.random.key(0), image)
        >>> float(moved.sum()), float(moved[2].sum())
        (1.0, 1.0)
    """

    by: Part = 2.0
    whole: bool = True
    outside: str = "zero"

    def check(self) -> None:
        """Refuse a negative shift."""
        check_outside(self, self.outside)
        if isinstance(self.by, tuple):
            for by in self._both():
                Shift(by)
        else:
            check_interval(self, "by", "[0, inf)")
        if not isinstance(self.whole, bool):
            raise ArgumentError(f"whole of Shift must be True or False; got {self.whole!r}")

    def _both(self) -> tuple[Any, Any]:
        if isinstance(self.by, tuple) and len(self.by) != 2:
            raise ArgumentError(f"by of Shift must be one number or (down, across); got {self.by!r}")
        return self.by if isinstance(self.by, tuple) else (self.by, self.by)

    @property
    def whole_pixels(self) -> bool:
        """Whether it moves by whole pixels."""
        return self.whole

    def draw(self, key: Array) -> Float[Array, "2"]:
        """How far down and across."""
        drawn = []
        for axis, by in enumerate(self._both()):
            if self.whole:
                most = jnp.floor(by)
                drawn.append(jnp.floor(uniform(derive(key, axis), (), -most, most + 1)))
            else:
                drawn.append(uniform(derive(key, axis), (), -by, by))
        return jnp.stack(drawn)

    def matrix(self, key: Array, height: int, width: int) -> Float[Array, "2 3"]:
        """What is at p comes from p - d."""
        return jnp.concatenate([jnp.eye(2), -self.draw(key)[:, None]], 1)

    def __call__(self, key: Array, x: Shaped[Array, "..."]) -> Shaped[Array, "..."]:
        """One image, or one video, moved."""
        if not self.whole:
            return super().__call__(key, x)
        frames, back = as_frames(self, x)
        for axis, d in enumerate(self.draw(key), start=1):
            n = frames.shape[axis]
            sides = [(0, 0), (0, 0)]
            sides[axis - 1] = (n, n)
            begin = n - jnp.clip(d, -n, n).astype(jnp.int32)
            frames = lax.dynamic_slice_in_dim(bordered(frames, self.outside, *sides), begin, n, axis)
        return back(frames)


class Rotate(Geometric):
    """An image is turned about its middle by an angle even in [-degrees, degrees].

    Args:
        degrees: at most, up to 180. Digits stand 15 or so; a 6 turned by 180 is a 9.
        outside: what comes in at the corners: ``"zero"``, or ``"edge"``.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> import sonde as sd
        >>> turned = sd.data.Rotate(30)(jax.random.key(0), jnp.zeros((5, 5)).at[2, 2].set(1))
        >>> float(turned[2, 2])
        1.0
    """

    degrees: Number = 15.0
    outside: str = "zero"

    def check(self) -> None:
        """Refuse what is no angle."""
        check_interval(self, "degrees", "[0, 180]")
        check_outside(self, self.outside)

    def matrix(self, key: Array, height: int, width: int) -> Float[Array, "2 3"]:
        """A rotation."""
        angle = jnp.deg2rad(uniform(key, (), -self.degrees, self.degrees))
        cos, sin = jnp.cos(angle), jnp.sin(angle)
        return linear(cos, sin, -sin, cos)


class Zoom(Geometric):
    """An image is enlarged about its middle by a factor even in [1 - by, 1 + by].

    Args:
        by: in [0, 1).
        outside: what comes in where it is made smaller: ``"zero"``, or ``"edge"``.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> import sonde as sd
        >>> zoomed = sd.data.Zoom(0.1)(jax.random.key(0), jnp.zeros((5, 5)).at[2, 2].set(1))
        >>> float(zoomed[2, 2])
        1.0
    """

    by: Number = 0.1
    outside: str = "zero"

    def check(self) -> None:
        """Refuse a factor of 0 or below."""
        check_interval(self, "by", "[0, 1)", "The factor is in [1 - by, 1 + by].")
        check_outside(self, self.outside)

    def matrix(self, key: Array, height: int, width: int) -> Float[Array, "2 3"]:
        """What is at p comes from p / factor."""
        factor = 1 / uniform(key, (), 1 - self.by, 1 + self.by)
        return linear(factor, 0.0, 0.0, factor)


class Shear(Geometric):
    """An image is sheared: every line moves across by tan(a) for each pixel that it lies above the middle.

    Args:
        degrees: a is even in [-degrees, degrees]; below 90.
        outside: what comes in: ``"zero"``, or ``"edge"``.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> import sonde as sd
        >>> sheared = sd.data.Shear(20)(jax.random.key(0), jnp.zeros((5, 5)).at[2].set(1))
        >>> sheared[2].tolist()
        [1.0, 1.0, 1.0, 1.0, 1.0]
    """

    degrees: Number = 10.0
    outside: str = "zero"

    def check(self) -> None:
        """Refuse what is no slant."""
        check_interval(self, "degrees", "[0, 90)")
        check_outside(self, self.outside)

    def matrix(self, key: Array, height: int, width: int) -> Float[Array, "2 3"]:
        """(down, across) comes from (down, across + tan(a) down)."""
        slope = jnp.tan(jnp.deg2rad(uniform(key, (), -self.degrees, self.degrees)))
        return linear(1.0, 0.0, slope, 1.0)


class Flip(Geometric):
    """An image is mirrored with probability ``rate``: left is right.

    Args:
        rate: in [0, 1].
        vertical: whether up is down instead.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> import sonde as sd
        >>> sd.data.Flip(1.0)(jax.random.key(0), jnp.array([[1, 2, 3]], jnp.uint8)).tolist()
        [[3, 2, 1]]
    """

    rate: Number = 0.5
    vertical: bool = False

    def check(self) -> None:
        """Refuse what is no probability."""
        check_interval(self, "rate", "[0, 1]")
        if not isinstance(self.vertical, bool):
            raise ArgumentError(f"vertical of Flip must be True or False; got {self.vertical!r}")

    @property
    def whole_pixels(self) -> bool:
        """Pixels change places."""
        return True

    def matrix(self, key: Array, height: int, width: int) -> Float[Array, "2 3"]:
        """A reflection, or the identity."""
        sign = jnp.where(bernoulli(key, self.rate, ()), -1.0, 1.0)
        return linear(sign, 0.0, 0.0, 1.0) if self.vertical else linear(1.0, 0.0, 0.0, sign)

    def __call__(self, key: Array, x: Shaped[Array, "..."]) -> Shaped[Array, "..."]:
        """One image, or one video."""
        frames, back = as_frames(self, x)
        return back(jnp.where(bernoulli(key, self.rate, ()), jnp.flip(frames, 1 if self.vertical else 2), frames))


def linear(a: Any, b: Any, c: Any, d: Any) -> Array:
    """(A | 0) with A = [[a, b], [c, d]]."""
    return jnp.stack([jnp.asarray(v, jnp.float32) for v in (a, b, 0.0, c, d, 0.0)]).reshape(2, 3)
