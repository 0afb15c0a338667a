"""Elementwise losses: one number a row (or an entry), never a mean; the batch takes the mean.

    cross_entropy              labels or probabilities     minimized by the classes' probabilities
    binary_cross_entropy       one or many yes/no          minimized by the probability of yes
    kl_divergence              probabilities               minimized by their mean
    poisson                    a count                     minimized by the logarithm of the mean count
    hinge                      -1/1 or labels              minimized by the likelier answer
    squared_hinge              -1/1 or labels              minimized by the mean of -1 and 1
    half_squared_error         a quantity                  minimized by the mean
    squared_error              a quantity                  minimized by the mean
    absolute_error             a quantity                  minimized by the median
    absolute_percentage_error  a quantity other than 0     minimized by the median weighted by 1 / |target|
    huber                      a quantity                  between the mean and the median
    cosine_distance            a direction                 minimized by the mean direction
    discriminator_loss         real and made rows          minimized by p / (p + q), the probability of real
    generator_loss             made rows                   minimized by rows that are taken for real
    saturating_generator_loss  made rows                   the same, with no slope while none is
    gaussian_kl                a Gaussian code             minimized by the standard normal
    variational_loss           a row and its code          minimized by the posterior of the code

"Minimized by" is what a network that could express anything would answer where the target is random: the
functional of the target's distribution given the input. Half precision (bfloat16, float16) is computed in
float32. Shapes must be equal: ``(N, 1)`` against ``(N,)`` would quietly compare every prediction with every
target. A Python number may stand for an array full of it. A target outside the loss's domain is refused with
its value where it can be seen (in a concrete array); inside a compiled program it gives NaN, never the loss of
another target. All of them have gradients of every order, and work under ``jit``, ``grad`` and ``vmap``.
"""

from sonde.objectives.losses.adversarial import discriminator_loss, generator_loss, saturating_generator_loss
from sonde.objectives.losses.errors import (
    absolute_error,
    absolute_percentage_error,
    cosine_distance,
    half_squared_error,
    huber,
    squared_error,
)
from sonde.objectives.losses.likelihoods import (
    MEANS,
    binary_cross_entropy,
    cross_entropy,
    kl_divergence,
    mean_of,
    poisson,
)
from sonde.objectives.losses.margins import hinge, squared_hinge
from sonde.objectives.losses.variational import gaussian_kl, variational_loss

__all__ = [
    "MEANS",
    "absolute_error",
    "absolute_percentage_error",
    "binary_cross_entropy",
    "cosine_distance",
    "cross_entropy",
    "discriminator_loss",
    "gaussian_kl",
    "generator_loss",
    "half_squared_error",
    "hinge",
    "huber",
    "kl_divergence",
    "mean_of",
    "poisson",
    "saturating_generator_loss",
    "squared_error",
    "squared_hinge",
    "variational_loss",
]
