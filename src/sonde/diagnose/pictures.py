"""Pictures of a run: PNG files that can be read without their colors, and whose bytes can be compared.

Colors are those of Okabe and Ito (2008) and cividis (Nuñez, Anderton and Renslow, 2018), which people with
any color vision tell apart; what a color says, a line style, a marker or a number says too. A picture is
written whole or not at all, holds no clock and no user's matplotlib settings, and no window is ever opened.
"""

from __future__ import annotations

import functools
import io
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

from sonde._errors import ArgumentError, DataError, ShapeError, shape_of
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
_SPLITS = {"train": (COLORS[0], "-", "o"), "valid": (COLORS[1], "--", "s"), "test": (COLORS[2], "-.", "^")}
_X = ("epoch", "step")
_ROUND_LIMIT = 25  # up to as many rounds, each has a marker


def _drawn(draw: Callable[P, R]) -> Callable[P, R]:
    """Draw in matplotlib's own style, whatever the user's settings are."""

    @functools.wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> R:
        from matplotlib import style

        with style.context(["default", _STYLE]):
            return draw(*args, **kwargs)

    return styled


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
        >>> from sonde.diagnose.pictures import learning_curves
        >>> history = {"epoch": np.arange(1, 4), "train/loss": [2.0, 1.0, 0.5], "valid/loss": [2.1, 1.2, 1.3]}
        >>> learning_curves(history, tempfile.mkdtemp() + "/curves.png", best=1).name
        'curves.png'
    """
    return _save(draw_curves(history, best), path)


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


@_drawn
def _draw_curves(
    columns: Mapping[str, np.ndarray], panels: dict[str, dict[str, str]], best: int | None
) -> Figure:
    axis = next((name for name in _X if name in columns), "round")
    x = columns.get(axis, np.arange(1.0, 1 + len(next(iter(columns.values())))))
    across = 2 if len(panels) == 4 else min(len(panels), 3)
    figure, axes = _grid(len(panels), across, 3.6, 2.7, above=0.4)
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
        _scale(ax, quantity, values)
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


def _scale(ax: Axes, quantity: str, values: np.ndarray) -> None:
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
    ax.grid(True, axis="y", color="#DDDDDD", linewidth=0.6)
    ax.set_axisbelow(True)


def _whole_ticks(ax: Axes, x: np.ndarray) -> None:
    """Epochs, steps and rounds are counted in whole numbers."""
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
    if len(x) == 1:
        ax.set_xlim(x[0] - 1, x[0] + 1)


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
        >>> from sonde.diagnose.pictures import confusion
        >>> confusion([[50, 2], [5, 43]], ["cat", "dog"], tempfile.mkdtemp() + "/confusion.png").name
        'confusion.png'
    """
    return _save(draw_confusion(matrix, labels, rows), path)


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


@_drawn
def _draw_confusion(counts: np.ndarray, labels: list[str], title: str) -> Figure:
    from matplotlib.colors import PowerNorm

    n = len(labels)
    texts = [[f"{c:g}" if c < 1e5 else f"{c:.0e}" for c in row] for row in counts]
    longest = max(len(text) for row in texts for text in row)
    cell = max(0.36, 0.085 * longest + 0.1) if n <= 20 else 7.5 / n
    side = max(1.6, n * cell)
    beside = min(0.075 * max(map(len, labels)), 1.8)
    tilt = max(map(len, labels)) > 2
    figure = _figure(side + beside + 1.6, side + (0.75 * beside if tilt else 0.0) + 0.75)
    ax = figure.add_subplot()
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1e-300)
    image = ax.imshow(share, cmap="cividis", norm=PowerNorm(0.5, 0, 1), interpolation="nearest")
    ticks = np.arange(n) if n <= 50 else np.arange(0, n, math.ceil(n / 50))
    small = 9.0 if n <= 20 else max(4.5, 9.0 * 20 / len(ticks))
    ax.set_xticks(
        ticks, [_short(labels[i]) for i in ticks], fontsize=small, rotation=45 if tilt else 0,
        ha="right" if tilt else "center", rotation_mode="anchor" if tilt else "default",
    )  # fmt: skip
    ax.set_yticks(ticks, [_short(labels[i]) for i in ticks], fontsize=small)
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


def _short(label: str, most: int = 22) -> str:
    return label if len(label) <= most else label[: most - 1] + "…"


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
        >>> from sonde.diagnose.pictures import mistakes
        >>> images, p = np.zeros((2, 8, 8)), np.array([[0.9, 0.1], [0.2, 0.8]])
        >>> path = tempfile.mkdtemp() + "/mistakes.png"
        >>> mistakes(images, [0, 0], p.argmax(1), p, ["cat", "dog"], path).name
        'mistakes.png'
    """
    return _save(draw_mistakes(images, labels, predicted, probabilities, names, most), path)


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
    short = [_short(str(name), 14) for name in names]
    titles = [
        f"true {short[int(y[i])]},\nsaid {short[int(said[i])]} ({_percent(s)})"
        for i, s in zip(wrong[first], sure[first], strict=True)
    ]
    if all(len(title) <= 26 for title in titles):
        titles = [title.replace("\n", " ") for title in titles]
    shown = f", the {len(first)} surest" if len(first) < len(wrong) else ""
    head = f"{len(wrong) or 'none'} of {n:,} {rows} wrong{shown}"
    return _draw_mistakes(_viewable(x)[wrong[first]], titles, head)


def _percent(share: float) -> str:
    """99.6 % is not 100 %."""
    return ">99 %" if 0.99 < share < 1 else f"{100 * share:.0f} %"


def _viewable(images: np.ndarray) -> np.ndarray:
    """Images as matplotlib shows them: from 0 to 1, gray ones without a channel."""
    x = images[..., 0] if images.ndim == 4 and images.shape[-1] == 1 else images
    if x.dtype == np.uint8:
        return x / 255.0
    x = np.nan_to_num(x.astype(np.float64))
    low, high = (x.min(), x.max()) if x.size else (0.0, 1.0)
    return x if low >= 0 and high <= 1 else (x - low) / (high - low or 1.0)


@_drawn
def _draw_mistakes(images: np.ndarray, titles: list[str], head: str) -> Figure:
    if not titles:
        figure = _figure(4.0, 1.5)
        figure.text(0.5, 0.5, f"no mistakes to show:\n{head}", ha="center", va="center", fontsize=12)
        return figure
    across = min(len(titles), math.ceil(math.sqrt(len(titles))))
    lines = 1 + titles[0].count("\n")
    figure, axes = _grid(len(titles), across, 1.75, 1.6 + 0.14 * lines, above=0.3)
    figure.suptitle(head, x=0.01, ha="left", fontsize=10)
    for ax, image, title in zip(axes, images, titles, strict=True):
        ax.imshow(image, cmap="gray_r" if image.ndim == 2 else None, vmin=0, vmax=1, interpolation="nearest")
        ax.set_title(title, fontsize=8)
        ax.set_xticks([])
        ax.set_yticks([])
        ax.spines[:].set_visible(True)
        ax.spines[:].set_color("#BBBBBB")
    return figure


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
        >>> from sonde.diagnose.pictures import predictions
        >>> predictions([1.0, 2.0, 3.0], [1.1, 1.9, 3.2], tempfile.mkdtemp() + "/predictions.png", ["price"]).name
        'predictions.png'
    """
    return _save(draw_predictions(target, predicted, names, most), path)


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
    called = [_short(str(name)) for name in names] or [""] * y.shape[1]
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


@_drawn
def _draw_predictions(y: np.ndarray, said: np.ndarray, titles: list[str], names: list[str], head: str) -> Figure:
    from matplotlib.ticker import MaxNLocator

    n, outputs = y.shape
    figure, axes = _grid(2 * outputs, max(outputs, 2), 3.4, 2.9, above=0.3 if head else 0.0)
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
            ax.grid(True, color="#DDDDDD", linewidth=0.6)
            ax.set_axisbelow(True)
            ax.margins(0.05)
            ax.xaxis.set_major_locator(MaxNLocator(4))  # large numbers are wide
    return figure


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
        >>> from sonde.diagnose.pictures import scatter_panels
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
    return _save(_draw_scatter(checked), path)


@_drawn
def _draw_scatter(panels: list[tuple[str, np.ndarray, np.ndarray, str, str]]) -> Figure:
    figure, axes = _grid(len(panels), min(len(panels), 4), 3.2, 3.0, right=0.8)
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
            [handles[kind] for kind in shown], [_short(str(kind), 14) for kind in shown],
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


def _grid(
    panels: int, across: int, width: float, height: float, above: float = 0.0, right: float = 0.0
) -> tuple[Figure, list[Any]]:
    """A figure of panels of so many inches each, row by row; places left over stay empty."""
    down = math.ceil(panels / across)
    figure = _figure(max(across * width + right, 2.8), down * height + above)
    axes = [figure.add_subplot(down, across, i + 1) for i in range(panels)]
    return figure, axes


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    return Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08))


def _save(figure: Figure, path: PathLike) -> Path:
    write_atomically(path, png(figure))
    return Path(path)


def png(figure: Figure) -> bytes:
    """A figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    _drawn(figure.savefig)(buffer, format="png", dpi=DPI, metadata={"Software": None})
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
        return [_save(figure, Path(folder) / f"{name}.png") for name, figure in self.items()]
