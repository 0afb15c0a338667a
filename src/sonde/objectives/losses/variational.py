"""The variational lower bound, as a loss: what a row costs when it goes through a code drawn from a Gaussian.

    log p(x) >= L = E_q[log p(x | z)] - KL(q(z | x), p(z)),    q = N(m, diag(s^2)),    p(z) = N(0, 1)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import jax.numpy as jnp
from jax.typing import ArrayLike

from sonde._errors import ShapeError
from sonde._value import named
from sonde.objectives.losses.given import floating, same_shape, shown
from sonde.objectives.losses.likelihoods import binary_cross_entropy

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Shaped


@named
def gaussian_kl(
    mean: Shaped[ArrayLike, "*shape"], log_variance: Shaped[ArrayLike, "..."]
) -> Float[Array, "..."]:
    """How far a Gaussian with a spread for each axis is from the standard normal: their Kullback-Leibler divergence.

        loss = sum_j (m_j^2 + s_j^2 - 1 - log s_j^2) / 2

    with m = ``mean`` [..., n] and log s^2 = ``log_variance`` [..., n], one number for each row. The logarithm may be
    any number, so a network can give it as it is.

    Minimized, at 0, by m = 0 and s = 1. Domain: any mean; log s^2 below 88 (its exponential is finite in float32).

    Returns:
        The divergence [...] in nats, 0 or above.

    Raises:
        ShapeError: if the shapes differ, or are those of single numbers.
        ArgumentError: if either is an array of integers.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde.objectives.losses import gaussian_kl
        >>> gaussian_kl(jnp.array([[0.0, 0.0], [1.0, 2.0]]), jnp.zeros((2, 2))).tolist()
        [0.0, 2.5]

    Source: Kingma and Welling (2014), "Auto-encoding variational Bayes", appendix B.

    Differs from PyTorch's ``kl_divergence`` of distributions in taking log s^2, and in summing over the axes.
    """
    m, v = (floating("gaussian_kl", name, x) for name, x in (("mean", mean), ("log_variance", log_variance)))
    m, v = same_shape("gaussian_kl", "mean", m, "log_variance", v)
    if not m.ndim:
        raise ShapeError(f"gaussian_kl takes vectors [..., n]; got {shown(m)}")
    return (jnp.square(m) + jnp.expm1(v) - v).sum(-1) / 2


@named
def variational_loss(
    outputs: Shaped[ArrayLike, "..."],
    target: Shaped[ArrayLike, "..."],
    mean: Shaped[ArrayLike, "..."],
    log_variance: Shaped[ArrayLike, "..."],
    *,
    loss: Callable = binary_cross_entropy,
) -> Float[Array, "..."]:
    """Minus the variational lower bound of a row's log-likelihood, from one draw of its code.

        loss = sum_i l(o_i, x_i) + KL(N(m, diag(s^2)), N(0, 1)),    o = decoder(m + s e),    e from N(0, 1)

    with o = ``outputs`` and x = ``target``, both [*rows, ...], l = ``loss``, and the code's m = ``mean`` and
    log s^2 = ``log_variance`` [*rows, n]. Here l is a negative log-likelihood and is summed over a row, since the
    bound is: `binary_cross_entropy` for a Bernoulli variable an entry (o are logits), `half_squared_error` for a
    Gaussian of spread 1 about o, less the constant log(2 pi) / 2 an entry.

    Minimized by the posterior of the code under the best decoder: then the bound is log p(x) itself.
    Domain: that of l, and of `gaussian_kl`.

    Returns:
        The loss [*rows] in nats; over draws of e its mean is minus the bound.

    Raises:
        ShapeError: if outputs and target differ in shape, or have not the code's rows.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde.objectives.losses import half_squared_error, variational_loss
        >>> x, code = jnp.ones((2, 3)), jnp.zeros((2, 1))
        >>> variational_loss(x - 1, x, code, code, loss=half_squared_error).tolist()
        [1.5, 1.5]

    Source: Kingma and Welling (2014), "Auto-encoding variational Bayes", equation 10.
    """
    kl, each = gaussian_kl(mean, log_variance), jnp.asarray(loss(outputs, target))
    if each.shape[: kl.ndim] != kl.shape:
        rows = ", ".join([*map(str, kl.shape), "..."])
        raise ShapeError(
            f"variational_loss takes outputs and target of the code's rows, [{rows}]; "
            f"got a loss {shown(each)} for each of their entries"
        )
    return each.reshape(*kl.shape, -1).sum(-1) + kl
