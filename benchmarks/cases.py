"""What is trained: the cases, their data and their initial weights, in NumPy only.

Every side (Sonde, the plain JAX loop, each peer) starts from the same arrays, sees every row once an epoch in
an order of its own (a full batch needs none), and ends a run with the mean loss over the whole training data.
"""

from __future__ import annotations

import gzip
import itertools
import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).absolute().parent.parent


@dataclass(frozen=True)
class Case:
    """A dense network, its loss, its optimizer, and how long it trains."""

    name: str
    sizes: tuple[int, ...]  # inputs, hidden layers..., outputs
    activation: str  # "relu" | "elu", after each layer but the last
    loss: str  # "binary" (cross-entropy on one logit) | "softmax" (cross-entropy on logits)
    optimizer: str  # "sgd" | "adam"
    rate: float
    batch: int
    epochs: int
    data: str  # "xor" | "mnist"
    rows: int
    momentum: float = 0.0  # of "sgd"
    seed: int = 0  # of the initial weights

    @property
    def steps(self) -> int:
        """Updates in a run; the last batch of an epoch may be short."""
        return self.epochs * math.ceil(self.rows / self.batch)


CASES = {
    case.name: case
    for case in (
        Case("xor", (2, 8, 1), "relu", "binary", "sgd", 0.5, batch=4, epochs=300, data="xor", rows=4),
        Case("mlp", (784, 300, 50, 10), "relu", "softmax", "sgd", 0.05, 50, 2, "mnist", 10_000, momentum=0.9),
        Case("deep", (784, *[100] * 5, 10), "elu", "softmax", "adam", 1e-3, 32, 2, "mnist", 10_000),
    )
}


def initial(case: Case) -> dict[str, np.ndarray]:
    """He-normal kernels of shape (inputs, outputs) and zero biases: `kernel_0`, `bias_0`, `kernel_1`, ..."""
    rng = np.random.default_rng(case.seed)
    arrays = {}
    for i, (m, n) in enumerate(itertools.pairwise(case.sizes)):
        arrays[f"kernel_{i}"] = (rng.standard_normal((m, n)) * math.sqrt(2 / m)).astype(np.float32)
        arrays[f"bias_{i}"] = np.zeros(n, np.float32)
    return arrays


def arrays(case: Case) -> tuple[dict[str, np.ndarray], str]:
    """Return `x`, `y` and the initial weights, with a few words on where the data comes from."""
    if case.data == "xor":
        x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
        y, source = np.array([0, 1, 1, 0], np.float32), "the four points"
    else:
        x, y, source = _mnist(case.rows)
    assert x.shape == (case.rows, case.sizes[0]) and x.dtype == np.float32
    return {"x": x, "y": y, **initial(case)}, source


def _mnist(rows: int) -> tuple[np.ndarray, np.ndarray, str]:
    """The first `rows` training images in 0..1, or made-up ones of that shape where there is no MNIST."""
    for folder in filter(None, (os.environ.get("SONDE_DATA"), ROOT.parent / "shared" / "data")):
        images = Path(folder) / "mnist" / "train-images-idx3-ubyte.gz"
        labels = Path(folder) / "mnist" / "train-labels-idx1-ubyte.gz"
        if images.is_file() and labels.is_file():
            with gzip.open(images) as f:
                x = np.frombuffer(f.read(16 + rows * 784), np.uint8, offset=16).reshape(rows, 784)
            with gzip.open(labels) as f:
                y = np.frombuffer(f.read(8 + rows), np.uint8, offset=8)
            return x.astype(np.float32) / 255, y.astype(np.int32), "MNIST"
    rng = np.random.default_rng(20)
    lit = rng.random((10, 784)) < 0.2  # a fifth of the pixels, as in MNIST
    centers = np.where(lit, rng.random((10, 784)), 0)
    y = rng.integers(0, 10, rows)
    x = np.clip(centers[y] + 0.5 * rng.standard_normal((rows, 784)) * (centers[y] > 0), 0, 1)
    y = np.where(rng.random(rows) < 0.1, rng.integers(0, 10, rows), y)  # so that the loss stays above zero
    return x.astype(np.float32), y.astype(np.int32), "synthetic (no MNIST found)"
