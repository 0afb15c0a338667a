"""How much memory a run takes, before it begins: what is carried exactly, a batch about."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sonde._random import derive, root
from sonde.nn.mistakes import tidy
from sonde.nn.network import Network
from sonde.train.feed import is_stream
from sonde.train.plan import Phase, Plan
from sonde.train.step import Data, Engine, Vars, grown, start

COPIES = 3
"""What a training step holds of each layer's output: itself, what it was before the activation, and its gradient."""

COMPILING = 100_000_000
"""What compiling adds to the process: about 90 to 110 MB, measured with networks of 0.3 to 6 M parameters."""

HISTORY = 256
"""Rounds whose reports are on the device."""


@dataclasses.dataclass(frozen=True)
class Memory:
    """Bytes that a run takes on its device.

    Attributes:
        data: columns of the training and validation rows; of a stream, the chunk in use and the next one.
        variables: the network, the copy that is kept, the optimizer's state and reports, before a dispatch and after.
        batch: outputs of the layers for a minibatch, and the minibatch; an estimate.
        rows: rows in the minibatch.
        compiling: what the compiler takes, where it shares the memory of the device; measured once, about.

    Example:
        >>> from sonde.train.memory import Memory
        >>> print(Memory(60_000_000, 12_000_000, 3_000_000, rows=32))
        about 75 MB: data 60, network and optimizer 12, a batch of 32 rows 3
    """

    data: int
    variables: int
    batch: int
    rows: int
    compiling: int = 0

    @property
    def total(self) -> int:
        """All of it."""
        return self.data + self.variables + self.batch + self.compiling

    def __str__(self) -> str:
        scale, unit = (1e9, "GB") if self.total >= 1e9 else (1e6, "MB")
        data, variables, batch, compiling, total = (
            f"{n / scale:.2g}" if n < 100 * scale else f"{n / scale:,.0f}"
            for n in (self.data, self.variables, self.batch, self.compiling, self.total)
        )
        return (
            f"about {total} {unit}: data {data}, network and optimizer {variables}, "
            f"a batch of {self.rows:,} rows {batch}{f', compiling {compiling}' if self.compiling else ''}"
        )


def estimate(network: Network, plan: Plan, data: Data) -> Memory:
    """What running a plan takes: the most that one of its phases does.

    Nothing is computed, only shapes are. Not counted are what the process had before, what its allocator holds on to,
    and outputs of resting layers that are looked up.

    Args:
        network: a spec, with variables to start from if it has any.
        plan: prepared for the data (`Plan.prepare`).
        data: columns by split, or what stands for them; "train" may be a stream.

    Example:
        >>> import numpy as np, sonde as sd
        >>> from sonde import nn
        >>> from sonde.nn.network import as_network
        >>> from sonde.train.memory import estimate
        >>> turn = sd.Turn(sd.Classify(), sd.Adam(1e-3))
        >>> plan = sd.Plan(sd.Phase(turn, sd.data.Shuffled(32), epochs=1))
        >>> columns = {"x": np.zeros((1000, 50), np.float32), "y": np.arange(1000, dtype=np.int32) % 3}
        >>> memory = estimate(as_network(nn.Dense(3)), plan.prepare(columns), {"train": columns})
        >>> memory.data
        204000
    """
    valid = _size({split: columns for split, columns in data.items() if split != "train"})
    compiling = COMPILING if jax.local_devices()[0].platform == "cpu" else 0
    most = None
    for i, phase in enumerate(plan.phases):
        here, phase, train = _drawn_from(phase, data)
        like = jax.eval_shape(lambda d, i=i: grown(network, plan, d, 0), here)
        variables = Vars(like.params, like.state)
        carried = _size(_carried(network.spec, phase, here, variables, i))
        outputs, rows = _batch(network.spec, phase, here, variables)
        memory = Memory(train + valid, 2 * carried + _size(variables), outputs, rows, compiling)
        most = memory if most is None or memory.total > most.total else most
    assert most is not None
    return most


def _drawn_from(phase: Phase, data: Data) -> tuple[Data, Phase, int]:
    """The shapes that a phase draws from, the phase with its sampler, and the bytes of the training rows."""
    shapes = lambda tree: jax.tree.map(lambda a: jax.ShapeDtypeStruct(np.shape(a), _dtype(a)), tree)
    train: Any = data["train"]
    others = {split: shapes(c if isinstance(c, dict) else dict(c)) for split, c in data.items() if split != "train"}
    if is_stream(train):
        sampler = train.sampler(phase.batch)
        chunk = train.like(sampler)
        return {"train": chunk, **others}, phase.replace(batch=sampler), 2 * _size(chunk)
    columns = shapes(train if isinstance(train, dict) else dict(train))
    return {"train": columns, **others}, phase, _size(columns)


def _carried(spec: Any, phase: Phase, data: Data, variables: Vars, i: int) -> Any:
    """All that is carried from step to step, as `start` makes it."""
    begin = lambda d, v: start(spec, phase, d, v, derive(root(0), i), HISTORY)
    return tidy(jax.eval_shape, begin, data, variables)


def _batch(spec: Any, phase: Phase, data: Data, variables: Vars) -> tuple[int, int]:
    """Bytes of a minibatch and of what layers make of it, of the turn with the most; and its rows."""
    found, rows = [0], [0]

    def trace(d: Data, variables: Vars, key: Any) -> Any:
        engine, outputs = Engine(spec, phase, d, variables), {}
        batch = engine.draw(key, jnp.int32(0))
        for i, turn in enumerate(phase.turns):
            net, seen = engine._net(i, variables, batch, key)
            turn.objective(net, seen)
            outputs[i] = net._frame.outputs
        rows[0] = len(batch)
        found.extend(COPIES * _size(made) + _size(batch) for made in outputs.values())
        return 0

    jax.eval_shape(trace, data, variables, jax.random.key(0))
    return max(found), rows[0]


def available() -> int | None:
    """Bytes that are free on the device; on a CPU, in the machine or its container. None where nobody knows."""
    stats = jax.local_devices()[0].memory_stats()
    if stats and "bytes_limit" in stats:
        return int(stats["bytes_limit"]) - int(stats.get("bytes_in_use", 0))
    return min((n for n in (_free(), _left_in_container()) if n is not None), default=None)


def _free() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    except (OSError, ValueError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def _left_in_container() -> int | None:
    """What the limit of a container (cgroup 2) leaves; pages of files that can be dropped count as free."""
    try:
        folder = Path("/sys/fs/cgroup")
        limit, used = ((folder / name).read_text().strip() for name in ("memory.max", "memory.current"))
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return None if limit == "max" else max(int(limit) - int(used) + int(stat.get("inactive_file", 0)), 0)
    except (OSError, ValueError):
        return None


def _dtype(a: Any) -> Any:
    return a.dtype if hasattr(a, "dtype") else np.asarray(a).dtype


def _size(tree: Any) -> int:
    """Bytes of the arrays of a tree."""
    sizes = lambda a: int(np.prod(a.shape)) * getattr(a.dtype, "itemsize", 4)
    return sum(sizes(leaf) for leaf in jax.tree.leaves(tree) if hasattr(leaf, "shape"))
