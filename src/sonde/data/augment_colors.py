"""Augmentation of colors, as Pillow's `ImageEnhance` and HSV have them; where things are stays.

Images are of gray or of red, green and blue, from 0 to ``white``: 255 for 8-bit whole numbers, 1 for floats unless
another number is given. The result is cut off at 0 and ``white``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np

from sonde._batch import Padded
from sonde._errors import DataError, ShapeError, check_interval, shape_of
from sonde._random import uniform
from sonde._types import Array, Number, Part
from sonde.data.augment import Augmentation, settled
from sonde.data.augment_images import as_frames

if TYPE_CHECKING:
    from jaxtyping import Float, Shaped

_LOOKED_AT = 1000  # rows whose range is compared with white


class _Color(Augmentation):
    """What changes the colors of a pixel, or of an image: ``by`` is its strength, ``white`` the largest number."""

    by: Number = 0.2
    white: Part = None

    _channels = (1, 3)
    _most = "[0, 1]"

    def check(self) -> None:
        """Refuse what is no strength, and a white below black."""
        check_interval(self, "by", self._most)
        if self.white is not None:
            check_interval(self, "white", "(0, inf)")

    def prepare(self, columns: Mapping[str, Any], column: str) -> Augmentation:
        """Compare the numbers of the first rows with ``white``.

        Raises:
            DataError: they are below 0 or above it.
        """
        rows = columns.get(column)
        if rows is not None and not isinstance(rows, Padded) and np.issubdtype(rows.dtype, np.floating):
            some = np.asarray(rows[:_LOOKED_AT])
            low, high, white = float(some.min()), float(some.max()), self.white or 1.0
            if isinstance(white, int | float) and (low < 0 or high > 1.001 * white):
                kind = type(self).__name__
                mend = f"Say {kind}(white={high:g}) if that is white" if low >= 0 else "Standardize inside the network"
                raise DataError(
                    f"{kind} takes colors from 0 to {white:g}; column {column!r} goes from {low:g} to {high:g}. {mend}"
                )
        return self

    def __call__(self, key: Array, x: Shaped[Array, "..."]) -> Shaped[Array, "..."]:
        """One image, or one video: every frame with the same draw."""
        frames, back = as_frames(self, x)
        if frames.shape[-1] not in self._channels:
            words = "red, green and blue" if 1 not in self._channels else "gray, or red, green and blue"
            raise ShapeError(f"{type(self).__name__} takes images of {words}, 0 .. white; a row is {shape_of(x)}")
        white = (255.0 if x.dtype == jnp.uint8 else 1.0) if self.white is None else self.white
        image = frames.astype(jnp.promote_types(x.dtype, jnp.float32))
        return back(settled(jnp.clip(self.recolored(key, image, white), 0, white), x.dtype))

    def recolored(self, key: Array, image: Array, white: Any) -> Array:
        """Frames [frames, height, width, channels] of floats, in other colors."""
        raise NotImplementedError

    def _factor(self, key: Array) -> Array:
        return uniform(key, (), 1 - self.by, 1 + self.by)


def gray(image: Float[Array, "*space channels"]) -> Float[Array, "*space 1"]:
    """How light pixels are: 0.299 red + 0.587 green + 0.114 blue (ITU-R BT.601)."""
    if image.shape[-1] == 1:
        return image
    red, green, blue = jnp.split(image, 3, -1)
    return 0.299 * red + 0.587 * green + 0.114 * blue


class Brightness(_Color):
    """An image is made lighter or darker: y = f x, with f even in [1 - by, 1 + by].

    Args:
        by: in [0, 1].
        white: the largest number there is; None: 255 for uint8, 1 for floats.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> import sonde as sd
        >>> image = sd.data.Brightness(0.5)(jax.random.key(0), jnp.full((2, 2, 3), 100, jnp.uint8))
        >>> bool((image >= 50).all() and (image <= 150).all())
        True
    """

    def recolored(self, key: Array, image: Array, white: Any) -> Array:
        """Toward or away from black."""
        return self._factor(key) * image


class Contrast(_Color):
    """Light and dark are moved apart or together: y = m + f (x - m), with f even in [1 - by, 1 + by].

    m is how light the image (of a video: each frame) is on the average.

    Args:
        by: in [0, 1].
        white: the largest number there is; None: 255 for uint8, 1 for floats.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> import sonde as sd
        >>> sd.data.Contrast(0.5)(jax.random.key(0), jnp.full((2, 2), 100, jnp.uint8)).tolist()
        [[100, 100], [100, 100]]
    """

    def recolored(self, key: Array, image: Array, white: Any) -> Array:
        """Toward or away from the mean."""
        mean = jnp.broadcast_to(gray(image).mean((1, 2, 3), keepdims=True), image.shape)
        return mean + self._factor(key) * (image - mean)


class Saturation(_Color):
    """Colors are made stronger or paler: y = g + f (x - g), with f even in [1 - by, 1 + by], g the pixel's gray.

    Args:
        by: in [0, 1].
        white: the largest number there is; None: 255 for uint8, 1 for floats.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> import sonde as sd
        >>> sd.data.Saturation(0.5)(jax.random.key(0), jnp.full((1, 1, 3), 100, jnp.uint8)).tolist()
        [[[100, 100, 100]]]
    """

    _channels = (3,)

    def recolored(self, key: Array, image: Array, white: Any) -> Array:
        """Toward or away from gray."""
        pale = jnp.broadcast_to(gray(image), image.shape)
        return pale + self._factor(key) * (image - pale)


class Hue(_Color):
    """Colors are turned about the circle of hues by a share of it that is even in [-by, by]; gray stays.

    Args:
        by: in [0, 0.5]: at 1/3 red may become green or blue.
        white: the largest number there is; None: 255 for uint8, 1 for floats.

    Source: A. R. Smith (1978), who describes HSV.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> import sonde as sd
        >>> sd.data.Hue(0.5)(jax.random.key(0), jnp.full((1, 1, 3), 100, jnp.uint8)).tolist()
        [[[100, 100, 100]]]
    """

    by: Number = 0.05
    white: Part = None

    _channels = (3,)
    _most = "[0, 0.5]"

    def recolored(self, key: Array, image: Array, white: Any) -> Array:
        """From red, green and blue to hue, chroma and value, and back."""
        red, green, blue = jnp.split(image, 3, -1)
        value = image.max(-1, keepdims=True)
        chroma = value - image.min(-1, keepdims=True)
        some = jnp.where(chroma > 0, chroma, 1.0)
        sixth = jnp.where(
            value == red,
            (green - blue) / some,
            jnp.where(value == green, 2 + (blue - red) / some, 4 + (red - green) / some),
        )
        sixth += 6 * uniform(key, (), -self.by, self.by)
        near = [jnp.mod(n + sixth, 6) for n in (5, 3, 1)]  # of red, green, blue: how far from its complement
        return jnp.concatenate([value - chroma * jnp.clip(jnp.minimum(k, 4 - k), 0, 1) for k in near], -1)
