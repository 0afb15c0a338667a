"""An optimizer made of another: what is done to its gradient, its rate or its result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import optax

from sonde._errors import ArgumentError
from sonde._types import Part, Variables
from sonde._value import Value


class Wrapped(Value):
    """An optimizer that does something before or after another one's step.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> import sonde as sd
        >>> class Flipped(sd.optim.Wrapped):              # ascent: up the loss instead of down
        ...     def update(self, params, gradient, memory, rate, loss):
        ...         return super().update(params, jax.tree.map(lambda g: -g, gradient), memory, rate, loss)
        >>> up, w = Flipped(sd.SGD(0.5)), {"w": jnp.float32(1)}
        >>> float(up.update(w, {"w": jnp.float32(2)}, up.init(w), rate=0.5, loss=None)[0]["w"])
        2.0
    """

    optimizer: Part

    def check(self) -> None:
        """Refuse what is no optimizer."""
        object.__setattr__(self, "optimizer", as_optimizer(self.optimizer))

    @property
    def rate(self) -> Any:
        """That of the optimizer inside."""
        return self.optimizer.rate

    @property
    def whole(self) -> bool:
        """Whether the optimizer inside must see the same rows each step."""
        return getattr(self.optimizer, "whole", False)

    def init(self, params: Variables) -> Any:
        """What is remembered before the first step."""
        return self.optimizer.init(params)

    def update(
        self, params: Variables, gradient: Variables, memory: Any, rate: Any, loss: Callable[[Variables], Any]
    ) -> tuple[Variables, Any]:
        """One step; see `Optimizer.update`."""
        return self.optimizer.update(params, gradient, memory, rate, loss)


class Optax(Value):
    """A transformation of Optax as it is, with the rate that is in it: p <- p + update.

    Controllers still scale it (`Plateau`); a schedule inside counts its own updates. Any place that takes an
    optimizer takes the transformation itself, too. Its functions cannot be written into a file, so a run with one
    has no folder (``out=``) to be resumed from; an optimizer of one's own with a ``direction`` has.

    Example:
        >>> import optax
        >>> import sonde as sd
        >>> turn = sd.Turn(sd.Classify(), optax.chain(optax.clip(1.0), optax.adam(1e-3)))
        >>> type(turn.optimizer).__name__, turn.optimizer.rate
        ('Optax', 1.0)
    """

    transformation: optax.GradientTransformation

    @property
    def rate(self) -> float:
        """1: the transformation has its own."""
        return 1.0

    def init(self, params: Variables) -> Any:
        """What the transformation remembers before the first step."""
        return self.transformation.init(params)

    def update(
        self, params: Variables, gradient: Variables, memory: Any, rate: Any, loss: Callable[[Variables], Any]
    ) -> tuple[Variables, Any]:
        """One step; see `Optimizer.update`."""
        extended = optax.with_extra_args_support(self.transformation)
        more = {"value": loss(params), "grad": gradient, "value_fn": loss}  # not computed where nobody asks
        updates, memory = extended.update(gradient, memory, params, **more)
        return jax.tree.map(lambda p, u: (p + rate * u).astype(p.dtype), params, updates), memory

    def __repr__(self) -> str:
        return "Optax(...)"


def as_optimizer(given: Any) -> Any:
    """An optimizer as itself, a transformation of Optax as one.

    Raises:
        ArgumentError: it is neither.
    """
    if isinstance(given, optax.GradientTransformation):
        return Optax(given)
    if isinstance(given, type) or not all(hasattr(given, name) for name in ("rate", "init", "update")):
        raise ArgumentError(
            f"optimizer must be an optimizer such as Adam(1e-3), or a transformation of Optax; got {given!r}"
        )
    return given
