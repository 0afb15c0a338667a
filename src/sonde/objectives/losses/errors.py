"""Losses of quantities: how far a prediction is from a number, or from a direction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
from jax.typing import ArrayLike

from sonde._errors import ArgumentError, ShapeError
from sonde._types import Number
from sonde._value import named
from sonde.objectives.losses.given import distance, in_domain, marked, pair, shown

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Shaped


@named
def half_squared_error(
    prediction: Shaped[ArrayLike, "*shape"], target: Shaped[ArrayLike, "..."]
) -> Float[Array, "*shape"]:
    """Half the squared error, whose gradient is the error itself.

        loss = (p - t)^2 / 2

    with p = ``prediction`` [...], t = ``target`` [...], in one unit; the loss has its square.

    Minimized by p = E[t], the mean given the input. Domain: any finite numbers; one large error counts as
    many small ones (an error of 100 as 10^8 errors of 0.01).

    Returns:
        The loss [...].

    Raises:
        ShapeError: if the shapes differ.
        ArgumentError: if either is an array of integers.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde.objectives.losses import half_squared_error
        >>> half_squared_error(jnp.array([1.0, 3.0]), jnp.array([1.0, 1.0])).tolist()
        [0.0, 2.0]

    Source: Legendre (1805), Gauss (1809); the half as in Gluon's ``L2Loss``.

    Differs from Keras' and PyTorch's mean squared error by the half: the same learning rate takes steps half
    as large. `squared_error` is theirs.
    """
    p, t = pair("half_squared_error", prediction, target)
    return jnp.square(p - t) / 2


@named
def squared_error(prediction: Shaped[ArrayLike, "*shape"], target: Shaped[ArrayLike, "..."]) -> Float[Array, "*shape"]:
    """The squared error.

        loss = (p - t)^2

    with p = ``prediction`` [...], t = ``target`` [...], in one unit; the loss has its square.

    Minimized by p = E[t], the mean given the input. Domain: any finite numbers.

    Returns:
        The loss [...].

    Raises:
        ShapeError: if the shapes differ.
        ArgumentError: if either is an array of integers.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde.objectives.losses import squared_error
        >>> squared_error(jnp.array([1.0, 3.0]), jnp.array([1.0, 1.0])).tolist()
        [0.0, 4.0]

    Source: Legendre (1805), Gauss (1809).

    Differs from Keras and PyTorch in refusing (N, 1) against (N,), and in leaving the mean to the batch.
    """
    p, t = pair("squared_error", prediction, target)
    return jnp.square(p - t)


@named
def absolute_error(prediction: Shaped[ArrayLike, "*shape"], target: Shaped[ArrayLike, "..."]) -> Float[Array, "*shape"]:
    """The distance between prediction and target.

        loss = |p - t|

    with p = ``prediction`` [...], t = ``target`` [...], in one unit, which the loss has too. The gradient is
    the error's sign, and 0 where there is no error.

    Minimized by p = a median of t given the input, so one wild target cannot pull it away. Domain: any
    finite numbers.

    Returns:
        The loss [...].

    Raises:
        ShapeError: if the shapes differ.
        ArgumentError: if either is an array of integers.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde.objectives.losses import absolute_error
        >>> absolute_error(jnp.array([100.0, -100.0]), 0.0).tolist()      # plain errors would average to 0
        [100.0, 100.0]

    Source: Boscovich (1757), Laplace (1774).

    Differs from Keras and PyTorch in refusing (N, 1) against (N,), and in leaving the mean to the batch.
    """
    p, t = pair("absolute_error", prediction, target)
    return distance(p - t)


@named
def absolute_percentage_error(
    prediction: Shaped[ArrayLike, "*shape"], target: Shaped[ArrayLike, "..."]
) -> Float[Array, "*shape"]:
    """The error in percent of the target: 10 too many count the same on 100 as 1 too many on 10.

        loss = 100 |p - t| / |t|

    with p = ``prediction`` [...], t = ``target`` [...], in one unit; the loss is in percent. Where t = 0 there
    is no percentage, so such targets are refused.

    Minimized by a median of t given the input in which each t counts 1 / |t|: small targets count more, so
    predictions come out lower than the plain median's. Domain: any finite p; t other than 0.

    Returns:
        The loss [...].

    Raises:
        ShapeError: if the shapes differ.
        ArgumentError: if either is an array of integers.
        DataError: if a target that is known (a concrete array) is 0; in a compiled program it gives NaN.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde.objectives.losses import absolute_percentage_error
        >>> absolute_percentage_error(jnp.array([110.0, 5.0]), jnp.array([100.0, 10.0])).tolist()
        [10.0, 50.0]

    Source: Armstrong (1978), "Long-range forecasting".

    Differs from Keras and scikit-learn in refusing a target of 0, which they divide by a tiny number instead
    (a loss of 10^9 and more); from scikit-learn in the factor 100.
    """
    p, t = pair("absolute_percentage_error", prediction, target)
    good = in_domain("absolute_percentage_error", "target", t)
    return marked(good, 100 * distance(p - t) / jnp.abs(jnp.where(good, t, 1)))


@named
def huber(
    prediction: Shaped[ArrayLike, "*shape"], target: Shaped[ArrayLike, "..."], delta: Number = 1.0
) -> Float[Array, "*shape"]:
    """Squared for small errors, linear for large ones: an outlier's pull is bounded.

        loss = r^2 / 2                     where |r| <= d
               d (|r| - d / 2)             beyond,    r = p - t

    with p = ``prediction`` [...], t = ``target`` [...], d = ``delta`` > 0, all in one unit; the loss has its
    square. The gradient is r cut to [-d, d].

    Minimized by Huber's M-estimate of location, the p with E[clip(p - t, -d, d)] = 0: toward the mean for a
    large d, toward the median for a small one. Domain: any finite numbers.

    Returns:
        The loss [...].

    Raises:
        ShapeError: if the shapes differ.
        ArgumentError: if delta is not above 0, or either array is of integers.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde.objectives.losses import huber
        >>> huber(jnp.array([0.5, 3.0]), 0.0, delta=1.0).tolist()
        [0.125, 2.5]

    Source: Huber (1964), "Robust estimation of a location parameter".

    Differs from PyTorch's ``SmoothL1Loss`` (this divided by its beta); the same as its ``HuberLoss`` and
    Keras' ``Huber`` without the mean.
    """
    d: Any = delta
    if isinstance(d, int | float) and not 0 < d < float("inf"):
        raise ArgumentError(f"delta of huber must be a number in (0, inf); got {d!r}")
    p, t = pair("huber", prediction, target)
    r = p - t
    cut = jnp.clip(r, -d, d)
    return cut * (r - cut / 2)


@named
def cosine_distance(
    prediction: Shaped[ArrayLike, "*rows size"], target: Shaped[ArrayLike, "..."]
) -> Float[Array, "*rows"]:
    """How far apart two directions are: 0 the same, 1 at right angles, 2 opposite; lengths do not matter.

        loss = 1 - p . t / (|p| |t|)

    with p = ``prediction`` [..., n], t = ``target`` [..., n]; one number for each vector on the last axis. A
    prediction of length 0 has no direction; it counts as at right angles.

    Minimized by any p in the direction of E[t / |t|], the mean of the targets' directions given the input.
    Domain: any finite p; t of a length above 0.

    Returns:
        The loss [...], in [0, 2] up to rounding.

    Raises:
        ShapeError: if the shapes differ, or are those of single numbers.
        ArgumentError: if either is an array of integers.
        DataError: if a target that is known (a concrete array) is 0; in a compiled program it gives NaN.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde.objectives.losses import cosine_distance
        >>> cosine_distance(jnp.array([[2.0, 0.0], [0.0, 3.0]]), jnp.array([[1.0, 0.0], [1.0, 0.0]])).tolist()
        [0.0, 1.0]

    Source: Salton (1975), of documents as vectors.

    Differs from Keras' ``CosineSimilarity`` (minus the cosine) by the 1; the same as 1 minus PyTorch's
    ``cosine_similarity``, whose axis is the second one unless told.
    """
    p, t = pair("cosine_distance", prediction, target)
    if not p.ndim:
        raise ShapeError(f"cosine_distance takes vectors [..., n]; got {shown(p)}")
    good = in_domain("cosine_distance", "target", t)
    size = lambda v: jnp.sqrt(jnp.where((s := jnp.square(v).sum(-1)) > 0, s, 1))
    return marked(good, 1 - (p * t).sum(-1) / (size(p) * size(t)))
