"""MNIST's digits 0 to 4 with five narrow layers: plain, with batch normalization, with dropout."""

from __future__ import annotations

import sonde as sd
from sonde import nn
from sonde.recipes.recipe import Target, Variants


class Digits0To4(Variants, registered="digits-0-4"):
    """Five layers of 100 ELU units tell the digits 0 to 4 apart: plain, with batch normalization, with dropout.

    He's initialization, Adam, and an end when validation stops improving; the test rows are read when all is over.
    The usual rate and fraction dropped are those, of rates 0.0003, 0.001 and 0.003 and fractions 0.1, 0.3 and 0.5, for
    which the validation losses of the three within ten epochs add up to least (one split, of seed 100).

    Example:
        >>> from sonde.recipes import Digits0To4
        >>> Digits0To4(variant="norm", units=140)
        Digits0To4(variant='norm', units=140)
    """

    name = "digits-0-4"
    targets = (
        Target("plain/accuracy", 0.99, over=3),
        Target("norm/accuracy", 0.99, over=3),
        Target("dropout/accuracy", 0.99, over=3),
    )
    variants = {"plain": "plain", "norm": "batch normalization", "dropout": "dropout"}

    repeats: int = 3
    layers: int = 5
    units: int = 100
    rate: sd.Number = 3e-4
    dropped: sd.Number = 0.1
    batch: int = 50
    epochs: sd.Number = 100
    patience: sd.Number = 20
    rows: int = 0

    def data(self, seed: int) -> sd.data.Dataset:
        """The rows of five classes, whole numbers of 0..255; ``rows`` > 0 trains on the first so many."""
        data = sd.data.load("mnist", seed=seed).only(0, 1, 2, 3, 4)
        if not self.rows:
            return data
        return sd.data.Dataset({k: v[: self.rows] for k, v in data.train.items()}, data.valid, data.test, data.labels)

    def network(self, data: sd.data.Dataset) -> nn.Layer:
        """Dense layers with ELU; batch normalization stands before it, dropout behind it."""
        layers: dict[str, nn.Layer] = {"pixels": nn.Flatten(), "scaled": nn.Scale(1 / 255)}
        for i in range(1, self.layers + 1):
            layers[f"hidden_{i}"] = nn.Dense(self.units, kernel_init=nn.he_normal)
            if self.variant == "norm":
                layers[f"norm_{i}"] = nn.BatchNorm()
            layers[f"elu_{i}"] = nn.Function(nn.elu)
            if self.variant == "dropout":
                layers[f"dropout_{i}"] = nn.Dropout(self.dropped)
        return nn.Sequential(**layers, head=nn.Dense(data.classes))

    def plan(self, data: sd.data.Dataset) -> sd.Plan:
        """Adam, until the validation loss has not fallen for ``patience`` epochs."""
        turn = sd.Turn(sd.Classify(), sd.Adam(self.rate))
        control = sd.Patience(self.patience)
        return sd.Plan(sd.Phase(turn, sd.data.Shuffled(self.batch), epochs=self.epochs, control=control))
