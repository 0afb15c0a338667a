"""What is trained: the cases, their data and their initial weights, in NumPy only.

Every side (Sonde, the plain JAX loop, each peer) builds a network of the same layers, starts from the same arrays,
sees every row once an epoch in an order of its own (a full batch needs none), and ends a run with the mean loss over
the whole training data, as the network is at inference.

A layer is a tuple, which each side turns into its own kind:

    ("dense", units, activation)      x W + b
    ("conv", channels, size, activation)    stride 1, as many outputs as inputs, with a bias
    ("pool",)                         the largest of each 2x2
    ("flatten",)
    ("lstm", units)                   h after the last step
    ("norm-conv", channels, size, stride)   convolution without a bias, batch normalization, relu
    ("block", channels, stride)       relu(norm(conv(norm-conv(x))) + x), 3x3; where the shape changes x goes
                                      through a convolution of size 1 and a normalization
    ("mean",)                         over height and width
"""

from __future__ import annotations

import gzip
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).absolute().parent.parent

Layers = tuple[tuple, ...]


@dataclass(frozen=True)
class Case:
    """A network, its loss, its optimizer, how long it trains, and how much faster than the best peer it should be."""

    name: str
    what: str
    layers: Layers
    loss: str  # "binary" (cross-entropy on one logit) | "softmax" (cross-entropy on logits)
    optimizer: str  # "sgd" | "adam"
    rate: float
    batch: int
    epochs: int
    data: str  # "xor" | "mnist" | "color"
    shape: tuple[int, ...]  # of a row of x
    rows: int
    momentum: float = 0.0  # of "sgd"
    kept: float = 0.9  # of the running averages of batch normalization, at each step
    augment: bool = False  # windows of the image with a border of 4, half of them mirrored, anew for each row
    wanted: float = 1.0  # seconds of the best peer / Sonde's
    seed: int = 0  # of the initial weights

    @property
    def steps(self) -> int:
        """Updates in a run; the last batch of an epoch may be short."""
        return self.epochs * math.ceil(self.rows / self.batch)


def dense(*units: int, activation: str) -> Layers:
    """Dense layers with an activation after each but the last."""
    return (*(("dense", n, activation) for n in units[:-1]), ("dense", units[-1], "identity"))


CNN = (("conv", 32, 5, "relu"), ("pool",), ("conv", 64, 5, "relu"), ("pool",), ("flatten",))
RESNET_20 = (
    ("norm-conv", 16, 3, 1),
    *(("block", channels, 2 if channels > 16 and i == 0 else 1) for channels in (16, 32, 64) for i in range(3)),
    ("mean",),
)

CASES = {
    case.name: case
    for case in (
        Case(
            "xor", "2-8-1, 4 points, 300 epochs", dense(8, 1, activation="relu"), "binary",
            "sgd", 0.5, batch=4, epochs=300, data="xor", shape=(2,), rows=4, wanted=30,
        ),
        Case(
            "mlp", "784-300-50-10, batch 50, momentum", dense(300, 50, 10, activation="relu"), "softmax",
            "sgd", 0.05, 50, 2, "mnist", (784,), 10_000, momentum=0.9, wanted=2.2,
        ),
        Case(
            "deep", "784-5x100-10, ELU, Adam, batch 32", dense(*[100] * 5, 10, activation="elu"), "softmax",
            "adam", 1e-3, 32, 2, "mnist", (784,), 10_000, wanted=2.5,
        ),
        Case(
            "wide", "784-3x1000-10, sigmoid, batch 128", dense(*[1000] * 3, 10, activation="sigmoid"), "softmax",
            "sgd", 0.02, 128, 1, "mnist", (784,), 10_240, wanted=1.35,
        ),
        Case(
            "cnn", "5x5x32, pool, 5x5x64, pool, 256, 10, batch 64", (*CNN, *dense(256, 10, activation="relu")),
            "softmax", "adam", 1e-3, 64, 1, "mnist", (28, 28, 1), 1_920, wanted=1.2,
        ),
        Case(
            "resnet", "ResNet-20 on 32x32x3, augmented, batch 64", (*RESNET_20, ("dense", 10, "identity")), "softmax",
            "sgd", 0.03, 64, 1, "color", (32, 32, 3), 640, momentum=0.9, kept=0.5, augment=True, wanted=1.2,
        ),
        Case(
            "lstm", "28 steps of 28, 128 units, batch 64", (("lstm", 128), ("dense", 10, "identity")), "softmax",
            "adam", 1e-3, 64, 1, "mnist", (28, 28), 6_400, wanted=1.3,
        ),
    )
}  # fmt: skip


def walk(case: Case) -> Iterator[tuple[int, str, tuple, tuple[int, ...], tuple[int, ...]]]:
    """Each layer: its number, kind and options, and the shapes of a row before and after it."""
    before = case.shape
    for i, (kind, *options) in enumerate(case.layers):
        if kind in ("dense", "lstm"):
            after = (options[0],)
        elif kind in ("conv", "norm-conv", "block"):
            stride = 1 if kind == "conv" else options[-1]
            after = (before[0] // stride, before[1] // stride, options[0])
        elif kind == "pool":
            after = (before[0] // 2, before[1] // 2, before[2])
        else:
            after = (math.prod(before),) if kind == "flatten" else before[-1:]
        yield i, kind, tuple(options), before, after
        before = after


def initial(case: Case) -> dict[str, np.ndarray]:
    """Normal kernels of shape [..., inputs, outputs] and zero biases by layer: `0/kernel`, `0/bias`, ...

    The variance is 2 / inputs (He), and 32 / inputs before a sigmoid, whose slope is at most a fourth. Kernels of an
    LSTM hold the gates i, f, g, o side by side. Normalization starts as 1 and 0 on every side.
    """
    rng, made = np.random.default_rng(case.seed), {}

    def kernel(*sizes: int, gain: int = 2) -> np.ndarray:
        return (rng.standard_normal(sizes) * math.sqrt(gain / math.prod(sizes[:-1]))).astype(np.float32)

    for i, kind, options, before, after in walk(case):
        inputs, outputs = before[-1], after[-1]
        if kind == "dense":
            gain = 32 if options[1] == "sigmoid" else 2
            made |= {f"{i}/kernel": kernel(inputs, outputs, gain=gain), f"{i}/bias": np.zeros(outputs, np.float32)}
        elif kind == "conv":
            size = options[1]
            made |= {f"{i}/kernel": kernel(size, size, inputs, outputs), f"{i}/bias": np.zeros(outputs, np.float32)}
        elif kind == "lstm":
            made |= {f"{i}/kernel": kernel(inputs, 4 * outputs), f"{i}/recurrent_kernel": kernel(outputs, 4 * outputs)}
            made[f"{i}/bias"] = np.zeros(4 * outputs, np.float32)
        elif kind == "norm-conv":
            made[f"{i}/kernel"] = kernel(options[1], options[1], inputs, outputs)
        elif kind == "block":
            made |= {f"{i}/first": kernel(3, 3, inputs, outputs), f"{i}/second": kernel(3, 3, outputs, outputs)}
            made |= {f"{i}/shortcut": kernel(1, 1, inputs, outputs)} if inputs != outputs else {}
    return made


def products(case: Case) -> list[tuple[int, int, int, bool]]:
    """The matrix products of a step: rows, inner, columns, and whether the gradient is handed back to the inputs.

    A convolution is the product of its windows (rows x height x width of them) with its kernel; an LSTM that of
    all its inputs, and that of its states, a step at a time.
    """
    found: list[tuple[int, int, int, bool]] = []
    for _, kind, options, before, after in walk(case):
        inputs, outputs, back = before[-1], after[-1], bool(found)
        windows = case.batch * math.prod(after[:-1])
        if kind == "dense":
            found.append((case.batch, inputs, outputs, back))
        elif kind in ("conv", "norm-conv"):
            found.append((windows, options[1] ** 2 * inputs, outputs, back))
        elif kind == "block":
            found += [(windows, 9 * inputs, outputs, True), (windows, 9 * outputs, outputs, True)]
            found += [(windows, inputs, outputs, True)] if inputs != outputs else []
        elif kind == "lstm":
            found.append((case.batch * before[0], inputs, 4 * outputs, back))
            found += [(case.batch, outputs, 4 * outputs, True)] * (before[0] - 1)
    return found


def flops(case: Case) -> int:
    """The floating-point operations of the products of a run."""
    return 2 * case.steps * sum(m * k * n * (3 if back else 2) for m, k, n, back in products(case))


def arrays(case: Case) -> tuple[dict[str, np.ndarray], str]:
    """Return `x`, `y` and the initial weights, with a few words on where the data comes from."""
    if case.data == "xor":
        x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
        y, source = np.array([0, 1, 1, 0], np.float32), "the four points"
    elif case.data == "color":
        x, y, source = _colored(case.rows)
    else:
        x, y, source = mnist(case.rows)
    x = x.reshape(case.rows, *case.shape)
    assert x.dtype == np.float32
    return {"x": x, "y": y, **initial(case)}, source


def _colored(rows: int) -> tuple[np.ndarray, np.ndarray, str]:
    """Made-up color images [32, 32, 3]: a blob of its class's color at its class's place, and noise."""
    rng = np.random.default_rng(21)
    y = rng.integers(0, 10, rows)
    colors, places = rng.random((10, 3)), rng.integers(8, 24, (10, 2))
    at = np.stack(np.meshgrid(np.arange(32), np.arange(32), indexing="ij"), -1)
    away = ((at[None] - places[y][:, None, None]) ** 2).sum(-1)
    x = np.exp(-away / 100)[..., None] * colors[y][:, None, None] + 0.1 * rng.standard_normal((rows, 32, 32, 3))
    return x.astype(np.float32), y.astype(np.int32), "made-up color images"


def mnist(rows: int) -> tuple[np.ndarray, np.ndarray, str]:
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
