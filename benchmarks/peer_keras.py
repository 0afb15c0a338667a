"""The Keras side, on JAX, run by the peers' own interpreter (see `answering`).

`fit` is timed, from arrays in memory to the end of the last epoch, without callbacks or validation; the harness throws
the first run away, in which it compiles. A mode is a number of `steps_per_execution`, and the best of them counts.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras  # noqa: E402
import numpy as np  # noqa: E402
from keras import layers as L  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent))
from answering import cases, serve  # noqa: E402

MODES = ("1 step", "20 steps", "100 steps")


def network(case: dict, arrays: dict[str, np.ndarray]) -> keras.Model:
    """The case's network, with its initial weights."""
    x = start = keras.Input(case["shape"])
    if case["augment"]:
        x = L.RandomFlip("horizontal")(L.RandomCrop(*case["shape"][:2])(L.ZeroPadding2D(4)(x)))
    weights = []
    for i, (kind, *options) in enumerate(case["layers"]):
        own = {path.split("/")[1]: a for path, a in arrays.items() if path.startswith(f"{i}/")}

        def normed(x, size: int, stride: int, name: str, relu: bool = True, own: dict = own):
            x = L.ZeroPadding2D(size // 2)(x) if size > 1 else x
            conv = L.Conv2D(own[name].shape[-1], size, stride, use_bias=False)
            x = L.BatchNormalization(momentum=case["kept"], epsilon=1e-5)(conv(x))
            weights.append((conv, [own[name]]))
            return L.ReLU()(x) if relu else x

        if kind == "dense":
            layer = L.Dense(options[0], options[1] if options[1] != "identity" else None)
            weights.append((layer, [own["kernel"], own["bias"]]))
            x = layer(x)
        elif kind == "conv":
            layer = L.Conv2D(options[0], options[1], padding="same", activation=options[2])
            weights.append((layer, [own["kernel"], own["bias"]]))
            x = layer(x)
        elif kind == "lstm":
            layer = L.LSTM(options[0], unit_forget_bias=False)
            weights.append((layer, [own["kernel"], own["recurrent_kernel"], own["bias"]]))
            x = layer(x)
        elif kind == "norm-conv":
            x = normed(x, options[1], options[2], "kernel")
        elif kind == "block":
            y = normed(normed(x, 3, options[1], "first"), 3, 1, "second", relu=False)
            past = normed(x, 1, options[1], "shortcut", relu=False) if "shortcut" in own else x
            x = L.ReLU()(L.Add()([y, past]))
        else:
            x = {"pool": L.MaxPooling2D(2), "flatten": L.Flatten(), "mean": L.GlobalAveragePooling2D()}[kind](x)
    model = keras.Model(start, x)
    for layer, values in weights:
        layer.set_weights(values)
    return model


class Trainer:
    """One case in one mode, from the same initial weights at each `run`."""

    def __init__(self, case: dict, arrays: dict[str, np.ndarray], mode: str):
        self.case, self.x, self.y = case, arrays["x"], arrays["y"]
        self.net = network(case, arrays)
        self.initial = self.net.get_weights()
        rate = case["rate"]
        sgd = lambda: keras.optimizers.SGD(rate, case["momentum"])
        self.optimizer = keras.optimizers.Adam(rate, epsilon=1e-8) if case["optimizer"] == "adam" else sgd()
        kinds = {"binary": keras.losses.BinaryCrossentropy, "softmax": keras.losses.SparseCategoricalCrossentropy}
        loss, steps = kinds[case["loss"]](from_logits=True), int(mode.split()[0])
        self.net.compile(self.optimizer, loss, steps_per_execution=steps, jit_compile=True)
        self.fresh = None

    def run(self, seed: int) -> tuple[float, float]:
        keras.utils.set_random_seed(seed)
        self.net.set_weights(self.initial)
        if self.fresh is None:
            self.optimizer.build(self.net.trainable_variables)
            self.fresh = [np.array(v) for v in self.optimizer.variables]
        rate = self.case["rate"]
        for variable, value in zip(self.optimizer.variables, self.fresh, strict=True):
            variable.assign(value)
        self.optimizer.learning_rate = rate
        start = time.perf_counter()
        self.net.fit(self.x, self.y, self.case["batch"], self.case["epochs"], verbose=0, shuffle=True)
        seconds = time.perf_counter() - start
        return seconds, float(self.net.evaluate(self.x, self.y, batch_size=1000, verbose=0))


def hello(threads: int) -> dict:
    return {"threads": len(os.sched_getaffinity(0)), "modes": MODES}


if __name__ == "__main__":
    serve(cases(hello, Trainer))
