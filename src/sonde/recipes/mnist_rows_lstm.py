"""MNIST read from top to bottom, a row of pixels at a time, by an LSTM."""

from __future__ import annotations

import sonde as sd
from sonde import nn
from sonde.recipes.recipe import Recipe, Target


class MnistRowsLstm(Recipe, registered="mnist-rows-lstm"):
    """Handwritten digits as sequences of 28 steps: each step is given one row of 28 pixels and what it knows so far.

    The state after the last row is what the digit is told by. Nothing is known of what is above what: every row is
    read by the same weights. The split is that of `Mnist`: 55,000 images to train, 5,000 to choose, 10,000 to judge.

    Example:
        >>> from sonde.recipes import MnistRowsLstm
        >>> MnistRowsLstm(units=64, epochs=5)
        MnistRowsLstm(units=64, epochs=5)
    """

    name = "mnist-rows-lstm"
    targets = (Target("accuracy", 0.985, over=3),)

    units: int = 128
    dropout: sd.Number = 0.2
    rate: sd.Number = 2e-3
    batch: int = 64
    epochs: sd.Number = 25
    patience: sd.Number = 6
    rows: int = 0

    def data(self, seed: int) -> sd.data.Dataset:
        """Whole numbers of 0..255, scaled inside the program; ``rows`` > 0 trains on the first so many."""
        data = sd.data.load("mnist", seed=seed)
        if not self.rows:
            return data
        return sd.data.Dataset({k: v[: self.rows] for k, v in data.train.items()}, data.valid, data.test, data.labels)

    def network(self, data: sd.data.Dataset) -> nn.Layer:
        """One LSTM, of which the last state goes to the outputs."""
        return nn.Sequential(
            scaled=nn.Scale(1 / 255),
            rows=nn.LSTM(self.units, last=True),
            dropout=nn.Dropout(self.dropout),
            head=nn.Dense(data.classes),
        )

    def plan(self, data: sd.data.Dataset) -> sd.Plan:
        """Adam, slower on a plateau, until validation stops improving."""
        turn = sd.Turn(sd.Classify(), sd.Adam(self.rate))
        control = (sd.Patience(self.patience), sd.Plateau(0.3, epochs=2))
        return sd.Plan(sd.Phase(turn, sd.data.Shuffled(self.batch), epochs=self.epochs, control=control))
