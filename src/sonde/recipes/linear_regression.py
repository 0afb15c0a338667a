"""Linear regression by minibatch gradient descent, with the closed-form solution beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import sonde as sd
from sonde import nn
from sonde.recipes.recipe import Recipe, Target


class LinearRegression(Recipe, registered="linear-regression"):
    """1,000 points of y = 2 x1 - 3.4 x2 + 4.2 + noise: three epochs bring the weights back.

    Example:
        >>> from sonde.recipes import LinearRegression, cook
        >>> result = cook(LinearRegression(), seed=0)
        >>> all(target["met"] for target in result.targets)
        True
    """

    name = "linear-regression"
    targets = (Target("largest error of w and b", 0.002, "<="), Target("last epoch's loss", 0.0001, "<="))

    rate: sd.Number = 0.03
    batch: int = 10
    epochs: sd.Number = 3

    def data(self, seed: int) -> sd.data.Dataset:
        """The synthetic points. Nothing is chosen, so nothing is held out: the same points are judged each epoch."""
        points = sd.data.load("linear", seed=seed).train
        return sd.data.Dataset(points, valid=points)

    def network(self, data: sd.data.Dataset) -> nn.Layer:
        """One linear unit, weights from N(0, 0.01^2)."""
        return nn.Sequential(unit=nn.Dense(1, kernel_init=nn.Normal(0.01)))

    def plan(self, data: sd.data.Dataset) -> sd.Plan:
        """Half squared error, plain gradient descent."""
        turn = sd.Turn(sd.Regress(), sd.SGD(self.rate))
        return sd.Plan(sd.Phase(turn, sd.data.Shuffled(self.batch), epochs=self.epochs))

    def look(self, runs: list[sd.Run], folder: Path | None, seed: int) -> dict[str, float]:
        """The weights found, those of the closed form, and how far the found ones are from the truth."""
        run = runs[0]
        x, y = run.data.train.x.astype(np.float64), run.data.train.y.astype(np.float64)
        closed = np.linalg.lstsq(np.column_stack([x, np.ones(len(x))]), y, rcond=None)[0]
        found = np.append(run.network.params["unit/kernel"][:, 0], run.network.params["unit/bias"])
        names, truth = ("w1", "w2", "b"), np.array([2.0, -3.4, 4.2])
        numbers = {f"{n} by descent": float(v) for n, v in zip(names, found, strict=True)}
        numbers |= {f"{n} in closed form": float(v) for n, v in zip(names, closed, strict=True)}
        losses = [float(v) for v in run.history["valid/loss"]]
        numbers |= {f"loss of epoch {i + 1}": v for i, v in enumerate(losses)}
        numbers["last epoch's loss"] = losses[-1]
        numbers["largest error of w and b"] = float(abs(found - truth).max())
        return numbers
