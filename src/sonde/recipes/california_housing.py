"""Prices of houses from a raw CSV: columns of numbers and words, some missing, through an encoder."""

from __future__ import annotations

import dataclasses

import sonde as sd
from sonde import nn
from sonde.recipes.recipe import Recipe, Target


class CaliforniaHousing(Recipe, registered="california-housing"):
    """Median house values of 20,640 blocks (census of 1990) from place, rooms, people and income.

    Counts are skewed, so the encoder takes their logarithm; missing bedrooms are filled and flagged; the nearness
    of the ocean is a category. The network predicts dollars.

    Example:
        >>> from sonde.recipes import CaliforniaHousing
        >>> CaliforniaHousing().targets[0].name, CaliforniaHousing(hidden=(64,)).hidden
        ('r2', (64,))
    """

    name = "california-housing"
    targets = (Target("r2", 0.80, over=3),)

    hidden: tuple[int, ...] = (256, 256, 128)
    dropout: sd.Number = 0.05
    rate: sd.Number = 1e-3
    batch: int = 64
    epochs: sd.Number = 300
    patience: sd.Number = 30
    rows: int = 0

    def data(self, seed: int) -> sd.data.Dataset:
        """The raw table, split by the seed; about ``rows`` training rows are used (0: all), from all over the state."""
        data = sd.data.load("california-housing", seed=seed)
        every = data.train.rows // self.rows if self.rows else 1
        train = {name: column[:: max(1, every)] for name, column in data.train.items()}
        return dataclasses.replace(data, train=train)

    def network(self, data: sd.data.Dataset) -> nn.Layer:
        """Hidden layers of ELU, and an end that turns standardized numbers into dollars."""
        hidden = {}
        for i, units in enumerate(self.hidden):
            hidden[f"hidden_{i + 1}"] = nn.Dense(units, nn.elu, nn.he_normal)
            hidden[f"dropout_{i + 1}"] = nn.Dropout(self.dropout)
        amount = amount_of(data)
        return nn.Sequential(**hidden, head=nn.Dense(1), dollars=nn.Scale(amount.spread, amount.center))

    def plan(self, data: sd.data.Dataset) -> sd.Plan:
        """Adam on squared error in standard deviations, slower on a plateau, until validation stops improving."""
        turn = sd.Turn(sd.Regress(unit=amount_of(data).spread), sd.Adam(self.rate))
        control = (sd.Patience(self.patience), sd.Plateau(0.5, epochs=10))
        return sd.Plan(sd.Phase(turn, sd.data.Shuffled(self.batch), epochs=self.epochs, control=control))


def amount_of(data: sd.data.Dataset) -> sd.data.Amount:
    """What the encoder learned of the target."""
    assert data.encoder is not None and data.encoder.amount is not None
    return data.encoder.amount
