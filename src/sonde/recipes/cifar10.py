"""Small photographs of ten kinds of things: a residual network."""

from __future__ import annotations

import math

import sonde as sd
from sonde import nn
from sonde.recipes.recipe import Recipe, Target


class Cifar10(Recipe, registered="cifar10"):
    """CIFAR-10 as JPEG: 60,000 color photographs of 32x32 by a small residual network with batch normalization.

    The copies were stored as JPEG and lost detail: a good network trained on the lossless images is right on 91.5 % of
    those and on 81.0 % of these. So numbers here say "JPEG" and do not compare with published ones.

    Every stage pools before it normalizes, which leaves a quarter of the numbers to normalize. The rate falls smoothly
    to a hundredth. Nothing is augmented.

    Example:
        >>> from sonde.recipes import Cifar10
        >>> Cifar10(channels=(16, 32, 64), epochs=2)
        Cifar10(channels=(16, 32, 64), epochs=2)
    """

    name = "cifar10"
    targets = (Target("accuracy", 0.75),)

    channels: tuple[int, ...] = (32, 64, 128)
    dropout: sd.Number = 0.3
    rate: sd.Number = 3e-3
    decay: sd.Number = 5e-4
    batch: int = 64
    epochs: sd.Number = 15
    rows: int = 0

    def data(self, seed: int) -> sd.data.Dataset:
        """Whole numbers of 0..255, scaled inside the program; ``rows`` > 0 trains on the first so many."""
        data = sd.data.load("cifar10-jpeg", seed=seed)
        if not self.rows:
            return data
        return sd.data.Dataset({k: v[: self.rows] for k, v in data.train.items()}, data.valid, data.test, data.labels)

    def network(self, data: sd.data.Dataset) -> nn.Layer:
        """Stages that halve the image and widen it, the later ones with a residual block; then the mean over places."""
        stages: dict[str, nn.Layer] = {"scaled": nn.Scale(1 / 64, -2.0)}
        for i, channels in enumerate(self.channels, start=1):
            stages[f"stage_{i}"] = nn.Sequential(conv=convolution(channels), pool=nn.MaxPool(2), **normalized())
            if i > 1:
                stages[f"block_{i}"] = nn.Residual(block(channels))
        stages["places"] = nn.GlobalAveragePool()
        stages["dropout"] = nn.Dropout(self.dropout)
        return nn.Sequential(**stages, head=nn.Dense(data.classes))

    def plan(self, data: sd.data.Dataset) -> sd.Plan:
        """Adam at a falling rate, small weights preferred; the network with the fewest validation errors is kept."""
        steps = self.epochs * math.ceil(data.train.rows / self.batch)
        objective = sd.Classify() + sd.L2(self.decay)
        turn = sd.Turn(objective, sd.Adam(sd.Exponential(self.rate, 0.01, steps)))
        control = sd.KeepBest("valid/error")
        return sd.Plan(sd.Phase(turn, sd.data.Shuffled(self.batch), epochs=self.epochs, control=control))


def convolution(channels: int) -> nn.Conv:
    """3x3; what follows has the bias."""
    return nn.Conv(channels, 3, kernel_init=nn.he_normal, bias_init=None)


def normalized() -> dict[str, nn.Layer]:
    """Batch normalization and ReLU."""
    return {"norm": nn.BatchNorm(), "relu": nn.Function(nn.relu)}


def block(channels: int) -> nn.Sequential:
    """Two convolutions, each normalized; what it makes is added to what it is given."""
    one = lambda: nn.Sequential(conv=convolution(channels), **normalized())
    return nn.Sequential(first=one(), second=one())
