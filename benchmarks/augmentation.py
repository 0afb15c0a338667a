"""What augmentation costs, beside the step without it: ``python -m benchmarks.augmentation [NETWORK...]``."""

from __future__ import annotations

import statistics
import sys

import jax.numpy as jnp
import numpy as np

import sonde as sd
from sonde import nn
from sonde.data import Augmentation
from sonde.train import execute

ROUNDS, CLASSES = 3, 10

TYPICAL = (sd.data.Rotate(10), sd.data.Zoom(0.1), sd.data.Shift(2, whole=False))

IMAGES: dict[str, tuple[Augmentation, ...]] = {
    "shift, whole pixels": (sd.data.Shift(2),),
    "shift": (sd.data.Shift(2, whole=False),),
    "rotate": (sd.data.Rotate(10),),
    "zoom": (sd.data.Zoom(0.1),),
    "shear": (sd.data.Shear(10),),
    "flip": (sd.data.Flip(),),
    "crop": (sd.data.Crop(4),),
    "cutout": (sd.data.Cutout(8),),
    "brightness": (sd.data.Brightness(0.2),),
    "contrast": (sd.data.Contrast(0.2),),
    "saturation": (sd.data.Saturation(0.2),),
    "hue": (sd.data.Hue(0.05),),
    "noise": (sd.data.Noise(10.0),),
    "mixup": (sd.data.Mixup(0.2),),
    "rotate, zoom, shift": TYPICAL,
    "flip, crop, brightness, contrast": (sd.data.Flip(), sd.data.Crop(4), sd.data.Brightness(), sd.data.Contrast()),
}

SERIES: dict[str, tuple[Augmentation, ...]] = {
    "time shift": (sd.data.TimeShift(20),),
    "amplify": (sd.data.Amplify(0.2),),
    "noise": (sd.data.Noise(0.1),),
    "time mask": (sd.data.TimeMask(50),),
    "all four": (sd.data.TimeShift(20), sd.data.Amplify(0.2), sd.data.Noise(0.1), sd.data.TimeMask(50)),
}


def dense(scale: float) -> nn.Layer:
    """300 and 50 hidden units."""
    layers = {"hidden_1": nn.Dense(300, nn.relu), "hidden_2": nn.Dense(50, nn.relu)}
    return nn.Sequential(scaled=nn.Scale(scale), flat=nn.Flatten(), **layers, head=nn.Dense(CLASSES))


def convolution() -> nn.Layer:
    """Two stages of convolution and pooling, and a dense layer."""
    layers: dict[str, nn.Layer] = {"scaled": nn.Scale(1 / 255)}
    for i, channels in enumerate((32, 64), start=1):
        layers |= {f"conv_{i}": nn.Conv(channels, 5), f"pool_{i}": nn.MaxPool(2), f"relu_{i}": nn.Function(nn.relu)}
    return nn.Sequential(**layers, flat=nn.Flatten(), hidden=nn.Dense(256, nn.relu), head=nn.Dense(CLASSES))


CASES = {
    "dense": (dense(1 / 255), IMAGES, (32, 32, 3), 400),
    "convolution": (convolution(), IMAGES, (32, 32, 3), 16),
    "series": (dense(1.0), SERIES, (1000,), 400),
}
"""A network, what is measured, the shape of a row, and steps in a round."""


def milliseconds(name: str) -> dict[str, float]:
    """Of a step with each of the operations, and of one without: medians over rounds in which each has its turn."""
    network, changes, shape, steps = CASES[name]
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 256, (640, *shape)).astype(np.uint8) if len(shape) == 3 else rng.normal(size=(640, *shape))
    columns = {"x": jnp.asarray(rows, jnp.uint8 if len(shape) == 3 else jnp.float32)}
    columns["y"] = jnp.asarray(rng.integers(0, CLASSES, 640), jnp.int32)
    plain, taken = sd.data.Shuffled(64), {}
    samplers = {"none": plain} | {what: sd.data.Augmented(plain, ops) for what, ops in changes.items()}
    turn = sd.Turn(sd.Classify(), sd.Adam(1e-4))
    plans = {what: sd.Plan(sd.Phase(turn, s, steps=steps, every=steps)) for what, s in samplers.items()}
    plans = {what: plan.prepare(columns) for what, plan in plans.items()}
    for round in range(ROUNDS + 1):
        for what, plan in plans.items():
            _, (record,) = execute(nn.Network(network), plan, {"train": columns}, 0)
            if round:  # the first compiles
                taken.setdefault(what, []).append(1000 * record.train_seconds / steps)
    return {what: statistics.median(each) for what, each in taken.items()}


def main() -> None:
    """A table for each network: milliseconds a step, and how many times the step without."""
    for name in sys.argv[1:] or CASES:
        print(f"| {name} | ms a step | of it for the change | times the step without |\n| --- | --- | --- | --- |")
        found = milliseconds(name)
        for what, ms in found.items():
            print(f"| {what} | {ms:.3g} | {ms - found['none']:.2g} | {ms / found['none']:.2f} |", flush=True)


if __name__ == "__main__":
    main()
