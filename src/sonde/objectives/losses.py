"""Elementwise losses: one number a row (or an entry), never a mean; the batch takes the mean.

    cross_entropy            labels or probabilities     minimized by the classes' probabilities
    binary_cross_entropy     one or many yes/no          minimized by the probability of yes
    half_squared_error       a quantity                  minimized by the mean
    squared_error            a quantity                  minimized by the mean
    absolute_error           a quantity                  minimized by the median
    huber                    a quantity                  between the two

"Minimized by" is what a network that could express anything would answer where the target is random: the
functional of the target's distribution given the input. Half precision (bfloat16, float16) is computed in
float32. Shapes must be equal: ``(N, 1)`` against ``(N,)`` would quietly compare every prediction with every
target. A Python number may stand for an array full of it. All of them have gradients of every order, and
work under ``jit``, ``grad`` and ``vmap``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from sonde._errors import ArgumentError, ShapeError
from sonde._types import Number
from sonde._value import named

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Shaped


@named
def cross_entropy(
    logits: Shaped[ArrayLike, "*rows classes"], labels: Shaped[ArrayLike, "..."], *, smoothing: Number = 0.0
) -> Float[Array, "*rows"]:
    """How surprised the network is by the class that came: the negative log-likelihood of a label.

        loss = -sum_k t_k log p_k,    p = softmax(z),    t = (1 - s) onehot(y) + s / K

    with z = ``logits`` [..., K], K > 1, y = ``labels`` [...] integers from 0 to K - 1, s = ``smoothing``.
    Instead of labels, the probabilities themselves may be given: ``labels`` [..., K] of a floating dtype,
    which then stand for onehot(y). No logarithm of a probability is taken, for
    log p = z - max z - log sum exp(z - max z), so finite logits of any size give a finite loss, and a logit
    of -inf (a class that is ruled out) costs nothing unless that class is asked for, as smoothing does.

    Minimized by p = E[t], the classes' probabilities given the input (smoothing pulls them toward 1/K).
    Domain: any logits; s in [0, 1).

    Returns:
        The loss [...] in nats. A label outside 0..K-1 gives NaN, not the loss of another class.

    Raises:
        ShapeError: if the labels lack the logits' leading shape (as probabilities: their whole shape), or
            there are fewer than two classes.
        ArgumentError: if labels are floating where integers belong, or the other way round.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde.objectives.losses import cross_entropy
        >>> logits = jnp.array([[0.0, 0.0], [1e4, -1e4]])
        >>> cross_entropy(logits, jnp.array([0, 0])).tolist()         # log 2; nothing
        [0.6931471824645996, 0.0]
        >>> cross_entropy(logits, jnp.array([0, 1])).tolist()
        [0.6931471824645996, 20000.0]

    Source: Good (1952), "Rational decisions"; smoothing: Szegedy et al. (2016).

    Differs from Keras (``from_logits=False`` unless told) in taking logits only, from Keras and PyTorch in
    having the classes on the last axis whatever the rank, and in leaving the mean to the batch.
    """
    z, y = _floating("cross_entropy", "logits", logits), jnp.asarray(labels)
    if not z.ndim or z.shape[-1] < 2:
        raise ShapeError(
            f"cross_entropy takes logits [..., classes] of 2 classes or more; got {_shown(z)}. "
            "For one logit a yes or no, use binary_cross_entropy"
        )
    classes = z.shape[-1]
    s: Any = smoothing
    plain = isinstance(s, int | float)  # an array of numbers is many runs at once
    if plain and not 0 <= s < 1:
        raise ArgumentError(f"smoothing of cross_entropy must be a number in [0, 1); got {s!r}")

    log_p = jax.nn.log_softmax(z)
    if jnp.issubdtype(y.dtype, jnp.integer):
        _check_labels(z, y)
        y = y.astype(jnp.int32)
        hit = y[..., None] == jnp.arange(classes, dtype=jnp.int32).reshape(*[1] * y.ndim, classes)
        loss = jnp.where(hit, -log_p, 0).sum(-1)
        loss = jnp.where((y >= 0) & (y < classes), loss, jnp.nan)
    else:
        _check_probabilities(z, y)
        t = _floating("cross_entropy", "labels", y)
        loss = jnp.where(t == 0, 0, -t * log_p).sum(-1)  # 0 log 0 = 0
    return loss if plain and s == 0 else (1 - s) * loss - s * log_p.mean(-1)


@named
def binary_cross_entropy(
    logits: Shaped[ArrayLike, "*shape"], targets: Shaped[ArrayLike, "..."]
) -> Float[Array, "*shape"]:
    """How surprised the network is by a yes or a no, entry by entry.

        loss = -t log p - (1 - t) log(1 - p),    p = 1 / (1 + exp(-z))

    with z = ``logits`` [...], t = ``targets`` [...] from 0 to 1 (booleans too). Computed as
    log(1 + exp(z)) - t z, from the side on which nothing cancels: z = 20 with t = 1 gives 2.06e-9, not 0, and
    1e4 stays finite.

    Minimized by p = E[t], the probability of yes given the input (for a t between 0 and 1: its mean).
    Domain: any finite logits; targets in [0, 1].

    Returns:
        The loss [...] in nats.

    Raises:
        ShapeError: if the shapes differ.
        ArgumentError: if the targets are integers: class numbers belong to `cross_entropy`.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde.objectives.losses import binary_cross_entropy
        >>> binary_cross_entropy(jnp.array([0.0, 1e4, 1e4]), jnp.array([1.0, 1.0, 0.0])).tolist()
        [0.6931471824645996, 0.0, 10000.0]

    Source: Good (1952), "Rational decisions".

    Differs from Keras in taking logits only; from PyTorch's ``binary_cross_entropy`` (probabilities, the
    logarithm cut at -100) in being its ``binary_cross_entropy_with_logits`` without the mean.
    """
    z = _floating("binary_cross_entropy", "logits", logits)
    t = _floating("binary_cross_entropy", "targets", targets, (jnp.floating, jnp.bool_))
    z, t = _same_shape("binary_cross_entropy", "logits", z, "targets", t)
    yes = t > 0.5
    return jax.nn.softplus(jnp.where(yes, -z, z)) + z * (yes.astype(z.dtype) - t)


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
    p, t = _pair("half_squared_error", prediction, target)
    return jnp.square(p - t) / 2


@named
def squared_error(
    prediction: Shaped[ArrayLike, "*shape"], target: Shaped[ArrayLike, "..."]
) -> Float[Array, "*shape"]:
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
    p, t = _pair("squared_error", prediction, target)
    return jnp.square(p - t)


@named
def absolute_error(
    prediction: Shaped[ArrayLike, "*shape"], target: Shaped[ArrayLike, "..."]
) -> Float[Array, "*shape"]:
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
    p, t = _pair("absolute_error", prediction, target)
    return jnp.abs(p - t)


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
    p, t = _pair("huber", prediction, target)
    r = p - t
    cut = jnp.clip(r, -d, d)
    return cut * (r - cut / 2)


def _pair(loss: str, prediction: ArrayLike, target: ArrayLike) -> tuple[Any, Any]:
    """Prediction and target as floats of one shape."""
    p, t = _floating(loss, "prediction", prediction), _floating(loss, "target", target)
    return _same_shape(loss, "prediction", p, "target", t)


def _floating(loss: str, name: str, given: ArrayLike, kinds: tuple = (jnp.floating,)) -> Any:
    """What was given, in at least float32; a Python number stays one, so it takes on the other's dtype."""
    if isinstance(given, bool | int | float):
        return jnp.asarray(float(given))  # weakly typed
    x = jnp.asarray(given)
    if not any(jnp.issubdtype(x.dtype, kind) for kind in kinds):
        hint = " (class numbers belong to cross_entropy)" if name.startswith("target") else ""
        raise ArgumentError(
            f"{name} of {loss} must be floating; got {_shown(x)}. "
            f"If they are quantities, convert them: {name}.astype('float32'){hint}"
        )
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _same_shape(loss: str, one: str, x: Any, other: str, y: Any) -> tuple[Any, Any]:
    if x.shape == y.shape:
        return x, y
    if y.weak_type and not y.shape:  # a Python number stands for an array full of it
        return x, jnp.full(x.shape, y, x.dtype)
    if x.weak_type and not x.shape:
        return jnp.full(y.shape, x, y.dtype), y
    got = f"{loss} takes {one} and {other} of one shape; got {one} {_shown(x)} and {other} {_shown(y)}"
    for long, a, short, b in ((one, x, other, y), (other, y, one, x)):
        if a.shape == (*b.shape, 1):
            raise ShapeError(
                f"{got}, which would compare each with all. Give {long}[..., 0], or {short}[..., None]"
            )
    raise ShapeError(f"{got}. Reshape one of them; nothing is broadcast here")


def _check_labels(z: Any, y: Any) -> None:
    if y.shape == z.shape[:-1]:
        return
    got = f"got logits {_shown(z)} and labels {_shown(y)}"
    if y.shape == z.shape:
        raise ArgumentError(
            "labels of cross_entropy in the logits' shape are probabilities, so they must be floating; "
            f"{got}. Give labels.astype('float32'), or labels.argmax(-1) as class numbers"
        )
    remedy = "One integer a row of logits is needed"
    if y.shape == (*z.shape[:-1], 1):
        remedy = "Give labels[..., 0]"
    raise ShapeError(f"cross_entropy takes logits [..., classes] and integer labels [...]; {got}. {remedy}")


def _check_probabilities(z: Any, y: Any) -> None:
    got = f"got logits {_shown(z)} and labels {_shown(y)}"
    if y.shape == z.shape[:-1]:
        raise ArgumentError(f"labels of cross_entropy must be integers; {got}. Give labels.astype('int32')")
    if y.shape != z.shape:
        raise ShapeError(
            "cross_entropy takes integer labels [...], or probabilities of the logits' shape [..., classes]; "
            f"{got}. Bring the probabilities to {list(z.shape)}"
        )


def _shown(x: Any) -> str:
    return f"{x.dtype.name}{list(x.shape)}"
