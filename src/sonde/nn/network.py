"""A network: a spec with its variables, which is a function and a tree of arrays."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from sonde._batch import Padded
from sonde._errors import ArgumentError, PathError, ShapeError, is_whole, nearest, shape_of
from sonde._html import table
from sonde._random import root
from sonde._tree import Patterns, select
from sonde._types import Array, Variables
from sonde.nn.bound import Bound, own_method
from sonde.nn.layer import Layer
from sonde.nn.mistakes import tidy
from sonde.nn.scope import Frame, everywhere, nowhere
from sonde.nn.summary import layers, summary


@jax.tree_util.register_pytree_with_keys_class
@dataclasses.dataclass(frozen=True, eq=False)
class Network:
    """A spec with its variables: an immutable tree of arrays that is a function.

    ``network(x)`` and ``network.method(x)`` run it for inference; pass ``key=`` to a method that draws at
    random. Calls are compiled once for a shape and work under every transformation of JAX.

    Attributes:
        spec: the layer it consists of.
        params: parameters by path, ``{"hidden/kernel": array, ...}``.
        state: untrained variables by path (running statistics, chains, ...).

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde import nn
        >>> net = nn.build(nn.Sequential(hidden=nn.Dense(5, nn.relu), head=nn.Dense(2)), jnp.ones((1, 3)))
        >>> net(jnp.ones((4, 3))).shape
        (4, 2)
        >>> sorted(net.weights("**kernel"))
        ['head/kernel', 'hidden/kernel']
    """

    spec: Any
    params: Variables = dataclasses.field(default_factory=dict)
    state: Variables = dataclasses.field(default_factory=dict)

    def __call__(self, *xs: Any, **options: Any) -> Any:
        return self._run("__call__", *xs, **options)

    def __getattr__(self, method: str) -> Callable:
        if method.startswith("_"):
            raise AttributeError(method)
        own_method(self.spec, method)
        return functools.partial(self._run, method)

    def _run(self, method: str, *xs: Any, key: Array | None = None) -> Any:
        arrays = tuple(None if isinstance(x, int | float | str | bool) else x for x in xs)
        plain = tuple(x if isinstance(x, int | float | str | bool) else None for x in xs)
        return tidy(_applied, self, arrays, key, method, plain)

    def in_batches(self, x: Any, method: str = "__call__", size: int = 1024) -> Any:
        """What a method gives for many rows, computed ``size`` rows at a time, on the host.

        The number of rows is rounded up to a power of two, so that few programs are compiled.
        """
        x = jax.tree.map(np.asarray, x) if isinstance(x, Padded) else np.asarray(x)
        done = []
        for at in range(0, len(x), size):
            part = x[at : at + size]
            rows = min(size, 1 << (len(part) - 1).bit_length())
            padded = jax.tree.map(functools.partial(_filled, rows=rows), part)
            kept = slice(len(part))
            done.append(jax.tree.map(lambda y, kept=kept: np.asarray(y)[kept], self._run(method, padded)))
        return jax.tree.map(lambda *parts: np.concatenate(parts), *done)

    def bind(self, key: Array | None = None, train: bool = False) -> Bound:
        """The network as an objective sees it: for trying an objective by hand.

        In training mode dropout drops and BatchNorm takes the batch's statistics; state updates are seen by
        later calls of the same bound network and then forgotten.
        """
        mode = everywhere if train else nowhere
        return Bound(self.spec, Frame(self.params, self.state, key=key, live=mode, writes=mode))

    def at(self, path: str, *xs: Any) -> tuple:
        """The layer at ``path``, bound, and what reaches it when the network is given ``xs`` (see `Bound.at`)."""
        return self.bind().at(path, *xs)

    def outputs(self, *xs: Any, pattern: Patterns = "**") -> dict[str, Any]:
        """What every layer (or those a pattern meets) gives on ``xs``, by path.

        Example:
            >>> import jax.numpy as jnp
            >>> from sonde import nn
            >>> net = nn.build(nn.Sequential(hidden=nn.Dense(5, nn.relu), head=nn.Dense(2)), jnp.ones((1, 3)))
            >>> {path: y.shape for path, y in net.outputs(jnp.ones((4, 3))).items()}
            {'hidden': (4, 5), 'head': (4, 2)}
        """
        net = self.bind()
        net(*xs)
        return net.outputs(pattern)

    def weights(self, pattern: Patterns = "**") -> Variables:
        """The parameters whose path a pattern meets.

        Raises:
            PathError: the pattern meets nothing; says what is there.
        """
        return select(self.params, pattern)

    def replace(self, **changes: Any) -> Network:
        """The same network with another ``spec``, ``params`` or ``state``.

        Params are all of them, as in ``net.replace(params={**net.params, "head/kernel": w})``.

        Raises:
            PathError: a parameter is missing or unknown; says which.
            ShapeError: a parameter has another shape than before.
        """
        if unknown := changes.keys() - {"spec", "params", "state"}:
            raise ArgumentError(f"a network has a spec, params and a state; got {min(unknown)!r}")
        if "params" in changes and "spec" not in changes and self.params:
            _same_paths(self.params, changes["params"])
        return dataclasses.replace(self, **changes)

    def summary(self, *xs: Any) -> str:
        """A table: a line a layer, with what it gives for inputs like ``xs`` (if given) and its parameters."""
        return summary(self, *xs)

    def _repr_html_(self) -> str:
        header, *rows = layers(self)
        return table(header, rows)

    def __repr__(self) -> str:
        total = sum(v.size for v in self.params.values())
        return f"Network({self.spec}, {total:,} parameters)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Network):
            return NotImplemented
        a, b = jax.tree.flatten(self), jax.tree.flatten(other)
        return a[1] == b[1] and all(np.array_equal(i, j, equal_nan=True) for i, j in zip(a[0], b[0], strict=True))

    def __hash__(self) -> int:
        return hash((self.spec, *self.params, *self.state))

    def tree_flatten_with_keys(self) -> tuple:
        """For JAX."""
        key = jax.tree_util.GetAttrKey
        return tuple((key(n), getattr(self, n)) for n in ("spec", "params", "state")), None

    def tree_flatten(self) -> tuple:
        """For JAX."""
        return (self.spec, self.params, self.state), None

    @classmethod
    def tree_unflatten(cls, _: None, children: Any) -> Network:
        """For JAX."""
        return cls(*children)


@functools.partial(jax.jit, static_argnums=(3, 4))
def _applied(network: Network, arrays: tuple, key: Array | None, method: str, plain: tuple) -> Any:
    xs = [p if a is None else a for a, p in zip(arrays, plain, strict=True)]
    return network.bind(key)._run(method, *xs)


def _filled(a: np.ndarray, rows: int) -> np.ndarray:
    """So many rows, the last one again and again."""
    return a if len(a) == rows else np.concatenate([a, np.repeat(a[-1:], rows - len(a), 0)])


def _same_paths(own: Variables, given: Any) -> None:
    """Refuse parameters that a spec does not have, or of which some are missing or have another shape."""
    if unknown := given.keys() - own.keys():
        raise PathError(f"the network has no parameter {min(unknown)!r}{nearest(min(unknown), own)}")
    if missing := own.keys() - given.keys():
        raise PathError(
            f"replace(params=...) takes all parameters, and {', '.join(map(repr, sorted(missing)))} are not among "
            f"them: give {{**net.params, {min(given, default='path')!r}: ...}}"
        )
    for path, value in given.items():
        if np.shape(value) != own[path].shape:
            raise ShapeError(f"{path} is {shape_of(own[path])}; got {shape_of(value)}")


def grow(spec: Any, calls: Any, seed: int | Array = 0, network: Network | None = None) -> Network:
    """The network that ``calls(net)`` needs, each new variable a function of (seed, path) only.

    Args:
        spec: the layer.
        calls: a tree of JAX that is a function of a bound network: it runs whatever will be run later.
        seed: an integer or a key.
        network: variables to take as they are, where their path is the same.
    """
    key = root(seed) if is_whole(seed) else seed
    params, state = (network.params, network.state) if network else ({}, {})
    return Network(spec, *tidy(_grown, spec, key, params, state, calls))


@jax.jit
def _grown(spec: Any, key: Array, params: Variables, state: Variables, calls: Any) -> tuple:
    """The variables that running ``calls`` asks for. The forward pass is dead code: only initializers run."""
    frame = Frame(params, state, key=key, live=everywhere, building=True)
    calls(Bound(spec, frame))
    return frame.params, frame.state


def as_network(spec: Any) -> Network:
    """A spec or a network as a network, perhaps without variables yet."""
    if isinstance(spec, Network):
        return spec
    if not isinstance(spec, Layer):
        raise ArgumentError(f"expected a layer such as nn.Sequential(...) or a Network; got {spec!r}")
    return Network(spec)
