"""Answers for each step of a sequence: its real steps are rows of their own, each with the weight of its sequence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sonde._batch import Batch, Padded
from sonde._errors import DataError, ShapeError, shape_of


def by_step(batch: Batch, outputs: Any, target: Any) -> tuple[Batch, Any, Any]:
    """Rows, outputs and targets as they are; of sequences the steps of all rows, filling with weight 0.

    Args:
        batch: the rows that count.
        outputs: what the network gives, [rows, ...], or `Padded` [rows, time, ...] with an answer for each step.
        target: what it should give, likewise.

    Raises:
        ShapeError: one of the two is for each step and the other is not, or their steps differ.

    Example:
        >>> import jax.numpy as jnp
        >>> import sonde as sd
        >>> from sonde.objectives.steps import by_step
        >>> labels = sd.Padded.of([[2, 1, 0], [1]])
        >>> logits = sd.Padded(jnp.zeros((2, 3, 4)), labels.lengths)
        >>> steps, logits, labels = by_step(sd.Batch.of({"y": labels}), logits, labels)
        >>> logits.shape, labels.tolist(), steps.weight.tolist()
        ((6, 4), [2, 1, 0, 1, 0, 0], [1.0, 1.0, 1.0, 1.0, 0.0, 0.0])
    """
    if not isinstance(outputs, Padded) and not isinstance(target, Padded):
        return batch, outputs, target
    if not isinstance(outputs, Padded):
        raise ShapeError(
            f"there is a target for each step, {shape_of(target)}, but the network makes one answer of each sequence, "
            f"{shape_of(outputs)}; leave last=True out, and pool nothing"
        )
    if not isinstance(target, Padded):
        raise ShapeError(
            f"the network gives an answer for each step, {shape_of(outputs)}, but targets are {shape_of(target)}; make "
            "one row of each sequence, as nn.LSTM(units, last=True) does, or give targets as Padded, one for each step"
        )
    if outputs.shape[:2] != target.shape[:2]:
        raise ShapeError(f"answers {shape_of(outputs)} and targets {shape_of(target)} differ in their steps")
    target = target.with_values(target.values)  # filling is 0, whatever it was
    flat = lambda values: values.reshape(-1, *values.shape[2:])
    weight = batch.weight[:, None] * (outputs.real & target.real)
    return Batch({}, weight.reshape(-1)), flat(outputs.values), flat(target.values)


def targets(columns: Mapping[str, Any]) -> Mapping[str, Any]:
    """The columns ``y`` and ``weight`` with the real steps of sequences as rows of their own, on the host.

    Raises:
        DataError: the inputs ``x`` of a row are sequences too, and not as long as its targets.
    """
    x, y = columns.get("x"), columns["y"]
    if not isinstance(y, Padded):
        return columns
    lengths = np.asarray(y.lengths)
    if isinstance(x, Padded) and (unlike := np.flatnonzero(np.asarray(x.lengths) != lengths)).size:
        i = int(unlike[0])
        raise DataError(f"row {i} has {int(x.lengths[i])} steps in x, but {int(lengths[i])} targets in y")
    steps = {"y": y.steps}
    return steps | {"weight": np.repeat(columns["weight"], lengths)} if "weight" in columns else steps


def place(column: Any, step: int) -> str:
    """Where an entry of a column stands, in words: "row 3", or of sequences "step 0 of row 3"."""
    if not isinstance(column, Padded):
        return f"row {step}"
    row, at = column.at(step)
    return f"step {at} of row {row}"
