"""Losses of the adversarial game: a discriminator tells real rows from made ones, a generator makes them.

    V = E[log D(x)] + E[log(1 - D(G(z)))],    D = sigmoid of a logit

The discriminator raises V, the generator lowers it. Against the best discriminator, D = p / (p + q) for real rows of
density p and made ones of q, V is 2 JSD(p, q) - log 4: lowest, -log 4, where q = p.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
from jax.typing import ArrayLike

from sonde._value import named
from sonde.objectives.losses.given import floating, same_shape

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Shaped


@named
def discriminator_loss(real: Shaped[ArrayLike, "*shape"], fake: Shaped[ArrayLike, "..."]) -> Float[Array, "*shape"]:
    """Minus the game's value: what it costs to take a real row for a made one, or a made one for a real one.

        loss = -log D(x) - log(1 - D(G(z))) = softplus(-a) + softplus(b)

    with a = ``real`` [...], the discriminator's logits of real rows x, and b = ``fake`` [...], those of as many rows
    G(z) that the generator made. No logarithm of a probability is taken, so it is exact for logits of any size.

    Minimized by D = p / (p + q), where real rows have the density p and made ones q; it is log 4 - 2 JSD(p, q) there.
    Domain: any finite logits.

    Returns:
        The loss [...] in nats, of pairs of rows; its mean is that of both sides, whichever rows are paired.

    Raises:
        ShapeError: if the shapes differ.
        ArgumentError: if either is an array of integers.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde.objectives.losses import discriminator_loss
        >>> discriminator_loss(jnp.array([0.0, 1e4]), jnp.array([0.0, -1e4])).tolist()      # log 4; nothing
        [1.3862943649291992, 0.0]

    Source: Goodfellow et al. (2014), "Generative adversarial nets".

    Differs from the usual two calls of a binary cross-entropy with labels 1 and 0 in nothing but its length.
    """
    a, b = (floating("discriminator_loss", name, given) for name, given in (("real", real), ("fake", fake)))
    a, b = same_shape("discriminator_loss", "real", a, "fake", b)
    return jax.nn.softplus(-a) + jax.nn.softplus(b)


@named
def generator_loss(fake: Shaped[ArrayLike, "*shape"]) -> Float[Array, "*shape"]:
    """What it costs the generator that a made row is not taken for a real one; the loss to use.

        loss = -log D(G(z)) = softplus(-b)

    with b = ``fake`` [...], the discriminator's logits of the rows that the generator made. It is not the game's
    value but has the same fixed point, and its slope, D - 1, is steep where the discriminator is sure and right.
    That is how a generator begins, and there `saturating_generator_loss` has no slope left.

    Minimized by made rows that the discriminator takes for real. Domain: any finite logits.

    Returns:
        The loss [...] in nats.

    Raises:
        ArgumentError: if it is an array of integers.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from sonde.objectives.losses import generator_loss, saturating_generator_loss
        >>> sure = jnp.float32(-10.0)                          # the discriminator is: this row was made
        >>> slopes = [jax.grad(loss)(sure) for loss in (generator_loss, saturating_generator_loss)]
        >>> [round(float(slope), 4) for slope in slopes]
        [-1.0, -0.0]

    Source: Goodfellow et al. (2014), "Generative adversarial nets", section 3.
    """
    return jax.nn.softplus(-floating("generator_loss", "fake", fake))


@named
def saturating_generator_loss(fake: Shaped[ArrayLike, "*shape"]) -> Float[Array, "*shape"]:
    """The part of the game's value that the generator can lower; its slope vanishes where the generator is bad.

        loss = log(1 - D(G(z))) = -softplus(b)

    with b = ``fake`` [...], the discriminator's logits of the rows that the generator made. The slope is -D: next to
    nothing as long as the discriminator is sure that the rows were made. `generator_loss` has it the other way round.

    Minimized by made rows that the discriminator takes for real, without a bound. Domain: any finite logits.

    Returns:
        The loss [...] in nats, 0 or below.

    Raises:
        ArgumentError: if it is an array of integers.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde.objectives.losses import saturating_generator_loss
        >>> saturating_generator_loss(jnp.array([0.0, -1e4, 1e4])).tolist()
        [-0.6931471824645996, -0.0, -10000.0]

    Source: Goodfellow et al. (2014), "Generative adversarial nets", equation 1.
    """
    return -jax.nn.softplus(floating("saturating_generator_loss", "fake", fake))
