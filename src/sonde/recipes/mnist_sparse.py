"""MNIST with 784-300-100-10 and ever fewer weights: three ways to make them 0, and one to leave whole units out."""

from __future__ import annotations

import dataclasses
import gzip
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import sonde as sd
from sonde import nn
from sonde.recipes.recipe import Recipe, Target

WAYS = {
    "zeroed": "zeroed after training",
    "tuned": "zeroed, then tuned",
    "L1": "strong L1, then zeroed",
    "units": "units out, then tuned",
    "FTRL": "FTRL and L1",
}
"""What each is called in pictures."""


class MnistSparse(Recipe, registered="mnist-sparse"):
    """One dense network on MNIST, and sparser ones: what they get right, what they weigh, how fast they are.

    - ``zeroed``: the smallest weights of the trained network are 0.
    - ``tuned``: and the others are trained on, the zeros held.
    - ``L1``: trained from the beginning with ``l1`` times the sum of all |w| in the loss, then the smallest are 0; of
      several strengths that of the best validation accuracy, for each sparsity by itself.
    - ``units``: the least units are taken out, and what is left is trained on.
    - ``FTRL``: trained from the beginning by FTRL with L1, whose zeros are exact; how many there are follows from its
      strength.

    A little L2 in the dense network's loss brings to 0 what no row needs, such as weights from pixels that are always
    black; by size alone they would look important. The rate falls to 0 along a cosine in every training.

    Example:
        >>> from sonde.recipes import MnistSparse
        >>> MnistSparse(sparsities=(0.9,), l1=()).plan(None).phases[0].turns[0].objective
        Classify() + L2(rate=1e-05)
    """

    name = "mnist-sparse"
    targets = (
        Target("accuracy", 0.98),
        Target("tuned at 90 %, points lost", 0.5, "<="),
        Target("tuned at 90 %, zeros", 0.8999),
        Target("L1 at 90 %, points lost", 0.5, "<="),
        Target("units at 50 %, points lost", 0.5, "<="),
    )

    hidden: tuple[int, ...] = (300, 100)
    sparsities: tuple[float, ...] = (0.5, 0.8, 0.9, 0.95)
    l1: tuple[float, ...] = (3e-5, 1e-4, 3e-4)
    ftrl: tuple[float, ...] = (0.02, 0.04, 0.06, 0.08)
    l2: sd.Number = 1e-5
    rate: sd.Number = 1e-3
    ftrl_rate: sd.Number = 1.0
    batch: int = 100
    epochs: sd.Number = 12
    tuning: sd.Number = 6
    rows: int = 0

    def data(self, seed: int) -> sd.data.Dataset:
        """Whole numbers of 0..255, scaled inside the program; ``rows`` > 0 trains on the first so many."""
        data = sd.data.load("mnist", seed=seed)
        if not self.rows:
            return data
        return sd.data.Dataset({k: v[: self.rows] for k, v in data.train.items()}, data.valid, data.test, data.labels)

    def network(self, data: sd.data.Dataset) -> nn.Layer:
        """Dense layers of ReLU units."""
        layers: dict[str, nn.Layer] = {"pixels": nn.Flatten(), "scaled": nn.Scale(1 / 255)}
        for i, units in enumerate(self.hidden, start=1):
            layers[f"hidden_{i}"] = nn.Dense(units, nn.relu)
        return nn.Sequential(**layers, head=nn.Dense(data.classes))

    def plan(self, data: sd.data.Dataset) -> sd.Plan:
        """That of the dense network."""
        return self._plan(sd.Classify() + sd.L2(self.l2), sd.Adam(self._falling), self.epochs)

    @property
    def _falling(self) -> sd.optim.Schedule:
        return sd.optim.Cosine(self.rate)

    def _plan(self, objective: Any, optimizer: Any, epochs: float) -> sd.Plan:
        return sd.Plan(sd.Phase(sd.Turn(objective, optimizer), sd.data.Shuffled(self.batch), epochs=epochs))

    def networks(self, dense: sd.Run) -> dict[str, dict[float, nn.Network]]:
        """The sparse networks of each way, by the share of weights (or units) that is gone; those of FTRL by its l1."""
        zeroed = {share: sd.sparse.prune(dense.network, share) for share in self.sparsities}
        tuned = self.tuned(zeroed, dense)
        ways = {"L1": self.strong(dense), "units": self.smaller(dense), "FTRL": self.exact(dense)}
        return {"zeroed": zeroed, "tuned": tuned} | ways

    def tuned(self, zeroed: dict[float, nn.Network], dense: sd.Run) -> dict[float, nn.Network]:
        """Trained on, with zeros that stay."""
        held = sd.optim.Constrained(sd.Adam(self._falling), sd.optim.KeepZeros())
        return {share: self._trained(net, dense, sd.Classify(), held, self.tuning) for share, net in zeroed.items()}

    def smaller(self, dense: sd.Run) -> dict[float, nn.Network]:
        """Without their least units, and trained on."""
        less = {share: sd.sparse.compact(sd.sparse.prune_units(dense.network, share)) for share in self.sparsities}
        how = sd.Classify(), sd.Adam(self._falling), self.tuning
        return {share: self._trained(net, dense, *how) for share, net in less.items()}

    def strong(self, dense: sd.Run) -> dict[float, nn.Network]:
        """By L1, of the strength that validation likes best."""
        fresh, adam = self.network(dense.data), sd.Adam(self._falling)
        found = [self._trained(fresh, dense, sd.Classify() + sd.L1(by), adam, self.epochs) for by in self.l1]
        judged = lambda net: right(net, dense.data.valid)
        shares = self.sparsities if found else ()
        return {share: max((sd.sparse.prune(net, share) for net in found), key=judged) for share in shares}

    def exact(self, dense: sd.Run) -> dict[float, nn.Network]:
        """By FTRL, one of each strength."""
        fresh, rules = self.network(dense.data), [sd.optim.FTRL(self.ftrl_rate, l1=by) for by in self.ftrl]
        return {rule.l1: self._trained(fresh, dense, sd.Classify(), rule, self.epochs) for rule in rules}

    def _trained(self, net: Any, dense: sd.Run, objective: Any, optimizer: Any, epochs: float) -> nn.Network:
        """On the data and from the seed of the dense one."""
        plan = self._plan(objective, optimizer, epochs)
        return sd.fit(net, dense.data, plan=plan, seed=dense.seed, progress=False).network

    def look(self, runs: list[sd.Run], folder: Path | None, seed: int) -> dict[str, float]:
        """Points lost on the test rows by each network, bytes and microseconds: means over repeats."""
        each = [self.measured(run, self.networks(run)) for run in runs]
        numbers = {k: float(np.mean([e[k] for e in each if k in e])) for one in each for k in one}
        if folder is not None:
            draw(numbers, folder / "sparse.png")
        return numbers

    def measured(self, dense: sd.Run, ways: dict[str, dict[float, nn.Network]]) -> dict[str, float]:
        """What is told of the networks of one run. Single zeros are run as `sparse.csr`, the others as they are."""
        test, whole = dense.data.test, right(dense.network, dense.data.test)
        numbers = {"dense, percent right": 100 * whole} | costs("dense", dense.network, dense)
        for way, networks in ways.items():
            for share, net in networks.items():
                label = f"FTRL of {share:g}" if way == "FTRL" else f"{way} at {100 * share:g} %"
                numbers[f"{label}, points lost"] = 100 * (whole - right(net, test))
                left = np.count_nonzero(np.concatenate([np.ravel(w) for w in net.weights("**kernel").values()]))
                numbers[f"{label}, zeros"] = 1 - left / sum(w.size for w in dense.network.weights("**kernel").values())
                if way in ("tuned", "units"):
                    numbers |= costs(label, net, dense)
        return numbers


def right(network: nn.Network, rows: Any) -> float:
    """The share of rows that are told rightly."""
    return float((np.asarray(network(jnp.asarray(rows.x))).argmax(1) == rows.y).mean())


def costs(label: str, network: nn.Network, dense: sd.Run) -> dict[str, float]:
    """Bytes in memory and in a file, and microseconds for one row and for a thousand, the median of 30 calls."""
    call: Any = jax.jit(lambda x: network(x))
    held = sum(np.asarray(p).nbytes for p in network.params.values())
    if label.startswith("tuned"):
        call = sd.sparse.csr(network)
        held = call.nbytes
    with tempfile.TemporaryDirectory() as folder:
        artifact = dataclasses.replace(dense, network=network).artifact
        written = artifact.save(Path(folder) / "network.safetensors").read_bytes()
    numbers = {"bytes": held, "bytes in a file": len(written), "bytes, zipped": len(gzip.compress(written))}
    for rows in (1, 1000):
        given, took = dense.data.test.x[:rows], []
        for _ in range(33):
            began = time.perf_counter()
            np.asarray(call(given))
            took.append(1e6 * (time.perf_counter() - began))
        numbers[f"us for {rows:,} row{'s' * (rows > 1)}"] = statistics.median(took[3:])
    return {f"{label}, {name}": float(value) for name, value in numbers.items()}


def draw(numbers: dict[str, float], path: Path) -> None:
    """Errors over the share of zeros for each way; time over it for what is run as it is stored."""
    from sonde.diagnose import line_panels

    def curve(way: str, what: str) -> tuple[np.ndarray, np.ndarray]:
        labels = [k.removesuffix(", zeros") for k in numbers if k.startswith(f"{way} ") and k.endswith(", zeros")]
        found = sorted((100 * numbers[f"{k}, zeros"], numbers[f"{k}, {what}"]) for k in labels)
        return np.array([x for x, _ in found]), np.array([y for _, y in found])

    across, wrong = "weights that are gone, %", 100 - numbers["dense, percent right"]
    drawn = {way: curve(way, "points lost") for way in WAYS}
    errors = {WAYS[way]: (x, wrong + y) for way, (x, y) in drawn.items() if len(x)}
    panels = [("Test rows wrong, %", errors | {"dense": ([0.0], [wrong], "dots")}, across, "")]
    for title, what, scale in (("One row, us", "us for 1 row", 1), ("1,000 rows, ms", "us for 1,000 rows", 1e3)):
        curves = {WAYS[way]: curve(way, what) for way in ("tuned", "units") if len(drawn[way][0])}
        curves = {name: (x, y / scale) for name, (x, y) in curves.items()}
        panels.append((title, curves | {"dense": ([0.0], [numbers[f"dense, {what}"] / scale], "dots")}, across, ""))
    line_panels(panels, path, losses=True)
