"""A network: a spec with its variables; and a network bound, as an objective sees it."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import os
import types
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np

from sonde._batch import Batch, Padded
from sonde._errors import (
    TRACED,
    ArgumentError,
    LayerError,
    MemberError,
    PathError,
    ShapeError,
    SondeError,
    is_whole,
    nearest,
    shape_of,
    spare,
)
from sonde._html import table
from sonde._random import root
from sonde._tree import Patterns, match, parent, select
from sonde._types import Array, Variables
from sonde._value import Value, show
from sonde.nn.scope import (
    FORWARD_MODE,
    Frame,
    Missing,
    Reached,
    Scope,
    called,
    everywhere,
    is_forward_mode,
    located,
    nowhere,
)


class Layer(Value):
    """A spec: what a layer is, without arrays. One method both makes and uses its parameters.

        def __call__(self, scope, x): ...

    A layer may have other methods (``encode``, ``decode``, ...): any function of (scope, ...). Sizes of
    inputs are read where a parameter is asked for. A leading axis of rows is always there.

    ``padded`` says how it takes sequences of different lengths (`Padded`):

    - ``"itself"``: they are handed to it as they are, and it sees to their lengths. So it is for containers, and
      for what mixes steps and knows how.
    - ``"steps"``: it treats every step alone. It is given the values, an array, what it makes of them becomes
      sequences of the same lengths, and `Scope.mean` counts the real steps only.
    - ``"refused"``: it would mix steps with filling, so it does not take them.

    What comes in is 0 behind the lengths, whatever stood there.

    Example:
        >>> import jax.numpy as jnp
        >>> import sonde as sd
        >>> from sonde import nn
        >>> class Shrink(nn.Layer):
        ...     factor: sd.Number = 0.5
        ...     def __call__(self, scope, x):
        ...         return self.factor * x
        >>> nn.build(Shrink(0.25), jnp.ones((1, 2)))(jnp.ones((1, 2)))
        Array([[0.25, 0.25]], dtype=float32)
    """

    padded: ClassVar[Literal["itself", "steps", "refused"]] = "itself"

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__call__" in cls.__dict__:
            setattr(cls, "__call__", _guarded(cls.__dict__["__call__"]))  # noqa: B010

    def __call__(self, scope: Scope, *xs: Any) -> Any:
        """What the layer makes of its inputs."""
        raise ArgumentError(f"{type(self).__name__} cannot be called as a whole; call one of its methods")


def _guarded(call: Callable) -> Callable:
    """The ``__call__`` of a layer, which says how it is meant where it is called or written otherwise."""

    @functools.wraps(call)
    def guarded(layer: Any, *given: Any, **options: Any) -> Any:
        kind = type(layer).__name__
        if not isinstance(given[0] if given else options.get("scope"), Scope):
            raise ArgumentError(
                f"{kind} is a layer without weights, so it is not called with inputs: make a network of it, "
                "net = nn.build(layer, x), and call net(x); inside a layer of your own write scope(name, layer, x)"
            )
        try:
            y = call(layer, *given, **options)
        except TypeError:
            if _fits(call, layer, *given, **options):
                raise
            takes, inputs = [*inspect.signature(call).parameters][1:], ", ".join(map(shape_of, given[1:])) or "none"
            remedy = f"it takes {', '.join(takes[1:]) or 'no inputs'}; got {inputs}"
            if len(takes) == len(given) - 1 and "scope" not in takes:
                remedy = f"its first parameter is missing: def __call__(self, scope, {', '.join(takes)})"
            raise LayerError(f"{kind} cannot be called like this: {remedy}") from None
        if y is None:
            raise LayerError(f"{kind} gave None: does its __call__ lack a return?")
        return y

    return guarded


def _fits(function: Callable, *given: Any, **options: Any) -> bool:
    """Whether a function can be given these arguments."""
    try:
        inspect.signature(function).bind(*given, **options)
    except TypeError:
        return False
    return True


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
        function = _method(self._spec, method)
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
        _method(self._spec, method)
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


def _method(spec: Any, name: str) -> Callable:
    if name == "__call__" and not isinstance(spec, Layer):
        return lambda _scope, *xs: spec(*xs)
    if name != "__call__" and (name in _RESERVED or not callable(getattr(type(spec), name, None))):
        own = [n for n in dir(type(spec)) if not n.startswith("_") and callable(getattr(type(spec), n))]
        own = [n for n in own if n not in dir(Layer) and n != "named_layers"]
        raise MemberError(f"{type(spec).__name__} has no method {name!r}{nearest(name, own)}")
    return getattr(spec, name)


_RESERVED = frozenset(n for n in dir(Value) if not n.startswith("_"))


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
        _method(self.spec, method)
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
        rows = layers(self, *xs)
        width = [max(map(len, column)) for column in zip(*rows, strict=True)]
        put = lambda row, i: row[i].rjust(width[i]) if rows[0][i] == "parameters" else row[i].ljust(width[i])
        lines = ["  ".join(put(row, i) for i in range(len(row))) for row in rows]
        rule = "-" * max(map(len, lines))
        return "\n".join(line.rstrip() for line in [lines[0], rule, *lines[1:-1], rule, lines[-1]])

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


def layers(network: Network, *xs: Any) -> list[list[str]]:
    """The table of `Network.summary`: a header, a row a layer, and the total."""
    shapes: dict[str, Any] = {}
    if xs:

        def trace(network: Network, xs: tuple) -> dict:
            net = network.bind()
            net(*xs)
            return {c.split("/", 2)[2]: y for c, y in net._frame.outputs.items()}

        shapes = tidy(jax.eval_shape, trace, network, xs)
    count: dict[str, int] = {}
    for path, value in {**network.params, **network.state}.items():
        count[parent(path)] = count.get(parent(path), 0) + (value.size if path in network.params else 0)
    specs = dict(_children(network.spec))
    layers = [*specs, *(p for p in [*shapes, *count] if p not in specs and "@" not in p)]
    rows = [("layer", "kind", "gives", "parameters")]
    for path in dict.fromkeys(layers):
        kind = show(specs[path]).partition("(")[0] if path in specs else ""
        gives = shape_of(shapes[path]) if path in shapes else ""
        rows.append((path or "(itself)", kind, gives, f"{count[path]:,}" if path in count else ""))
    total = sum(v.size for v in network.params.values())
    rows.append(("total", "", "", f"{total:,}"))
    keep = [i for i in range(4) if any(row[i] for row in rows[1:])]
    return [[row[i] for i in keep] for row in rows]


def _children(spec: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The layers that a spec names itself (those of a container), depth first."""
    named = getattr(spec, "named_layers", None)
    if named is None:
        if path == "":
            yield path, spec
        return
    for name, child in named():
        below = f"{path}/{name}" if path else name
        yield below, child
        yield from _children(child, below)


@functools.partial(jax.jit, static_argnums=(3, 4))
def _applied(network: Network, arrays: tuple, key: Array | None, method: str, plain: tuple) -> Any:
    xs = [p if a is None else a for a, p in zip(arrays, plain, strict=True)]
    return network.bind(key)._run(method, *xs)


def tidy(function: Callable, *args: Any) -> Any:
    """Call through JAX; what goes wrong comes out as ours, without the frames in between."""
    try:
        return function(*args)
    except SondeError as error:
        error.__notes__ = [n for n in getattr(error, "__notes__", []) if "JAX" not in n]
        raise error.with_traceback(spare(error)) from None
    except TRACED as error:
        own = spare(error)
        raise LayerError(
            "an array was asked for its numbers inside a compiled program, where it has none yet"
            f"{_where(own)}: use jax.numpy in place of NumPy and scikit-learn, and jnp.where(a > b, x, y) in place of "
            "if"
        ).with_traceback(own) from None
    except TypeError as error:
        if is_forward_mode(error):
            raise LayerError(f"the network {FORWARD_MODE}").with_traceback(spare(error)) from None
        raise


def _where(frames: types.TracebackType | None) -> str:
    """The innermost of some frames that is in no installed package, in words."""
    found = ""
    while frames is not None:
        code = frames.tb_frame.f_code
        if "site-packages" not in code.co_filename:
            found = f", in {code.co_name} ({os.path.basename(code.co_filename)}, line {frames.tb_lineno})"
        frames = frames.tb_next
    return found


@jax.jit
def _grown(spec: Any, key: Array, params: Variables, state: Variables, calls: Any) -> tuple:
    """The variables that running ``calls`` asks for. The forward pass is dead code: only initializers run."""
    frame = Frame(params, state, key=key, live=everywhere, building=True)
    calls(Bound(spec, frame))
    return frame.params, frame.state


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


def as_network(spec: Any) -> Network:
    """A spec or a network as a network, perhaps without variables yet."""
    if isinstance(spec, Network):
        return spec
    if not isinstance(spec, Layer):
        raise ArgumentError(f"expected a layer such as nn.Sequential(...) or a Network; got {spec!r}")
    return Network(spec)


__all__ = ["Bound", "Layer", "Network", "as_network", "build", "grow", "tidy"]


def _filled(a: np.ndarray, rows: int) -> Array:
    """So many rows, the last one again and again."""
    return jnp.asarray(np.concatenate([a, np.repeat(a[-1:], rows - len(a), 0)]))
