"""A layer: what every spec is, and what is said where one is called or written otherwise than it is meant."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, ClassVar, Literal

from sonde._errors import ArgumentError, LayerError, shape_of
from sonde._value import Value
from sonde.nn.scope import Scope


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
