"""A rate for each parameter: gradients divided by the root of their own squares, summed or averaged."""

from __future__ import annotations

from typing import ClassVar

import optax

from sonde._errors import check_interval
from sonde._types import Number, Part
from sonde.optim.optimizers import Optimizer


class AdaGrad(Optimizer):
    """n <- n + g^2; p <- p - rate g / sqrt(n + epsilon): a rate that falls where gradients were large.

    For sparse features and convex problems. In long runs of deep networks it slows down too early: n never shrinks.

    Args:
        rate: the step size; the first step of a parameter is about that long.
        initial: what n begins with; larger makes the first steps shorter.
        epsilon: keeps the division finite.

    Source: J. Duchi, E. Hazan and Y. Singer (2011). Differs from PyTorch, which adds epsilon to the root.

    Example:
        >>> import sonde as sd
        >>> sd.optim.AdaGrad(0.1)
        AdaGrad(rate=0.1)
    """

    rate: Part = 0.01
    initial: Number = 0.1
    epsilon: Number = 1e-7

    def check(self) -> None:
        """Refuse sums of squares that are none."""
        super().check()
        check_interval(self, "initial", "[0, inf)")
        check_interval(self, "epsilon", "[0, inf)")

    def direction(self) -> optax.GradientTransformation:
        """The gradient in units of the root of its summed squares."""
        return optax.scale_by_rss(self.initial, self.epsilon)


class AdaDelta(Optimizer):
    """v <- d v + (1-d) g^2; u = sqrt((x + e) / (v + e)) g; x <- d x + (1-d) u^2; p <- p - rate u.

    d is ``decay``, e ``epsilon``. Steps are in units of the steps before, so no rate need be chosen: it stays 1. The
    first ones are as small as epsilon makes them.

    Args:
        rate: a factor of every step.
        decay: how slowly both mean squares follow.
        epsilon: keeps the division finite, and gets the first step going.

    Source: M. Zeiler (2012).

    Example:
        >>> import sonde as sd
        >>> sd.optim.AdaDelta()
        AdaDelta(rate=1)
    """

    rate: Part = 1.0
    decay: Number = 0.9
    epsilon: Number = 1e-6

    def check(self) -> None:
        """Refuse means that never move."""
        super().check()
        check_interval(self, "decay", "[0, 1)")
        check_interval(self, "epsilon", "(0, inf)")

    def direction(self) -> optax.GradientTransformation:
        """The gradient in units of its root mean square, times that of the steps before."""
        return optax.scale_by_adadelta(self.decay, self.epsilon)


class RMSProp(Optimizer):
    """v <- d v + (1-d) g^2; p <- p - rate g / (sqrt(v) + epsilon): gradients in units of their recent size, d = decay.

    Args:
        rate: the step size.
        decay: how slowly the mean square follows.
        epsilon: keeps the division finite.
        momentum: in [0, 1): the divided gradients are summed up, decaying, as in `SGD`; None keeps no velocity.
        centered: divide by the standard deviation: v less the square of the mean gradient (A. Graves, 2013).

    Source: T. Tieleman and G. Hinton (2012), lecture 6.5. As in PyTorch; Keras adds epsilon inside the root.

    Example:
        >>> import sonde as sd
        >>> sd.optim.RMSProp(1e-3, momentum=0.9)
        RMSProp(rate=0.001, momentum=0.9)
    """

    rate: Part = 1e-3
    decay: Number = 0.9
    epsilon: Number = 1e-8
    momentum: Number = None
    centered: bool = False

    elementwise: ClassVar[bool] = True

    def check(self) -> None:
        """Refuse means that never move."""
        super().check()
        check_interval(self, "decay", "[0, 1)")
        check_interval(self, "epsilon", "(0, inf)")
        if self.momentum is not None:
            check_interval(self, "momentum", "[0, 1)")

    def direction(self) -> optax.GradientTransformation:
        """The gradient in units of its root mean square, or the decaying sum of that."""
        scale = optax.scale_by_stddev if self.centered else optax.scale_by_rms
        scaled = scale(self.decay, self.epsilon, eps_in_sqrt=False)
        return scaled if self.momentum is None else optax.chain(scaled, optax.trace(self.momentum))
