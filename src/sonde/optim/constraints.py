"""Weights that stay where they are allowed to be: after each step they are moved to the nearest point there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from sonde._errors import ArgumentError, ShapeError, check_interval, shape_of
from sonde._tree import Patterns, match, select
from sonde._types import Array, Number, Part, Variables
from sonde._value import Value
from sonde.optim.wrapped import Wrapped


class Constraint(Value):
    """What weights must be: a value with ``project(new, old) -> new``, called with one parameter after each step.

    Example:
        >>> import jax.numpy as jnp
        >>> import sonde as sd
        >>> class Box(sd.optim.Constraint):
        ...     limit: sd.Number = 1.0
        ...     def project(self, new, old):
        ...         return jnp.clip(new, -self.limit, self.limit)
        >>> sd.optim.Constrained(sd.SGD(0.1), Box(0.5))
        Constrained(optimizer=SGD(rate=0.1), constraint=Box(limit=0.5))
    """

    def project(self, new: Array, old: Array) -> Array:
        """The allowed weights nearest to ``new``; ``old`` are those before the step, allowed already."""
        raise ArgumentError(f"{type(self).__name__} does not say what is allowed")


class Constrained(Wrapped):
    """An optimizer after whose every step the weights that ``on`` meets are projected: w <- project(w).

    Projected gradient descent. The first weights are not projected; those after the first step are.

    Args:
        optimizer: what takes the step.
        constraint: what is allowed, such as `MaxNorm`.
        on: patterns of the paths that it holds for.

    Raises:
        ArgumentError: ``constraint`` has no ``project``.
        PathError: when the run is built, a pattern meets nothing that is trained.

    Differs from Keras, where a constraint is an argument of a layer: here ``on`` names the layer.

    Example:
        >>> import jax.numpy as jnp
        >>> import sonde as sd
        >>> step = sd.optim.Constrained(sd.SGD(1.0), sd.optim.NonNegative(), on="hidden/kernel")
        >>> w = {"hidden/kernel": jnp.array([[1.0, 2.0]]), "hidden/bias": jnp.zeros(2)}
        >>> after, _ = step.update(w, {path: 1.5 + 0 * p for path, p in w.items()}, step.init(w), rate=1.0, loss=None)
        >>> after["hidden/kernel"].tolist(), after["hidden/bias"].tolist()
        ([[0.0, 0.5]], [-1.5, -1.5])
    """

    constraint: Part
    on: Patterns = "**kernel"

    def check(self) -> None:
        """Refuse what constrains nothing."""
        super().check()
        if isinstance(self.constraint, type) or not hasattr(self.constraint, "project"):
            raise ArgumentError(
                f"constraint of Constrained must be one, such as MaxNorm(1.0), or a Value with project(new, old); "
                f"got {self.constraint!r}"
            )

    def init(self, params: Variables) -> Any:
        """What is remembered before the first step; patterns that meet nothing are refused here."""
        select(params, self.on)
        return super().init(params)

    def update(
        self, params: Variables, gradient: Variables, memory: Any, rate: Any, loss: Callable[[Variables], Any]
    ) -> tuple[Variables, Any]:
        """A step, and back to where it is allowed."""
        moved, memory = super().update(params, gradient, memory, rate, loss)
        allowed = {
            path: self.constraint.project(new, params[path]).astype(new.dtype)
            for path, new in moved.items()
            if match(self.on, path)
        }
        return {**moved, **allowed}, memory


class MaxNorm(Constraint):
    """The weights that come into each neuron have a norm of at most ``limit``: w <- w * min(1, limit / ||w||).

    The norm is over all axes of a kernel but the last, which counts neurons: (inputs, neurons), or (height, width,
    channels, neurons). With dropout it allows large rates (N. Srivastava et al., 2014, section 5.1, limits 3 to 4).

    Args:
        limit: the largest norm.

    Differs from Keras, whose ``MaxNorm`` takes the norm over the first axis alone unless told otherwise, and from
    ``tf.clip_by_norm``, which bounds the kernel as a whole.

    Example:
        >>> import jax.numpy as jnp
        >>> import sonde as sd
        >>> w = jnp.array([[6.0, 0.5], [8.0, 0.5]])                # two inputs, two neurons
        >>> sd.optim.MaxNorm(5.0).project(w, w).tolist()
        [[3.0, 0.5], [4.0, 0.5]]
    """

    limit: Number = 1.0

    def check(self) -> None:
        """Refuse a norm that nothing has."""
        check_interval(self, "limit", "(0, inf)")

    def project(self, new: Array, old: Array) -> Array:
        """Neurons whose norm is too large, shrunk to the limit."""
        norm = _norms(new)
        return new * jnp.where(norm > self.limit, self.limit / norm, jnp.ones_like(norm))


class UnitNorm(Constraint):
    """The weights that come into each neuron have norm 1: w <- w / ||w||, over all axes but the last.

    A neuron whose weights are all 0 has no direction and stays so.

    Example:
        >>> import jax.numpy as jnp
        >>> import sonde as sd
        >>> w = jnp.array([[4.0, 0.0, 0.0], [0.0, -2.0, 0.0]])
        >>> sd.optim.UnitNorm().project(w, w).tolist()
        [[1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]
    """

    def project(self, new: Array, old: Array) -> Array:
        """Every neuron's weights, scaled."""
        norm = _norms(new)
        return new / jnp.where(norm > 0, norm, jnp.ones_like(norm))


class NonNegative(Constraint):
    """No weight is negative: w <- max(w, 0).

    Example:
        >>> import jax.numpy as jnp
        >>> import sonde as sd
        >>> sd.optim.NonNegative().project(jnp.array([-1.0, 2.0]), None).tolist()
        [0.0, 2.0]
    """

    def project(self, new: Array, old: Array) -> Array:
        """Negative weights at 0."""
        return jnp.maximum(new, jnp.zeros_like(new))


class ZeroSum(Constraint):
    """The weights that come into each neuron sum to 0, so a constant added to all inputs changes nothing.

    w <- w - mean(w), the mean over all axes but the last.

    Example:
        >>> import jax.numpy as jnp
        >>> import sonde as sd
        >>> sd.optim.ZeroSum().project(jnp.array([[1.0, 5.0], [3.0, 5.0]]), None).tolist()
        [[-1.0, 0.0], [1.0, 0.0]]
    """

    def project(self, new: Array, old: Array) -> Array:
        """Every neuron's weights without their mean."""
        return new - _wide(new).mean(_incoming(new), keepdims=True)


class LinearConstraint(Constraint):
    """Linear equations that the weights into each neuron satisfy: A w = b. w <- w - A^T (A A^T)^-1 (A w - b).

    Two inputs with equal weights are the row (1, -1), a known total is a row of ones. Where whole kernels are to be
    equal, share the layer instead (`nn.Shared`, `nn.TiedDense`), which also saves the memory.

    Args:
        rows: A: for each equation a coefficient for each incoming weight, (equations, weights); the weights are
            those of a kernel along all axes but the last, in order. No equation may follow from the others.
        equal: b: what each equation equals, one number or one for each.

    Raises:
        ShapeError: a kernel has another number of incoming weights.

    Example:
        >>> import jax.numpy as jnp
        >>> import sonde as sd
        >>> tied = sd.optim.LinearConstraint(((1.0, -1.0, 0.0),))            # the first two inputs count alike
        >>> tied.project(jnp.array([[1.0], [3.0], [7.0]]), None).round(4).tolist()
        [[2.0], [2.0], [7.0]]
    """

    rows: Part
    equal: Part = 0.0

    def check(self) -> None:
        """Refuse what are no rows of numbers."""
        rows = self.rows
        if isinstance(rows, tuple):
            object.__setattr__(self, "rows", tuple(tuple(r) if isinstance(r, list) else r for r in rows))
            lengths = {len(row) if isinstance(row, tuple | list) else 0 for row in rows}
            if len(lengths) != 1 or 0 in lengths:
                raise ArgumentError(f"rows of LinearConstraint are tuples of one length, ((1.0, -1.0),); got {rows!r}")

    def project(self, new: Array, old: Array) -> Array:
        """The nearest weights that satisfy the equations."""
        flat = _wide(new).reshape(-1, new.shape[-1])
        a = jnp.asarray(self.rows, flat.dtype)
        if a.ndim != 2 or a.shape[1] != flat.shape[0]:
            raise ShapeError(
                f"LinearConstraint has rows {shape_of(a)}, but each neuron of a kernel {shape_of(new)} has "
                f"{flat.shape[0]} incoming weights; give a coefficient for each"
            )
        b = jnp.broadcast_to(jnp.asarray(self.equal, flat.dtype).reshape(-1, 1), (a.shape[0], flat.shape[1]))
        return (flat - a.T @ jnp.linalg.solve(a @ a.T, a @ flat - b)).reshape(new.shape)


class KeepZeros(Constraint):
    """Weights that are exactly 0 stay 0: a pruned network keeps its zeros while the others are tuned further.

    Example:
        >>> import jax.numpy as jnp
        >>> import sonde as sd
        >>> sd.optim.KeepZeros().project(jnp.array([0.3, 0.4]), jnp.array([0.0, 0.5])).tolist()
        [0.0, 0.4000000059604645]
    """

    def project(self, new: Array, old: Array) -> Array:
        """0 where it was 0."""
        return jnp.where(old == 0, jnp.zeros_like(new), new)


def _incoming(w: Array) -> tuple[int, ...]:
    """The axes that a neuron's weights lie along: all but the last."""
    return tuple(range(w.ndim - 1))


def _wide(w: Array) -> Array:
    """In at least 32 bits."""
    return w.astype(jnp.promote_types(w.dtype, jnp.float32))


def _norms(w: Array) -> Array:
    """The norm of each neuron's weights, beside them."""
    return jnp.sqrt(jnp.square(_wide(w)).sum(_incoming(w), keepdims=True))
