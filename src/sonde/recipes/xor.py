"""XOR: four points that no line separates, and how much the start decides."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import sonde as sd
from sonde import nn
from sonde.recipes.recipe import Recipe, Target


class Xor(Recipe, registered="xor"):
    """A hidden layer of two units that starts with ones, and 2,000 starts each of it and of two Glorot networks.

    Example:
        >>> from sonde.recipes import Xor, cook
        >>> result = cook(Xor(starts=10), seed=0)
        >>> [name for name in result.metrics["measured"] if name.startswith("solved")]
        ['solved from ones, 2 units', 'solved from glorot, 2 units', 'solved from glorot, 8 units']
    """

    name = "xor"
    targets = (
        Target("points right", 4),
        Target("solved from ones, 2 units", 0.82),
        Target("solved from glorot, 8 units", 0.89),
    )

    units: int = 2
    rate: sd.Number = 0.5
    epochs: sd.Number = 300
    starts: int = 2000

    def data(self, seed: int) -> sd.data.Dataset:
        """The truth table."""
        return sd.data.load("xor")

    def network(self, data: sd.data.Dataset) -> nn.Layer:
        """Hidden units that all start alike, which only the output's random weights tell apart."""
        return self.variant(nn.ones, self.units)

    def variant(self, start: nn.Initializer, units: int) -> nn.Layer:
        """One logistic unit over rectified ones."""
        return nn.Sequential(hidden=nn.Dense(units, nn.relu, start), head=nn.Dense(1))

    def plan(self, data: sd.data.Dataset) -> sd.Plan:
        """Gradient descent on all four points at once; judged once, at the end."""
        turn = sd.Turn(sd.Classify(), sd.SGD(self.rate))
        return sd.Plan(sd.Phase(turn, sd.data.Shuffled(4), epochs=self.epochs, every=self.epochs))

    def look(self, runs: list[sd.Run], folder: Path | None, seed: int) -> dict[str, float]:
        """How many starts of each network end with all four points right, and what the hidden layer makes of them."""
        from sonde.diagnose.pictures import scatter_panels

        network, train = runs[0].network, runs[0].data.train
        hidden = np.asarray(network.outputs(jnp.asarray(train.x))["hidden"])
        if folder is not None:
            labels = np.array([f"XOR is {y}" for y in train.y])
            panels = [
                ("What goes in", train.x, labels, "x1", "x2"),
                ("What the hidden layer makes of it", hidden[:, :2], labels, "hidden unit 1", "hidden unit 2"),
            ]
            scatter_panels(panels, folder / "spaces.png")
        right = (network(jnp.asarray(train.x))[:, 0] > 0) == train.y
        return {
            "points right": float(right.sum()),
            "solved from ones, 2 units": self.solved(nn.ones, 2, runs[0], seed),
            "solved from glorot, 2 units": self.solved(nn.glorot_uniform, 2, runs[0], seed),
            "solved from glorot, 8 units": self.solved(nn.glorot_uniform, 8, runs[0], seed),
        }

    def solved(self, start: nn.Initializer, units: int, run: sd.Run, seed: int) -> float:
        """The share of starts that end with all four points right: every start a lane of one program."""
        data = {"train": {k: jnp.asarray(v) for k, v in run.data.train.items()}}
        network = nn.Network(self.variant(start, units))
        plan = self.plan(run.data).prepare(data["train"])
        seeds = seed + np.arange(self.starts)
        networks, _ = sd.train.execute_many(network, plan, data, seeds, how="vmap")
        says = jax.vmap(lambda net: net(data["train"]["x"])[:, 0] > 0)(networks)
        return float((np.asarray(says) == run.data.train.y[None]).all(1).mean())
