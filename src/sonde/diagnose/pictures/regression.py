"""A regression: predicted numbers against the true ones, and the residuals below."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sonde._errors import ArgumentError, DataError, ShapeError, shape_of
from sonde.diagnose.pictures.figure import COLORS, PathLike, grid, rule, save, short, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def predictions(target: Any, predicted: Any, path: PathLike, names: Sequence[Any] = (), most: int = 4) -> Path:
    """Predicted numbers against the true ones, and below what is left over, in the units they are in.

    ``target`` and ``predicted`` are [n] or [n, outputs], ``names`` [outputs] what the outputs are called. Each of
    the first ``most`` outputs has a column. Points on the dashed line are right; titles say R2 and RMSE over all
    rows. Of more than 5,000 rows, 5,000 evenly spread ones are drawn.

    Returns:
        The path of the PNG file.

    Raises:
        ShapeError: if the shapes do not fit.
        DataError: if a number is not finite.
        ArgumentError: if ``most`` is not above 0.
        SourceError: if the file cannot be written.

    Example:
        >>> import tempfile
        >>> from sonde.diagnose import predictions
        >>> predictions([1.0, 2.0, 3.0], [1.1, 1.9, 3.2], tempfile.mkdtemp() + "/predictions.png", ["price"]).name
        'predictions.png'
    """
    return save(draw_predictions(target, predicted, names, most), path)


def draw_predictions(
    target: Any, predicted: Any, names: Sequence[Any] = (), most: int = 4, rows: str = "rows"
) -> Figure:
    """The figure of `predictions`."""
    y, said = (np.asarray(a, np.float64) for a in (target, predicted))
    if y.ndim not in (1, 2) or not len(y) or said.shape != y.shape:
        raise ShapeError(
            f"predictions takes target and predicted of one shape, [n] or [n, outputs]; "
            f"got {shape_of(y)} and {shape_of(said)}"
        )
    y, said = y.reshape(len(y), -1), said.reshape(len(y), -1)
    if names and len(names) != y.shape[1]:
        raise ShapeError(f"predictions takes a name an output; got {len(names)} for {y.shape[1]}")
    if most < 1:
        raise ArgumentError(f"most of predictions must be above 0; got {most!r}")
    for what, given in (("target", y), ("predicted", said)):
        bad = np.flatnonzero(~np.isfinite(given).all(1))
        if len(bad):
            raise DataError(f"{what} has a number that is not finite in row {bad[0]}")
    called = [short(str(name)) for name in names] or [""] * y.shape[1]
    if not names and y.shape[1] > 1:
        called = [f"output {i}" for i in range(y.shape[1])]
    shown = min(most, y.shape[1])
    titles = [_fit_words(y[:, i], said[:, i], called[i]) for i in range(shown)]
    left = "" if shown == y.shape[1] else f"the first {shown} of {y.shape[1]} outputs"
    some = np.unique(np.linspace(0, len(y) - 1, min(len(y), 5000)).astype(int))
    drawn = f"{len(y):,} {rows}" + ("" if len(some) == len(y) else f", of which {len(some):,} are drawn")
    head = "; ".join(filter(None, (left, drawn)))
    return _draw_predictions(y[some, :shown], said[some, :shown], titles, called[:shown], head)


def _fit_words(y: np.ndarray, said: np.ndarray, name: str) -> str:
    rest = np.square(y - said)
    spread = np.square(y - y.mean()).mean()
    r2 = f"R² {1 - rest.mean() / spread:.3f}, " if spread > 0 else ""
    rmse = math.sqrt(rest.mean())
    return f"{name}{': ' if name else ''}{r2}RMSE {f'{rmse:,.0f}' if rmse >= 1000 else f'{rmse:.3g}'}"


@styled
def _draw_predictions(y: np.ndarray, said: np.ndarray, titles: list[str], names: list[str], head: str) -> Figure:
    from matplotlib.ticker import MaxNLocator

    n, outputs = y.shape
    figure, axes = grid(2 * outputs, max(outputs, 2), 3.4, 2.9, above=0.3 if head else 0.0)
    if head:
        figure.suptitle(head, x=0.01, ha="left", fontsize=9)
    size, alpha = float(np.clip(4000 / n, 6, 36)), float(np.clip(300 / n, 0.25, 0.8))
    for i, (title, name) in enumerate(zip(titles, names, strict=True)):
        above, below = axes[i], axes[outputs + i]
        ends = [min(y[:, i].min(), said[:, i].min()), max(y[:, i].max(), said[:, i].max())]
        above.plot(ends, ends, color="black", linestyle="--", linewidth=1.0, label="right", zorder=3)
        above.scatter(y[:, i], said[:, i], s=size, color=COLORS[0], alpha=alpha, linewidths=0)
        above.set_title(title, loc="left")
        above.set_xlabel(f"true {name}".strip())
        above.set_ylabel(f"predicted {name}".strip())
        rest = y[:, i] - said[:, i]
        below.axhline(0.0, color="black", linestyle="--", linewidth=1.0, zorder=3)
        below.scatter(said[:, i], rest, s=size, color=COLORS[1], marker="s", alpha=alpha, linewidths=0)
        below.set_xlabel(f"predicted {name}".strip())
        below.set_ylabel("true - predicted")
        for ax in (above, below):
            rule(ax)
            ax.margins(0.05)
            ax.xaxis.set_major_locator(MaxNLocator(4))  # large numbers are wide
    return figure
