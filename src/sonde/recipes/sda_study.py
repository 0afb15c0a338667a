"""What pretraining is worth: a stack of denoising autoencoders against a random start, with few and many labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import sonde as sd
from sonde import nn
from sonde.recipes.recipe import Target
from sonde.recipes.sda import Sda, at_start, draw_filters

START = nn.VarianceScaling(16.0)
"""Kernels from -a to a, a = 4 sqrt(6 / (inputs + outputs)), for sigmoid units: X. Glorot and Y. Bengio (2010)."""


class SdaStudy(Sda, registered="sda-study"):
    """Three seeds of `Sda`: each stack is pretrained once on all images, and then learns from 100 to 50,000 labels.

    The same network with the same seed starts at random beside it, from kernels four times Glorot's, as suits sigmoid
    units, and at a rate of its own: at the pretrained one's it does not learn. With few labels both are trained for
    ``least`` steps; the network of the smallest error on the 10,000 validation rows is kept. Test rows are read at the
    end of each.

    Example:
        >>> from sonde.recipes import SdaStudy
        >>> len(SdaStudy().plan(None).phases)                           # a layer each; labels come afterwards
        3
    """

    name = "sda-study"
    targets = (
        Target("pretrained, 50,000 labels: test error, %", 1.3, "<=", over=3),
        Target("times the errors of a random start, 100 labels", 0.9, "<=", over=3),
    )

    repeats: int = 3
    labels: tuple[int, ...] = (100, 1000, 10_000, 50_000)
    least: int = 2000
    random_rate: sd.Number = 0.03

    def plan(self, data: sd.data.Dataset) -> sd.Plan:
        """The phases without labels."""
        return sd.Plan(tuple(self.pretraining()))

    def look(self, runs: list[sd.Run], folder: Path | None, seed: int) -> dict[str, float]:
        """Test errors of both starts for each number of labels, mean and deviation over seeds, and a picture."""
        errors = {start: np.zeros((len(self.labels), len(runs))) for start in ("pretrained", "random start")}
        for i, run in enumerate(runs):
            for k, labels in enumerate(self.labels):
                few = run.data if labels >= run.data.train.rows else run.data.few(labels // 10, seed=run.seed)
                random = nn.replace_all(run.network.spec, kernel_init=START)
                starts = {"pretrained": (run.network, self.rate), "random start": (random, self.random_rate)}
                for start, (network, rate) in starts.items():
                    into = folder and folder / f"{start}-{labels}-{i}".replace(" ", "-")
                    errors[start][k, i] = self.replace(rate=rate).tuned(network, few, run.seed, into)
        if folder is not None:
            draw_filters({"at the start": at_start(runs[0]), "pretrained": runs[0].network}, folder / "filters.png")
            draw_errors(self.labels, errors, folder / "labels.png")
        measured = {}
        for start, each in errors.items():
            for labels, row in zip(self.labels, each, strict=True):
                measured[f"{start}, {labels:,} labels: test error, %"] = float(row.mean())
                if len(runs) > 1:
                    measured[f"{start}, {labels:,} labels: standard deviation"] = float(row.std(ddof=1))
        ratio = errors["pretrained"][0].mean() / errors["random start"][0].mean()
        return measured | {f"times the errors of a random start, {self.labels[0]:,} labels": float(ratio)}

    def tuned(self, network: nn.Network | nn.Layer, data: sd.data.Dataset, seed: int, into: Path | None) -> float:
        """The test error in percent after learning these labels; one that is in the folder already is read there."""
        an_epoch = -(-data.train.rows // self.batch)
        phase = self.finetuning(steps=max(self.epochs * an_epoch, self.least), every=max(an_epoch, self.least // 20))
        if into is not None and (into / "run.json").exists():
            run = sd.resume(into, data, progress=False)
        else:
            run = sd.fit(network, data, plan=sd.Plan(phase), seed=seed, out=into, progress=False)
        return float(100 * (1 - run.evaluate("test")["accuracy"].value))


def draw_errors(labels: tuple[int, ...], errors: dict[str, np.ndarray], path: Path) -> Path:
    """Test errors against the number of labels: means over seeds joined by lines, and each seed as a dot."""
    from sonde.diagnose import line_panels

    across, curves = np.log10(labels), {}
    for start, each in errors.items():
        curves[start] = (across, each.mean(1))
        curves[f"{start}, each seed"] = (np.repeat(across, each.shape[1]), each.ravel(), "dots")
    panel = ("What pretraining is worth", curves, "labels, as a power of ten", "test error, %")
    return line_panels([panel], path, losses=True)
