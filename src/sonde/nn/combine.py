"""Layers made of layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from sonde._errors import ArgumentError
from sonde._types import Part
from sonde._value import FUNCTIONS, Value, show
from sonde.nn.network import Layer
from sonde.nn.scope import Scope


class Sequential(Layer):
    """Layers one after the other; each is given what the one before it gave.

    ``Sequential(hidden=Dense(300, relu), head=Dense(10))`` names its layers, and a name is an address that
    lasts: for freezing, transfer and files. Layers without a name are called after their kind and number
    (``dense_1``); inserting one renames those behind it, so default names are for throw-away networks.
    A named function, such as `relu`, may stand for a layer.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde import nn
        >>> net = nn.build(nn.Sequential(nn.Flatten(), nn.Dense(3, nn.relu), head=nn.Dense(2)), jnp.ones((1, 2, 2)))
        >>> list(net.params)
        ['dense_1/bias', 'dense_1/kernel', 'head/bias', 'head/kernel']
    """

    layers: Part
    names: tuple[str, ...]
    unnamed: int = 0
    """How many of the first layers have default names."""

    def __init__(self, *layers: Layer | Callable, **named: Layer | Callable) -> None:
        count: dict[str, int] = {}
        names = []
        for layer in layers:
            kind = type(layer).__name__ if isinstance(layer, Layer) else getattr(layer, "__name__", "function")
            count[kind] = count.get(kind, 0) + 1
            names.append(f"{kind.lower()}_{count[kind]}")
        if clash := set(names) & named.keys():
            raise ArgumentError(f"{clash.pop()!r} is already the default name of another layer; choose another name")
        steps = tuple(Function(f) if not isinstance(f, Layer) else f for f in (*layers, *named.values()))
        self._set(layers=steps, names=(*names, *named), unnamed=len(names))

    def check(self) -> None:
        """Refuse a layer without a name and two layers of one name."""
        if len(self.layers) != len(self.names) or len(set(self.names)) < len(self.names):
            raise ArgumentError(f"Sequential needs a name of its own for each of its {len(self.layers)} layers")

    def __call__(self, scope: Scope, *xs: Any) -> Any:
        """What the last layer makes of what the others made of the inputs."""
        for name, layer in self.named_layers():
            xs = (scope(name, layer, *xs),)
        return xs[0]

    def named_layers(self) -> Iterator[tuple[str, Layer]]:
        """The layers with their names, in order."""
        yield from zip(self.names, self.layers, strict=True)

    def __repr__(self) -> str:
        first = [show(layer) for layer in self.layers[: self.unnamed]]
        rest = [f"{n}={show(v)}" for n, v in list(self.named_layers())[self.unnamed :]]
        return f"Sequential({', '.join(first + rest)})"


class Function(Layer):
    """An elementwise function as a layer of its own; `Sequential` makes these.

    Example:
        >>> from sonde import nn
        >>> nn.Sequential(nn.Dense(3), nn.tanh).layers[1] == nn.Function(nn.tanh)
        True
    """

    function: Callable

    def check(self) -> None:
        """Refuse what is not a function, such as a class where an instance belongs."""
        if isinstance(self.function, type):
            raise ArgumentError(f"expected a layer; got the class {self.function.__name__}: did you forget ()?")
        if not callable(self.function):
            raise ArgumentError(f"expected a layer or a named function ({', '.join(FUNCTIONS)}); got {self.function!r}")

    def __call__(self, scope: Scope, x: Any) -> Any:
        """function(x)."""
        return self.function(x)

    def __repr__(self) -> str:
        return show(self.function)


def default_names(spec: Any, path: str = "") -> Iterator[str]:
    """The paths of layers whose names are default ones: addresses that may not last."""
    if isinstance(spec, Sequential):
        for i, (name, layer) in enumerate(spec.named_layers()):
            below = f"{path}/{name}" if path else name
            if i < spec.unnamed:
                yield below
            yield from default_names(layer, below)
    elif isinstance(spec, Value):
        for name in (*spec._static, *spec._leaves):
            yield from default_names(getattr(spec, name), f"{path}/{name}" if path else name)
