"""Image files as pixels."""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar

import numpy as np

from sonde._errors import DataError, shape_of
from sonde.data.encoding import Encoding

_NAMED = 5  # broken files at once


class Picture(Encoding):
    """Image files, resized to one size, a byte a pixel and channel; the network scales them.

    Args:
        height: of what the network sees; 0: learned, that of most training images, 64 at most.
        width: likewise.
        channels: 1 (gray) or 3 (color); 0: learned.

    Example:
        >>> import numpy as np, tempfile
        >>> from PIL import Image
        >>> import sonde as sd
        >>> file = tempfile.mkdtemp() + "/red.png"
        >>> Image.new("RGB", (10, 6), "red").save(file)
        >>> sd.data.Picture().fit(np.array([file], object)).encode(np.array([file], object)).shape
        (1, 6, 10, 3)
    """

    height: int = 0
    width: int = 0
    channels: int = 0
    alone: ClassVar[bool] = True

    def fit(self, values: np.ndarray) -> Encoding:
        """Learn the size and the channels from (at most 200 of) the images."""
        try:
            some = [_opened(value) for value in values[:: max(1, len(values) // 200)]]
        except _Broken:
            raise BrokenImages(broken(values)) from None
        (width, height), _ = Counter(image.size for image in some).most_common(1)[0]
        small = min(1.0, 64 / max(width, height))
        gray = all(image.mode in ("L", "1", "I;16", "LA") for image in some)
        return self.replace(
            height=self.height or max(1, round(small * height)),
            width=self.width or max(1, round(small * width)),
            channels=self.channels or (1 if gray else 3),
        )

    def encode(self, values: np.ndarray) -> np.ndarray:
        """uint8 [rows, height, width, channels]."""
        if values.dtype != object and values.ndim > 1:  # pixels already
            wanted = (len(values), self.height, self.width, self.channels)
            if values.dtype != np.uint8 or values.shape not in (wanted, wanted[:-1]):
                raise DataError(f"it takes files, or pixels uint8{list(wanted)}; got {shape_of(values)}")
            return values.reshape(wanted)
        mode = {1: "L", 3: "RGB"}[self.channels]
        pixels = np.zeros((len(values), self.height, self.width, self.channels), np.uint8)
        for i, value in enumerate(values):
            try:
                image = _opened(value).convert(mode).resize((self.width, self.height), 2)  # bilinear
            except _Broken:
                raise BrokenImages(broken(values[i:])) from None
            pixels[i] = np.asarray(image).reshape(pixels.shape[1:])
        return pixels


class BrokenImages(DataError):
    """Image files that cannot be read, named."""


class _Broken(Exception):
    """Why an image cannot be opened."""


def _opened(value: Any) -> Any:
    """An image file, opened."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    if value is None:
        raise _Broken("the row names no file")
    try:
        with Image.open(value) as file:
            file.load()
            image = ImageOps.exif_transpose(file)  # a copy, the right way up
    except FileNotFoundError:
        raise _Broken("there is no such file") from None
    except UnidentifiedImageError:  # whose message is the path
        raise _Broken("it is no image") from None
    except (OSError, ValueError, AttributeError, SyntaxError, Image.DecompressionBombError) as error:
        raise _Broken(getattr(error, "strerror", None) or str(error)) from None
    return image


def broken(values: np.ndarray) -> str:
    """The images that cannot be read, five at most, with the remedy; "" if there are none."""
    named = []
    for value in values:
        try:
            _opened(value)
        except _Broken as error:
            named.append(f"{value} ({error})")
        if len(named) == _NAMED:
            named.append("perhaps more")
            break
    if not named:
        return ""
    return f"images that cannot be read: {', '.join(named)}; mend them, or take them out of the folder or the table"
