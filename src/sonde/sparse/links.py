"""Which layer alone reads the units of another: where a unit can be taken out without anyone else's noticing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from sonde.nn import (
    AveragePool,
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Flatten,
    Function,
    GaussianNoise,
    GlobalAveragePool,
    GlobalMaxPool,
    Layer,
    MaskNoise,
    MaxPool,
    Network,
    PReLU,
    SaltPepper,
    Scale,
    Sequential,
    Upsample,
)
from sonde.nn.bound import Bound

FORM = (Flatten, MaxPool, AveragePool, GlobalMaxPool, GlobalAveragePool, Upsample)
"""Layers that keep channels apart and make a constant of a constant."""

EACH = (Function, Dropout, GaussianNoise, MaskNoise, SaltPepper, Scale, BatchNorm, PReLU)
"""Layers that treat every channel by itself, whatever its place."""


class Link(NamedTuple):
    """A layer of units (or channels), what lies between, and the one layer that reads them; paths and layers."""

    giver: tuple[str, Any]
    between: tuple[tuple[str, Any], ...]
    taker: tuple[str, Any]

    def spread(self, network: Network, units: np.ndarray) -> np.ndarray:
        """A number a unit, as the rows of the taker's kernel see them: over and over, after `Flatten`."""
        return wide(units, network.params[f"{self.taker[0]}/kernel"].shape[-2])


def wide(units: np.ndarray, width: int) -> np.ndarray:
    """A number a channel, repeated for each place: `Flatten` puts the channels of a place side by side."""
    return np.tile(units, width // len(units))


def links(network: Network) -> list[Link]:
    """All such pairs of layers, front to back, in every `Sequential` of the network at any depth.

    Only `Dense` and `Conv` (of one group) give and take; between them may be what keeps channels apart. What else
    stands there (a recurrent layer, attention, a sum) reads all units, so none of them can go.
    """
    return list(_links(network.spec, "", network))


def _links(spec: Any, path: str, network: Network) -> Iterator[Link]:
    giver, between = None, []
    for place, layer in chain(spec, path):
        if type(layer) in (Dense, Conv) and f"{place}/kernel" in network.params:
            whole = getattr(layer, "groups", 1) == 1
            if giver is not None and whole:
                yield Link(giver, tuple(between), (place, layer))
            giver, between = ((place, layer) if whole and elementwise(layer.activation) else None), []
        elif isinstance(layer, FORM + EACH) and not (isinstance(layer, Function) and not elementwise(layer.function)):
            between.append((place, layer))
        else:
            giver = None
            yield from (link for p, inner in _inner(layer, place) for link in _links(inner, p, network))


def chain(spec: Any, path: str) -> Iterator[tuple[str, Any]]:
    """The layers one after the other, with their paths, that a `Sequential` and those directly in it consist of."""
    if not isinstance(spec, Sequential):
        yield path, spec
        return
    for name, layer in spec.named_layers():
        yield from chain(layer, f"{path}/{name}".removeprefix("/"))


def _inner(layer: Any, path: str) -> Iterator[tuple[str, Layer]]:
    """The layers that a layer which is no `Sequential` holds, by their names or fields."""
    named = getattr(layer, "named_layers", None)
    parts = named() if named else ((n, getattr(layer, n)) for n in layer._leaves + layer._static)
    yield from ((f"{path}/{name}".removeprefix("/"), part) for name, part in parts if isinstance(part, Layer))


def elementwise(function: Any) -> bool:
    """Whether what a function makes of a number depends on that number alone: of relu, not of softmax."""
    x = jnp.linspace(-2.0, 2.0, 8)
    together, alone = function(x[None]), function(x[:, None])
    if together.shape != (1, 8) or alone.shape != (8, 1):
        return False
    return bool(np.allclose(together[0], alone[:, 0], rtol=1e-5, atol=1e-6))


def constants(network: Network, link: Link) -> tuple[np.ndarray, np.ndarray]:
    """Which units of the giver are constant, all their weights being 0, and what the taker is then given of each."""
    path, layer = link.giver
    kernel = np.asarray(network.params[f"{path}/kernel"])
    constant = ~(kernel != 0).reshape(-1, kernel.shape[-1]).any(axis=0)
    given = network.params.get(f"{path}/bias", jnp.zeros(kernel.shape[-1], kernel.dtype))[None]
    given = layer.activation(given)
    for place, between in link.between:
        if isinstance(between, EACH):
            held = [v for p, v in {**network.params, **network.state}.items() if p.startswith(f"{place}/")]
            width = held[0].shape[-1] if held else given.shape[-1]
            given = jnp.asarray(wide(np.asarray(given[0]), width))[None]
            given = Bound(between, network.bind()._frame, place)(given)
    return np.asarray(constant), np.asarray(link.spread(network, np.asarray(given[0])))
