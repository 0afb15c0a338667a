"""How matrices lie in memory while a phase runs: on a CPU turned over, where only products see them; moved in place.

Of y = x W the gradient is x' d, and of y = x V' it is d' x: the same numbers, but where V = W' is what is stored, and
what the optimizer moves, products read both of their inputs row by row. That takes 0.86 of the time of a training
step of 784-300-50-10 and 0.85 of 784-5x100-10 (two cores, in turns in one process; 0.99 of 784-3x1000-10). To store
W and turn it over at every step would take 1.4. So matrices are turned over when the loop over steps begins, and back
when it ends, and it is a parameter's whole life in between that must not see it: products and an elementwise
optimizer.

XLA moves a matrix where it lies if all that reads it is sure to have run before, and otherwise copies it at every step,
on one core. The gradient that a layer hands down, d W', is such a reader, and so is a penalty; nothing says whether
they come before W moves. So the rate that W moves at is there `after` the loss and all gradients. A step of
64-3x2048-2 takes 0.81 to 0.88 of the time, one of 784-3x1000-10 0.89 to 0.98; only the order changes.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from sonde._types import Array, Variables

SMALLEST = 4096
"""Numbers that a matrix must have to be worth it."""

_ALIKE = ("integer_pow", "square", "abs")
"""What gives the same sums of a matrix and of its transpose: penalties."""


def in_products(jaxpr: Any, inputs: dict[str, Any]) -> frozenset[str]:
    """The matrices that a program has in products x W only: their names.

    Args:
        jaxpr: the program.
        inputs: its variables, by name.
    """
    names = {id(v): name for name, v in inputs.items() if v.aval.ndim == 2 and v.aval.size >= SMALLEST}
    seen, otherwise = set(), {names[id(v)] for v in jaxpr.outvars if id(v) in names}
    for equation in jaxpr.eqns:
        for place, v in enumerate(equation.invars):
            if id(v) in names and _is_product(equation, place):
                seen.add(names[id(v)])
            elif id(v) in names and equation.primitive.name not in _ALIKE:
                otherwise.add(names[id(v)])
    return frozenset(seen - otherwise)


def _is_product(equation: Any, place: int) -> bool:
    """Whether this is x W of a matrix x, and the input at ``place`` is W."""
    if equation.primitive.name != "dot_general" or place != 1:
        return False
    return equation.params["dimension_numbers"] == (((1,), (0,)), ((), ())) and equation.invars[0].aval.ndim == 2


def is_elementwise(optimizer: Any) -> bool:
    """Whether an optimizer says so itself; what is derived from one that does may be otherwise."""
    return vars(type(optimizer)).get("elementwise", False)


def turned(tree: Any, names: frozenset[str]) -> Any:
    """The tree with the matrices of these names turned over, wherever a dict has them; twice is the tree itself."""

    def turn(path: tuple, leaf: Any) -> Any:
        here = any(getattr(key, "key", None) in names for key in path)
        return leaf.T if here and leaf.ndim == 2 else leaf

    return jax.tree_util.tree_map_with_path(turn, tree) if names else tree


def turned_back(params: Variables, names: frozenset[str]) -> Variables:
    """Parameters as layers know them."""
    return {path: v.T if path in names else v for path, v in params.items()} if names else params


def after(known: Any, rate: Array, never: Array) -> Array:
    """The rate, which is not there before a tree of arrays is.

    Args:
        known: what reads parameters before they move.
        rate: of this step.
        never: false, but the compiler must not know.
    """
    some = jnp.stack([jnp.ravel(leaf)[0].astype(rate.dtype) for leaf in jax.tree.leaves(known) if leaf.size])
    return jnp.where(never, jnp.sum(some * some), rate)
