"""What is asked of every library: layers, losses and optimizers by name, with options and arrays in Sonde's layout.

Arrays are [rows, *space or time, channels] and kernels [*size, inputs, outputs]; each peer's module says how its own
layout differs. What is drawn is a multiple of 1/64, so that float32 holds it exactly; everything is computed in
float64. For each case a file holds the arrays (``case/x``), the outputs (``case/-> y``), and for each array the
gradient of sum(y * cos(0, 1, 2, ...)) (``case/d x``).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Case(NamedTuple):
    """One question: what a part gives, and its gradients, for these arrays."""

    name: str
    kind: str
    options: dict[str, Any]
    arrays: dict[str, tuple]
    """The shape of each, with the kind of numbers before it if they are not normal: ("labels", 6)."""


def drawn(case: Case) -> dict[str, np.ndarray]:
    """The arrays of a case."""
    rng = np.random.default_rng(zlib.crc32(case.name.encode()))
    return {name: _draw(rng, *like) for name, like in case.arrays.items()}


def _draw(rng: np.random.Generator, *like: Any) -> np.ndarray:
    kind, shape = (like[0], like[1:]) if like and isinstance(like[0], str) else ("normal", like)
    fine = lambda v: (np.round(64 * v) / 64).astype(np.float32)
    match kind:
        case "normal":
            return fine(rng.normal(size=shape))
        case "weights":
            return fine(0.5 * rng.normal(size=shape))
        case "apart":  # away from 0, where rectifiers have no derivative
            return fine(rng.choice([-1, 1], shape) * rng.uniform(0.1, 3, shape))
        case "distinct":  # no two alike, so that there is one largest in each window
            return fine(rng.permutation(int(np.prod(shape))).reshape(shape) / 16 - 2)
        case "positive":
            return fine(rng.uniform(0.25, 2, shape))
        case "shares":  # of 64 parts
            return (rng.multinomial(56, [1 / shape[-1]] * shape[-1], shape[:-1]) + 8 / shape[-1]).astype("float32") / 64
        case "fractions":
            return fine(rng.uniform(0.1, 0.9, shape))
        case "counts":
            return rng.poisson(3.0, shape).astype(np.float32)
        case "signs":
            return rng.choice([-1.0, 1.0], shape).astype(np.float32)
        case "labels":
            return rng.integers(0, 4, shape).astype(np.int32)
    raise ValueError(kind)


def cotangent(shape: tuple[int, ...]) -> np.ndarray:
    """What outputs are weighed by before they are summed, so that every entry's gradient is another."""
    return np.cos(np.arange(np.prod(shape, dtype=int))).reshape(shape)


CASES: list[Case] = []


def _add(name: str, kind: str, options: dict | None = None, **arrays: tuple) -> None:
    named = {key.replace("__", "/"): shape for key, shape in arrays.items()}
    CASES.append(Case(name, kind, options or {}, named))


ACTIVATIONS = (
    *("relu", "elu", "sigmoid", "tanh", "softmax", "softplus", "log_softmax"),
    *("leaky_relu", "selu", "gelu", "silu", "softsign"),
)
for _name in ACTIVATIONS:
    _add(_name, "activation", {"function": _name}, x=("apart", 4, 5))
_add("LeakyReLU", "activation", {"function": "LeakyReLU", "slope": 0.25}, x=("apart", 4, 5))
_add("PReLU", "PReLU", x=("apart", 4, 3, 2), slope=("positive", 2))

_loss: Callable = lambda name, p, t, **options: _add(name, "loss", {"function": name} | options, p=p, t=t)
_loss("cross_entropy", (6, 4), ("labels", 6))
_add("cross_entropy smoothing", "loss", {"function": "cross_entropy", "smoothing": 0.25}, p=(6, 4), t=("labels", 6))
_add("cross_entropy probabilities", "loss", {"function": "cross_entropy"}, p=(6, 4), t=("shares", 6, 4))
_loss("binary_cross_entropy", (6, 4), ("fractions", 6, 4))
_loss("kl_divergence", (6, 4), ("shares", 6, 4))
_loss("poisson", (6, 4), ("counts", 6, 4))
_loss("half_squared_error", (6, 4), (6, 4))
_loss("squared_error", (6, 4), (6, 4))
_loss("absolute_error", (6, 4), (6, 4))  # one entry has no error: its gradient is 0
_loss("absolute_percentage_error", (6, 4), ("apart", 6, 4))
_loss("huber", (6, 4), (6, 4), delta=0.75)
_loss("cosine_distance", (6, 4), (6, 4))
_loss("hinge", (6, 4), ("signs", 6, 4))
_loss("squared_hinge", (6, 4), ("signs", 6, 4))
_add("discriminator_loss", "loss", {"function": "discriminator_loss"}, p=(6, 4), q=(6, 4))
_add("generator_loss", "loss", {"function": "generator_loss"}, p=(6, 4))
_add("saturating_generator_loss", "loss", {"function": "saturating_generator_loss"}, p=(6, 4))
_add("gaussian_kl", "loss", {"function": "gaussian_kl"}, p=(6, 4), q=(6, 4))
_bound: Callable = lambda name, t, **options: _add(
    name, "loss", {"function": "variational_loss"} | options, p=(6, 4), t=t, mean=(6, 2), log_variance=(6, 2)
)
_bound("variational_loss", ("fractions", 6, 4))
_bound("variational_loss Gaussian", (6, 4), loss="half_squared_error")
_add("hinge of classes", "loss", {"function": "hinge", "classes": True}, p=("positive", 6, 4), t=("labels", 6))

_add("Dense", "Dense", {"units": 3}, x=(4, 5), kernel=("weights", 5, 3), bias=(3,))
_add("Embedding", "Embedding", {"count": 4, "units": 3}, x=("labels", 2, 5), kernel=(4, 3))
_add("BatchNorm", "BatchNorm", {"epsilon": 0.001, "momentum": 0.75}, x=(6, 3, 4), scale=("positive", 4), offset=(4,))
_add("LayerNorm", "LayerNorm", {"epsilon": 0.001}, x=(3, 2, 5), scale=("positive", 5), offset=(5,))
_add("GroupNorm", "GroupNorm", {"groups": 3, "epsilon": 0.001}, x=(2, 4, 3, 6), scale=("positive", 6), offset=(6,))


def _window(name: str, kind: str, x: tuple, size: tuple = (), channels: int = 0, **options: Any) -> None:
    arrays: dict[str, tuple] = {"x": ("distinct", *x) if kind == "MaxPool" else x}
    options |= {"size": size}
    if channels:
        options |= {"channels": channels}
        arrays |= {"kernel": ("weights", *size, x[-1] // options.get("groups", 1), channels), "bias": (channels,)}
    _add(name, kind, options, **arrays)


_window("Conv 1d", "Conv", (2, 9, 3), (3,), 4, padding="same")
_window("Conv 1d dilated", "Conv", (2, 9, 3), (3,), 4, padding="valid", dilation=2)
_window("Conv 2d", "Conv", (2, 6, 5, 2), (3, 3), 3, padding="same")
_window("Conv 2d even", "Conv", (2, 6, 5, 2), (2, 4), 3, padding="same")
_window("Conv 2d strided", "Conv", (2, 7, 6, 2), (3, 2), 3, padding="valid", stride=2)
_window("Conv 2d strided same", "Conv", (2, 7, 6, 2), (3, 3), 3, padding="same", stride=2)
_window("Conv 2d groups", "Conv", (2, 5, 4, 4), (3, 3), 6, padding="valid", groups=2)
_window("Conv 2d padded", "Conv", (2, 5, 4, 2), (3, 3), 3, padding=((2, 2), (1, 1)), stride=2)
_window("Conv 3d", "Conv", (1, 4, 5, 4, 2), (2, 3, 2), 2, padding="valid")
_window("ConvTranspose 1d", "ConvTranspose", (2, 5, 3), (4,), 2, padding="valid", stride=3)
_window("ConvTranspose 2d", "ConvTranspose", (2, 4, 3, 2), (3, 3), 3, padding="valid", stride=2)
_window("ConvTranspose 2d same", "ConvTranspose", (2, 4, 3, 2), (4, 4), 3, padding="same", stride=2)
_window("ConvTranspose 2d same odd", "ConvTranspose", (2, 4, 3, 2), (3, 3), 3, padding="same", stride=2)
_window("ConvTranspose 3d", "ConvTranspose", (1, 2, 3, 2, 2), (2, 2, 2), 2, padding="valid", stride=2)
_window("MaxPool 1d", "MaxPool", (2, 9, 3), (3,))
_window("MaxPool 2d", "MaxPool", (2, 7, 6, 2), (3, 2), stride=2)
_window("MaxPool 2d same", "MaxPool", (2, 7, 6, 2), (2, 2), stride=2, padding="same")
_window("AveragePool 1d", "AveragePool", (2, 9, 3), (3,))
_window("AveragePool 2d", "AveragePool", (2, 7, 6, 2), (3, 2), stride=2)
_window("AveragePool 2d same", "AveragePool", (2, 7, 6, 2), (3, 3), stride=1, padding="same")
_window("MaxPool 3d", "MaxPool", (1, 4, 4, 4, 2), (2, 2, 2))
_add("GlobalMaxPool", "GlobalMaxPool", x=("distinct", 2, 4, 5, 3))
_add("GlobalAveragePool", "GlobalAveragePool", x=(2, 4, 5, 3))

for _name, _gates in (("RNN", 1), ("LSTM", 4), ("GRU", 3)):
    _wide = dict(kernel=("weights", 2, _gates * 3), recurrent_kernel=("weights", 3, _gates * 3), bias=(_gates * 3,))
    _more = {"recurrent_bias": (3,)} if _name == "GRU" else {}
    _add(_name, _name, {"units": 3}, x=(2, 5, 2), **_wide, **_more)
    _add(f"{_name} backward", _name, {"units": 3, "reverse": True}, x=(2, 5, 2), **_wide, **_more)

_four = {f"{part}__kernel": ("weights", 4, 4) for part in ("query", "key", "value", "out")}
_four |= {f"{part}__bias": (4,) for part in ("query", "key", "value", "out")}
_add("Attention", "Attention", {"heads": 2}, x=(2, 5, 4), **_four)
_add("Attention causal", "Attention", {"heads": 2, "causal": True}, x=(2, 5, 4), **_four)
_add("Attention context", "Attention", {"heads": 2}, x=(2, 3, 4), context=(2, 5, 4), **_four)

_steps: Callable = lambda name, **options: _add(name, "optimizer", options, start=(4,), gradients=(10, 4))
_steps("SGD", optimizer="SGD", rate=0.125)
_steps("SGD momentum", optimizer="SGD", rate=0.125, momentum=0.75)
_steps("SGD nesterov", optimizer="SGD", rate=0.125, momentum=0.75, nesterov=True)
_steps("Adam", optimizer="Adam", rate=0.125, b1=0.875, b2=0.96875, epsilon=1e-8)
_means = {"rate": 0.125, "b1": 0.875, "b2": 0.875, "epsilon": 1e-8}
_steps("AdamW", optimizer="AdamW", **_means, decay=0.25, decays="**")
_steps("Adamax", optimizer="Adamax", **_means)
_steps("Nadam", optimizer="Nadam", **_means)
_steps("RAdam", optimizer="RAdam", **_means | {"epsilon": 1e-16})
_steps("LAMB", optimizer="LAMB", **_means, decay=0.0)
_steps("Lion", optimizer="Lion", rate=0.125, b1=0.875, b2=0.75)
_steps("Lion decay", optimizer="Lion", rate=0.125, b1=0.875, b2=0.75, decay=0.25, decays="**")
_steps("AdaGrad", optimizer="AdaGrad", rate=0.125, initial=0.25, epsilon=0.0)
_steps("AdaDelta", optimizer="AdaDelta", rate=1.0, decay=0.875, epsilon=1e-4)
_steps("RMSProp", optimizer="RMSProp", rate=0.125, decay=0.875, epsilon=1e-8)
_steps("RMSProp momentum", optimizer="RMSProp", rate=0.125, decay=0.875, epsilon=1e-8, momentum=0.75)
_steps("RMSProp centered", optimizer="RMSProp", rate=0.125, decay=0.875, epsilon=1e-8, centered=True)

INITIALIZERS = (
    *("glorot_uniform", "glorot_normal", "he_uniform", "he_normal"),
    *("lecun_uniform", "lecun_normal", "Orthogonal"),
)
for _name in INITIALIZERS:
    _add(f"{_name} of a matrix", "initializer", {"function": _name, "shape": (400, 300)})
    if _name != "Orthogonal":
        _add(f"{_name} of images", "initializer", {"function": _name, "shape": (3, 5, 40, 150)})
