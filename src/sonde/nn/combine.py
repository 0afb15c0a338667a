"""Layers made of layers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax.numpy as jnp

from sonde._batch import Padded
from sonde._errors import ArgumentError, ShapeError, shape_of
from sonde._types import Part
from sonde._value import Value, show
from sonde.nn.activations import meant
from sonde.nn.layer import Layer
from sonde.nn.scope import Scope


class _Container(Layer):
    """Several layers with their names."""

    layers: Part
    names: tuple[str, ...]
    unnamed: int = 0
    """How many of the first layers have default names."""

    def _hold(self, layers: tuple, named: dict[str, Any], **fields: Any) -> None:
        count: dict[str, int] = {}
        names = []
        for layer in layers:
            kind = type(layer).__name__ if isinstance(layer, Value) else getattr(layer, "__name__", "function")
            count[kind] = count.get(kind, 0) + 1
            names.append(f"{kind.lower()}_{count[kind]}")
        if clash := set(names) & named.keys():
            raise ArgumentError(f"{clash.pop()!r} is already the default name of another layer; choose another name")
        steps = tuple(map(as_layer, (*layers, *named.values())))
        self._set(layers=steps, names=(*names, *named), unnamed=len(names), **fields)

    def check(self) -> None:
        """Refuse a layer without a name and two layers of one name."""
        if len(self.layers) != len(self.names) or len(set(self.names)) < len(self.names):
            kind = type(self).__name__
            raise ArgumentError(f"{kind} needs a name of its own for each of its {len(self.layers)} layers")

    def named_layers(self) -> Iterator[tuple[str, Layer]]:
        """The layers with their names, in order."""
        yield from zip(self.names, self.layers, strict=True)

    def _shown(self) -> list[str]:
        return [show(v) if i < self.unnamed else f"{n}={show(v)}" for i, (n, v) in enumerate(self.named_layers())]


class Sequential(_Container):
    """Layers one after the other; each is given what the one before it gave.

    ``Sequential(hidden=Dense(300, relu), head=Dense(10))`` names its layers, and a name is an address that
    lasts: for freezing, transfer and files. Layers without a name are called after their kind and number
    (``dense_1``); inserting one renames those behind it, so default names are for throw-away networks.
    A named function, such as `relu`, may stand for a layer. What gives a tuple gives the next layer several inputs.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde import nn
        >>> net = nn.build(nn.Sequential(nn.Flatten(), nn.Dense(3, nn.relu), head=nn.Dense(2)), jnp.ones((1, 2, 2)))
        >>> list(net.params)
        ['dense_1/bias', 'dense_1/kernel', 'head/bias', 'head/kernel']
    """

    def __init__(self, *layers: Layer | Callable, **named: Layer | Callable) -> None:
        self._hold(layers, named)

    def __call__(self, scope: Scope, *xs: Any) -> Any:
        """What the last layer makes of what the others made of the inputs."""
        y = xs if len(xs) != 1 else xs[0]
        for name, layer in self.named_layers():
            y = scope(name, layer, *(y if type(y) is tuple else (y,)))
        return y

    def __repr__(self) -> str:
        return f"Sequential({', '.join(self._shown())})"


class Residual(Layer):
    """y = layer(x) + x: a layer learns what to add to its input, and a deep stack still passes gradients on.

    Args:
        layer: gives the shape of x, or that of what the shortcut gives.
        shortcut: y = layer(x) + shortcut(x) where the shape changes: ``Dense(n)``, or a `Conv` of size 1.

    Its parameters are at ``layer/...`` and ``shortcut/...``.

    Source: K. He et al. (2016).

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde import nn
        >>> block = nn.Residual(nn.Sequential(nn.Dense(8, nn.relu), nn.Dense(3, kernel_init=nn.zeros)))
        >>> nn.build(block, jnp.ones((1, 3)))(jnp.ones((1, 3)))         # the last kernel is 0, so it adds nothing
        Array([[1., 1., 1.]], dtype=float32)
    """

    layer: Part
    shortcut: Part = None

    def __init__(self, layer: Layer | Callable, shortcut: Layer | Callable | None = None) -> None:
        self._set(layer=as_layer(layer), shortcut=None if shortcut is None else as_layer(shortcut))

    def __call__(self, scope: Scope, x: Any) -> Any:
        """layer(x) + x."""
        y = scope("layer", self.layer, x)
        past = x if self.shortcut is None else scope("shortcut", self.shortcut, x)
        if getattr(y, "shape", None) != past.shape:
            raise ShapeError(
                f"Residual adds what its layer gives, {shape_of(y)}, to what passes it by, {shape_of(past)}: "
                "the shapes must be equal. Give it a shortcut that changes the shape, shortcut=nn.Dense(...)"
            )
        return _joined("add", "Residual", [y, past])

    def named_layers(self) -> Iterator[tuple[str, Layer]]:
        """The layer and, if there is one, the shortcut."""
        yield "layer", self.layer
        if self.shortcut is not None:
            yield "shortcut", self.shortcut


class Parallel(_Container):
    """Layers beside each other, whose outputs are joined.

    Given one input, every layer is given it; given as many inputs as there are layers, each is given its own.

    Args:
        layers: named or not, as in `Sequential`; `identity` hands its input on.
        join: ``"concat"`` (along the last axis), ``"add"``, ``"multiply"`` (equal shapes), or ``"tuple"``.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde import nn
        >>> towers = nn.Parallel(picture=nn.Dense(5), text=nn.Dense(3))
        >>> nn.build(towers, jnp.ones((1, 4)), jnp.ones((1, 9)))(jnp.ones((2, 4)), jnp.ones((2, 9))).shape
        (2, 8)
    """

    join: str = "concat"

    def __init__(self, *layers: Layer | Callable, join: str = "concat", **named: Layer | Callable) -> None:
        self._hold(layers, named, join=join)

    def check(self) -> None:
        """Refuse nothing to join, and an unknown way of joining."""
        super().check()
        _check_join(self)
        if not self.layers:
            raise ArgumentError("Parallel needs at least one layer")

    def __call__(self, scope: Scope, *xs: Any) -> Any:
        """The outputs of all layers, joined."""
        if len(xs) not in (1, len(self.layers)):
            raise ShapeError(
                f"Parallel takes one input for all of its {len(self.layers)} layers or one for each; "
                f"got {len(xs)}: {', '.join(map(shape_of, xs)) or 'none'}"
            )
        each = xs * len(self.layers) if len(xs) == 1 else xs
        ys = [scope(name, layer, x) for (name, layer), x in zip(self.named_layers(), each, strict=True)]
        return _joined(self.join, "Parallel", ys)

    def __repr__(self) -> str:
        return f"Parallel({', '.join(self._shown() + [f'join={self.join!r}'] * (self.join != 'concat'))})"


class Shared(Layer):
    """One layer on each of several inputs: towers with the same weights, whose gradients add up.

    Args:
        layer: its parameters are at ``layer/...``, once.
        join: as in `Parallel`.

    Source: J. Bromley et al. (1994), who called two such towers a Siamese network.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde import nn
        >>> pair = nn.Sequential(towers=nn.Shared(nn.Dense(4, nn.tanh)), same=nn.Dense(1))
        >>> net = nn.build(pair, jnp.ones((1, 3)), jnp.ones((1, 3)))
        >>> {path: value.shape for path, value in net.weights("**kernel").items()}
        {'same/kernel': (8, 1), 'towers/layer/kernel': (3, 4)}
    """

    layer: Part
    join: str = "concat"

    def __init__(self, layer: Layer | Callable, join: str = "concat") -> None:
        self._set(layer=as_layer(layer), join=join)

    def check(self) -> None:
        """Refuse an unknown way of joining."""
        _check_join(self)

    def __call__(self, scope: Scope, *xs: Any) -> Any:
        """What the layer makes of each input, joined."""
        if not xs:
            raise ShapeError("Shared takes one input or several; got none")
        return _joined(self.join, "Shared", [scope("layer", self.layer, x) for x in xs])

    def named_layers(self) -> Iterator[tuple[str, Layer]]:
        """The layer, under its one name."""
        yield "layer", self.layer


class Function(Layer):
    """An elementwise function as a layer of its own; `Sequential` makes these.

    Example:
        >>> from sonde import nn
        >>> nn.Sequential(nn.Dense(3), nn.tanh).layers[1] == nn.Function(nn.tanh)
        True
    """

    padded = "steps"

    function: Callable

    def check(self) -> None:
        """Refuse what is not a function, such as a class where an instance belongs."""
        if isinstance(self.function, tuple):
            raise ArgumentError(f"expected a layer; got {len(self.function)} in a list: write nn.Sequential(*layers)")
        if isinstance(self.function, type) or not callable(self.function):
            raise ArgumentError(f"expected a layer or a named function such as nn.relu; got {meant(self.function)}")

    def __call__(self, scope: Scope, x: Any) -> Any:
        """function(x)."""
        return self.function(x)

    def __repr__(self) -> str:
        return show(self.function)


def as_layer(given: Any) -> Layer:
    """A layer as it is, and a named function as a layer."""
    return given if isinstance(given, Layer) else Function(given)


JOINS = ("concat", "add", "multiply", "tuple")


def _check_join(layer: Any) -> None:
    if layer.join not in JOINS:
        raise ArgumentError(f"join of {type(layer).__name__} must be one of {JOINS}; got {layer.join!r}")


def _joined(join: str, kind: str, ys: list) -> Any:
    """Outputs as one; of sequences the steps that all of them have."""
    if join == "tuple":
        return tuple(ys)
    if all(isinstance(y, Padded) for y in ys):
        values = _joined(join, kind, [y.values for y in ys])
        return Padded(values, functools.reduce(jnp.minimum, [y.lengths for y in ys])).with_values(values)
    alike = {y.shape[:-1] if join == "concat" else y.shape for y in ys if not isinstance(y, Padded)}
    if len(alike) != 1 or any(isinstance(y, Padded) or y.ndim < 2 for y in ys):
        rule = "[rows, ..., channels] equal in all axes but the last" if join == "concat" else "equal shapes"
        raise ShapeError(f"{kind} with join={join!r} needs outputs of {rule}; got {', '.join(map(shape_of, ys))}")
    return jnp.concatenate(ys, -1) if join == "concat" else functools.reduce(_OPERATIONS[join], ys)


_OPERATIONS = {"add": jnp.add, "multiply": jnp.multiply}


def default_names(spec: Any, path: str = "") -> Iterator[str]:
    """The paths of layers whose names are default ones: addresses that may not last."""
    if isinstance(spec, _Container):
        for i, (name, layer) in enumerate(spec.named_layers()):
            below = f"{path}/{name}" if path else name
            if i < spec.unnamed:
                yield below
            yield from default_names(layer, below)
    elif isinstance(spec, Value):
        for name in (*spec._static, *spec._leaves):
            yield from default_names(getattr(spec, name), f"{path}/{name}" if path else name)
