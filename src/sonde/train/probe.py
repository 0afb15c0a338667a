"""Probes: what else to measure at a round's end, as pure functions inside the compiled program."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp

from sonde._batch import Padded
from sonde._types import Variables
from sonde._value import Value


class Probed(NamedTuple):
    """What a probe sees of a turn, for the minibatch that the next step would begin with.

    Attributes:
        params: the parameters that the turn trains, by path.
        gradient: of the turn's loss with respect to them.
        update: what the optimizer would subtract, rate included.
        outputs: what each layer gave, by path.
    """

    params: Variables
    gradient: Variables
    update: Variables
    outputs: dict[str, Any]


class Probe(Value):
    """A function of what is `Probed` that gives numbers by name; they are in the history as ``probe/name``.

    It costs one more gradient a round, and nothing in the steps between.

    Example:
        >>> import jax.numpy as jnp
        >>> import sonde as sd
        >>> class LargestWeight(sd.Probe):
        ...     def __call__(self, seen):
        ...         return {f"largest/{path}": abs(value).max() for path, value in seen.params.items()}
        >>> weights = {"head/kernel": jnp.array([[1.0, -3.0]])}
        >>> LargestWeight()(sd.train.Probed(weights, weights, weights, outputs={}))
        {'largest/head/kernel': Array(3., dtype=float32)}
    """

    def __call__(self, seen: Probed) -> dict[str, Any]:
        """The numbers."""
        return {}


class GradientNorm(Probe):
    """The length of the whole gradient, sqrt(sum g^2).

    Example:
        >>> import jax.numpy as jnp
        >>> import sonde as sd
        >>> gradient = {"head/bias": jnp.array([3.0, 4.0])}
        >>> sd.GradientNorm()(sd.train.Probed(params={}, gradient=gradient, update={}, outputs={}))
        {'gradient_norm': Array(5., dtype=float32)}
    """

    def __call__(self, seen: Probed) -> dict[str, Any]:
        """The norm."""
        return {"gradient_norm": _norm(seen.gradient)}


class UpdateRatio(Probe):
    """The length of the update over the length of the weights, a parameter at a time: healthy is about 1e-3.

    Example:
        >>> import jax.numpy as jnp
        >>> import sonde as sd
        >>> weights, update = {"head/kernel": jnp.ones((2, 2))}, {"head/kernel": jnp.full((2, 2), 0.25)}
        >>> sd.UpdateRatio()(sd.train.Probed(weights, gradient={}, update=update, outputs={}))
        {'update_ratio/head/kernel': Array(0.25, dtype=float32)}
    """

    def __call__(self, seen: Probed) -> dict[str, Any]:
        """A ratio a kernel."""
        kernels = [path for path in seen.params if seen.params[path].ndim > 1]
        ratio = lambda path: _norm({path: seen.update[path]}) / (_norm({path: seen.params[path]}) + 1e-12)
        return {f"update_ratio/{path}": ratio(path) for path in kernels}


class DeadUnits(Probe):
    """The fraction of units of a layer whose output is 0 for every row of the minibatch.

    Example:
        >>> import jax.numpy as jnp
        >>> import sonde as sd
        >>> outputs = {"hidden": jnp.array([[0.0, 1.0], [0.0, 0.0]])}
        >>> sd.DeadUnits()(sd.train.Probed(params={}, gradient={}, update={}, outputs=outputs))
        {'dead_units/hidden': Array(0.5, dtype=float32)}
    """

    def __call__(self, seen: Probed) -> dict[str, Any]:
        """A fraction a layer with outputs [rows, units]."""
        dead = lambda y: (y == 0).all(tuple(range(y.ndim - 1))).mean()
        plain = {path: y.values if isinstance(y, Padded) else y for path, y in seen.outputs.items()}  # the filling is 0
        return {f"dead_units/{path}": dead(y) for path, y in plain.items() if y.ndim > 1}


def _norm(tree: Variables) -> Any:
    return jnp.sqrt(sum(((v**2).sum() for v in tree.values()), jnp.zeros(())))
