"""Augmentation of images: what all operations on them share, and those that cut something off or out.

An image is [height, width] or [height, width, channels]; a video is [frames, height, width, channels], and all its
frames are changed alike.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import jax.numpy as jnp
from jax import lax

from sonde._errors import ArgumentError, ShapeError, check_interval, is_whole, shape_of
from sonde._random import below, derive, uniform
from sonde._types import Array, Number
from sonde.data.augment import Augmentation

if TYPE_CHECKING:
    from jaxtyping import Shaped

CHANNELS = 4
"""More than these are taken for something else: a video without channels, or a table."""

MODES = {"zero": "constant", "edge": "edge"}
"""What lies beyond the border of an image, in the words of `jax.numpy.pad`."""


def as_frames(op: Augmentation, x: Array) -> tuple[Array, Callable[[Array], Array]]:
    """A row as [frames, height, width, channels], and the way back.

    Raises:
        ShapeError: it is neither an image nor a video.
    """
    if x.ndim == 2:
        return x[None, :, :, None], lambda y: y[0, :, :, 0]
    if x.ndim == 3 and x.shape[-1] <= CHANNELS:
        return x[None], lambda y: y[0]
    if x.ndim == 4:
        return x, lambda y: y
    mend = {
        1: "Rows of a table can be given data.Noise; a flattened image is one again by x.reshape(-1, height, width)",
        3: "A gray video has a last axis of 1; an image of more than 4 channels passes as [1, height, width, channels]",
    }.get(x.ndim, "Give it images or videos")
    raise ShapeError(
        f"{type(op).__name__} takes images [height, width] or [height, width, channels], or videos "
        f"[frames, height, width, channels]; a row is {shape_of(x)}. {mend}"
    )


def check_outside(op: Augmentation, outside: str) -> None:
    """Refuse a word that says nothing of what lies beyond the border."""
    if outside not in MODES:
        raise ArgumentError(f"outside of {type(op).__name__} must be 'zero' or 'edge'; got {outside!r}")


def bordered(frames: Array, outside: str, *sides: tuple[int, int]) -> Array:
    """Frames with so much added above and below, left and right."""
    return jnp.pad(frames, ((0, 0), *sides, (0, 0)), mode=MODES[outside])


class Crop(Augmentation):
    """A window of an image with a border added to it, at a random place: whole pixels, nothing is interpolated.

    With ``padding`` p the window of the image's own size lies up to p pixels off, as `Shift` moves it. A window of
    another size is for networks that take images of any size, such as those that end in `nn.GlobalAveragePool`: rows
    for validation stay as they are.

    Args:
        padding: pixels added on each side.
        size: (height, width) of the window; None: those of the image. These two are shapes, so others compile again.
        outside: what is added: ``"zero"``, or ``"edge"`` for the pixel at the border.

    Source: K. He et al. (2016), section 4.2.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> import sonde as sd
        >>> sd.data.Crop(4)(jax.random.key(0), jnp.ones((32, 32, 3))).shape
        (32, 32, 3)
        >>> sd.data.Crop(0, (2, 2))(jax.random.key(0), jnp.arange(12.0).reshape(3, 4)).tolist()
        [[2.0, 3.0], [6.0, 7.0]]
    """

    padding: int = 4
    size: tuple[int, int] | None = None
    outside: str = "zero"

    def check(self) -> None:
        """Refuse what is no number of pixels."""
        check_outside(self, self.outside)
        given = [("padding", self.padding, 0)]
        if self.size is not None:
            if not isinstance(self.size, tuple) or len(self.size) != 2:
                raise ArgumentError(f"size of Crop must be (height, width); got {self.size!r}")
            given += [("size", n, 1) for n in self.size]
        for name, n, least in given:
            if not is_whole(n, least):
                raise ArgumentError(f"{name} of Crop must be whole numbers of at least {least}; got {n!r}")

    def __call__(self, key: Array, x: Shaped[Array, "..."]) -> Shaped[Array, "..."]:
        """The window."""
        frames, back = as_frames(self, x)
        p = self.padding
        wide = bordered(frames, self.outside, (p, p), (p, p))
        count, tall, across, channels = wide.shape
        height, width = self.size or frames.shape[1:3]
        if height > tall or width > across:
            raise ShapeError(
                f"Crop has a window of {height} x {width}, but with its padding the image is only {tall} x {across}; "
                "use a smaller size, or more padding"
            )
        down = below(derive(key, 0), (), tall - height + 1)
        right = below(derive(key, 1), (), across - width + 1)
        zero = jnp.int32(0)
        return back(lax.dynamic_slice(wide, (zero, down, right, zero), (count, height, width, channels)))


class Cutout(Augmentation):
    """A square of an image, at a random place, is set to one number: no part of a thing is needed to tell it.

    The square's middle is anywhere in the image, so some of it may lie outside.

    Args:
        side: of the square, in pixels.
        fill: what it is set to, in the image's units.

    Source: T. DeVries and G. Taylor (2017).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> import sonde as sd
        >>> hidden = [sd.data.Cutout(2.0)(jax.random.key(i), jnp.ones((9, 9))) == 0 for i in range(20)]
        >>> max(int(h.sum()) for h in hidden)
        4
    """

    side: Number = 8.0
    fill: Number = 0.0

    def check(self) -> None:
        """Refuse a negative side."""
        check_interval(self, "side", "[0, inf)")
        check_interval(self, "fill", "(-inf, inf)")

    def __call__(self, key: Array, x: Shaped[Array, "..."]) -> Shaped[Array, "..."]:
        """One image, or one video, with a hole."""
        frames, back = as_frames(self, x)
        inside = []
        for axis, pixels in enumerate(frames.shape[1:3]):
            middle = uniform(derive(key, axis), (), -0.5, pixels - 0.5)
            inside.append(abs(jnp.arange(pixels) - middle) < self.side / 2)
        hole = inside[0][:, None] & inside[1][None]
        hole = jnp.broadcast_to(hole[None, :, :, None], frames.shape)
        return back(jnp.where(hole, jnp.asarray(self.fill).astype(x.dtype), frames))
