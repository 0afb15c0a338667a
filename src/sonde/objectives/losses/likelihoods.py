"""Losses that are negative log-likelihoods: of classes, of yes and no, of counts; the network gives their logits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from sonde._errors import ArgumentError, ShapeError
from sonde._types import Number
from sonde._value import named
from sonde.objectives.losses.given import class_numbers, floating, in_domain, marked, pair, same_shape, shown

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
        The loss [...] in nats. In a compiled program a label outside 0..K-1 gives NaN, never the loss of
        another class.

    Raises:
        ShapeError: if the labels lack the logits' leading shape (as probabilities: their whole shape), or
            there are fewer than two classes.
        ArgumentError: if labels are floating where integers belong, or the other way round.
        DataError: if a label that is known (a concrete array) is no class, or a row is no probabilities.

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
    z, y = floating("cross_entropy", "logits", logits), jnp.asarray(labels)
    if not z.ndim or z.shape[-1] < 2:
        raise ShapeError(
            f"cross_entropy takes logits [..., classes] of 2 classes or more; got {shown(z)}. "
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
        hit, good = class_numbers("cross_entropy", y, classes)
        loss = jnp.where(hit, -log_p, 0).sum(-1)
    else:
        _check_probabilities(z, y)
        t = floating("cross_entropy", "labels", y)
        good = in_domain("cross_entropy", "labels", t)
        loss = jnp.where(t == 0, 0, -t * log_p).sum(-1)  # 0 log 0 = 0
    return marked(good, loss if plain and s == 0 else (1 - s) * loss - s * log_p.mean(-1))


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
        DataError: if a target that is known (a concrete array) lies outside [0, 1]; in a program it gives NaN.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde.objectives.losses import binary_cross_entropy
        >>> binary_cross_entropy(jnp.array([0.0, 1e4, 1e4]), jnp.array([1.0, 1.0, 0.0])).tolist()
        [0.6931471824645996, 0.0, 10000.0]

    Source: Good (1952), "Rational decisions".

    Differs from Keras in taking logits only; from PyTorch's ``binary_cross_entropy`` (probabilities, the
    logarithm cut at -100) in being its ``binary_cross_entropy_with_logits`` without the mean.
    """
    z = floating("binary_cross_entropy", "logits", logits)
    t = floating("binary_cross_entropy", "targets", targets, (jnp.floating, jnp.bool_))
    z, t = same_shape("binary_cross_entropy", "logits", z, "targets", t)
    good, yes = in_domain("binary_cross_entropy", "targets", t), t > 0.5
    return marked(good, jax.nn.softplus(jnp.where(yes, -z, z)) + z * (yes.astype(z.dtype) - t))


@named
def kl_divergence(
    logits: Shaped[ArrayLike, "*rows classes"], target: Shaped[ArrayLike, "..."]
) -> Float[Array, "*rows"]:
    """How far the network's probabilities are from given ones: 0 where they are the same.

        loss = sum_k t_k log(t_k / p_k),    p = softmax(z),    0 log 0 = 0

    with z = ``logits`` [..., K], t = ``target`` [..., K], the probabilities of K > 1 classes. It is
    `cross_entropy` minus the entropy of t, which the network cannot change: the gradients with respect to z
    are the same, p - t, and this one says how far there is to go.

    Minimized by p = E[t], the mean of the targets given the input. Domain: any logits; t of 0 or above, with
    a sum of 1 (to 0.01).

    Returns:
        The loss [...] in nats, 0 or above.

    Raises:
        ShapeError: if the shapes differ, or there are fewer than two classes.
        ArgumentError: if either is an array of integers: class numbers belong to `cross_entropy`.
        DataError: if a target that is known (a concrete array) is no probabilities; in a program it gives NaN.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde.objectives.losses import kl_divergence
        >>> kl_divergence(jnp.array([0.0, 0.0]), jnp.array([1.0, 0.0]))       # log 2
        Array(0.6931472, dtype=float32)

    Source: Kullback and Leibler (1951), "On information and sufficiency".

    Differs from Keras' ``KLDivergence`` (probabilities, cut at 1e-7) and PyTorch's ``KLDivLoss``
    (log-probabilities) in taking logits, and in leaving the mean to the batch.
    """
    z, t = pair("kl_divergence", logits, target)
    if not z.ndim or z.shape[-1] < 2:
        raise ShapeError(f"kl_divergence takes logits [..., classes] of 2 classes or more; got {shown(z)}")
    good, there = in_domain("kl_divergence", "target", t), t > 0
    gap = jnp.log(jnp.where(there, t, 1)) - jax.nn.log_softmax(z)
    return marked(good, jnp.where(there, t * gap, 0).sum(-1))


@named
def poisson(log_rate: Shaped[ArrayLike, "*shape"], target: Shaped[ArrayLike, "..."]) -> Float[Array, "*shape"]:
    """How surprised the network is by a count: how often something happened, such as sales in a day.

        loss = exp(z) - t z

    with z = ``log_rate`` [...], the logarithm of the count that is expected, t = ``target`` [...], the count
    that came. It is the negative log-likelihood of Poisson's distribution without log t!, which the network
    cannot change; so it may be below 0. The gradient is exp(z) - t, the error of the count.

    Minimized by exp(z) = E[t], the mean count given the input; of any t of 0 or above, not of whole numbers
    alone. Domain: z below 88 (exp(z) is finite in float32); t of 0 or above.

    Returns:
        The loss [...].

    Raises:
        ShapeError: if the shapes differ.
        ArgumentError: if either is an array of integers.
        DataError: if a target that is known (a concrete array) is below 0; in a program it gives NaN.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde.objectives.losses import poisson
        >>> poisson(jnp.array([0.0, 0.0]), jnp.array([0.0, 3.0])).tolist()
        [1.0, 1.0]

    Source: Poisson (1837); as a regression, Nelder and Wedderburn (1972).

    Differs from Keras' ``Poisson``, which takes the rate and not its logarithm (so a rate of 0 or below can
    occur); the same as PyTorch's ``PoissonNLLLoss`` without the mean.
    """
    z, t = pair("poisson", log_rate, target)
    return marked(in_domain("poisson", "target", t), jnp.exp(z) - t * z)


MEANS: dict[str, Any] = {
    "binary_cross_entropy": jax.nn.sigmoid,
    "cross_entropy": jax.nn.softmax,
    "kl_divergence": jax.nn.softmax,
    "poisson": jnp.exp,
}
"""For losses that do not take the target's mean itself: what makes it of the network's outputs."""


def mean_of(loss: str, outputs: Any) -> Any:
    """The target's mean that outputs stand for under a loss: probabilities of logits, counts of log-rates.

    Losses that are not listed take the answer itself: it is given back as it is.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde.objectives.losses import mean_of
        >>> mean_of("poisson", jnp.array([0.0])), mean_of("squared_error", jnp.array([0.0]))
        (Array([1.], dtype=float32), Array([0.], dtype=float32))
    """
    return MEANS[loss](outputs) if loss in MEANS else outputs


def _check_labels(z: Any, y: Any) -> None:
    if y.shape == z.shape[:-1]:
        return
    got = f"got logits {shown(z)} and labels {shown(y)}"
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
    got = f"got logits {shown(z)} and labels {shown(y)}"
    if y.shape == z.shape[:-1]:
        raise ArgumentError(f"labels of cross_entropy must be integers; {got}. Give labels.astype('int32')")
    if y.shape != z.shape:
        raise ShapeError(
            "cross_entropy takes integer labels [...], or probabilities of the logits' shape [..., classes]; "
            f"{got}. Bring the probabilities to {list(z.shape)}"
        )
