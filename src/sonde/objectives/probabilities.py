"""Noticing probabilities where logits belong: a network that ends in a softmax or a sigmoid, before a loss of logits.

Such a network trains, and badly: the loss applies the same function once more, so no answer can be sure, and the
gradient vanishes where it is most wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from sonde._errors import ArgumentError
from sonde.objectives.losses import MEANS

_KEEP = {"reshape", "squeeze", "transpose", "convert_element_type", "broadcast_in_dim", "copy"}
"""What only changes the form of numbers."""


def refuse_probabilities(
    net: Any, loss: Callable, outputs: Callable, remedy: str = "Leave the last activation out, as in nn.Dense(10)"
) -> None:
    """Once, when a network is made: refuse it if it makes probabilities of its logits and the loss takes logits.

    It looks at the operations and computes nothing, so it does not matter how the layers are written.

    Args:
        net: the network, bound.
        loss: what its outputs are given to.
        outputs: a function of the bound network that gives them.
        remedy: what to do about it.

    Raises:
        ArgumentError: the outputs come from a softmax or a sigmoid.
    """
    name = getattr(loss, "__name__", "")
    if not net.building or name not in MEANS or name == "poisson":
        return
    found = last_of(jax.make_jaxpr(lambda: outputs(net.still))().jaxpr)
    if found:
        raise ArgumentError(
            f"{name} takes logits and applies the {found} itself, but the network already ends in a {found}. {remedy}"
        )


def last_of(program: Any) -> str:
    """What a program of JAX does last to its first output: ``"softmax"``, ``"sigmoid"``, or ``""`` for all else."""
    made = {id(out): eqn for eqn in program.eqns for out in eqn.outvars}
    eqn = _behind(made, program.outvars[0])
    if eqn is None:
        return ""
    inner = next((p for p in map(eqn.params.get, ("jaxpr", "call_jaxpr", "fun_jaxpr")) if p is not None), None)
    if inner is not None:
        return last_of(getattr(inner, "jaxpr", inner))
    if eqn.primitive.name == "logistic":
        return "sigmoid"
    if eqn.primitive.name == "div":
        above, below = (_behind(made, v) for v in eqn.invars)
        if above is not None and above.primitive.name == "exp" and below is not None:
            return "softmax" if below.primitive.name == "reduce_sum" else ""
    return ""


def _behind(made: dict[int, Any], variable: Any) -> Any:
    """The operation that made a variable, seen through those that change its form; None for an input."""
    eqn = made.get(id(variable))
    while eqn is not None and eqn.primitive.name in _KEEP:
        eqn = made.get(id(eqn.invars[0]))
    return eqn
