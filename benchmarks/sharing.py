"""What sharing minibatches among cores gains, and whether it is chosen there: ``python -m benchmarks.sharing``.

Milliseconds of a training step (Adam, made-up rows) on one core's device and with the rows shared among all.
"""

from __future__ import annotations

import statistics

import jax.numpy as jnp
import numpy as np

import sonde as sd
from sonde import nn
from sonde.train import every_core, execute
from sonde.train.parallel import cores

ROUNDS, SECONDS = 5, 0.5


def convolutions(*channels: int) -> nn.Layer:
    """3 x 3 and pooling, one stage after the other."""
    stages = [nn.Sequential(nn.Conv(n, 3, activation=nn.relu), nn.MaxPool(2)) for n in channels]
    return nn.Sequential(*stages, nn.Flatten(), head=nn.Dense(10))


def then(*layers: nn.Layer) -> nn.Layer:
    """Layers, and a head."""
    return nn.Sequential(*layers, head=nn.Dense(10))


CASES = {
    "3x3 convolutions 8-16, 28 x 28, batch 32": (convolutions(8, 16), (28, 28, 1), 32),
    "16-32, batch 32": (convolutions(16, 32), (28, 28, 1), 32),
    "16-32, batch 64": (convolutions(16, 32), (28, 28, 1), 64),
    "32-64, batch 32": (convolutions(32, 64), (28, 28, 1), 32),
    "32-64, 32 x 32 x 3, batch 32": (convolutions(32, 64), (32, 32, 3), 32),
    "5x5x32 and a dense layer of 256, batch 64": (
        then(nn.Conv(32, 5, activation=nn.relu), nn.MaxPool(2), nn.Flatten(), nn.Dense(256, nn.relu)), (28, 28, 1), 64
    ),
    "LSTM 32, 28 steps, batch 32": (then(nn.LSTM(32, last=True)), (28, 28), 32),
    "LSTM 64, batch 64": (then(nn.LSTM(64, last=True)), (28, 28), 64),
    "LSTM 128, batch 64": (then(nn.LSTM(128, last=True)), (28, 28), 64),
    "GRU 128, batch 32": (then(nn.GRU(128, last=True)), (28, 28), 32),
    "784-300-50-10, batch 50": (then(nn.Dense(300, nn.relu), nn.Dense(50, nn.relu)), (784,), 50),
    "784-3x1000-10, batch 256": (then(*[nn.Dense(1000, nn.relu)] * 3), (784,), 256),
}  # fmt: skip


def measure(net: nn.Layer, shape: tuple[int, ...], batch: int) -> tuple[float, float, int]:
    """Milliseconds of a step on one device and on all, medians in turns; and how many are chosen."""
    rng, ways = np.random.default_rng(0), {1: [], cores(): []}
    columns = {
        "x": jnp.asarray(rng.normal(size=(4 * batch, *shape)), jnp.float32),
        "y": jnp.asarray(rng.integers(0, 10, 4 * batch), jnp.int32),
    }

    def train(steps: int, devices: int | None) -> sd.train.Record:
        turn = sd.Turn(sd.Classify(), sd.Adam(1e-3))
        phase = sd.Phase(turn, sd.data.Shuffled(batch), steps=steps, every=steps, devices=devices)
        return execute(nn.Network(net), sd.Plan(phase).prepare(columns), {"train": columns})[1][0]

    steps = 4
    for devices in ways:  # compiles
        steps = max(steps, int(SECONDS * 4 / train(4, devices).train_seconds))
    for _ in range(ROUNDS):
        for devices, found in ways.items():
            found.append(1000 * train(steps, devices).train_seconds / steps)
    alone, shared = (statistics.median(found) for found in ways.values())
    return alone, shared, train(4, None).devices


def main() -> None:
    """The table."""
    every_core()
    print(f"| network | one device (ms) | {cores()} devices (ms) | gain | chosen |\n| --- | --- | --- | --- | --- |")
    for name, case in CASES.items():
        alone, shared, chosen = measure(*case)
        print(f"| {name} | {alone:.3g} | {shared:.3g} | {alone / shared:.2f} | {chosen} |", flush=True)


if __name__ == "__main__":
    main()
