"""A network bound: as an objective sees it, with its mode, its randomness and the rows that count."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from sonde._batch import Batch
from sonde._errors import LayerError, MemberError, PathError, nearest
from sonde._tree import Patterns, match, select
from sonde._types import Array, Variables
from sonde._value import Value
from sonde.nn.layer import Layer
from sonde.nn.mistakes import located
from sonde.nn.scope import Frame, Missing, Reached, Scope, called, everywhere


class Bound:
    """A network during one objective: what ``net`` is in ``objective(net, batch)``.

    ``net(x)`` calls the spec, ``net.encode(x)`` any method of it, as often as one likes: state updates thread
    from one call to the next, and the n-th draw at a path has a key of its own.
    """

    def __init__(self, spec: Any, frame: Frame, path: str = "") -> None:
        self._spec, self._frame, self._path = spec, frame, path

    def _run(self, method: str, *xs: Any, **options: Any) -> Any:
        frame = self._frame
        if not frame.still and not frame.here():
            raise LayerError(
                f"the network's {method} was called inside jax.grad, jvp, jacrev, vmap or scan, where its state "
                f"({', '.join(sorted(frame.state)) or 'none yet'}) and outputs would be lost: call net.still "
                "there, the same function without side effects"
            )
        function = own_method(self._spec, method)
        try:
            y = called(frame.wrapped(function), self._spec, Scope(frame, self._path), frame.lowered(xs), **options)
            return y if frame.products is None else jax.tree.map(_raised, y)
        except (Missing, Reached):
            raise
        except Exception as error:
            if getattr(error, "__notes__", None):
                raise
            raise located(error, self._path or "the network", self._spec, xs) from None

    def __call__(self, *xs: Any, **options: Any) -> Any:
        return self._run("__call__", *xs, **options)

    def __getattr__(self, method: str) -> Callable:
        if method.startswith("_"):
            raise AttributeError(method)
        own_method(self._spec, method)
        return functools.partial(self._run, method)

    @property
    def building(self) -> bool:
        """Whether this call only finds out which variables there are: nothing is computed yet."""
        return self._frame.building

    @property
    def still(self) -> Bound:
        """The same function and nothing else: the form under grad, jvp, jacrev, vmap and scan."""
        return Bound(self._spec, self._frame.view(still=True), self._path)

    def over(self, rows: Batch | None) -> Bound:
        """The network for other rows than the batch's: those of another batch, or None for rows all alike."""
        return Bound(self._spec, self._frame.view(weight=None if rows is None else rows.weight), self._path)

    def at(self, path: str, *xs: Any) -> tuple:
        """The layer at ``path``, bound, and what reaches it when the network is given ``xs``.

        What lies behind the layer is never traced.

        Returns:
            ``(layer, *inputs)``.

        Raises:
            PathError: no layer is called at that path.
        """
        searching = Bound(self._spec, self._frame.view(goal=path), self._path)
        try:
            searching._run("__call__", *xs)
        except Reached as reached:
            return Bound(reached.layer, self._frame, path), *reached.inputs
        raise PathError(f"no layer is called at {path!r}{nearest(path, self._frame.calls)}")

    def disturbed(self, noise: Layer, x: Any) -> Any:
        """What a layer of the objective's own, such as `MaskNoise`, makes of x: as in training, at validation too."""
        return called(noise, noise, Scope(self._frame.view(live=everywhere, still=True), "@/noise"), (x,))

    def key(self, use: str) -> Array:
        """A random key for the objective itself, new at every step."""
        return self._frame.draw(f"@/{use}")

    def get(self, name: str, init: Callable[[], Array]) -> Array:
        """A variable of the objective's own, first made by ``init()``, kept from step to step."""
        return Scope(self._frame, "@").get(name, init)

    def set(self, name: str, value: Array) -> None:
        """Write a variable of the objective's own; it takes hold in training only."""
        Scope(self._frame, "@").set(name, value)

    def outputs(self, pattern: Patterns = "**") -> dict[str, Any]:
        """What the layers called so far gave, by path; the last call where there were several."""
        seen = {column.split("/", 2)[2]: y for column, y in self._frame.outputs.items()} | self._frame.taps
        return {path: y for path, y in seen.items() if match(pattern, path)}

    def weights(self, pattern: Patterns = "**kernel") -> Variables:
        """The parameters whose path a pattern meets.

        Raises:
            PathError: the pattern meets nothing; says what is there.
        """
        if self._frame.building:  # a penalty may be asked before the network exists
            return {path: w for path, w in self._frame.params.items() if match(pattern, path)}
        return select(self._frame.params, pattern)


def _raised(y: Any) -> Any:
    """What an objective is given has float32 at least."""
    low = jnp.issubdtype(jnp.result_type(y), jnp.floating)
    return y.astype(jnp.promote_types(y.dtype, jnp.float32)) if low and hasattr(y, "astype") else y


def own_method(spec: Any, name: str) -> Callable:
    """A method of a spec by name; ``__call__`` of one that is no layer is called without the scope.

    Raises:
        MemberError: it has none of that name, or only what every value has.
    """
    if name == "__call__" and not isinstance(spec, Layer):
        return lambda _scope, *xs: spec(*xs)
    if name != "__call__" and (name in _COMMON or not callable(getattr(type(spec), name, None))):
        own = [n for n in dir(type(spec)) if not n.startswith("_") and callable(getattr(type(spec), n))]
        own = [n for n in own if n not in dir(Layer) and n != "named_layers"]
        raise MemberError(f"{type(spec).__name__} has no method {name!r}{nearest(name, own)}")
    return getattr(spec, name)


_COMMON = frozenset(n for n in dir(Value) if not n.startswith("_"))
