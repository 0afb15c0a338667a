"""MNIST with a small convolutional network."""

from __future__ import annotations

import math

import sonde as sd
from sonde import nn
from sonde.recipes.recipe import Recipe, Target


class MnistCnn(Recipe, registered="mnist-cnn"):
    """Handwritten digits by two stages of convolution, pooling and ReLU, and a dense layer with dropout.

    The largest of a window is taken before ReLU, which gives the same numbers as after it and has a quarter of them to
    work on. The rate falls smoothly to three hundredths. Each time an image is drawn it is turned, made larger or
    smaller, and moved a little; the settings say how much at most, and 0 leaves that out.

    Example:
        >>> from sonde.recipes import MnistCnn
        >>> MnistCnn(channels=(8, 16), epochs=2)
        MnistCnn(channels=(8, 16), epochs=2)
    """

    name = "mnist-cnn"
    targets = (Target("accuracy", 0.993, over=3),)

    channels: tuple[int, ...] = (32, 64)
    size: int = 5
    hidden: int = 256
    dropout: sd.Number = 0.5
    rate: sd.Number = 1e-3
    batch: int = 64
    epochs: sd.Number = 12
    degrees: sd.Number = 10.0
    zoom: sd.Number = 0.1
    shift: sd.Number = 2.0
    rows: int = 0

    def data(self, seed: int) -> sd.data.Dataset:
        """Whole numbers of 0..255, scaled inside the program; ``rows`` > 0 trains on the first so many."""
        data = sd.data.load("mnist", seed=seed)
        if not self.rows:
            return data
        return sd.data.Dataset({k: v[: self.rows] for k, v in data.train.items()}, data.valid, data.test, data.labels)

    def network(self, data: sd.data.Dataset) -> nn.Layer:
        """Stages of convolution and pooling, then dense layers."""
        layers: dict[str, nn.Layer] = {"channel": nn.Reshape(28, 28, 1), "scaled": nn.Scale(1 / 255)}
        for i, channels in enumerate(self.channels, start=1):
            layers[f"conv_{i}"] = nn.Conv(channels, self.size, padding="valid", kernel_init=nn.he_normal)
            layers[f"pool_{i}"] = nn.MaxPool(2)
            layers[f"relu_{i}"] = nn.Function(nn.relu)
        layers["flat"] = nn.Flatten()
        layers["hidden"] = nn.Dense(self.hidden, nn.relu, nn.he_normal)
        layers["dropout"] = nn.Dropout(self.dropout)
        return nn.Sequential(**layers, head=nn.Dense(data.classes))

    def plan(self, data: sd.data.Dataset) -> sd.Plan:
        """Adam at a falling rate; the network of the best validation loss is kept."""
        steps = self.epochs * math.ceil(data.train.rows / self.batch)
        turn = sd.Turn(sd.Classify(), sd.Adam(sd.Exponential(self.rate, 0.03, steps)))
        return sd.Plan(sd.Phase(turn, self.sampler(), epochs=self.epochs, control=sd.KeepBest()))

    def sampler(self) -> sd.data.Sampler:
        """Minibatches, augmented by what has a strength."""
        plain, d = sd.data.Shuffled(self.batch), sd.data
        ops = (
            *((d.Rotate(self.degrees),) if self.degrees else ()),
            *((d.Zoom(self.zoom),) if self.zoom else ()),
            *((d.Shift(self.shift, whole=False),) if self.shift else ()),
        )
        return d.Augmented(plain, ops) if ops else plain
