"""Whole runs as lanes of one program, shared among the cores of a CPU."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sonde._errors import ArgumentError
from sonde._random import root
from sonde.nn.mistakes import tidy
from sonde.nn.network import Network
from sonde.train.execute import compilation_cache
from sonde.train.feed import is_stream
from sonde.train.parallel import cores
from sonde.train.plan import Phase, Plan
from sonde.train.step import Data, Progress, grown, whole


def execute_many(
    network: Network, plans: Plan | Sequence[Plan], data: Data, seeds: Sequence[int] | np.ndarray, how: str = "auto"
) -> tuple[Network, tuple[Progress, ...]]:
    """Whole runs as lanes of one program, one for each seed: what a search and a cross-validation are made of.

    Args:
        network: a spec, with variables to start from if it has any.
        plans: a prepared plan for all lanes, or one a lane; they may differ in their numbers only.
        data: columns by split, on the device.
        seeds: a whole number a lane.
        how: ``"map"``, one after the other on every core: each lane has the bits of the run alone; or ``"vmap"``, all
            at once: equal to rounding, and every lane waits for the slowest. ``"auto"`` is `chosen`.

    Returns:
        Networks stacked along a leading axis of lanes, and the `Progress` at the end of each phase likewise.
    """
    if is_stream(data["train"]):
        raise ArgumentError("lanes of one program need every row at hand; give data that fits on the device")
    plans = [plans] * len(seeds) if isinstance(plans, Plan) else list(plans)
    if len(plans) != len(seeds) or not plans:
        raise ArgumentError(f"execute_many takes a seed a lane; got {len(plans)} plans and {len(seeds)} seeds")
    how = chosen(how)
    leaves, structures = zip(*(jax.tree.flatten(plan) for plan in plans), strict=True)
    if any(structure != structures[0] for structure in structures):
        raise ArgumentError("plans of one program may differ in their numbers only; these differ in more")
    rows = [np.stack([np.asarray(leaf) for leaf in lanes]) for lanes in zip(*leaves, strict=True)]
    varied = tuple(bool((lanes != lanes[:1]).any()) for lanes in rows)
    numbers = tuple(lanes if v else first for lanes, v, first in zip(rows, varied, leaves[0], strict=True))
    capacities = tuple(max(_rounds(plan.phases[i], data) for plan in plans) for i in range(len(plans[0].phases)))
    keys = jax.vmap(root)(jnp.asarray(seeds, jnp.uint32))

    def run(lanes: np.ndarray) -> Any:
        own = tuple(number[lanes] if v else number for v, number in zip(varied, numbers, strict=True))
        return tidy(_many, network, own, data, keys[lanes], structures[0], varied, how, capacities)

    parts = _parts(len(plans), how)
    with compilation_cache():
        first = run(parts[0])  # compiles, and goes on while the others run
        if len(parts) == 1:
            return first
        from concurrent.futures import ThreadPoolExecutor  # takes a while

        with ThreadPoolExecutor(len(parts) - 1, "sonde-lanes") as pool:
            others = list(pool.map(lambda lanes: jax.block_until_ready(run(lanes)), parts[1:]))
    return _joined((first, *others), len(plans))


def chosen(how: str) -> str:
    """``"map"`` or ``"vmap"``; ``"auto"`` is map on a CPU, where cores share the lanes, and vmap on what is wide.

    Raises:
        ArgumentError: it is none of the three.
    """
    if how not in ("auto", "map", "vmap"):
        raise ArgumentError(f"how must be 'auto', 'map' or 'vmap'; got {how!r}")
    cpu = jax.local_devices()[0].platform == "cpu"
    return ("map" if cpu else "vmap") if how == "auto" else how


def _parts(lanes: int, how: str) -> list[np.ndarray]:
    """The lanes of each core, as many for each, so that all run one program; the last lane may come twice."""
    n = min(cores(), lanes) if how == "map" and jax.local_devices()[0].platform == "cpu" else 1
    each = -(-lanes // n)
    return list(np.minimum(np.arange(n * each), lanes - 1).reshape(n, each))


@functools.partial(jax.jit, static_argnums=(4, 5, 6, 7))
def _many(
    network: Network, numbers: tuple, data: Data, keys: Any, structure: Any, varied: tuple, how: str, capacities: tuple
) -> tuple[Network, tuple[Progress, ...]]:
    """The lanes; ``varied`` says which of a plan's numbers have an entry a lane."""

    def lane(own: tuple) -> tuple:
        key, mine = own
        mine = iter(mine)
        plan = structure.unflatten([next(mine) if v else number for v, number in zip(varied, numbers, strict=True)])
        return whole(grown(network, plan, data, key), plan, data, key, capacities)

    lanes = keys, tuple(number for v, number in zip(varied, numbers, strict=True) if v)
    return jax.vmap(lane)(lanes) if how == "vmap" else jax.lax.map(lane, lanes)


@functools.partial(jax.jit, static_argnums=1)
def _joined(parts: tuple, lanes: int) -> Any:
    """The lanes of all cores, in order."""
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves)[:lanes], *parts)


def _rounds(phase: Phase, data: Data) -> int:
    """Rounds of the lane that has the most."""
    per_epoch = -(-phase.batch.per_epoch(data["train"]) // max(t.repeats for t in phase.turns))
    steps, epochs, every = (np.asarray(n).astype(int) for n in (phase.steps, phase.epochs, phase.every))
    total = np.where(steps > 0, steps, epochs * per_epoch)
    return int((-(-total // np.where(every > 0, every, per_epoch))).max())
