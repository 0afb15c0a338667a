"""What losses are given: numbers of the right type, arrays of one shape, targets in the loss's domain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike

from sonde._errors import ArgumentError, DataError, ShapeError


class Domain(NamedTuple):
    """Which targets a loss is defined for: a condition (for each entry, or for each row), and its words."""

    holds: Callable[[Any], Any]
    words: str


_SIGNS = Domain(lambda t: (t == 1) | (t == -1), "-1 or 1 (or booleans)")
_SHARES = Domain(
    lambda t: (t >= 0).all(-1) & (abs(t.sum(-1) - 1) < 0.01), "probabilities: 0 or above, with a sum of 1 in each row"
)

DOMAINS: dict[str, Domain] = {
    "absolute_percentage_error": Domain(
        lambda t: (t != 0) & (t == t), "other than 0, of which there is no percentage (absolute_error takes any)"
    ),
    "binary_cross_entropy": Domain(lambda t: (t >= 0) & (t <= 1), "from 0 to 1"),
    "cosine_distance": Domain(lambda t: (t != 0).any(-1), "vectors other than 0, which has no direction"),
    "cross_entropy": _SHARES,
    "hinge": _SIGNS,
    "kl_divergence": _SHARES,
    "poisson": Domain(lambda t: t >= 0, "counts, 0 or above"),
    "squared_hinge": _SIGNS,
}
"""The domain of each loss that does not take every finite number."""


def pair(loss: str, prediction: ArrayLike, target: ArrayLike) -> tuple[Any, Any]:
    """Prediction and target as floats of one shape."""
    p, t = floating(loss, "prediction", prediction), floating(loss, "target", target)
    return same_shape(loss, "prediction", p, "target", t)


def floating(loss: str, name: str, given: ArrayLike, kinds: tuple = (jnp.floating,)) -> Any:
    """What was given, in at least float32; a Python number stays one, so it takes on the other's dtype."""
    if isinstance(given, bool | int | float):
        return jnp.asarray(float(given))  # weakly typed
    x = jnp.asarray(given)
    if not any(jnp.issubdtype(x.dtype, kind) for kind in kinds):
        hint = " (class numbers belong to cross_entropy)" if name.startswith("target") else ""
        raise ArgumentError(
            f"{name} of {loss} must be floating; got {shown(x)}. "
            f"If they are quantities, convert them: {name}.astype('float32'){hint}"
        )
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def same_shape(loss: str, one: str, x: Any, other: str, y: Any) -> tuple[Any, Any]:
    """Both arrays, of one shape; a Python number stands for an array full of it, and nothing else is broadcast."""
    if x.shape == y.shape:
        return x, y
    if y.weak_type and not y.shape:  # a Python number stands for an array full of it
        return x, jnp.full(x.shape, y, x.dtype)
    if x.weak_type and not x.shape:
        return jnp.full(y.shape, x, y.dtype), y
    got = f"{loss} takes {one} and {other} of one shape; got {one} {shown(x)} and {other} {shown(y)}"
    for long, a, short, b in ((one, x, other, y), (other, y, one, x)):
        if a.shape == (*b.shape, 1):
            raise ShapeError(f"{got}, which would compare each with all. Give {long}[..., 0], or {short}[..., None]")
    raise ShapeError(f"{got}. Reshape one of them; nothing is broadcast here")


def distance(x: Any) -> Any:
    """|x|, with the derivative 0 at 0 (that of `jnp.abs` is 1 there), so that what is right stays as it is."""
    return jnp.where(x == 0, 0, jnp.abs(x))


def in_domain(loss: str, name: str, t: Any) -> Any:
    """Where ``t`` lies in the loss's domain. What is known now and lies outside is refused with its value.

    Inside a compiled program nothing is known yet; there the loss marks such rows with NaN (see `marked`).

    Raises:
        DataError: an entry of a concrete ``t`` lies outside; it is named.
    """
    domain = DOMAINS[loss]
    if not isinstance(t, Tracer):
        check_known(loss, name, np.asarray(t), domain.holds(np.asarray(t)), domain.words)
    return domain.holds(t)


def lies_in_domain(loss: str, name: str, column: Any, weight: Any) -> None:
    """Refuse a column that a loss, by its name, is not defined for; rows of weight 0 may be anything.

    Raises:
        DataError: an entry lies outside the loss's domain; it is named.
    """
    if loss not in DOMAINS:
        return
    values = np.array(column, np.float32)
    if weight is not None and np.any(weight):
        values[np.asarray(weight) <= 0] = values[np.argmax(weight)]
    in_domain(loss, name, values)


def check_known(loss: str, name: str, known: np.ndarray, good: Any, words: str) -> None:
    """Refuse the first entry or row that is not good, with its value and where it is."""
    good = np.asarray(good)
    if good.all():
        return
    at = tuple(int(i) for i in np.argwhere(~good)[0])
    value = np.array2string(known[at], precision=4, threshold=8)
    where = f" at {list(at)}" if at else ""
    few = f" ({int((~good).sum()):,} of {good.size:,} are such)" if good.size > 1 else ""
    raise DataError(f"{name} of {loss} must be {words}; got {value}{where}{few}")


def class_numbers(loss: str, y: Any, classes: int) -> tuple[Any, Any]:
    """For integer labels [...]: which class each is, as booleans [..., classes], and whether it is one at all."""
    if not isinstance(y, Tracer):
        known = np.asarray(y)
        check_known(loss, "labels", known, (known >= 0) & (known < classes), f"classes from 0 to {classes - 1}")
    y = y.astype(jnp.int32)
    hit = y[..., None] == jnp.arange(classes, dtype=jnp.int32).reshape(*[1] * y.ndim, classes)
    return hit, (y >= 0) & (y < classes)


def marked(good: Any, loss: Any) -> Any:
    """The loss, and NaN where a target lies outside the domain: never the loss of another target."""
    return jnp.where(good, loss, jnp.nan)


def shown(x: Any) -> str:
    """What came, for a message: ``float32[4, 3]``."""
    return f"{x.dtype.name}{list(x.shape)}"
