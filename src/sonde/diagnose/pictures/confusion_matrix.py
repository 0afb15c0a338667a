"""A confusion matrix: which class is taken for which."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sonde._errors import DataError, ShapeError, shape_of
from sonde.diagnose.pictures.figure import PathLike, blank, save, short, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def confusion(matrix: Any, labels: Sequence[Any], path: PathLike, rows: str = "rows") -> Path:
    """Which class is taken for which: counts, colored by their share of the true class.

    ``matrix`` [K, K] counts rows by true class (down) and predicted class (across), as `confusion_matrix`
    gives it; ``labels`` [K] are the classes' names, ``rows`` what was counted. Up to 20 classes each cell shows its
    count; above that only its color. Colors go with the root of the share, so that one mistake in a hundred can be
    seen.

    Returns:
        The path of the PNG file.

    Raises:
        ShapeError: if the matrix is not square, or has not a row for each label.
        DataError: if a count is negative or not finite.
        SourceError: if the file cannot be written.

    Example:
        >>> import tempfile
        >>> from sonde.diagnose import confusion
        >>> confusion([[50, 2], [5, 43]], ["cat", "dog"], tempfile.mkdtemp() + "/confusion.png").name
        'confusion.png'
    """
    return save(draw_confusion(matrix, labels, rows), path)


def draw_confusion(matrix: Any, labels: Sequence[Any], rows: str = "rows") -> Figure:
    """The figure of `confusion`."""
    counts = np.asarray(matrix)
    if counts.ndim != 2 or counts.shape != (len(labels), len(labels)) or not len(labels):
        raise ShapeError(
            f"confusion takes a matrix [classes, classes] and a label a class; got {shape_of(counts)} "
            f"and {len(labels)} labels"
        )
    if not (np.isfinite(counts).all() and (counts >= 0).all()):
        raise DataError(f"confusion takes counts; got {counts[~(np.isfinite(counts) & (counts >= 0))][0]}")
    return _draw_confusion(counts, [str(name) for name in labels], f"{counts.sum():,.10g} {rows}")


@styled
def _draw_confusion(counts: np.ndarray, labels: list[str], title: str) -> Figure:
    from matplotlib.colors import PowerNorm

    n = len(labels)
    texts = [[f"{c:g}" if c < 1e5 else f"{c:.0e}" for c in row] for row in counts]
    longest = max(len(text) for row in texts for text in row)
    cell = max(0.36, 0.085 * longest + 0.1) if n <= 20 else 7.5 / n
    side = max(1.6, n * cell)
    beside = min(0.075 * max(map(len, labels)), 1.8)
    tilt = max(map(len, labels)) > 2
    figure = blank(side + beside + 1.6, side + (0.75 * beside if tilt else 0.0) + 0.75)
    ax = figure.add_subplot()
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1e-300)
    image = ax.imshow(share, cmap="cividis", norm=PowerNorm(0.5, 0, 1), interpolation="nearest")
    ticks = np.arange(n) if n <= 50 else np.arange(0, n, math.ceil(n / 50))
    small = 9.0 if n <= 20 else max(4.5, 9.0 * 20 / len(ticks))
    ax.set_xticks(
        ticks, [short(labels[i]) for i in ticks], fontsize=small, rotation=45 if tilt else 0,
        ha="right" if tilt else "center", rotation_mode="anchor" if tilt else "default",
    )  # fmt: skip
    ax.set_yticks(ticks, [short(labels[i]) for i in ticks], fontsize=small)
    ax.tick_params(length=2)
    ax.spines[:].set_visible(False)
    ax.set_title(title, loc="left", fontsize=9)
    ax.set_xlabel("predicted")
    ax.set_ylabel("true")
    for i, j in np.ndindex(n, n) if n <= 20 else ():
        color = "black" if share[i, j] > 0.25 else "white" if counts[i, j] else "#7F8CA6"
        ax.text(j, i, texts[i][j], ha="center", va="center", color=color, fontsize=8.5)
    bar = figure.colorbar(
        image, ax=ax, shrink=0.8, aspect=25, ticks=[0, 0.01, 0.05, 0.2, 0.5, 1],
        format=lambda v, _: f"{100 * v:.0f} %",
    )  # fmt: skip
    bar.set_label("share of the true class")
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
    return figure
