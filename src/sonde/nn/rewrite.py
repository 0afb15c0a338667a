"""A spec written anew, with other settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from sonde._errors import ArgumentError, nearest
from sonde.nn.layer import Layer

L = TypeVar("L", bound=Layer)


def replace_all(spec: L, **fields: Any) -> L:
    """The same spec, in which every layer that has one of these fields has it as given here.

    One initializer for a whole network at once is ``replace_all(spec, kernel_init=nn.Normal(0.01))``. For
    settings that *some* layers share, make a layer kind of your own with ``functools.partial(nn.Dense,
    activation=nn.elu)``.

    Raises:
        ArgumentError: no layer of the spec has such a field; or one cannot have this value.

    Example:
        >>> from sonde import nn
        >>> spec = nn.Sequential(hidden=nn.Dense(30, nn.relu), drop=nn.Dropout(0.5), head=nn.Dense(10))
        >>> nn.replace_all(spec, kernel_init=nn.he_normal, rate=0.2).layers[1]
        Dropout(rate=0.2)
        >>> nn.replace_all(spec, kernal_init=nn.he_normal)
        Traceback (most recent call last):
        ...
        sonde._errors.ArgumentError: no layer of Sequential has a field 'kernal_init'; did you mean 'kernel_init'?
    """
    if not isinstance(spec, Layer):
        raise ArgumentError(
            f"replace_all takes a spec, such as nn.Sequential(...); got {spec!r}. "
            "Of a built network it is network.replace(spec=nn.replace_all(network.spec, ...))"
        )
    known = {name for layer in within(spec) for name in layer._leaves + layer._static}
    for name in fields:
        if name not in known:
            raise ArgumentError(f"no layer of {type(spec).__name__} has a field {name!r}{nearest(name, known)}")
    return _replaced(spec, fields)


def within(spec: Any) -> Iterator[Layer]:
    """A layer, and all layers in its fields, at any depth."""
    if isinstance(spec, Layer):
        yield spec
        spec = tuple(getattr(spec, name) for name in spec._leaves + spec._static)
    if isinstance(spec, tuple):
        for part in spec:
            yield from within(part)


def _replaced(spec: Any, fields: dict[str, Any]) -> Any:
    if isinstance(spec, tuple):
        return tuple(_replaced(part, fields) for part in spec)
    if not isinstance(spec, Layer):
        return spec
    own = spec._leaves + spec._static
    inner = {name: _replaced(part, fields) for name in own if isinstance(part := getattr(spec, name), Layer | tuple)}
    return spec.replace(**inner | {name: value for name, value in fields.items() if name in own})
