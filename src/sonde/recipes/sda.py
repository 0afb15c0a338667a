"""The stacked denoising autoencoder on MNIST: layers that learn without labels, then one network that learns with them.

The parts are those of P. Vincent et al. (2010), as the Deep Learning Tutorials (2010) set them for MNIST.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import sonde as sd
from sonde import nn
from sonde.objectives import Reconstruct, binary_cross_entropy
from sonde.recipes.recipe import Recipe, Target

PIXELS = 784


class Sda(Recipe, registered="sda"):
    """784-1000-1000-1000-10 of sigmoid units: each layer first learns to undo corruption, then all learn the labels.

    A phase a layer: it is to give back what reaches it, of which a fraction was set to 0, by the same kernel (tied
    weights); the layers below rest. Then a phase with labels for all of them under a softmax, of which the network of
    the smallest validation error is kept. ``pretrain_epochs=0`` leaves the first phases out.

    Sizes, corruption, tied weights, cross-entropy, 15 epochs a layer and 50,000 / 10,000 / 10,000 rows are those of the
    source, which took batches of one row, at rates of 0.001 and 0.1. Here batches have 100 rows, momentum is 0.9, rates
    fall to 0 along half a wave, and labels are smoothed by 0.1: on validation rows, with 10,000 rows to train, 3.3 % of
    the digits are mistaken then, and 3.7 % without.

    Example:
        >>> from sonde.recipes import Sda
        >>> len(Sda(hidden=(500, 500), corruption=(0.1, 0.1)).plan(None).phases)
        3
    """

    name = "sda"
    targets = (Target("accuracy", 0.987, over=3),)

    hidden: tuple[int, ...] = (1000, 1000, 1000)
    corruption: tuple[float, ...] = (0.1, 0.2, 0.3)
    pretrain_rate: sd.Number = 0.03
    pretrain_epochs: int = 15
    rate: sd.Number = 0.3
    smoothing: sd.Number = 0.1
    epochs: int = 30
    batch: int = 100
    rows: int = 0

    def data(self, seed: int) -> sd.data.Dataset:
        """50,000 rows to train, 10,000 to choose, 10,000 to judge; ``rows`` > 0 trains on the first so many."""
        data = sd.data.load("mnist", seed=seed, valid=1 / 6)
        if not self.rows:
            return data
        return sd.data.Dataset({k: v[: self.rows] for k, v in data.train.items()}, data.valid, data.test, data.labels)

    def network(self, data: sd.data.Dataset) -> nn.Layer:
        """Layers that run both ways, and an output a class."""
        layers: dict[str, nn.Layer] = {"pixels": nn.Flatten(), "scaled": nn.Scale(1 / 255)}
        for i, units in enumerate(self.hidden, start=1):
            layers[f"hidden_{i}"] = nn.TiedDense(units, visible_activation=nn.identity)
        return nn.Sequential(**layers, head=nn.Dense(data.classes))

    def plan(self, data: Any) -> sd.Plan:
        """A phase a layer, then one of the whole."""
        return sd.Plan((*self.pretraining(), self.finetuning(epochs=self.epochs)))

    def pretraining(self) -> list[sd.Phase]:
        """Layer i learns to give back what reaches it, of which a fraction was set to 0.

        Its rate is that of the loss summed over entries, as in the source; here the loss is their mean.
        """
        phases, inputs = [], (PIXELS, *self.hidden)
        for i, corruption in enumerate(self.corruption * bool(self.pretrain_epochs)):
            at, noise = f"hidden_{i + 1}", nn.MaskNoise(corruption)
            objective = Reconstruct(binary_cross_entropy, back="reconstruct", at=at, noise=noise)
            rate = sd.optim.Cosine(self.pretrain_rate * inputs[i])
            turn = sd.Turn(objective, sd.SGD(rate, momentum=0.9), trains=f"{at}/**")
            phases.append(sd.Phase(turn, sd.data.Shuffled(self.batch), epochs=self.pretrain_epochs))
        return phases

    def finetuning(self, **length: Any) -> sd.Phase:
        """All layers learn the labels; validation chooses when it is best."""
        turn = sd.Turn(sd.Classify(self.smoothing), sd.SGD(sd.optim.Cosine(self.rate), momentum=0.9))
        return sd.Phase(turn, sd.data.Shuffled(self.batch), control=sd.KeepBest("valid/error"), **length)

    def look(self, runs: list[sd.Run], folder: Path | None, seed: int) -> dict[str, float]:
        """The test error, the seconds of each part; and a picture of what the units of the first layer look for."""
        if folder is not None:
            networks = {"at the start": at_start(runs[0]), "at the end": runs[0].network}
            draw_filters(networks, folder / "filters.png")
        took = np.mean([[record.train_seconds for record in run.records] for run in runs], axis=0)
        right = np.mean([run.evaluate("test")["accuracy"].value for run in runs])
        return {
            "test error, %": float(100 * (1 - right)),
            "seconds to pretrain": float(took[:-1].sum()),
            "seconds to fine-tune": float(took[-1]),
        }


def draw_filters(networks: Mapping[str, nn.Network], path: Path) -> Path:
    """The weights into the first 36 units of the first layer, an image each, six by six; a panel a network."""
    from sonde.diagnose import image_panels

    panels = {}
    for name, network in networks.items():
        kernel = np.asarray(network.params["hidden_1/kernel"])[:, :36]
        side, shown = int(kernel.shape[0] ** 0.5), 36 * [np.zeros(kernel.shape[0])]
        shown[: kernel.shape[1]] = list((kernel / np.abs(kernel).max(0)).T)
        tiles = np.pad(np.reshape(shown, (6, 6, side, side)), ((0, 0), (0, 0), (1, 1), (1, 1)))
        panels[name] = np.block([list(row) for row in tiles])
    return image_panels(panels, path)


def at_start(run: sd.Run) -> nn.Network:
    """The network that a run began with."""
    return nn.build(run.network.spec, run.data.train.x[:1], seed=run.seed)
