"""Probes: what else to measure at a round's end, as pure functions inside the compiled program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from sonde._batch import Padded
from sonde._errors import ArgumentError
from sonde._types import Variables
from sonde._value import Value


class Probed(NamedTuple):
    """What a probe sees of a turn, for the minibatch that the next step would begin with.

    Attributes:
        params: the parameters that the turn trains, by path.
        gradient: of the turn's loss with respect to them.
        update: what the optimizer would subtract, rate included.
        outputs: what each layer gave, by path.
        loss: of that minibatch as a function of the parameters; what is random in it stays as drawn.
    """

    params: Variables
    gradient: Variables
    update: Variables
    outputs: dict[str, Any]
    loss: Callable[[Variables], Any] | None = None


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


class Curvature(Probe):
    """g'g and g'Hg: how steep the loss is along its gradient g, and how strongly it curves there; H is its Hessian.

    A step of plain descent changes the loss of the minibatch by -rate g'g + rate^2 g'Hg / 2, to second order. It makes
    it rise where rate > 2 g'g / g'Hg, and lowers it most at half of that, to which `optim.CurvatureLimit` bounds it. A
    loss is ill-conditioned where g'Hg grows while g'g does not shrink: ever smaller steps are needed. Hg is the
    derivative of the gradient along g, for about two gradients more a round.

    Source: I. Goodfellow, Y. Bengio and A. Courville, "Deep Learning" (2016), 8.2.1; B. Pearlmutter (1994) for Hg.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> import sonde as sd
        >>> loss = lambda p: (p["w"][0] ** 2 + 30 * p["w"][1] ** 2) / 2      # g = (w_1, 30 w_2), H = diag(1, 30)
        >>> weights = {"w": jnp.array([2.0, 0.1])}
        >>> found = sd.Curvature()(sd.train.Probed(weights, jax.grad(loss)(weights), {}, {}, loss))
        >>> {name: round(float(value), 3) for name, value in found.items()}
        {'squared_gradient': 13.0, 'curvature': 274.0}
    """

    def __call__(self, seen: Probed) -> dict[str, Any]:
        """Two numbers."""
        if seen.loss is None:
            raise ArgumentError(
                "Curvature differentiates the loss: give Probed(..., loss=) a function of the parameters"
            )
        _, along = jax.jvp(jax.grad(seen.loss), (seen.params,), (seen.gradient,))  # H g
        dot = lambda a: sum(((a[path] * g).sum() for path, g in seen.gradient.items()), jnp.zeros(()))
        return {"squared_gradient": dot(seen.gradient), "curvature": dot(along)}


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
