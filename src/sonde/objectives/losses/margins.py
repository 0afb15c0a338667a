"""Losses of margins: a score must be on the right side, and far enough from the other; beyond that nothing counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
from jax.typing import ArrayLike

from sonde._errors import ArgumentError
from sonde._value import named
from sonde.objectives.losses.given import class_numbers, floating, in_domain, marked, same_shape, shown

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Shaped


@named
def hinge(scores: Shaped[ArrayLike, "*shape"], labels: Shaped[ArrayLike, "..."]) -> Float[Array, "..."]:
    """Nothing where the score is right by a margin of 1, else what is missing: the loss of support vector machines.

        loss = max(0, 1 - m),    m = t z                               of two classes
                                 m = z_y - max_{k != y} z_k            of several

    Of two classes: z = ``scores`` [...], t = ``labels`` [...], -1 or 1, or booleans. Of several: z =
    ``scores`` [..., K], y = ``labels`` [...], integers from 0 to K - 1. The one is the other for the scores
    (0, z). The gradient with respect to z is 0 or a sign: rows that are right by the margin do not count.

    Minimized by z = 1 where t = 1 is the likelier one given the input, else -1: the answer, and not how sure
    of it one may be, so a score is no logit. Of several classes by the likeliest one ahead by 1, if it has more
    than half of the probability. Domain: any scores.

    Returns:
        The loss, with the shape of the labels.

    Raises:
        ShapeError: if the labels have neither the scores' shape nor that without its last axis.
        DataError: if a label that is known (a concrete array) is none of these; in a program it gives NaN.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde.objectives.losses import hinge
        >>> hinge(jnp.array([2.0, 0.25, -1.0]), jnp.array([1, 1, 1])).tolist()
        [0.0, 0.75, 2.0]
        >>> hinge(jnp.array([[3.0, 1.0, 2.5]]), jnp.array([0])).tolist()      # ahead of the next by 0.5
        [0.5]

    Source: Cortes and Vapnik (1995); of several classes Crammer and Singer (2001).

    Differs from Keras in refusing labels 0 and 1, which it turns into -1 and 1 (booleans say the same). Of
    several classes Keras' ``CategoricalHinge`` takes the largest other score as at least 0, and PyTorch's
    ``MultiMarginLoss`` sums over the other classes.
    """
    margin, good = _margin("hinge", scores, labels)
    return marked(good, jnp.maximum(0, 1 - margin))


@named
def squared_hinge(scores: Shaped[ArrayLike, "*shape"], labels: Shaped[ArrayLike, "..."]) -> Float[Array, "..."]:
    """`hinge` squared: smooth where it begins, and large misses count more.

        loss = max(0, 1 - m)^2

    with the margin m as in `hinge`.

    Minimized, of two classes, by z = E[t] = 2 P(t = 1) - 1 given the input, which does say how sure one may be.
    Domain: any scores.

    Returns:
        The loss, with the shape of the labels.

    Raises:
        ShapeError: if the labels have neither the scores' shape nor that without its last axis.
        DataError: if a label that is known (a concrete array) is none; in a program it gives NaN.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde.objectives.losses import squared_hinge
        >>> squared_hinge(jnp.array([2.0, 0.5, -1.0]), jnp.array([True, True, True])).tolist()
        [0.0, 0.25, 4.0]

    Source: Lee and Mangasarian (2001), "SSVM: a smooth support vector machine".

    Differs from Keras in refusing labels 0 and 1 (see `hinge`).
    """
    margin, good = _margin("squared_hinge", scores, labels)
    return marked(good, jnp.square(jnp.maximum(0, 1 - margin)))


def _margin(loss: str, scores: ArrayLike, labels: ArrayLike) -> tuple[Any, Any]:
    """By how much each score is right, and where the label is one."""
    z, y = floating(loss, "scores", scores), jnp.asarray(labels)
    plain = isinstance(labels, bool | int | float)  # which stands for an array full of it
    of_classes = not plain and y.shape == z.shape[:-1] and z.ndim > 0 and z.shape[-1] > 1
    if of_classes and jnp.issubdtype(y.dtype, jnp.integer):
        hit, good = class_numbers(loss, y, z.shape[-1])
        return jnp.where(hit, z, 0).sum(-1) - jnp.where(hit, -jnp.inf, z).max(-1), good
    if of_classes:
        raise ArgumentError(
            f"labels of {loss}, one a row of scores, are class numbers, so they must be integers; got scores "
            f"{shown(z)} and labels {shown(y)}. Give labels.astype('int32')"
        )
    if jnp.issubdtype(y.dtype, jnp.bool_):
        y = jnp.where(y, 1.0, -1.0)
    t = floating(loss, "labels", float(y) if plain else y.astype(z.dtype))
    z, t = same_shape(loss, "scores", z, "labels", t)
    return t * z, in_domain(loss, "labels", t)
