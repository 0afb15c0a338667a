"""Wines: thirteen measurements on scales of their own, three cultivars."""

from __future__ import annotations

import sonde as sd
from sonde import nn
from sonde.recipes.recipe import Recipe, Target


class Wine(Recipe, registered="wine"):
    """178 wines, whose cultivar a small dense network tells. Seconds on a laptop.

    Proline is counted in hundreds and hue in tenths: the encoder standardizes them, without which validation
    accuracy falls by some ten points. The target is the mean of ten splits, as one of 27 test wines is four points.

    Example:
        >>> from sonde.recipes import Wine, cook
        >>> result = cook(Wine(), seed=0)
        >>> bool(result.metrics["test"]["accuracy"] > 0.8)
        True
    """

    name = "wine"
    targets = (Target("accuracy", 0.97, over=10),)

    hidden: int = 128
    dropout: sd.Number = 0.5
    rate: sd.Number = 3e-3
    batch: int = 16
    epochs: sd.Number = 100
    patience: sd.Number = 20

    def data(self, seed: int) -> sd.data.Dataset:
        """A stratified split that depends on the seed; measurements are standardized by those of the training rows."""
        return sd.data.load("wine", seed=seed)

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
