"""Misclassified images: what the network is surest of and wrong about."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sonde._errors import ArgumentError, DataError, ShapeError, shape_of
from sonde.diagnose.pictures.figure import PathLike, blank, frame, grid, save, short, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def mistakes(
    images: Any,
    labels: Any,
    predicted: Any,
    probabilities: Any,
    names: Sequence[Any],
    path: PathLike,
    most: int = 25,
) -> Path:
    """The images that the network is surest of and wrong about, the surest first.

    ``images`` [n, H, W] or [n, H, W, C] with C = 1, 3 or 4: uint8, or floats of any range (scaled by their
    common least and greatest value unless they lie in [0, 1]). ``labels`` and ``predicted`` [n] are class
    numbers, ``probabilities`` [n, K] what the network said, ``names`` [K] the classes' names. At most
    ``most`` are shown. Without any mistake the picture says so.

    Returns:
        The path of the PNG file.

    Raises:
        ShapeError: if the shapes do not fit.
        DataError: if a class number lies outside 0..K-1, or a mistake's probability is NaN.
        ArgumentError: if ``most`` is not above 0.
        SourceError: if the file cannot be written.

    Example:
        >>> import tempfile, numpy as np
        >>> from sonde.diagnose import mistakes
        >>> images, p = np.zeros((2, 8, 8)), np.array([[0.9, 0.1], [0.2, 0.8]])
        >>> path = tempfile.mkdtemp() + "/mistakes.png"
        >>> mistakes(images, [0, 0], p.argmax(1), p, ["cat", "dog"], path).name
        'mistakes.png'
    """
    return save(draw_mistakes(images, labels, predicted, probabilities, names, most), path)


def draw_mistakes(
    images: Any,
    labels: Any,
    predicted: Any,
    probabilities: Any,
    names: Sequence[Any],
    most: int = 25,
    rows: str = "rows",
) -> Figure:
    """The figure of `mistakes`."""
    x, y, said, p = (np.asarray(a) for a in (images, labels, predicted, probabilities))
    n, classes = len(x), len(names)
    if x.ndim not in (3, 4) or (x.ndim == 4 and x.shape[-1] not in (1, 3, 4)):
        raise ShapeError(f"mistakes takes images [n, H, W] or [n, H, W, 1, 3 or 4]; got {shape_of(x)}")
    if y.shape != (n,) or said.shape != (n,) or p.shape != (n, classes):
        raise ShapeError(
            f"mistakes takes labels [{n}], predicted [{n}] and probabilities [{n}, {classes}] for {n} images "
            f"of {classes} names; got {shape_of(y)}, {shape_of(said)} and {shape_of(p)}"
        )
    if most < 1:
        raise ArgumentError(f"most of mistakes must be above 0; got {most!r}")
    for what, given in (("labels", y), ("predicted", said)):
        odd = np.flatnonzero((given < 0) | (given >= classes))
        if len(odd):
            raise DataError(f"{what} must lie from 0 to {classes - 1}; row {odd[0]} has {given[odd[0]]}")
    wrong = np.flatnonzero(y != said)
    sure = p[wrong, said[wrong]].astype(np.float64)
    if np.isnan(sure).any():
        raise DataError(f"the probabilities of row {wrong[np.isnan(sure)][0]} contain nan")
    first = np.argsort(-sure, kind="stable")[:most]
    called = [short(str(name), 14) for name in names]
    titles = [
        f"true {called[int(y[i])]},\nsaid {called[int(said[i])]} ({percent(s)})"
        for i, s in zip(wrong[first], sure[first], strict=True)
    ]
    if all(len(title) <= 26 for title in titles):
        titles = [title.replace("\n", " ") for title in titles]
    shown = f", the {len(first)} surest" if len(first) < len(wrong) else ""
    head = f"{len(wrong) or 'none'} of {n:,} {rows} wrong{shown}"
    return _draw_mistakes(_viewable(x)[wrong[first]], titles, head)


def percent(share: float) -> str:
    """A share in words; 99.6 % is not 100 %."""
    return ">99 %" if 0.99 < share < 1 else f"{100 * share:.0f} %"


def _viewable(images: np.ndarray) -> np.ndarray:
    """Images as matplotlib shows them: from 0 to 1, gray ones without a channel."""
    x = images[..., 0] if images.ndim == 4 and images.shape[-1] == 1 else images
    if x.dtype == np.uint8:
        return x / 255.0
    x = np.nan_to_num(x.astype(np.float64))
    low, high = (x.min(), x.max()) if x.size else (0.0, 1.0)
    return x if low >= 0 and high <= 1 else (x - low) / (high - low or 1.0)


@styled
def _draw_mistakes(images: np.ndarray, titles: list[str], head: str) -> Figure:
    if not titles:
        figure = blank(4.0, 1.5)
        figure.text(0.5, 0.5, f"no mistakes to show:\n{head}", ha="center", va="center", fontsize=12)
        return figure
    across = min(len(titles), math.ceil(math.sqrt(len(titles))))
    lines = 1 + titles[0].count("\n")
    figure, axes = grid(len(titles), across, 1.75, 1.6 + 0.14 * lines, above=0.3)
    figure.suptitle(head, x=0.01, ha="left", fontsize=10)
    for ax, image, title in zip(axes, images, titles, strict=True):
        ax.imshow(image, cmap="gray_r" if image.ndim == 2 else None, vmin=0, vmax=1, interpolation="nearest")
        ax.set_title(title, fontsize=8)
        frame(ax)
    return figure
