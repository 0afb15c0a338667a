"""What all pictures share: colors and style, panels in a grid, and a PNG file whose bytes can be compared."""

from __future__ import annotations

import functools
import io
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

from sonde._html import image as inline
from sonde._store import write_atomically
from sonde.objectives.metrics import better

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PathLike = str | os.PathLike[str]
P = ParamSpec("P")
R = TypeVar("R")

COLORS = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C8C00"),
    *("#999999", "#882255"),
)
"""Okabe and Ito's, the strongest first, their yellow darkened (too pale on white); then a gray and a wine."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", "*", ">")

DPI = 120
_STYLE = {"font.size": 9.0, "axes.spines.top": False, "axes.spines.right": False, "savefig.dpi": DPI}


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Draw in matplotlib's own style, whatever the user's settings are."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> R:
        from matplotlib import style

        with style.context(["default", _STYLE]):
            return draw(*args, **kwargs)

    return drawn


def grid(
    panels: int, across: int, width: float, height: float, above: float = 0.0, right: float = 0.0
) -> tuple[Figure, list[Any]]:
    """A figure of panels of so many inches each, row by row; places left over stay empty."""
    down = math.ceil(panels / across)
    figure = blank(max(across * width + right, 2.8), down * height + above)
    axes = [figure.add_subplot(down, across, i + 1) for i in range(panels)]
    return figure, axes


def blank(width: float, height: float) -> Figure:
    """A figure of so many inches with nothing in it, of no window."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    return Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08))


def rule(ax: Axes, axis: Any = "both") -> None:
    """Draw a panel's grid, behind everything."""
    ax.grid(True, axis=axis, color="#DDDDDD", linewidth=0.6)
    ax.set_axisbelow(True)


def frame(ax: Axes) -> None:
    """Draw a frame around an image, without ticks."""
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set(visible=True, color="#BBBBBB")


def set_scale(ax: Axes, quantity: str, values: np.ndarray) -> None:
    """Make a vertical axis logarithmic where that helps: positive values over decades, the lower the better."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    if not len(values):
        ax.text(0.5, 0.5, "no finite values", transform=ax.transAxes, ha="center", va="center")
        ax.set_yticks([])
        return
    decades = math.log10(values.max() / values.min()) if values.min() > 0 else 0.0
    if decades > 1 and better(quantity) < 0:
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if decades < 2.5 else (1.0,)))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.yaxis.set_minor_formatter(NullFormatter())
    rule(ax, "y")


def short(label: str, most: int = 22) -> str:
    """A label of so many letters at most."""
    return label if len(label) <= most else label[: most - 1] + "…"


def save(figure: Figure, path: PathLike) -> Path:
    """Write a figure as a PNG file, whole or not at all; its path."""
    write_atomically(path, png(figure))
    return Path(path)


def png(figure: Figure) -> bytes:
    """A figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    styled(figure.savefig)(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


class Pictures(dict[str, Any]):
    """Figures of matplotlib by name; a notebook shows them one below the other.

    Example:
        >>> from sonde.diagnose.pictures import Pictures, draw_predictions
        >>> pictures = Pictures(predictions=draw_predictions([1.0, 2.0], [1.5, 2.0]))
        >>> pictures, pictures["predictions"].axes[0].get_title(loc="left")
        (Pictures: predictions, 'R² 0.500, RMSE 0.354')
    """

    def __repr__(self) -> str:
        return f"Pictures: {', '.join(self)}"

    def _repr_html_(self) -> str:
        return "".join(inline(png(figure), name) for name, figure in self.items())

    def save(self, folder: PathLike) -> list[Path]:
        """Write each as a PNG file into a folder, under its name; the paths."""
        return [save(figure, Path(folder) / f"{name}.png") for name, figure in self.items()]
