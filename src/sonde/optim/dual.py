"""Methods that remember a sum of gradients and solve for the weights: weights that do not matter are exactly 0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from sonde._errors import check_interval
from sonde._tree import Patterns, match, select
from sonde._types import Array, Number, Part, Variables
from sonde.optim.optimizers import Optimizer
from sonde.optim.wrapped import Wrapped

LEAST_RATE = 1e-6
"""What a schedule may come down to for FTRL, which divides by it."""


class FTRL(Optimizer):
    """Follow the regularized leader, proximally: for sparse linear models, online.

        n <- n + g^2;  q' = (beta + sqrt(n)) / rate;  z <- z + g - (q' - q) w;  q <- q'
        w <- 0 where |z| <= l1, else -(z - sign(z) l1) / (q + l2)

    which is the w that minimizes z.w + q/2 w^2 + l1 |w| + l2/2 w^2. It is the method of the source when the weights
    begin at 0; other first weights are kept as the point that the first step goes out from.

    l1 is held against a *sum* of gradients, so its weight fades in a long run: as much sparsity needs more of it.

    Args:
        rate: alpha: the rate of a coordinate is alpha / (beta + sqrt(n)). A schedule may let it fall: what was learned
            stays where it is, what comes moves it less. Below 1e-6 it counts as 1e-6.
        beta: makes the first steps shorter.
        l1: brings weights to exactly 0.
        l2: keeps the others small.
        on: patterns of the paths that l1 and l2 hold for; biases are spared by the usual one.

    Raises:
        PathError: when the run is built, a pattern meets nothing that is trained.

    Source: H. B. McMahan et al. (2013), Algorithm 1. Differs from Keras, which forgets first weights that are not 0,
    begins n at 0.1, penalizes biases too and has twice our l2.

    Example:
        >>> import sonde as sd
        >>> sd.optim.FTRL(0.1, l1=1.0)
        FTRL(rate=0.1, l1=1)
    """

    rate: Part = 0.1
    beta: Number = 1.0
    l1: Number = 0.0
    l2: Number = 0.0
    on: Patterns = "**kernel"

    def check(self) -> None:
        """Refuse rates of 0, by which it divides, and rewards for large weights."""
        super().check()
        if not callable(self.rate):
            check_interval(self, "rate", "(0, inf)")
        for name in ("beta", "l1", "l2"):
            check_interval(self, name, "[0, inf)")

    def init(self, params: Variables) -> dict[str, Variables]:
        """Nothing summed."""
        select(params, self.on)
        zeros = jax.tree.map(lambda p: jnp.zeros_like(_wide(p)), params)
        return {"z": zeros, "n": zeros, "q": zeros}

    def update(
        self, params: Variables, gradient: Variables, memory: Any, rate: Any, loss: Callable[[Variables], Any]
    ) -> tuple[Variables, Any]:
        """One step, each parameter for itself."""
        rate = jnp.maximum(rate, LEAST_RATE)
        after: Variables = {}
        remembered: dict[str, Variables] = {"z": {}, "n": {}, "q": {}}
        for path, w in params.items():
            l1, l2 = (self.l1, self.l2) if match(self.on, path) else (0.0, 0.0)
            z, n, q = (memory[name][path] for name in ("z", "n", "q"))
            g = _wide(gradient[path])
            n = n + g**2
            stiffer = (self.beta + jnp.sqrt(n)) / rate
            z = z + g - (stiffer - q) * _wide(w)
            still = stiffer + l2 == 0  # beta is 0 and no gradient was ever there
            solved = -shrunk(z, l1) / jnp.where(still, 1, stiffer + l2)
            after[path] = jnp.where(still, w, solved).astype(w.dtype)
            remembered["z"][path], remembered["n"][path], remembered["q"][path] = z, n, stiffer
        return after, remembered


class DualAveraging(Optimizer):
    """s <- s + rate g; w <- S(w0 - s / t^power, l1 * (sum of rates) / t^power), S the soft threshold, t the step.

    With a constant rate and w0 = 0 it is w = -rate sqrt(t) S(mean of all gradients, l1): a weight whose mean
    gradient is not larger than l1 is exactly 0. That threshold does not fade (see `FTRL`).

    Args:
        rate: 1 / gamma of the source. Of a schedule each step's rate weighs that step's gradient (Nesterov's weights).
        l1: brings weights to exactly 0; on the scale of the mean gradient, as `L1` is.
        power: 1/2 for gradients with noise. With 0 steps stay as long as they are, for losses that are smooth and
            without noise: where l1 is 0, gradient descent.
        on: patterns of the paths that l1 holds for; biases are spared by the usual one.

    Raises:
        PathError: when the run is built, a pattern meets nothing that is trained.

    Source: Y. Nesterov (2009), simple and weighted dual averaging; with l1 L. Xiao (2010), Algorithm 1 with
    beta_t = gamma sqrt(t). The first weights w0 are the center: without l1 and gradients they stay.

    Example:
        >>> import sonde as sd
        >>> sd.optim.DualAveraging(0.1, l1=1e-3)
        DualAveraging(rate=0.1, l1=0.001)
    """

    rate: Part = 0.1
    l1: Number = 0.0
    power: Number = 0.5
    on: Patterns = "**kernel"

    def check(self) -> None:
        """Refuse rewards for large weights."""
        super().check()
        check_interval(self, "l1", "[0, inf)")
        check_interval(self, "power", "[0, 1]")

    def init(self, params: Variables) -> dict[str, Any]:
        """The first weights, and nothing summed."""
        select(params, self.on)
        first = jax.tree.map(_wide, params)
        return {"first": first, "sum": jax.tree.map(jnp.zeros_like, first), "rates": jnp.zeros(()), "t": jnp.zeros(())}

    def update(
        self, params: Variables, gradient: Variables, memory: Any, rate: Any, loss: Callable[[Variables], Any]
    ) -> tuple[Variables, Any]:
        """One step, each parameter for itself."""
        t, rates = memory["t"] + 1, memory["rates"] + rate
        total = {path: s + rate * _wide(gradient[path]) for path, s in memory["sum"].items()}
        after: Variables = {}
        for path, w in params.items():
            l1 = self.l1 if match(self.on, path) else 0.0
            moved = memory["first"][path] - total[path] / t**self.power
            after[path] = shrunk(moved, l1 * rates / t**self.power).astype(w.dtype)
        return after, {"first": memory["first"], "sum": total, "rates": rates, "t": t}


class ProximalL1(Wrapped):
    """An optimizer after whose every step weights come closer to 0 by rate * l1, and stop there: exact zeros.

    w <- S(w, rate * l1), S(w, by) = sign(w) max(|w| - by, 0). Around `SGD` it is the proximal gradient method for the
    loss + l1 sum |w|: the minimum of `L1` in the loss, which a gradient step only hops about. Around methods that
    divide gradients (`Adam`) the threshold is the same for every weight, in the way of decoupled decay. Around a raw
    transformation of Optax the threshold is l1 itself: its rate is not known.

    Args:
        optimizer: what takes the step.
        l1: how strongly weights are drawn to 0.
        on: patterns of the paths that it holds for; biases are spared by the usual one.

    Raises:
        PathError: when the run is built, a pattern meets nothing that is trained.

    Source: P. Combettes and V. Wajs (2005); on minibatches J. Duchi and Y. Singer (2009).

    Example:
        >>> import sonde as sd
        >>> sd.optim.ProximalL1(sd.SGD(0.1), l1=1e-3)
        ProximalL1(optimizer=SGD(rate=0.1), l1=0.001)
    """

    l1: Number = 1e-4
    on: Patterns = "**kernel"

    def check(self) -> None:
        """Refuse rewards for large weights."""
        super().check()
        check_interval(self, "l1", "[0, inf)")

    def init(self, params: Variables) -> Any:
        """What is remembered before the first step; patterns that meet nothing are refused here."""
        select(params, self.on)
        return super().init(params)

    def update(
        self, params: Variables, gradient: Variables, memory: Any, rate: Any, loss: Callable[[Variables], Any]
    ) -> tuple[Variables, Any]:
        """A step, and closer to 0."""
        moved, memory = super().update(params, gradient, memory, rate, loss)
        near = {path: shrunk(w, rate * self.l1).astype(w.dtype) for path, w in moved.items() if match(self.on, path)}
        return {**moved, **near}, memory


def shrunk(w: Array, by: Any) -> Array:
    """The soft threshold: closer to 0 by so much, and not beyond."""
    return jnp.sign(w) * jnp.maximum(jnp.abs(w) - by, 0)


def _wide(w: Array) -> Array:
    """In at least 32 bits: sums of small numbers."""
    return w.astype(jnp.promote_types(w.dtype, jnp.float32))
