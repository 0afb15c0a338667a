"""Irises: four lengths, three species, and a table that became a data set by itself."""

from __future__ import annotations

import sonde as sd
from sonde import nn
from sonde.recipes.recipe import Recipe, Target


class Iris(Recipe, registered="iris"):
    """150 flowers; a small dense network tells their species. Seconds on a laptop.

    Two of the species overlap, and one of 22 test flowers is more than four points: the target is the mean of ten
    splits. A network that sees the sepals only comes to some 0.8.

    Example:
        >>> from sonde.recipes import Iris, cook
        >>> result = cook(Iris(), seed=0)
        >>> bool(result.metrics["test"]["accuracy"] > 0.8)
        True
    """

    name = "iris"
    targets = (Target("accuracy", 0.95, over=10),)

    hidden: int = 128
    dropout: sd.Number = 0.5
    rate: sd.Number = 1e-2
    batch: int = 16
    epochs: sd.Number = 100
    patience: sd.Number = 20

    def data(self, seed: int) -> sd.data.Dataset:
        """A stratified split that depends on the seed; the lengths are standardized by those of the training rows."""
        return sd.data.load("iris", seed=seed)

    def network(self, data: sd.data.Dataset) -> nn.Layer:
        """One hidden layer with dropout."""
        return nn.Sequential(
            hidden=nn.Dense(self.hidden, nn.relu, nn.he_normal),
            dropout=nn.Dropout(self.dropout),
            head=nn.Dense(data.classes),
        )

    def plan(self, data: sd.data.Dataset) -> sd.Plan:
        """Adam, until validation stops improving."""
        turn = sd.Turn(sd.Classify(), sd.Adam(self.rate))
        return sd.Plan(
            sd.Phase(turn, sd.data.Shuffled(self.batch), epochs=self.epochs, control=sd.Patience(self.patience))
        )
