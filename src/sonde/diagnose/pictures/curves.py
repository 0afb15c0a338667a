"""Learning curves: how each quantity went, round by round."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sonde._errors import ArgumentError, DataError, ShapeError
from sonde.diagnose.pictures.figure import COLORS, PathLike, grid, save, set_scale, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SPLITS = {"train": (COLORS[0], "-", "o"), "valid": (COLORS[1], "--", "s"), "test": (COLORS[2], "-.", "^")}
_X = ("epoch", "step")
_ROUND_LIMIT = 25  # up to as many rounds, each has a marker


def learning_curves(history: Mapping[str, Any], path: PathLike, best: int | None = None) -> Path:
    """How each quantity went, round by round: a panel a quantity, training beside validation.

    ``history`` holds equally long arrays [rounds] by name. ``epoch``, or else ``step``, is the horizontal
    axis (without either, rounds are counted from 1). ``train/loss``, ``valid/loss`` and ``test/loss`` share a
    panel; any other name, such as ``rate``, has its own. NaN is a gap, and so is infinity. The vertical axis
    is logarithmic where all values are positive, span more than a decade, and lower is better.
    ``best``, an index into the arrays, marks the round whose network was kept.

    Returns:
        The path of the PNG file.

    Raises:
        ShapeError: if the arrays are not one-dimensional and equally long.
        DataError: if there is nothing to draw.
        ArgumentError: if ``best`` is not a round.
        SourceError: if the file cannot be written.

    Example:
        >>> import tempfile, numpy as np
        >>> from sonde.diagnose import learning_curves
        >>> history = {"epoch": np.arange(1, 4), "train/loss": [2.0, 1.0, 0.5], "valid/loss": [2.1, 1.2, 1.3]}
        >>> learning_curves(history, tempfile.mkdtemp() + "/curves.png", best=1).name
        'curves.png'
    """
    return save(draw_curves(history, best), path)


def draw_curves(history: Mapping[str, Any], best: int | None = None) -> Figure:
    """The figure of `learning_curves`."""
    columns = {name: np.asarray(values, np.float64) for name, values in history.items()}
    lengths = {name: values.shape for name, values in columns.items()}
    if any(len(shape) != 1 for shape in lengths.values()) or len(set(lengths.values())) > 1:
        raise ShapeError(f"learning_curves takes arrays [rounds] of one length; got {lengths}")
    panels = _panels(columns)
    rounds = next(iter(lengths.values()))[0] if lengths else 0
    if not panels or not rounds:
        raise DataError(f"learning_curves has nothing to draw: {rounds} rounds of {sorted(columns)}")
    if best is not None and not 0 <= best < rounds:
        raise ArgumentError(f"best of learning_curves must be a round from 0 to {rounds - 1}; got {best!r}")
    return _draw_curves(columns, panels, best)


def _panels(columns: Mapping[str, np.ndarray]) -> dict[str, dict[str, str]]:
    """For each quantity, the column of each split; "" where a quantity has no split."""
    panels: dict[str, dict[str, str]] = {}
    for name in columns:
        if name in _X:
            continue
        split, _, quantity = name.partition("/")
        if split in _SPLITS and quantity:
            panels.setdefault(quantity, {})[split] = name
        else:
            panels.setdefault(name, {})[""] = name
    return panels


@styled
def _draw_curves(
    columns: Mapping[str, np.ndarray], panels: dict[str, dict[str, str]], best: int | None
) -> Figure:
    axis = next((name for name in _X if name in columns), "round")
    x = columns.get(axis, np.arange(1.0, 1 + len(next(iter(columns.values())))))
    across = 2 if len(panels) == 4 else min(len(panels), 3)
    figure, axes = grid(len(panels), across, 3.6, 2.7, above=0.4)
    lines: dict[str, Any] = {}
    for ax, (quantity, members) in zip(axes, panels.items(), strict=True):
        for split, name in members.items():
            color, dashes, marker = _SPLITS.get(split, ("#444444", "-", "o"))
            y = np.where(np.isfinite(columns[name]), columns[name], np.nan)
            (line,) = ax.plot(
                x, y, color=color, linestyle=dashes, marker=marker, markersize=3.5, linewidth=1.4,
                markevery=_marked(y),
            )  # fmt: skip
            if split:
                lines[split] = line
        values = np.concatenate([columns[name] for name in members.values()])
        values = values[np.isfinite(values)]
        set_scale(ax, quantity, values)
        if best is not None:
            lines["kept"] = ax.axvline(x[best], color="black", linestyle=":", linewidth=1.2, zorder=1)
        ax.set_title(quantity, loc="left")
        ax.set_xlabel(axis)
        _whole_ticks(ax, x)
    shown = {s: lines[s] for s in (*_SPLITS, "kept") if s in lines}
    labels = [f"kept: {axis} {x[best]:g}" if s == "kept" and best is not None else s for s in shown]
    if shown:
        figure.legend(list(shown.values()), labels, loc="outside upper left", ncols=len(shown), frameon=False)
    return figure


def _marked(y: np.ndarray) -> list[int]:
    """Which points get a marker: some ten of many, and every point that no line reaches."""
    there = np.isfinite(y)
    step = 1 if len(y) <= _ROUND_LIMIT else math.ceil(len(y) / 10)
    alone = there & ~np.append(there[1:], False) & ~np.append(False, there[:-1])
    return [i for i in range(len(y)) if there[i] and (i % step == 0 or alone[i])]


def _whole_ticks(ax: Axes, x: np.ndarray) -> None:
    """Epochs, steps and rounds are counted in whole numbers."""
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
    if len(x) == 1:
        ax.set_xlim(x[0] - 1, x[0] + 1)
