"""L-BFGS: steps to a minimum along a line, for small data that is used whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import optax

from sonde._errors import ArgumentError
from sonde._types import Part, Variables
from sonde.optim.optimizers import Optimizer


class LBFGS(Optimizer):
    """p <- p - rate a H g: H from the last ``memory`` steps and changes of gradient, a from a search along the line.

    The curvature comes from differences of gradients, so each step must see the same loss: all rows in one batch
    (``batch`` at least as large as the training data), and nothing random in the network (dropout). It would take the
    noise of minibatches for curvature, so a plan with them, or with augmentation, is refused before it begins. A step
    costs a few evaluations of the loss; on small smooth problems tens of steps get to where gradient descent takes
    thousands.

    Args:
        rate: a factor of every step; 1 is right.
        memory: how many steps are remembered.
        searches: at most so many evaluations along a line.

    Raises:
        ArgumentError: ``memory`` or ``searches`` is no whole number of at least 1; or, when the run is built, its
            minibatches differ.

    Source: J. Nocedal (1980); D. Liu and J. Nocedal (1989); the search for the strong Wolfe conditions by zooming,
    J. Nocedal and S. Wright (2006), Algorithms 3.5 and 3.6.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> import sonde as sd
        >>> bend = lambda p: (1 - p["x"]) ** 2 + 100 * (p["y"] - p["x"] ** 2) ** 2
        >>> rule, p = sd.optim.LBFGS(), {"x": jnp.float32(-1.2), "y": jnp.float32(1)}
        >>> step = jax.jit(lambda p, memory: rule.update(p, jax.grad(bend)(p), memory, rate=1.0, loss=bend))
        >>> memory = rule.init(p)
        >>> for _ in range(40):
        ...     p, memory = step(p, memory)
        >>> round(float(p["x"]), 3), round(float(p["y"]), 3)
        (1.0, 1.0)
    """

    whole: ClassVar[bool] = True
    rate: Part = 1.0
    memory: int = 10
    searches: int = 20

    def check(self) -> None:
        """Refuse no memory and no search."""
        super().check()
        for name in ("memory", "searches"):
            given = getattr(self, name)
            if not isinstance(given, int) or isinstance(given, bool) or given < 1:
                raise ArgumentError(f"{name} of LBFGS must be a whole number of at least 1; got {given!r}")

    def direction(self) -> Any:
        """The step along the line, downward."""
        search = optax.scale_by_zoom_linesearch(self.searches, initial_guess_strategy="one")
        return optax.lbfgs(memory_size=self.memory, linesearch=search)

    def init(self, params: Variables) -> Any:
        """No step yet."""
        return self.direction().init(_wide(params))

    def update(
        self, params: Variables, gradient: Variables, memory: Any, rate: Any, loss: Callable[[Variables], Any]
    ) -> tuple[Variables, Any]:
        """One step, which evaluates the loss a few times."""
        height = lambda wide: loss({path: w.astype(params[path].dtype) for path, w in wide.items()})
        wide, slope = _wide(params), _wide(gradient)
        step, memory = self.direction().update(
            slope, memory, wide, value=height(wide), grad=slope, value_fn=height
        )
        return {path: (wide[path] + rate * step[path]).astype(p.dtype) for path, p in params.items()}, memory


def _wide(params: Variables) -> Variables:
    """In at least 32 bits: differences of close numbers."""
    return jax.tree.map(lambda p: p.astype(jnp.promote_types(p.dtype, jnp.float32)), params)
