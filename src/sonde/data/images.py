"""Image files as pixels."""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar

import numpy as np

from sonde._errors import DataError, SourceError, shape_of
from sonde.data.encoding import Encoding


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
        some = [_opened(i, v) for i, v in enumerate(values[:: max(1, len(values) // 200)])]
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
            image = _opened(i, value).convert(mode).resize((self.width, self.height), 2)  # bilinear
            pixels[i] = np.asarray(image).reshape(pixels.shape[1:])
        return pixels


def _opened(row: int, value: Any) -> Any:
    """An image file, opened."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        image = ImageOps.exif_transpose(Image.open(value))  # the right way up
        image.load()
    except FileNotFoundError:
        raise SourceError(f"row {row}: there is no image {value}") from None
    except (UnidentifiedImageError, OSError, ValueError, AttributeError, Image.DecompressionBombError) as error:
        raise DataError(f"row {row}: {value!r} is not an image that can be read ({error})") from None
    return image
