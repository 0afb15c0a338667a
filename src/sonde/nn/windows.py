"""Windows that slide over the axes of space: how they lie, and what they hold. For convolution and pooling."""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

import jax.numpy as jnp

from sonde._batch import Padded
from sonde._errors import ArgumentError, ShapeError, is_whole, shape_of
from sonde._types import Array

Sizes = int | tuple[int, ...]
"""A whole number for every axis of space alike, or one for each."""

Padding = str | tuple[tuple[int, int], ...]
"""``"valid"`` (none), ``"same"``, or how many entries before and after, for each axis of space."""


class Grid(NamedTuple):
    """How windows lie on an array, with an entry for each axis of space; ``out`` is how many there are."""

    size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    out: tuple[int, ...]


def check_sizes(layer: Any, *names: str) -> None:
    """Refuse sizes that are not whole numbers of at least 1, and padding that says nothing."""
    for name in names:
        given = getattr(layer, name)
        each = given if isinstance(given, tuple) and given else (given,)
        if not all(is_whole(n, 1) for n in each):
            kind = type(layer).__name__
            raise ArgumentError(
                f"{name} of {kind} must be a whole number of at least 1, or one for each axis; got {given!r}"
            )
    padding = getattr(layer, "padding", "valid")
    if padding not in ("same", "valid") and not (isinstance(padding, tuple) and padding and all(map(_pair, padding))):
        causal = "; causal is ((dilation * (size - 1), 0),)" if padding == "causal" else ""
        raise ArgumentError(
            f"padding of {type(layer).__name__} must be 'same', 'valid', or (before, after) for each axis of space, "
            f"such as ((2, 2), (0, 1)); got {padding!r}{causal}"
        )


def _pair(given: Any) -> bool:
    return isinstance(given, tuple) and len(given) == 2 and all(is_whole(n, 0) for n in given)


def space_of(layer: Any, x: Array | Padded) -> tuple[int, ...]:
    """The lengths of the axes of space of x [rows, *space, channels]."""
    if len(x.shape) < 3:
        raise ShapeError(
            f"{type(layer).__name__} takes [rows, *space, channels] with at least one axis of space; got {shape_of(x)}."
            " A missing axis of channels is put there by nn.Reshape: nn.Reshape(28, 28, 1)"
        )
    return x.shape[1:-1]


def along(layer: Any, name: str, x: Array) -> tuple:
    """A field of a layer as a tuple with an entry for each axis of space of x."""
    given, space = getattr(layer, name), space_of(layer, x)
    entries = (given,) * len(space) if isinstance(given, int) else given
    if len(entries) != len(space):
        raise ShapeError(
            f"{name}={given} of {type(layer).__name__} is for {len(entries)} axes of space, but there are {len(space)} "
            f"in {shape_of(x)}, which is read as [rows, *space, channels]. Does it lack its axis of channels? "
            "nn.Reshape(28, 28, 1) makes one"
        )
    return entries


def grid(layer: Any, x: Array) -> Grid:
    """How the windows of a layer lie on x.

    The window of output o begins at entry ``stride o - before`` and takes ``size`` entries, ``dilation`` apart. With
    ``"same"`` padding there are ceil(n / stride) of them and the padding is halved, its odd entry after the end;
    ``"valid"`` windows lie within x, so there are floor((n - reach) / stride) + 1.
    """
    space, size, stride = space_of(layer, x), along(layer, "size", x), along(layer, "stride", x)
    dilation = along(layer, "dilation", x) if hasattr(layer, "dilation") else (1,) * len(space)
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, size, strict=True)]
    if layer.padding == "same":
        missing = [max((math.ceil(n / s) - 1) * s + r - n, 0) for n, s, r in zip(space, stride, reach, strict=True)]
        padding = tuple((m // 2, m - m // 2) for m in missing)
    else:
        padding = ((0, 0),) * len(space) if layer.padding == "valid" else along(layer, "padding", x)
    out = [(n + sum(p) - r) // s + 1 for n, p, r, s in zip(space, padding, reach, stride, strict=True)]
    if min(out) < 1:
        raise ShapeError(
            f"no window of {type(layer).__name__} fits: it reaches over {tuple(reach)} entries, and there are only "
            f"{tuple(n + sum(p) for n, p in zip(space, padding, strict=True))} in {shape_of(x)}; take a smaller size, "
            "or padding='same'"
        )
    return Grid(size, stride, padding, dilation, tuple(out))


def windows(x: Array, g: Grid, beyond: float = 0.0) -> tuple[Array, tuple[int, ...]]:
    """What each window holds, and which axes it lies along; beyond the edges of x everything is ``beyond``.

    Windows side by side are x in another shape, [rows, out, size, out, size, channels], which costs nothing. Others
    are put together from as many slices as a window has entries: [rows, *out, entries, channels].
    """
    if any(map(any, g.padding)):
        x = jnp.pad(x, ((0, 0), *g.padding, (0, 0)), constant_values=beyond)
    axes = range(len(g.size))
    if g.size == g.stride and set(g.dilation) == {1}:
        held = x[:, *(slice(n * k) for n, k in zip(g.out, g.size, strict=True))]
        parted = itertools.chain.from_iterable(zip(g.out, g.size, strict=True))
        return held.reshape(x.shape[0], *parted, x.shape[-1]), tuple(2 * i + 2 for i in axes)
    slices = []
    for entry in itertools.product(*map(range, g.size)):
        first = [entry[i] * g.dilation[i] for i in axes]
        slices.append(x[:, *(slice(first[i], first[i] + g.stride[i] * (g.out[i] - 1) + 1, g.stride[i]) for i in axes)])
    return jnp.stack(slices, -2), (x.ndim - 1,)
