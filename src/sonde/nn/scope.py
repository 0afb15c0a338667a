"""What a layer sees during one call: its variables, its randomness, its mode, and the rows that count.

A `Frame` holds what all calls of a network share while one objective runs. A `Scope` is a frame at a path.
"""

from __future__ import annotations

import copy
import functools
import inspect
import math
import zlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

from sonde._batch import Padded
from sonde._errors import ArgumentError, LayerError, PathError, ShapeError, SondeError, shape_of
from sonde._random import derive
from sonde._types import Array, Variables
from sonde._value import Value
from sonde.nn.mistakes import located


def _trace() -> Any:
    """The trace that we are in: another one inside every transformation."""
    from jax.extend.core import get_opaque_trace_state  # importing it costs as much as all of Sonde

    return get_opaque_trace_state()


class Missing(SondeError):
    """A variable or a key that this call does not hold."""


class NoVariable(Missing, PathError):
    """A parameter or state that was never made."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"the network has no variable {path!r}: it was built without this method. "
            "Build it with nn.build(spec, ..., method=..., reuse=network)"
        )


class NoKey(Missing, ArgumentError):
    """Randomness without a key."""


class Reached(Exception):
    """The layer that was looked for, and what came to it; never leaves the package."""

    def __init__(self, layer: Any, inputs: tuple) -> None:
        self.layer, self.inputs = layer, inputs


def nowhere(_path: str) -> bool:
    """No path at all."""
    return False


def everywhere(_path: str) -> bool:
    """Every path."""
    return True


@functools.lru_cache(maxsize=65536)
def _word(spot: str) -> int:
    return zlib.crc32(spot.encode())


class Frame:
    """The variables of a network and the circumstances under which an objective calls it.

    Args:
        params: parameters by path; filled in while building.
        state: model state by path; what layers write replaces it, call by call.
        key: the key from which every draw is derived, or None: nothing random may be asked for.
        live: which layers, by path, are in training mode.
        writes: which layers, by path, may write their state.
        weight: [rows], how much each row of the batch counts, or None: all alike. For a layer that is given the
            steps of sequences it is [rows, steps], and 0 for what is only filling.
        known: outputs computed beforehand, by call (see `outputs`).
        turn: which objective of a step this is; part of the names in `known` and `outputs`.
        building: whether variables that are asked for are made.
        around: what every call of a layer goes through, ``around(layer, scope, *xs)``, or None: nothing.
        products: the type that layers are handed their inputs and their matrices in, or None: as they are.
    """

    def __init__(
        self,
        params: Variables,
        state: Variables,
        *,
        key: Array | None = None,
        live: Callable[[str], bool] = nowhere,
        writes: Callable[[str], bool] = nowhere,
        weight: Array | None = None,
        known: dict[str, Any] | None = None,
        turn: int = 0,
        building: bool = False,
        around: Callable | None = None,
        products: Any = None,
    ) -> None:
        self.params, self.state, self.key, self.live, self.writes = dict(params), dict(state), key, live, writes
        self.weight, self.known, self.turn, self.building = weight, known or {}, turn, building
        self.around, self.still, self.goal, self.products = around, False, None, products
        self.draws: dict[str, int] = {}  # how often randomness was drawn for a use
        self.calls: dict[str, int] = {}  # how often the layer at a path was called
        self.used: set[str] = set()  # the parameters that were asked for
        self.outputs: dict[str, Any] = {}  # what each call gave
        self.specs: dict[str, Any] = {}  # the layer seen at a path
        self.taps: dict[str, Any] = {}
        self.trace = _trace()

    def view(self, **changes: Any) -> Frame:
        """The same frame under other circumstances; what is noted on the way is shared."""
        other = copy.copy(self)
        other.__dict__.update(changes)
        return other

    def here(self) -> bool:
        """Whether we are still in the trace that the frame was made in, not inside a transformation."""
        return _trace() == self.trace

    def wrapped(self, layer: Callable) -> Callable:
        """A layer, or a method of one, as it is called here."""
        return layer if self.around is None else functools.partial(self.around, layer)

    def lowered(self, tree: Any) -> Any:
        """Floating-point arrays of a tree in the type of products."""
        floating = lambda a: hasattr(a, "dtype") and jnp.issubdtype(a.dtype, jnp.floating)
        lower = lambda a: a.astype(self.products) if floating(a) else a
        return tree if self.products is None else jax.tree.map(lower, tree)

    def draw(self, spot: str) -> Array:
        """A key of its own for the n-th time that randomness is asked for at a spot."""
        if self.key is None:
            raise NoKey(f"the network asks for randomness at {spot!r}: pass key=jax.random.key(...)")
        n = self.draws[spot] = self.draws.get(spot, -1) + 1
        return derive(self.key, _word(f"{spot}#{n}"))


class Scope:
    """A layer's view of one call. Handed to every layer as its first argument.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde import nn
        >>> class Bias(nn.Layer):
        ...     def __call__(self, scope, x):
        ...         return x + scope.param("bias", x.shape[-1:], nn.zeros)
        >>> nn.build(Bias(), jnp.ones((4, 3))).params
        {'bias': Array([0., 0., 0.], dtype=float32)}
    """

    __slots__ = ("frame", "path")

    def __init__(self, frame: Frame, path: str = "") -> None:
        self.frame, self.path = frame, path

    def _join(self, name: str) -> str:
        if not name or set(name) & set("/*@"):
            raise ArgumentError(f"a name is part of a path, so it must hold none of '/', '*' and '@'; got {name!r}")
        return f"{self.path}/{name}" if self.path else name

    def _only_here(self, path: str, done: str, remedy: str) -> None:
        if not self.frame.here():
            raise LayerError(
                f"{path} would be {done} inside a transformation (scan, vmap, grad ...) and be lost; {remedy}"
            )

    @property
    def train(self) -> bool:
        """Whether this layer is in training mode. What no turn of a phase trains rests in inference mode."""
        return self.frame.live(self.path)

    def param(
        self, name: str, shape: tuple[int, ...], init: Callable[..., Array], dtype: Any = jnp.float32
    ) -> Array:
        """The layer's parameter ``name``, made by ``init(key, shape, dtype)`` when the network is built.

        Its initial value depends on (seed, path) only, not on what else is in the network.

        Raises:
            ShapeError: the parameter was built with another shape than this call needs, or ``init`` gave another.
            ArgumentError: ``init`` does not take (key, shape, dtype).
        """
        frame, path, shape = self.frame, self._join(name), tuple(shape)
        frame.used.add(path)
        if path not in frame.params:
            if not frame.building:
                raise NoVariable(path)
            self._only_here(path, "made", "call the layer once outside it first")
            assert frame.key is not None
            frame.params[path] = _initial(path, init, derive(frame.key, _word(path)), shape, dtype)
        value = frame.params[path]
        if value.shape != shape:
            raise ShapeError(
                f"{self.path or 'the network'} was built with a {name} of shape {value.shape}, but this input "
                f"needs {shape}. Give it the kind of input that it was built with, or build it anew"
            )
        return frame.lowered(value) if value.ndim > 1 else value  # what is added or scales stays as it is

    def made(self, name: str) -> Array:
        """The layer's parameter ``name`` as another method of the layer made it, whatever its shape.

        Raises:
            LayerError: no method that makes it was called before, while the network was built.
        """
        path = self._join(name)
        self.frame.used.add(path)
        if path not in self.frame.params:
            raise LayerError(f"{path} is not there yet: call the layer first, or build the network with its input")
        value = self.frame.params[path]
        return self.frame.lowered(value) if value.ndim > 1 else value

    def get(self, name: str, init: Callable[[], Array]) -> Array:
        """The layer's state ``name``, first made by ``init()``: what is carried from call to call untrained."""
        frame, path = self.frame, self._join(name)
        if path not in frame.state:
            if not frame.building:
                raise NoVariable(path)
            self._only_here(path, "made", "call the layer once outside it first")
            frame.state[path] = init()
        return frame.state[path]

    def set(self, name: str, value: Array) -> None:
        """Write state. It only takes hold in training mode, in a turn that trains this layer."""
        frame, path = self.frame, self._join(name)
        if self.train and frame.writes(self.path) and not frame.still and not frame.building:
            self._only_here(path, "written", "write it outside, or use net.still there")
            old = frame.state.get(path)
            if old is not None and (old.shape != value.shape or old.dtype != value.dtype):
                raise ShapeError(
                    f"the state {path} is {shape_of(old)} and cannot become {shape_of(value)}; "
                    "state keeps its shape and type from step to step"
                )
            frame.state[path] = value

    def key(self, use: str) -> Array:
        """A random key, a function of (seed, phase, step, turn, repeat, path, ``use``, n-th draw)."""
        return self.frame.draw(self._join(use))

    def mean(self, x: Array) -> Array:
        """The mean over all axes but the last, each row counting as its weight: the only way to batch statistics.

        Rows that only fill up a batch weigh nothing, and neither do steps that only fill up a sequence, so the
        statistics are those of the real ones.
        """
        weight, axes = self.frame.weight, tuple(range(x.ndim - 1))
        x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        if weight is None:
            return x.mean(axes)
        if weight.shape != x.shape[: weight.ndim]:
            raise ShapeError(
                f"{self.path or 'the network'} takes statistics of {x.shape[0]} rows in a batch of "
                f"{weight.shape[0]}; if they are other rows than the batch's, call net.over(None)"
            )
        w, of_row = weight[..., None], x.sum(axes[weight.ndim :])
        total = jnp.where(weight.sum() > 0, weight.sum(), 1)  # of no rows at all the mean is 0, not 0 / 0
        of_all = jnp.where(w > 0, w * of_row, 0).sum(axes[: weight.ndim])
        return of_all / (total * math.prod(x.shape[weight.ndim : -1]))

    def tap(self, name: str, value: Any) -> None:
        """Show a quantity inside a layer to whoever looks (`Network.outputs`); costs nothing otherwise."""
        if not self.frame.still and self.frame.here():
            self.frame.taps[self._join(name)] = value

    def __call__(self, name: str, layer: Callable, *xs: Any) -> Any:
        """Call a child layer, or a method of one, under ``name``. The same name twice is the same layer."""
        frame, child = self.frame, Scope(self.frame, self._join(name))
        path, spec = child.path, getattr(layer, "__self__", layer)
        if path == frame.goal:
            raise Reached(spec, xs)
        _one_name_one_layer(frame.specs.setdefault(path, spec), spec, path)
        n = frame.calls[path] = frame.calls.get(path, -1) + 1
        column = f"@{frame.turn}/{n}/{path}"
        if column in frame.known:
            return frame.known[column]
        try:
            y = called(frame.wrapped(layer), spec, child, frame.lowered(xs))
        except (Missing, Reached):
            raise
        except Exception as error:
            raise located(error, path, spec, xs) from None
        if not frame.still and frame.here():  # an output of one step of a scan is none of the layer
            frame.outputs[column] = y
        return y


def called(function: Callable, spec: Any, scope: Scope, xs: tuple, **options: Any) -> Any:
    """What a layer, or a method of it, makes of its inputs: the one place where it meets sequences.

    A layer says by ``padded`` how it takes `Padded` inputs. Whatever it does, the filling that comes in is 0.
    """
    if not any(isinstance(x, Padded) for x in xs):
        return function(scope, *xs, **options)
    xs = tuple(x.with_values(x.values) if isinstance(x, Padded) else x for x in xs)  # filling is 0, whatever it was
    sequences = [x for x in xs if isinstance(x, Padded)]
    kind, where = getattr(spec, "padded", "itself"), scope.path or "the network"
    if kind == "refused":
        raise ShapeError(
            f"{where}: {type(spec).__name__} mixes the steps of a sequence and cannot tell them from filling, so it "
            f"does not take {shape_of(sequences[0])}. Make one row of each sequence before it, as "
            "nn.LSTM(units, last=True) or nn.GlobalAveragePool() does, or give it an array of equally long sequences"
        )
    if kind != "steps":
        return function(scope, *xs, **options)
    if len({x.shape[:2] for x in sequences}) > 1:
        raise ShapeError(
            f"{where}: {type(spec).__name__} takes several sequences step by step, so they must have the same rows and "
            f"steps; got {', '.join(map(shape_of, sequences))}"
        )
    lengths = functools.reduce(jnp.minimum, [x.lengths for x in sequences])
    steps = Padded(sequences[0].values, lengths)
    real, weight = steps.real.astype(jnp.float32), scope.frame.weight
    if weight is None or weight.shape == real.shape[:1]:  # else they are other rows than the batch's
        weight = real if weight is None else real * weight[:, None]
    values = (x.values if isinstance(x, Padded) else x for x in xs)
    y = function(Scope(scope.frame.view(weight=weight), scope.path), *values, **options)
    if jnp.shape(y)[:2] != steps.shape[:2]:
        raise ShapeError(
            f"{where}: {type(spec).__name__} says that it treats every step alone (padded = \"steps\"), but it made "
            f"{shape_of(y)} of {shape_of(steps.values)}: rows and steps must stay"
        )
    return steps.with_values(y)


def _one_name_one_layer(first: Any, second: Any, path: str) -> None:
    if first is second or not isinstance(first, Value) or not isinstance(second, Value):
        same = first is second or first == second
    else:  # numbers may be traced: two layers differ if their structure or their concrete numbers do
        a, b = jax.tree.flatten(first), jax.tree.flatten(second)
        traced = any(isinstance(i, Tracer) for i in (*a[0], *b[0]))
        same = a[1] == b[1] and (traced or first == second)
    if not same:
        raise ArgumentError(
            f"two different layers are called {path!r}: {first} and {second}. "
            "The same name is the same layer; give one of them another name"
        )


def _initial(path: str, init: Any, key: Array, shape: tuple[int, ...], dtype: Any) -> Any:
    """The initial value of a parameter; an initializer that is none is named."""
    call: Any = init
    if isinstance(init, Value):  # whose own signature is that of its fields
        call = init.__call__  # pyright: ignore[reportAttributeAccessIssue]
    try:
        inspect.signature(call).bind(key, shape, dtype)
    except TypeError:
        given = getattr(init, "__name__", init)
        raise ArgumentError(f"the initializer of {path} must take (key, shape, dtype); {given} does not") from None
    except ValueError:  # a function written in C may have no signature
        pass
    value = call(key, shape, dtype)
    if getattr(value, "shape", None) != shape:
        raise ShapeError(f"the initializer of {path} must give an array {list(shape)}; got {shape_of(value)}")
    return value
