"""Averaged weights: a second network, the mean of those on the way, that is judged, kept and handed on.

    init(variables) -> memory
    observe(memory, variables, clock) -> memory          after every step
    view(memory, variables) -> variables                 what is judged, kept and handed on

Training goes on from the weights themselves.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from sonde._errors import ArgumentError, check_interval
from sonde._tree import pick
from sonde._types import Clock, Number
from sonde._value import Value


class Average(Value):
    """What stands for the network of a phase, instead of its last weights: see `EMA` and `SWA`.

    Parameters and state (the moving statistics of `BatchNorm`) are averaged alike; counters are taken as they are.

    Example:
        >>> import sonde as sd
        >>> turn = sd.Turn(sd.Classify(), sd.Adam(1e-3))
        >>> sd.Phase(turn, sd.data.Shuffled(32), epochs=20, average=sd.EMA(0.99)).average
        EMA(decay=0.99)
    """

    def init(self, variables: Any) -> Any:
        """What is remembered before the first step."""
        raise ArgumentError(f"{type(self).__name__} does not say what it averages")

    def observe(self, memory: Any, variables: Any, clock: Clock) -> Any:
        """What is remembered after a step that led to these variables; ``clock`` counts it."""
        raise ArgumentError(f"{type(self).__name__} does not say what it averages")

    def view(self, memory: Any, variables: Any) -> Any:
        """The averaged network."""
        raise ArgumentError(f"{type(self).__name__} does not say what it averages")


class EMA(Average):
    """An exponential moving average: m <- m + (1 - d) (p - m) after every step, d = min(decay, (1 + t) / (10 + t)).

    It looks back about 1 / (1 - decay) steps; at the beginning, at step t, no further than there are steps.

    Args:
        decay: how slowly the mean follows, in [0, 1).

    Source: B. Polyak and A. Juditsky (1992) on averaging; the beginning as in TensorFlow's moving averages.

    Example:
        >>> import jax.numpy as jnp
        >>> import sonde as sd
        >>> average, memory = sd.EMA(0.5), {"w": jnp.float32(0)}
        >>> for step in range(20, 23):
        ...     memory = average.observe(memory, {"w": jnp.float32(8)}, sd.Clock(step, 1, 30))
        ...     print(memory["w"])
        4.0
        6.0
        7.0
    """

    decay: Number = 0.999

    def check(self) -> None:
        """Refuse a mean that never moves."""
        check_interval(self, "decay", "[0, 1)")

    def init(self, variables: Any) -> Any:
        """The weights that the phase begins with."""
        return variables

    def observe(self, memory: Any, variables: Any, clock: Clock) -> Any:
        """The mean, a little closer to the weights."""
        decay = jnp.minimum(self.decay, (1 + clock.step) / (10 + clock.step))
        return _closer(memory, variables, 1 - decay)

    def view(self, memory: Any, variables: Any) -> Any:
        """The mean."""
        return memory


class SWA(Average):
    """Stochastic weight averaging: the plain mean of the networks at the ends of epochs, once ``begin`` is done.

    Before that it is the network itself. Best with a rate that stays high, so that the networks differ.

    Args:
        begin: the fraction of the phase after which averaging begins, in [0, 1).

    Source: P. Izmailov et al. (2018). Differs from it in that the statistics of `BatchNorm` are averaged, not taken
    anew. A last phase that moves nothing takes them anew: ``Phase(Turn(objective, SGD(0.0)), batch, epochs=1)``.

    Example:
        >>> import jax.numpy as jnp
        >>> import sonde as sd
        >>> average, memory = sd.SWA(0.5), sd.SWA().init({"w": jnp.float32(0)})
        >>> for step in range(1, 5):
        ...     memory = average.observe(memory, {"w": jnp.float32(step)}, sd.Clock(step, 1, 4))
        ...     print(average.view(memory, {"w": jnp.float32(step)})["w"])
        1.0
        2.0
        2.5
        3.0
    """

    begin: Number = 0.75

    def check(self) -> None:
        """Refuse to begin after the end."""
        check_interval(self, "begin", "[0, 1)")

    def init(self, variables: Any) -> Any:
        """Nothing averaged."""
        return variables, jnp.int32(0)

    def observe(self, memory: Any, variables: Any, clock: Clock) -> Any:
        """The mean with one more network in it, at the end of an epoch."""
        mean, count = memory
        due = (clock.step % clock.per_epoch == 0) & (clock.done >= self.begin)
        return lax.cond(due, lambda: (_closer(mean, variables, 1 / (count + 1)), count + 1), lambda: (mean, count))

    def view(self, memory: Any, variables: Any) -> Any:
        """The mean, or the network itself before there is one."""
        mean, count = memory
        return pick(count > 0, mean, variables)


def _closer(mean: Any, to: Any, by: Any) -> Any:
    """mean + by * (to - mean) for numbers; what counts is taken from ``to``."""

    def one(m: Any, p: Any) -> Any:
        return (m + by * (p - m)).astype(p.dtype) if jnp.issubdtype(p.dtype, jnp.inexact) else p

    return jax.tree.map(one, mean, to)
