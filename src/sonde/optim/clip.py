"""Gradients that are bounded before an optimizer sees them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from sonde._errors import ArgumentError, check_interval
from sonde._types import Array, Number, Variables
from sonde.optim.wrapped import Wrapped


class Clip(Wrapped):
    """An optimizer whose gradient is bounded first, against steps from a cliff of the loss.

        value        g <- min(max(g, -value), value), each entry
        norm         g <- g * min(1, norm / ||g||), each parameter (a kernel, a bias) by its own norm
        global_norm  g <- g * min(1, global_norm / ||all gradients as one vector||), which keeps the direction

    Of several that are given, each is done, in this order. Penalties are part of the gradient, decoupled decay
    (`AdamW`) is not. A gradient that is not finite stays so, and the run ends as diverged.

    Args:
        optimizer: what takes the step.
        value: the largest size of an entry.
        norm: the largest norm of a parameter's gradient.
        global_norm: the largest norm of the whole gradient.

    Raises:
        ArgumentError: no bound is given, or one that is not positive.

    Source: R. Pascanu, T. Mikolov and Y. Bengio (2013), Algorithm 1, is ``global_norm``. Keras calls them
    ``clipvalue``, ``clipnorm`` and ``global_clipnorm``; PyTorch's ``clip_grad_norm_`` is ``global_norm`` up to
    the 1e-6 it adds to the norm.

    Example:
        >>> import jax.numpy as jnp
        >>> import sonde as sd
        >>> step = sd.optim.Clip(sd.SGD(1.0), global_norm=5.0)
        >>> w, g = {"w": jnp.zeros(2)}, {"w": jnp.array([6.0, 8.0])}
        >>> step.update(w, g, step.init(w), rate=1.0, loss=None)[0]["w"].tolist()
        [-3.0, -4.0]
    """

    value: Number = None
    norm: Number = None
    global_norm: Number = None

    def check(self) -> None:
        """Refuse no bound, and bounds that are none."""
        super().check()
        given = [name for name in ("value", "norm", "global_norm") if getattr(self, name) is not None]
        if not given:
            raise ArgumentError("Clip needs a bound: Clip(optimizer, global_norm=1.0), or norm=..., or value=...")
        for name in given:
            check_interval(self, name, "(0, inf)")

    def update(
        self, params: Variables, gradient: Variables, memory: Any, rate: Any, loss: Callable[[Variables], Any]
    ) -> tuple[Variables, Any]:
        """A step along the bounded gradient."""
        if self.value is not None:
            gradient = {path: jnp.clip(g, -self.value, self.value).astype(g.dtype) for path, g in gradient.items()}
        if self.norm is not None:
            gradient = {path: _shrunk(g, _squares(g), self.norm) for path, g in gradient.items()}
        if self.global_norm is not None:
            squares = sum(map(_squares, gradient.values()), jnp.zeros(()))
            gradient = {path: _shrunk(g, squares, self.global_norm) for path, g in gradient.items()}
        return super().update(params, gradient, memory, rate, loss)


def _squares(g: Array) -> Array:
    """The sum of squares, in at least 32 bits."""
    return jnp.square(g.astype(jnp.promote_types(g.dtype, jnp.float32))).sum()


def _shrunk(g: Array, squares: Array, limit: Any) -> Array:
    """``g`` times what brings a vector of so many squares down to ``limit``."""
    norm = jnp.sqrt(squares)
    return (g * jnp.where(norm > limit, limit / norm, jnp.ones_like(norm))).astype(g.dtype)
