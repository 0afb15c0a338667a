"""A value: a frozen dataclass that is equal by value, a tree of its numbers, and JSON by name.

Specs, objectives, optimizers, schedules, samplers, controllers and plans are values. A field annotated
`Number` or `Part` holds numbers: leaves of the tree, so arguments of a compiled program, so the axis over
which many runs are one program. Every other field is static: it decides what is compiled.

    class Shrink(nn.Layer, registered="shrink"):       # `registered` is needed for JSON only
        factor: sd.Number = 0.5
        def __call__(self, scope, x): return self.factor * x
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import typing
from collections.abc import Callable
from typing import Any, TypeVar, dataclass_transform

import jax
import numpy as np
from jax.core import Tracer

from sonde._errors import ArgumentError, FormatError, nearest
from sonde._types import LEAF

KINDS: dict[str, type[Value]] = {}
"""Every value class that has a name in files, by that name."""

FUNCTIONS: dict[str, Callable] = {}
"""Every function that has a name in files (activations, elementwise losses), by that name."""

ELSEWHERE = {
    "return_sequences": "last=True for the last step alone, and every step unless told",
    "use_bias": "bias_init=None for no bias",
    "kernel_initializer": "kernel_init",
    "bias_initializer": "bias_init",
    "filters": "channels",
    "kernel_size": "size",
    "pool_size": "size",
    "strides": "stride",
    "dilation_rate": "dilation",
    "learning_rate": "rate",
    "lr": "rate",
}
"""What arguments that other libraries have are here."""

F = TypeVar("F", bound=Callable)
V = TypeVar("V", bound="Value")
_HOME = __name__.partition(".")[0]


def named(function: F) -> F:
    """Give a module-level function a name in files and in printed specs: its own."""
    return typing.cast(F, _enroll(FUNCTIONS, function.__name__, function))


def _enroll(registry: dict[str, Any], name: str, thing: Any) -> Any:
    known = registry.get(name, thing)
    same = (known.__module__, known.__qualname__) == (thing.__module__, thing.__qualname__)
    if not same:
        raise ArgumentError(
            f"the name {name!r} belongs to {known.__module__}.{known.__qualname__}; register "
            f"{thing.__module__}.{thing.__qualname__} under another"
        )
    registry[name] = thing
    return thing


def _is_leaf(annotation: Any) -> bool:
    if isinstance(annotation, str):  # from __future__ import annotations
        return re.search(r"\b(Number|Part)\b", annotation) is not None
    inside = typing.get_args(annotation)
    return LEAF in getattr(annotation, "__metadata__", ()) or any(_is_leaf(a) for a in inside)


class _Signature:
    """What ``help`` and editors show of a kind of value; made when somebody looks, which spares the import."""

    def __get__(self, value: Any, kind: Any) -> inspect.Signature:
        if kind.__init__ is not _filled:
            whole = inspect.signature(kind.__init__)
            return whole.replace(parameters=[*whole.parameters.values()][1:])
        known = inspect.Parameter
        default = lambda f: known.empty if f.default is dataclasses.MISSING else f.default
        field = lambda f: known(f.name, known.POSITIONAL_OR_KEYWORD, default=default(f), annotation=f.type)
        return inspect.Signature([field(f) for f in dataclasses.fields(kind)])


@dataclass_transform(frozen_default=True)
class Value:
    """The root of everything that is a value. A subclass is a frozen dataclass without being told so.

    A subclass may define ``check(self)``, which runs when a person makes one (not when JAX takes one apart).

    Example:
        >>> import jax
        >>> import sonde as sd
        >>> class Noise(sd.Value):
        ...     strength: sd.Number = 0.1
        ...     kind: str = "normal"
        >>> Noise() == Noise(0.1), jax.tree.leaves(Noise(0.2)), Noise().replace(kind="uniform")
        (True, [0.2], Noise(strength=0.1, kind='uniform'))
    """

    _leaves: typing.ClassVar[tuple[str, ...]] = ()
    _static: typing.ClassVar[tuple[str, ...]] = ()
    __signature__: typing.ClassVar[Any] = _Signature()

    def __init_subclass__(cls, registered: str | None = None, **options: Any) -> None:
        super().__init_subclass__(**options)
        dataclasses.dataclass(init=False, eq=False, repr=False, match_args=False)(cls)  # nothing to compile: fast
        fields = dataclasses.fields(cls)  # pyright: ignore[reportArgumentType]
        own = cls.__dict__.get("__init__")
        if own is None:
            cls.__init__ = _filled
        cls._leaves = tuple(f.name for f in fields if _is_leaf(f.type))
        cls._static = tuple(f.name for f in fields if not _is_leaf(f.type))
        jax.tree_util.register_pytree_with_keys(cls, _flatten_with_keys, cls._unflatten, _flatten)
        if registered or cls.__module__.partition(".")[0] == _HOME:
            _enroll(KINDS, registered or cls.__name__, cls)

    def __setattr__(self, name: str, value: Any) -> None:
        raise dataclasses.FrozenInstanceError(
            f"cannot assign to field {name!r}: a {type(self).__name__} does not change once it is made. Its fields are "
            f"written in its class, as in `{name}: Any`, without an __init__; replace({name}=...) gives a changed one"
        )

    def __delattr__(self, name: str) -> None:
        raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")

    def _set(self, **fields: Any) -> None:
        """What a hand-written ``__init__`` ends with."""
        vars(self).update(fields)
        self.__post_init__()

    def __post_init__(self) -> None:
        for f in dataclasses.fields(self):  # pyright: ignore[reportArgumentType]
            given: Any = getattr(self, f.name)
            plain: Any = _plain(tuple(given) if isinstance(given, list) else given)
            if plain is not given:
                object.__setattr__(self, f.name, plain)
            if f.name in self._static and "<" in getattr(plain, "__qualname__", ""):
                raise ArgumentError(
                    f"{f.name} of {type(self).__name__} is a function made on the spot "
                    f"({plain.__qualname__}), which equals no other and so compiles again each time; "
                    "use a function defined at the top of a module, or a Value. What a library makes on the spot, such "
                    "as jax.nn.initializers.he_normal(), is often here by name (nn.he_normal); else call it in a "
                    "function of your own"
                )
        self.check()

    def check(self) -> None:
        """Refuse what cannot be; a subclass says what."""

    @classmethod
    def _make(cls, fields: dict[str, Any]) -> Value:
        made = object.__new__(cls)
        vars(made).update(fields)
        return made

    @classmethod
    def _unflatten(cls, static: tuple, leaves: Any) -> Value:
        return cls._make(dict(zip(cls._static, static, strict=True)) | dict(zip(cls._leaves, leaves, strict=True)))

    def replace(self: V, **changes: Any) -> V:
        """The same value with some fields changed, checked again."""
        unknown = [name for name in changes if name not in self._leaves + self._static]
        if unknown:
            raise ArgumentError(
                f"{type(self).__name__} has no {unknown[0]!r}{nearest(unknown[0], self._leaves + self._static)}"
            )
        made = self._make({n: getattr(self, n) for n in self._static + self._leaves} | changes)
        made.__post_init__()
        return typing.cast(V, made)

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return all(_same(getattr(self, n), getattr(other, n)) for n in self._static + self._leaves)

    def __hash__(self) -> int:
        leaves = (_structure(getattr(self, n)) for n in self._leaves)
        return hash((type(self), *(getattr(self, n) for n in self._static), *leaves))

    def __repr__(self) -> str:
        shown = []
        for i, f in enumerate(dataclasses.fields(self)):  # pyright: ignore[reportArgumentType]
            given = getattr(self, f.name)
            # a first number is telling even where it is the usual one, such as the rate of Adam
            usual = i == 0 and f.name in self._leaves and isinstance(given, int | float) and given != 0
            if usual or f.default is dataclasses.MISSING or not _same(given, f.default):
                shown.append(f"{f.name}={show(given)}")
        return f"{type(self).__name__}({', '.join(shown)})"


def _plain(given: Any) -> Any:
    """A number of NumPy, such as a count that was computed, as the number of Python that it is."""
    if type(given) is tuple and any(isinstance(part, np.generic | tuple) for part in given):
        return tuple(map(_plain, given))
    return given.item() if isinstance(given, np.generic) else given


def _filled(self: Value, *given: Any, **named: Any) -> None:
    """The ``__init__`` of every value that has none of its own: fields in order or by name."""
    kind, fields = type(self).__name__, dataclasses.fields(self)  # pyright: ignore[reportArgumentType]
    names = tuple(f.name for f in fields)
    if len(given) > len(names):
        raise ArgumentError(f"{kind} takes {', '.join(names) or 'nothing'}; got {len(given)} values")
    values = dict(zip(names, given, strict=False))
    for name in named:
        if name in values or name not in names:
            here = f"; here it is {ELSEWHERE[name]}" if name in ELSEWHERE else nearest(name, names)
            what = f"got {name!r} twice" if name in values else f"has no {name!r}{here}"
            raise ArgumentError(f"{kind} {what}")
    values |= named
    for f in fields:
        if f.name not in values:
            if f.default is dataclasses.MISSING:
                raise ArgumentError(f"{kind} needs {f.name}: {kind}({f.name}=...)")
            values[f.name] = f.default
    self._set(**values)


def show(given: Any) -> str:
    """A field's value as it is printed: functions by their name, arrays by their shape."""
    if isinstance(given, Tracer):
        return f"{given.dtype}{list(given.shape)}"
    if isinstance(given, tuple):
        return f"({', '.join(map(show, given))}{',' * (len(given) == 1)})"
    if callable(given) and hasattr(given, "__name__"):
        return given.__name__
    if getattr(given, "shape", ()):
        return f"{given.dtype}{list(given.shape)}"
    return f"{given:g}" if isinstance(given, float) else repr(given)


def _same(a: Any, b: Any) -> bool:
    if a is b:
        return True
    if isinstance(a, Tracer) or isinstance(b, Tracer):
        return False
    if hasattr(a, "shape") or hasattr(b, "shape"):
        return np.array_equal(a, b)
    if type(a) is tuple and type(b) is tuple:
        return len(a) == len(b) and all(map(_same, a, b))
    return type(a) is type(b) and a == b or (isinstance(a, int | float) and isinstance(b, int | float) and a == b)


def _structure(leaf: Any) -> Any:
    """A field of numbers without its numbers, which are equal in many forms (1, 1.0, an array of it): for hashing."""
    if isinstance(leaf, tuple):
        parts = tuple(map(_structure, leaf))
        return parts if any(part is not None for part in parts) else None
    return leaf if isinstance(leaf, Value | str) else None


def _flatten(v: Value) -> tuple[tuple, tuple]:
    return tuple(getattr(v, n) for n in v._leaves), tuple(getattr(v, n) for n in v._static)


def _flatten_with_keys(v: Value) -> tuple[tuple, tuple]:
    keys = tuple((jax.tree_util.GetAttrKey(n), getattr(v, n)) for n in v._leaves)
    return keys, tuple(getattr(v, n) for n in v._static)


def to_json(v: Any) -> Any:
    """A value as plain JSON: ``{"is": "Dense", "units": 300, ...}``; what has its usual value is left out."""
    if isinstance(v, tuple | list):
        return [to_json(i) for i in v]
    if v is None or isinstance(v, str | bool | int | float):
        return v
    if isinstance(v, np.ndarray | np.generic | jax.Array):
        return np.asarray(v).tolist()
    if isinstance(v, Value):
        kind = type(v)
        name = next((n for n, k in KINDS.items() if k is kind), None)
        if name is None:
            raise FormatError(
                f"{kind.__name__} has no name in files; define it as class {kind.__name__}(..., registered=\"name\")"
            )
        fields = {f.name: f.default for f in dataclasses.fields(v)}  # pyright: ignore[reportArgumentType]
        given = {n: getattr(v, n) for n in fields}
        return {"is": name} | {n: to_json(g) for n, g in given.items() if not _same(g, fields[n])}
    if callable(v):
        name = next((n for n, f in FUNCTIONS.items() if f is v), None)
        if name is None:
            label = getattr(v, "__name__", repr(v))
            raise FormatError(f"the function {label} has no name in files; decorate it with @sonde.named")
        return {"function": name}
    raise FormatError(f"{v!r} cannot be written into a file")


def from_json(d: Any) -> Any:
    """What `to_json` wrote, back; only registered names can be made, so a file cannot run code of its own."""
    if isinstance(d, list):
        return tuple(from_json(i) for i in d)
    if not isinstance(d, dict):
        return d
    if "function" in d and "is" not in d:
        return _lookup(FUNCTIONS, d["function"], "function")
    cls = _lookup(KINDS, d.get("is"), "kind of value")
    fields = {f.name: f.default for f in dataclasses.fields(cls)}  # pyright: ignore[reportArgumentType]
    for name in d.keys() - fields.keys() - {"is"}:
        raise FormatError(f"{d['is']} has no field {name!r}{nearest(name, fields)}")
    given = fields | {n: from_json(v) for n, v in d.items() if n != "is"}
    for name, default in given.items():
        if default is dataclasses.MISSING:
            raise FormatError(f"{d['is']} lacks its field {name!r}")
    made = cls._make(given)
    made.__post_init__()
    return made


def _lookup(registry: dict[str, Any], name: Any, what: str) -> Any:
    if not isinstance(name, str) or name not in registry:
        raise FormatError(
            f"no {what} is called {name!r}{nearest(str(name), (n for n in registry if not n.startswith('_')))} "
            "(if it is your own, import the module that defines it first)"
        )
    return registry[name]
