"""Handwritten digits of 8x8 pixels: the first network to train, without a download."""

from __future__ import annotations

import sonde as sd
from sonde import nn
from sonde.recipes.recipe import Recipe, Target


class Digits(Recipe, registered="digits"):
    """1,797 real digits, a dense network with dropout, stopped by validation. Seconds on a laptop.

    Example:
        >>> from sonde.recipes import Digits, cook
        >>> result = cook(Digits(epochs=10), seed=0)
        >>> bool(result.metrics["test"]["accuracy"] > 0.9)
        True
    """

    name = "digits"
    targets = (Target("accuracy", 0.975, over=10),)

    hidden: int = 256
    dropout: sd.Number = 0.3
    rate: sd.Number = 3e-3
    epochs: sd.Number = 100
    patience: sd.Number = 20

    def data(self, seed: int) -> sd.data.Dataset:
        """A stratified split that depends on the seed."""
        return sd.data.load("digits", seed=seed)

    def network(self, data: sd.data.Dataset) -> nn.Layer:
        """Two hidden layers."""
        return nn.Sequential(
            pixels=nn.Flatten(),
            scaled=nn.Scale(1 / 16),
            hidden_1=nn.Dense(self.hidden, nn.relu, nn.he_normal),
            dropout_1=nn.Dropout(self.dropout),
            hidden_2=nn.Dense(self.hidden // 2, nn.relu, nn.he_normal),
            dropout_2=nn.Dropout(self.dropout),
            head=nn.Dense(data.classes),
        )

    def plan(self, data: sd.data.Dataset) -> sd.Plan:
        """Adam, slower on a plateau, until validation stops improving."""
        turn = sd.Turn(sd.Classify(), sd.Adam(self.rate))
        control = (sd.Patience(self.patience), sd.Plateau(0.5, epochs=8))
        return sd.Plan(sd.Phase(turn, sd.data.Shuffled(32), epochs=self.epochs, control=control))
