"""Optimizers: a rate, and how parameters move at it.

    init(params) -> memory
    update(params, gradient, memory, rate, loss) -> params, memory

The engine owns the rate: it may be a number or a schedule, controllers scale it, and it is in the history. Most
optimizers are a direction that Optax computes; what moves in another way (to a minimum along a line, through a
dual variable) says itself how.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import jax
import optax

from sonde._errors import ArgumentError, check_interval
from sonde._types import Part, Variables
from sonde._value import Value
from sonde.optim.schedules import check_rate


class Optimizer(Value):
    """How a turn moves its parameters: ``p <- p - rate * direction(gradient)``.

    Attributes:
        rate: a number, or a schedule: a value that is a function of `Clock`.
        whole: whether each step must see the same rows; a plan then refuses minibatches.

    Example:
        >>> import optax
        >>> import sonde as sd
        >>> class Lion(sd.optim.Optimizer):
        ...     def direction(self):
        ...         return optax.scale_by_lion()
        >>> Lion(1e-4)
        Lion(rate=0.0001)
    """

    whole: ClassVar[bool] = False
    rate: Part = 1e-3

    elementwise: ClassVar[bool] = False
    """Whether each number of a parameter moves by its own gradients alone. Counts for the very class that says so."""

    def check(self) -> None:
        """Refuse a rate that is neither a positive number nor a schedule."""
        check_rate(self, "rate")

    def direction(self) -> optax.GradientTransformation:
        """The Optax transformation of gradients, without its rate."""
        raise ArgumentError(f"{type(self).__name__} does not say in which direction it goes")

    def init(self, params: Variables) -> Any:
        """What is remembered before the first step, for parameters by path."""
        return self.direction().init(params)

    def update(
        self, params: Variables, gradient: Variables, memory: Any, rate: Any, loss: Callable[[Variables], Any]
    ) -> tuple[Variables, Any]:
        """One step.

        Args:
            params: the parameters that the turn trains, by path.
            gradient: of the loss with respect to them.
            memory: what `init` or the step before gave.
            rate: of this step.
            loss: of this minibatch as a function of the parameters, for who wants to look along a line.

        Returns:
            The parameters after the step, of the same types, and what to remember.
        """
        direction, memory = self.direction().update(gradient, memory, params)
        return jax.tree.map(lambda p, d: (p - rate * d).astype(p.dtype), params, direction), memory


class SGD(Optimizer):
    """Gradient descent on minibatches: p <- p - rate g, or with momentum v <- momentum v + g; p <- p - rate v.

    Args:
        rate: the step size.
        momentum: in [0, 1); None keeps no velocity at all (less memory than 0).
        nesterov: look ahead: p <- p - rate (momentum v + g) (Y. Nesterov, 1983; I. Sutskever et al., 2013).

    Differs from Keras, where the velocity holds the rate: the two agree while the rate is constant.

    Example:
        >>> import sonde as sd
        >>> sd.SGD(0.1, momentum=0.9)
        SGD(rate=0.1, momentum=0.9)
    """

    rate: Part = 0.01
    momentum: Part = None
    nesterov: bool = False

    elementwise: ClassVar[bool] = True

    def check(self) -> None:
        """Refuse a momentum that never decays."""
        super().check()
        if self.momentum is not None:
            check_interval(self, "momentum", "[0, 1)")

    def direction(self) -> optax.GradientTransformation:
        """The gradient, or its decaying sum."""
        return optax.identity() if self.momentum is None else optax.trace(self.momentum, self.nesterov)


class Adam(Optimizer):
    """m <- b1 m + (1-b1) g; v <- b2 v + (1-b2) g^2; p <- p - rate m' / (sqrt(v') + epsilon), m', v' unbiased.

    Args:
        rate: the step size; about the largest change of a parameter in a step.
        b1: how slowly the mean gradient follows.
        b2: how slowly the mean square follows.
        epsilon: keeps the division finite.

    Source: D. Kingma and J. Ba (2015), Algorithm 1 (epsilon outside the root, as there).

    Example:
        >>> import sonde as sd
        >>> sd.Adam(1e-3)
        Adam(rate=0.001)
    """

    rate: Part = 1e-3
    b1: Part = 0.9
    b2: Part = 0.999
    epsilon: Part = 1e-8

    elementwise: ClassVar[bool] = True

    def check(self) -> None:
        """Refuse averages that never move."""
        super().check()
        check_interval(self, "b1", "[0, 1)")
        check_interval(self, "b2", "[0, 1)")
        check_interval(self, "epsilon", "(0, inf)")

    def direction(self) -> optax.GradientTransformation:
        """The mean gradient in units of its root mean square."""
        return optax.scale_by_adam(self.b1, self.b2, self.epsilon)
