"""A contact sheet of augmentation: what each operation makes of an image, to look at before training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from sonde._batch import Batch
from sonde._errors import ArgumentError, ShapeError, shape_of
from sonde._value import show
from sonde.data.augmented import Augmented, as_ops
from sonde.data.dataset import Dataset
from sonde.data.sampling import InOrder
from sonde.diagnose.pictures.figure import PathLike, blank, frame, save, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_augmented(data: Dataset, ops: Any, path: PathLike, row: int = 0, draws: int = 7, seed: int = 0) -> Path:
    """One training image as it is, and after several draws: a line for each operation, and one for all in order.

    Gray images go from white (0) to black (the largest number of the image as it is); colors are of uint8, or from
    0 to 1.

    Args:
        data: its column ``x`` has images [rows, height, width] or [rows, height, width, 1 or 3].
        ops: an `Augmentation` of images, or a tuple of them, as for `fit`. Of `Mixup` no sheet is drawn: it takes
            several rows.
        path: the PNG file to write.
        row: which training row.
        draws: how many of each.
        seed: what they follow from.

    Returns:
        The path.

    Raises:
        ShapeError: the rows are no images.
        ArgumentError: there is no such row.
        SourceError: the file cannot be written.

    Example:
        >>> import tempfile
        >>> import sonde as sd
        >>> from sonde.diagnose import draw_augmented
        >>> ops = (sd.data.Shift(1), sd.data.Rotate(20))
        >>> draw_augmented(sd.data.load("digits"), ops, tempfile.mkdtemp() + "/sheet.png", draws=3).name
        'sheet.png'
    """
    x, ops = data.train["x"], as_ops(ops)
    if not (len(x.shape) == 3 or (len(x.shape) == 4 and x.shape[-1] in (1, 3))):
        raise ShapeError(f"draw_augmented takes images [rows, height, width(, 1 or 3)]; got {shape_of(x)}")
    if not 0 <= row < len(x) or draws < 1:
        raise ArgumentError(f"draw_augmented draws a row from 0 to {len(x) - 1}, once or more; got {row} and {draws}")
    plain = np.asarray(x[row])
    many = {"x": jnp.asarray(np.broadcast_to(plain, (draws, *plain.shape)))}
    lines = [(show(op), (op,)) for op in ops] + ([("all, in order", ops)] if len(ops) > 1 else [])
    sheet = []
    for i, (name, group) in enumerate(lines):
        drawn: Batch = Augmented(InOrder(draws), group).prepare(many).over(many)(jax.random.key(seed), jnp.int32(i))
        sheet.append((name, [plain, *np.asarray(drawn.x)]))
    return save(_draw_sheet(sheet), path)


@styled
def _draw_sheet(sheet: list[tuple[str, list[np.ndarray]]]) -> Figure:
    plain = sheet[0][1][0]
    across, tall = len(sheet[0][1]), plain.shape[0] / plain.shape[1]
    figure = blank(0.95 * across, len(sheet) * (0.9 * min(tall, 2.0) + 0.3) + 0.1)
    axes = figure.subplots(len(sheet), across, squeeze=False)
    top = float(plain.max()) or 1.0
    for line, (name, images) in zip(axes, sheet, strict=True):
        for ax, image in zip(line, images, strict=True):
            image = image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image
            how = {"cmap": "gray_r", "vmin": 0.0, "vmax": top} if image.ndim == 2 else {}
            ax.imshow(np.clip(image, 0, None) if image.ndim == 2 else image, interpolation="nearest", **how)
            frame(ax)
        line[0].spines[:].set(color="black", linewidth=1.6)
        line[0].set_title("as it is", fontsize=8, loc="left")
        line[1].set_title(name, fontsize=8, loc="left").set_in_layout(False)  # as wide as it likes
    return figure
