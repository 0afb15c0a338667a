"""Panels side by side for what is to be explained: curves, and small images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sonde._errors import DataError, ShapeError, shape_of
from sonde.diagnose.pictures.figure import COLORS, MARKERS, PathLike, frame, grid, rule, save, set_scale, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Panel = tuple[str, Mapping[str, tuple], str, str]

DASHES = ("-", "--", "-.", ":")


def line_panels(
    panels: Sequence[Panel], path: PathLike, losses: bool = False, same_scale: bool = False, equal: bool = False
) -> Path:
    """Curves in panels side by side, told apart by color and dashes, with one legend.

    A panel is (title, curves, label across, label up); its curves are ``{label: (x [n], y [n])}``, or
    ``{label: (x, y, "dots")}`` for points that no line joins. A label looks the same in all panels. With
    ``losses`` a panel of positive numbers that span more than a decade is logarithmic; with ``same_scale`` all axes
    are those of the first panel, stretched to hold every curve, so that heights can be compared; with ``equal`` a unit
    is as long up as across, as contours need it.

    Returns:
        The path of the PNG file.

    Raises:
        ShapeError: if x and y are not equally long.
        DataError: if there is no panel or no curve, or a number is not finite.
        SourceError: if the file cannot be written.

    Example:
        >>> import tempfile, numpy as np
        >>> from sonde.diagnose import line_panels
        >>> x = np.linspace(-1, 1, 50)
        >>> curves = {"$x^2$": (x, x**2), "its minimum": ([0.0], [0.0], "dots")}
        >>> line_panels([("A parabola", curves, "x", "")], tempfile.mkdtemp() + "/parabola.png").name
        'parabola.png'
    """
    checked = []
    for title, curves, across, up in panels:
        drawn = {}
        for label, (x, y, *how) in curves.items():
            x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
            if x.ndim != 1 or x.shape != y.shape:
                raise ShapeError(f"curve {label!r} takes x [n] and y [n]; got {shape_of(x)} and {shape_of(y)}")
            if not (np.isfinite(x).all() and np.isfinite(y).all()):
                raise DataError(f"curve {label!r} has a number that is not finite")
            drawn[label] = (x, y, how == ["dots"])
        checked.append((title, drawn, across, up))
    if not any(drawn for _, drawn, _, _ in checked):
        raise DataError("line_panels takes at least one panel with a curve")
    return save(_draw_lines(checked, losses, same_scale, equal), path)


@styled
def _draw_lines(
    panels: list[tuple[str, dict[str, tuple], str, str]], losses: bool, same_scale: bool, equal: bool
) -> Figure:
    figure, axes = grid(len(panels), min(len(panels), 3), 3.4, 2.8, right=1.5)
    labels = list(dict.fromkeys(label for _, curves, _, _ in panels for label in curves))
    handles: dict[str, Any] = {}
    for ax, (title, curves, across, up) in zip(axes, panels, strict=True):
        for label, (x, y, dots) in curves.items():
            k = labels.index(label)
            look = {"linestyle": "", "marker": MARKERS[k % 10], "markersize": 5} if dots else {}
            look = look or {"linestyle": DASHES[k % 4], "linewidth": 1.6}
            (handles[label],) = ax.plot(x, y, color=COLORS[k % 10], zorder=3 if dots else 2, **look)
        ax.set_title(title, loc="left")
        ax.set_xlabel(across)
        ax.set_ylabel(up)
        if losses and curves:
            set_scale(ax, "loss", np.concatenate([y for _, y, _ in curves.values()]))
        if equal:
            ax.set_aspect("equal", adjustable="box" if same_scale else "datalim")  # shared axes keep their limits
        rule(ax)
        if same_scale and ax is not axes[0]:
            ax.sharex(axes[0])
            ax.sharey(axes[0])
    if same_scale:
        axes[0].autoscale_view()
    figure.legend([handles[k] for k in labels], labels, loc="outside right center", frameon=False)
    return figure


def image_panels(images: Mapping[str, Any], path: PathLike, across: int = 4, width: float | None = None) -> Path:
    """Small images side by side, each under its name: ``{name: [height, width] or [height, width, 3]}``.

    ``width`` is that of a panel, in inches; None: 1.9, and twice that where an image has more than 150 pixels across or
    down, as sheets of many images have (see `tiled`).

    Gray images go from white (0) to black (their largest number). One with numbers below 0 is drawn orange below 0,
    white at 0 and purple above, which says on which side of 0 what lies. Colors are from 0 to 1, or of uint8.

    Returns:
        The path of the PNG file.

    Raises:
        ShapeError: if something is not an image.
        DataError: if there is none, or a number is not finite.
        SourceError: if the file cannot be written.

    Example:
        >>> import tempfile, numpy as np
        >>> from sonde.diagnose import image_panels
        >>> image_panels({"a diagonal": np.eye(5)}, tempfile.mkdtemp() + "/images.png").name
        'images.png'
    """
    checked = {}
    for name, image in images.items():
        x = np.asarray(image)
        if not (x.ndim == 2 or (x.ndim == 3 and x.shape[-1] == 3)) or not x.size:
            raise ShapeError(f"image {name!r} must be [height, width] or [height, width, 3]; got {shape_of(x)}")
        x = x / 255.0 if x.dtype == np.uint8 else x.astype(np.float64)
        if not np.isfinite(x).all():
            raise DataError(f"image {name!r} has a number that is not finite")
        checked[name] = x
    if not checked:
        raise DataError("image_panels takes at least one image")
    return save(_draw_images(checked, across, width), path)


@styled
def _draw_images(images: dict[str, np.ndarray], across: int, width: float | None) -> Figure:
    tall = max(x.shape[0] / x.shape[1] for x in images.values())
    lines = 1 + max(name.count("\n") for name in images)
    width = width or (1.9 if max(max(x.shape[:2]) for x in images.values()) <= 150 else 3.8)
    height = (width - 0.15) * min(tall, 2.0) + 0.16 * lines
    figure, axes = grid(len(images), min(len(images), across), width, height)
    for ax, (name, x) in zip(axes, images.items(), strict=True):
        reach = float(np.abs(x).max()) or 1.0
        signed = x.ndim == 2 and x.min() < 0
        shades = {"cmap": "PuOr", "vmin": -reach, "vmax": reach} if signed else {"cmap": "gray_r", "vmin": 0.0}
        ax.imshow(x, interpolation="nearest", **({"vmax": reach} | shades if x.ndim == 2 else {}))
        ax.set_title(name, fontsize=8)
        frame(ax)
    return figure


def tiled(images: Any, across: int) -> np.ndarray:
    """Images [n, height, width] or [n, height, width, 3] as one, ``across`` in a row, with a line of 0 between them.

    Raises:
        ShapeError: they are no images, or fill no whole rows.

    Example:
        >>> import numpy as np
        >>> from sonde.diagnose import tiled
        >>> tiled(np.ones((6, 28, 28)), across=3).shape
        (57, 86)
    """
    x = np.asarray(images)
    if x.ndim not in (3, 4) or not len(x) or len(x) % across:
        raise ShapeError(f"tiled takes images [n, height, width, ...], {across} for each row; got {shape_of(x)}")
    x = np.pad(x, [(0, 0), (0, 1), (0, 1), *[(0, 0)] * (x.ndim - 3)])
    rows = x.reshape(-1, across, *x.shape[1:]).swapaxes(1, 2)
    return rows.reshape(rows.shape[0] * rows.shape[1], -1, *x.shape[3:])[:-1, :-1]


__all__ = ["image_panels", "line_panels", "tiled"]
