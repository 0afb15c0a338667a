"""Relatives of Adam: with decoupled decay, Nesterov's look ahead, a warm-up of their own, signs, or layer-wise rates.

Decoupled decay subtracts rate * decay * p from what ``decays`` meets, beside the step and not through its moments:
biases and normalization are spared by the usual pattern.
"""

from __future__ import annotations

from typing import ClassVar

import optax

from sonde._errors import check_interval
from sonde._tree import Patterns, match, select
from sonde._types import Number, Part
from sonde.optim.optimizers import Adam, Optimizer


class AdamW(Adam):
    """Adam with decoupled decay: p <- p - rate (m' / (sqrt(v') + epsilon) + decay p), the last where ``decays`` meets.

    `L2` in the loss goes through the moments, so weights with large gradients are hardly decayed; here all are,
    in proportion to their size.

    Args:
        rate: the step size.
        decay: the fraction of a weight, times the rate, that goes in each step.
        decays: patterns of the paths that decay.
        b1: how slowly the mean gradient follows.
        b2: how slowly the mean square follows.
        epsilon: keeps the division finite.

    Raises:
        PathError: when the run is built, a pattern meets nothing that is trained.

    Source: I. Loshchilov and F. Hutter (2019), the schedule's factor left to the schedule. Differs from PyTorch and
    Keras, which decay every parameter.

    Example:
        >>> import sonde as sd
        >>> sd.AdamW(1e-3, decay=0.05)
        AdamW(rate=0.001, decay=0.05)
    """

    rate: Part = 1e-3
    b1: Part = 0.9
    b2: Part = 0.999
    epsilon: Part = 1e-8
    decay: Number = 1e-2
    decays: Patterns = "**kernel"

    elementwise: ClassVar[bool] = True

    def check(self) -> None:
        """Refuse weights that grow by themselves."""
        super().check()
        check_interval(self, "decay", "[0, inf)")

    def direction(self) -> optax.GradientTransformation:
        """That of Adam, and a part of the weights."""
        return optax.chain(super().direction(), decayed(self.decay, self.decays))


class Nadam(Adam):
    """Adam with Nesterov's look ahead: m' = b1 m / (1 - b1^(t+1)) + (1-b1) g / (1 - b1^t) in place of m / (1 - b1^t).

    Source: T. Dozat, "Incorporating Nesterov momentum into Adam" (2016), Algorithm 2 with a constant b1. Differs from
    PyTorch and Keras, which have in the place of b1 in m' the b1 (1 - 0.5 * 0.96^t) of his experiments (0.52 b1 in the
    first step, 0.998 b1 after 130), and of its powers the product; their steps become ours as t grows.

    Example:
        >>> import sonde as sd
        >>> sd.optim.Nadam(1e-3)
        Nadam(rate=0.001)
    """

    def direction(self) -> optax.GradientTransformation:
        """The mean gradient one step ahead, in units of its root mean square."""
        return optax.scale_by_adam(self.b1, self.b2, self.epsilon, nesterov=True)


class RAdam(Adam):
    """Adam with a warm-up that follows from b2: plain momentum until v is known well, then shorter steps at first.

        r_t = sqrt((d_t - 4) (d_t - 2) d / ((d - 4) (d - 2) d_t))
        d_t = d - 2 t b2^t / (1 - b2^t), d = 2 / (1 - b2) - 1

    p <- p - rate r_t m' / (sqrt(v') + epsilon) where d_t > 5, else p <- p - rate m'. While it is plain momentum, steps
    are as long as gradients are.

    Source: L. Liu et al. (2020), Algorithm 2; the threshold 5 as in PyTorch.

    Example:
        >>> import sonde as sd
        >>> sd.optim.RAdam(1e-3)
        RAdam(rate=0.001)
    """

    def direction(self) -> optax.GradientTransformation:
        """The mean gradient, rectified."""
        return optax.scale_by_radam(self.b1, self.b2, self.epsilon)


class Adamax(Adam):
    """m as in Adam; u <- max(b2 u, |g| + epsilon); p <- p - rate m' / u: in units of the largest recent gradient.

    Source: D. Kingma and J. Ba (2015), Algorithm 2.

    Example:
        >>> import sonde as sd
        >>> sd.optim.Adamax(2e-3)
        Adamax(rate=0.002)
    """

    def direction(self) -> optax.GradientTransformation:
        """The mean gradient in units of the largest."""
        return optax.scale_by_adamax(self.b1, self.b2, self.epsilon)


class Lion(Optimizer):
    """p <- p - rate sign(b1 m + (1-b1) g); m <- b2 m + (1-b2) g: every entry moves by the rate, up or down.

    One array of memory where Adam has two. Rates are three to ten times smaller than Adam's.

    Args:
        rate: how far each entry moves in a step.
        b1: the part of the momentum in the sign.
        b2: how slowly the momentum follows.
        decay: decoupled decay; None for none. Three to ten times that of `AdamW` goes with the smaller rate.
        decays: patterns of the paths that decay.

    Source: X. Chen et al. (2023), Algorithm 2.

    Example:
        >>> import sonde as sd
        >>> sd.optim.Lion(1e-4, decay=0.1)
        Lion(rate=0.0001, decay=0.1)
    """

    rate: Part = 1e-4
    b1: Number = 0.9
    b2: Number = 0.99
    decay: Number = None
    decays: Patterns = "**kernel"

    def check(self) -> None:
        """Refuse averages that never move, and weights that grow by themselves."""
        super().check()
        check_interval(self, "b1", "[0, 1)")
        check_interval(self, "b2", "[0, 1)")
        if self.decay is not None:
            check_interval(self, "decay", "[0, inf)")

    def direction(self) -> optax.GradientTransformation:
        """The sign, and a part of the weights."""
        sign = optax.scale_by_lion(self.b1, self.b2)
        return sign if self.decay is None else optax.chain(sign, decayed(self.decay, self.decays))


class LAMB(AdamW):
    """AdamW, each parameter's step u scaled to its size: p <- p - rate ||p|| / ||u|| u.

    For large minibatches. A parameter that is all 0, as biases are at first, takes the step of `AdamW`.

    Args:
        rate: the length of a step as a fraction of the parameter's norm.
        decay: the part of a weight in its step.
        decays: patterns of the paths that decay.
        b1: how slowly the mean gradient follows.
        b2: how slowly the mean square follows.
        epsilon: keeps the division finite.

    Source: Y. You et al. (2020), with phi(z) = z.

    Example:
        >>> import sonde as sd
        >>> sd.optim.LAMB(1e-2)
        LAMB(rate=0.01)
    """

    epsilon: Part = 1e-6

    def direction(self) -> optax.GradientTransformation:
        """That of AdamW, in units of the parameter's norm."""
        return optax.chain(super().direction(), optax.scale_by_trust_ratio())


def decayed(decay: Number, on: Patterns) -> optax.GradientTransformation:
    """Adds ``decay * p`` to the direction of what ``on`` meets."""

    def init(params: dict) -> optax.EmptyState:
        select(params, on)  # a pattern that meets nothing is an error
        return optax.EmptyState()

    def update(direction: dict, state: optax.EmptyState, params: dict | None = None) -> tuple:
        kept = {} if params is None else params
        return {path: d + decay * kept[path] if match(on, path) else d for path, d in direction.items()}, state

    return optax.GradientTransformation(init, update)  # pyright: ignore[reportArgumentType]
