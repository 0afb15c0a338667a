"""Data parallelism: the rows of each minibatch lie on several devices, all else on each of them.

On a CPU its cores can be the devices (`every_core`). XLA runs a step operation by operation: large products use all
cores, what lies between them uses one. A network that does much with few weights, of convolutions or recurrent layers,
is faster where each core takes its share of the rows through the whole step, and the gradients are added up at its end
(docs/performance.md has the figures). A dense one is not: it has little to do between products, and gradients as large
as its matrices would be added up at every step.

The compiler is told where the rows lie, and no more: it finds out what must be added up, so that the statistics of a
batch are still those of the whole. The numbers are those of one device, to rounding.
"""

from __future__ import annotations

import math
import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from sonde._errors import ArgumentError

SHARE = 2.5e7
"""Operations forward that each device must have of a step (see `operations`); of fewer it takes no less time."""

REUSE = 500
"""Operations for each number that trains: all gradients are added up, and each device updates all parameters."""


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def every_core() -> None:
    """Let JAX show each core of the CPU as a device, so that they can share minibatches; `fit` does so by itself.

    Nothing happens where JAX has begun to work already, or was told how many devices a CPU is.

    Example:
        >>> import sonde as sd
        >>> sd.train.every_core()             # before anything else that uses JAX
    """
    by_flag = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if not by_flag and getattr(jax.config, "jax_num_cpu_devices", 0) < 1 < cores():
        try:
            jax.config.update("jax_num_cpu_devices", cores())
        except RuntimeError:  # it has begun: there is one device, and everything works on it
            pass


def operations(program: Any, carried: bool = False) -> float:
    """Multiplications and additions of a program of JAX, in convolutions and in loops with a derivative of their own.

    Other products are left out: those of dense layers use all cores anyway, and a loop with JAX's derivative, such as
    that of `nn.RNN`, would add its gradients up at every turn.
    """
    from jax.extend.core import jaxprs_in_params

    found = 0.0
    for equation in program.eqns:
        kind, given = equation.primitive.name, equation.params
        shapes = [v.aval.shape for v in (*equation.invars[:2], *equation.outvars[:1])]
        if kind == "convolution":  # of `nn.convolve`
            found += 2 * math.prod(shapes[2]) * math.prod(shapes[1][:-1])
        elif kind == "dot_general" and carried:
            (inner, _), _ = given["dimension_numbers"]
            found += 2 * math.prod(shapes[2]) * math.prod(shapes[0][axis] for axis in inner)
        else:
            times = given["length"] if kind == "scan" else 1
            within = carried or kind == "custom_vjp_call"
            found += times * sum(operations(inner, within) for inner in jaxprs_in_params(given))
    return found


def loops(program: Any) -> bool:
    """Whether a program of JAX has a loop with JAX's derivative: it would add up at every turn."""
    from jax.extend.core import jaxprs_in_params

    plain = [e for e in program.eqns if e.primitive.name != "custom_vjp_call"]
    within = (loops(inner) for e in plain for inner in jaxprs_in_params(e.params))
    return any(e.primitive.name in ("scan", "while") for e in plain) or any(within)


def worth(most: int, rows: int, operations: float, numbers: int, loops: bool = False) -> int:
    """Among how many cores of a CPU it pays to share a minibatch: as many as divide its rows evenly, or 1.

    Args:
        most: as many as there are.
        rows: in a minibatch.
        operations: forward, see `operations`.
        numbers: that train, whose gradients are added up.
        loops: whether something is added up inside loops, see `loops`.
    """
    pays = operations >= REUSE * numbers and not loops and jax.local_devices()[0].platform == "cpu"
    return _even(min(most, int(operations / SHARE)), rows) if pays else 1


def chosen(devices: int | None, rows: int, operations: float, numbers: int, loops: bool = False) -> int:
    """Among how many devices a minibatch is shared: what was asked for, or what is `worth` it; that divides its rows.

    Raises:
        ArgumentError: there are fewer devices than were asked for, or cores would have to add up inside loops.
    """
    there = jax.local_device_count()
    if devices is None:
        return worth(there, rows, operations, numbers, loops)
    if devices > there:
        raise ArgumentError(
            f"devices={devices}, but JAX has {there}; on a CPU call sonde.train.every_core() before anything uses JAX"
        )
    if devices > 1 and loops and jax.local_devices()[0].platform == "cpu":
        raise ArgumentError(
            f"devices={devices}: the cores of a CPU cannot share a turn with repeats, nor a loop with JAX's own "
            "gradient such as that of nn.RNN, since XLA may wait there for ever; nn.LSTM and nn.GRU have their own"
        )
    return _even(devices, rows)


def _even(devices: int, rows: int) -> int:
    return max(n for n in range(1, max(devices, 1) + 1) if rows % n == 0)


def among(devices: int) -> Mesh | None:
    """The first so many devices in a row; None for one."""
    return Mesh(np.array(jax.local_devices()[:devices]), ("rows",)) if devices > 1 else None


def everywhere(tree: Any, mesh: Mesh | None) -> Any:
    """Arrays on each device; cores share the host's memory, so there they are no copies."""
    if mesh is None:
        return here(tree)
    shared = mesh.devices.flat[0].platform == "cpu"
    whole = NamedSharding(mesh, PartitionSpec())

    def put(leaf: Any) -> Any:
        plain = shared and not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return jax.device_put(np.asarray(leaf) if plain else leaf, whole)

    return jax.tree.map(put, tree)


def here(tree: Any) -> Any:
    """Arrays that are on each device, on the first."""
    one = lambda leaf: leaf.addressable_data(0) if isinstance(leaf, jax.Array) and len(leaf.devices()) > 1 else leaf
    return jax.tree.map(one, tree)


def sharded(rows: Any, mesh: Mesh | None) -> Any:
    """Arrays of rows in a program, of which each device has its part; those that do not come out even stay whole."""
    if mesh is None:
        return rows
    apart = NamedSharding(mesh, PartitionSpec("rows"))
    part = lambda a: jax.lax.with_sharding_constraint(a, apart) if a.ndim and a.shape[0] % mesh.size == 0 else a
    return jax.tree.map(part, rows)


def replicated(tree: Any, mesh: Mesh | None) -> Any:
    """What each device has all of, in a program."""
    return tree if mesh is None else jax.lax.with_sharding_constraint(tree, NamedSharding(mesh, PartitionSpec()))
