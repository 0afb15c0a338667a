"""Objectives, penalties, elementwise losses, and what is measured while training."""

from sonde.objectives.codes import ActivityKL, ActivityL1, Contractive
from sonde.objectives.losses import (
    absolute_error,
    absolute_percentage_error,
    binary_cross_entropy,
    cosine_distance,
    cross_entropy,
    discriminator_loss,
    gaussian_kl,
    generator_loss,
    half_squared_error,
    hinge,
    huber,
    kl_divergence,
    poisson,
    saturating_generator_loss,
    squared_error,
    squared_hinge,
    variational_loss,
)
from sonde.objectives.measures import R2, Each, Measure, TopK, accuracy
from sonde.objectives.objectives import Classify, Objective, Regress, Sum
from sonde.objectives.penalties import L1, L1L2, L2
from sonde.objectives.reconstruct import Reconstruct
from sonde.objectives.variational import Variational

__all__ = [
    "L1",
    "L1L2",
    "L2",
    "R2",
    "ActivityKL",
    "ActivityL1",
    "Classify",
    "Contractive",
    "Each",
    "Measure",
    "Objective",
    "Reconstruct",
    "Regress",
    "Sum",
    "TopK",
    "Variational",
    "absolute_error",
    "absolute_percentage_error",
    "accuracy",
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
    "poisson",
    "saturating_generator_loss",
    "squared_error",
    "squared_hinge",
    "variational_loss",
]
