"""Words: the few types that signatures everywhere use, named once."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import jax

Array = jax.Array
"""An array of JAX, concrete or traced."""

Variables = dict[str, jax.Array]
"""Arrays by path, such as ``{"encoder/dense_1/kernel": ...}``: parameters or state."""


class _Leaf:
    """Marks a field of a `Value` as a number of it: an argument of compiled programs, never a constant."""

    def __repr__(self) -> str:
        return "LEAF"


LEAF = _Leaf()

Number = Annotated[Any, LEAF]
"""A number (float, int) of a value; an array of them when many runs are one program; traced inside one."""

Part = Annotated[Any, LEAF]
"""Another value, a tuple of values, or a number where a value may stand (a rate that may be a schedule)."""


class Clock(NamedTuple):
    """Where a phase stands: what a schedule is a function of.

    ``step`` counts updates done in the phase, ``per_epoch`` is how many make an epoch, ``total`` how many
    the phase will have.
    """

    step: Any
    per_epoch: Any
    total: Any

    @property
    def epoch(self) -> Any:
        """Epochs done, with fraction."""
        return self.step / self.per_epoch

    @property
    def done(self) -> Any:
        """The fraction of the phase that is done, from 0 to 1."""
        return self.step / self.total
