"""Scatter plots: the same rows in several planes, a color and a marker a class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sonde._errors import DataError, ShapeError, shape_of
from sonde.diagnose.pictures.figure import COLORS, MARKERS, PathLike, grid, save, short, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def scatter_panels(panels: Sequence[tuple[str, Any, Any, str, str]], path: PathLike) -> Path:
    """The same rows in several planes, side by side: an input space beside what a layer makes of it.

    A panel is (title, points [n, 2], class [n], label across, label up). A class may be a number or a name,
    and has one color and marker in all panels; floating numbers are colored along a scale.

    Returns:
        The path of the PNG file.

    Raises:
        ShapeError: if points are not [n, 2] with one class each.
        DataError: if there is no panel, or a point is not finite.
        SourceError: if the file cannot be written.

    Example:
        >>> import tempfile
        >>> from sonde.diagnose import scatter_panels
        >>> points, xor = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
        >>> panel = ("input", points, xor, "$x_1$", "$x_2$")
        >>> scatter_panels([panel], tempfile.mkdtemp() + "/xor.png").name
        'xor.png'
    """
    checked = []
    for title, points, kind, across, up in panels:
        xy, c = np.asarray(points, np.float64), np.asarray(kind)
        if xy.ndim != 2 or xy.shape[1] != 2 or c.shape != xy.shape[:1]:
            raise ShapeError(
                f"panel {title!r} takes points [n, 2] and a class each [n]; "
                f"got {shape_of(xy)} and {shape_of(c)}"
            )
        wrong = np.flatnonzero(~np.isfinite(xy).all(1))
        if len(wrong):
            raise DataError(f"panel {title!r} has point {wrong[0]} at {xy[wrong[0]].tolist()}")
        checked.append((title, xy, c, across, up))
    if not checked:
        raise DataError("scatter_panels takes at least one panel")
    return save(_draw_scatter(checked), path)


@styled
def _draw_scatter(panels: list[tuple[str, np.ndarray, np.ndarray, str, str]]) -> Figure:
    figure, axes = grid(len(panels), min(len(panels), 4), 3.2, 3.0, right=0.8)
    numbers = all(np.issubdtype(c.dtype, np.floating) for _, _, c, _, _ in panels)
    every = np.concatenate([c for _, _, c, _, _ in panels])
    kinds = [] if numbers else sorted(set(every.tolist()))
    handles: dict[Any, Any] = {}
    for ax, (title, xy, c, across, up) in zip(axes, panels, strict=True):
        size = float(np.clip(4000 / max(len(xy), 1), 8, 60))
        if numbers:
            handles["scale"] = ax.scatter(
                *xy.T, s=size, c=c, cmap="cividis", vmin=every.min(), vmax=every.max(), linewidths=0
            )
        for k, kind in enumerate(kinds):
            rows = c == kind
            if rows.any():
                dots = ax.scatter(
                    *xy[rows].T, s=size, color=COLORS[k % 10], marker=MARKERS[(k + k // 10) % 10],
                    alpha=0.75, linewidths=0,
                )  # fmt: skip
                handles.setdefault(kind, dots)
        ax.set_title(title, loc="left")
        ax.set_xlabel(across)
        ax.set_ylabel(up)
        _square(ax, xy)
    if numbers:
        figure.colorbar(handles["scale"], ax=axes, shrink=0.8, aspect=25)
    else:
        shown = [kind for kind in kinds if kind in handles]
        figure.legend(
            [handles[kind] for kind in shown], [short(str(kind), 14) for kind in shown],
            loc="outside right center", frameon=False, markerscale=math.sqrt(30 / size),
        )  # fmt: skip
    return figure


def _square(ax: Axes, xy: np.ndarray) -> None:
    """One scale for both axes, unless one of them would be squeezed into a line."""
    low, high = (xy.min(0), xy.max(0)) if len(xy) else (np.zeros(2), np.ones(2))
    middle, spread = (low + high) / 2, high - low
    if spread.max() <= 0 or spread.min() < spread.max() / 4:
        ax.margins(0.1)
        return
    reach = 0.57 * spread.max()
    ax.set(xlim=middle[0] + np.array([-reach, reach]), ylim=middle[1] + np.array([-reach, reach]))
    ax.set_aspect("equal", adjustable="box")
