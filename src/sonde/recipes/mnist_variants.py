"""MNIST with 784-300-50-10, trained in four classic ways."""

from __future__ import annotations

import sonde as sd
from sonde import nn
from sonde.recipes.recipe import Target, Variants


class MnistVariants(Variants, registered="mnist-variants"):
    """One dense network on MNIST, four ways: a falling rate, an L1 penalty, dropout, weights of limited length.

    - ``decay``: momentum 0.9, a rate that falls from 0.1 by a factor of 10 every 10,000 steps; 5 epochs of batches
      of 50.
    - ``l1``: plain gradient descent at 0.01 with 0.001 times the sum of all |w| in the loss; 20 epochs of batches
      of 200.
    - ``dropout``: momentum 0.9 at 0.01, half of the hidden units dropped; 20 epochs of batches of 50.
    - ``max-norm``: momentum 0.9 at 0.01, the weights into a hidden unit no longer than 1; 20 epochs of batches of 50.

    The L1 penalty is a sum over all 250,000 weights: it begins at about 10, four times the cross-entropy. Nothing is
    tuned to make up for that.

    Example:
        >>> from sonde.recipes import MnistVariants
        >>> plan = MnistVariants(variant="l1").plan(None)
        >>> plan.phases[0].turns[0].objective, plan.phases[0].batch
        (Classify() + L1(rate=0.001), Shuffled(size=200))
    """

    name = "mnist-variants"
    targets = (
        Target("decay/accuracy", 0.975, over=3),
        Target("l1/accuracy", 0.8, over=3),
        Target("dropout/accuracy", 0.975, over=3),
        Target("max-norm/accuracy", 0.975, over=3),
    )
    variants = {
        "decay": "momentum, falling rate",
        "l1": "gradient descent, L1",
        "dropout": "momentum, dropout",
        "max-norm": "momentum, max-norm",
    }

    repeats: int = 3
    hidden: tuple[int, ...] = (300, 50)
    l1: sd.Number = 1e-3
    dropped: sd.Number = 0.5
    longest: sd.Number = 1.0
    epochs: sd.Number = 0
    rows: int = 0

    def data(self, seed: int) -> sd.data.Dataset:
        """Whole numbers of 0..255, scaled inside the program; ``rows`` > 0 trains on the first so many."""
        data = sd.data.load("mnist", seed=seed)
        if not self.rows:
            return data
        return sd.data.Dataset({k: v[: self.rows] for k, v in data.train.items()}, data.valid, data.test, data.labels)

    def network(self, data: sd.data.Dataset) -> nn.Layer:
        """Two dense layers of ReLU units; in one variant dropout behind each."""
        layers: dict[str, nn.Layer] = {"pixels": nn.Flatten(), "scaled": nn.Scale(1 / 255)}
        for i, units in enumerate(self.hidden, start=1):
            layers[f"hidden_{i}"] = nn.Dense(units, nn.relu)
            if self.variant == "dropout":
                layers[f"dropout_{i}"] = nn.Dropout(self.dropped)
        return nn.Sequential(**layers, head=nn.Dense(data.classes))

    def plan(self, data: sd.data.Dataset) -> sd.Plan:
        """That of the variant; the network of the best validation loss is kept."""
        objective, batch, epochs = sd.Classify(), 50, 20
        optimizer = sd.SGD(0.01, momentum=0.9)
        if self.variant == "decay":
            optimizer, epochs = sd.SGD(sd.Exponential(0.1, factor=0.1, steps=10_000), momentum=0.9), 5
        elif self.variant == "l1":
            objective, optimizer, batch = objective + sd.L1(self.l1), sd.SGD(0.01), 200
        elif self.variant == "max-norm":
            optimizer = sd.optim.Constrained(optimizer, sd.optim.MaxNorm(self.longest), on="hidden_*/kernel")
        turn = sd.Turn(objective, optimizer)
        return sd.Plan(sd.Phase(turn, sd.data.Shuffled(batch), epochs=self.epochs or epochs, control=sd.KeepBest()))
