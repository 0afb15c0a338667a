"""MNIST with the classic 784-300-50-10 network."""

from __future__ import annotations

import sonde as sd
from sonde import nn
from sonde.recipes.recipe import Recipe, Target


class Mnist(Recipe, registered="mnist"):
    """70,000 handwritten digits; 55,000 to train, 5,000 (the same mix of classes) to choose, 10,000 for the last word.

    Example:
        >>> from sonde.recipes import Mnist
        >>> Mnist(hidden=(100, 50), epochs=5)
        Mnist(hidden=(100, 50), epochs=5)
    """

    name = "mnist"
    targets = (Target("accuracy", 0.982, over=3),)

    hidden: tuple[int, ...] = (300, 50)
    dropout: tuple[float, ...] = (0.4, 0.1)
    rate: sd.Number = 2e-3
    batch: int = 128
    epochs: sd.Number = 40
    patience: sd.Number = 8
    rows: int = 0

    def data(self, seed: int) -> sd.data.Dataset:
        """Whole numbers of 0..255, scaled inside the program; ``rows`` > 0 trains on the first so many."""
        data = sd.data.load("mnist", seed=seed)
        if not self.rows:
            return data
        return sd.data.Dataset({k: v[: self.rows] for k, v in data.train.items()}, data.valid, data.test, data.labels)

    def network(self, data: sd.data.Dataset) -> nn.Layer:
        """Dense layers, the wide one with more dropout than the narrow one."""
        layers: dict[str, nn.Layer] = {"pixels": nn.Flatten(), "scaled": nn.Scale(1 / 255)}
        for i, (units, dropped) in enumerate(zip(self.hidden, self.dropout, strict=True), start=1):
            layers[f"hidden_{i}"] = nn.Dense(units, nn.relu, nn.he_normal)
            layers[f"dropout_{i}"] = nn.Dropout(dropped)
        return nn.Sequential(**layers, head=nn.Dense(data.classes))

    def plan(self, data: sd.data.Dataset) -> sd.Plan:
        """Adam, slower on a plateau, until validation stops improving."""
        turn = sd.Turn(sd.Classify(), sd.Adam(self.rate))
        control = (sd.Patience(self.patience), sd.Plateau(0.3, epochs=2))
        return sd.Plan(sd.Phase(turn, sd.data.Shuffled(self.batch), epochs=self.epochs, control=control))
