"""Building: from a spec and what its inputs are like to a network."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from sonde._batch import Padded
from sonde._errors import ArgumentError, is_whole, shape_of
from sonde._types import Array
from sonde._value import Value
from sonde.nn.bound import Bound
from sonde.nn.layer import Layer
from sonde.nn.network import Network, grow


def build(
    spec: Layer,
    *example: Any,
    seed: int | Array = 0,
    method: str = "__call__",
    reuse: Network | None = None,
) -> Network:
    """The network of a spec for inputs like ``example`` (arrays, or anything with a shape and a dtype).

    Args:
        spec: the layer, usually a `Sequential`.
        example: what the method will be given, sequences as `Padded`; only shapes and types matter.
        seed: an integer or a key; a named layer's initial weights depend on (seed, path) only.
        method: the method to run; build again with ``reuse=`` for another.
        reuse: a network whose variables are taken over where the path is the same.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde import nn
        >>> net = nn.build(nn.Sequential(hidden=nn.Dense(8, nn.relu), head=nn.Dense(3)), jnp.ones((1, 4)))
        >>> print(net.summary())
        layer   kind   parameters
        -------------------------
        hidden  Dense          40
        head    Dense          27
        -------------------------
        total                  67
    """
    if not isinstance(spec, Layer):
        raise ArgumentError(f"a network is built from a layer such as nn.Dense(10); got {spec!r}")
    plain = tuple(x if isinstance(x, int | str | bool) else None for x in example)
    inputs = tuple(None if isinstance(x, int | str | bool) else _like(x) for x in example)
    return grow(spec, _Call(method, inputs, plain), seed, reuse)


class _Call(Value):
    """One call of a method on zeros of given shapes."""

    method: str
    inputs: tuple
    plain: tuple

    def __call__(self, net: Bound) -> None:
        """Run it."""
        xs = [p if s is None else _zeros(s) for s, p in zip(self.inputs, self.plain, strict=True)]
        net._run(self.method, *xs)


class _Like(tuple):
    """A shape and a type."""


class _Both(tuple):
    """What the values and the lengths of sequences are like."""


def _like(x: Any) -> _Like | _Both:
    if isinstance(x, Padded):
        return _Both((_like(x.values), _like(x.lengths)))
    if isinstance(x, tuple | list) or np.dtype(getattr(x, "dtype", float)).kind in "USO":
        shape = isinstance(x, tuple) and all(map(is_whole, x))
        remedy = f"np.zeros({x})" if shape else "np.asarray(...) makes one of lists, sd.data.read numbers of text"
        raise ArgumentError(f"an example input is an array of numbers; got {shape_of(x)}. {remedy} would be one")
    return _Like((tuple(np.shape(x)), np.dtype(jnp.result_type(x)).name))


def _zeros(like: _Like | _Both) -> Any:
    return Padded(*map(_zeros, like)) if isinstance(like, _Both) else jnp.zeros(*like)
