"""Checkpoints: where a run stands, as one file that is always whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sonde._errors import FormatError, ResumeError, shape_of
from sonde._random import IMPL
from sonde._store import read_arrays, write_arrays
from sonde.nn.network import Network
from sonde.train.control import Outcome
from sonde.train.record import Record
from sonde.train.step import Progress


def save(path: Path, records: list[Record], progress: Progress) -> None:
    """Write where the last of ``records`` stands, and what happened so far."""
    arrays = {f"progress{name}": _raw(leaf) for name, leaf in _named(progress)}
    for i, record in enumerate(records):
        arrays |= {f"history/{i}/{name}": values for name, values in record.history.items()}
    header = {"records": [_plain(r) for r in records]}
    write_arrays(path, arrays, header, "checkpoint")


def load(path: Path) -> tuple[list[Record], dict[str, np.ndarray]]:
    """What happened so far, and the arrays of where it stands (see `restore`).

    Raises:
        ResumeError: the file is damaged, or no checkpoint of this Sonde.
    """
    try:
        arrays, header = read_arrays(path, "checkpoint")
        records = []
        for i, plain in enumerate(header["records"]):
            prefix = f"history/{i}/"
            history = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
            records.append(Record(**plain | {"outcome": Outcome(plain["outcome"])}, history=history))
    except (FormatError, KeyError, TypeError, ValueError) as error:
        raise ResumeError(f"{_damage(path, error)}; without the file the run begins anew") from None
    return records, {k.removeprefix("progress"): v for k, v in arrays.items() if k.startswith("progress")}


def restore(like: Any, arrays: dict[str, np.ndarray]) -> Progress:
    """Fill a progress; its structure comes from the plan (``like``, shapes only), never from the file.

    Raises:
        ResumeError: it does not fit.
    """
    leaves, wanted = [], dict(_named(like))
    if wanted.keys() != arrays.keys():
        odd = sorted(wanted.keys() ^ arrays.keys())[0]
        raise ResumeError(f"the checkpoint does not fit the plan ({odd}): a part was changed since; start a new run")
    for name, leaf in wanted.items():
        stored, is_key = arrays[name], _is_key(leaf)
        leaf = jax.eval_shape(jax.random.key_data, leaf) if is_key else leaf
        if stored.shape != leaf.shape or stored.dtype != leaf.dtype:
            raise ResumeError(
                f"the checkpoint does not fit the plan: {name} should be {shape_of(leaf)}, is {shape_of(stored)}; "
                "a part was changed since; start a new run"
            )
        leaves.append(_key(stored) if is_key else jnp.asarray(stored))
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def save_variables(path: Path, network: Network) -> None:
    """Write every variable that a network has, those of objectives too."""
    arrays = {f"params/{p}": v for p, v in network.params.items()} | {f"state/{p}": v for p, v in network.state.items()}
    keys = sorted(name for name, v in arrays.items() if _is_key(v))
    write_arrays(path, {name: _raw(v) for name, v in arrays.items()}, {"keys": keys}, "variables")


def load_variables(path: Path, network: Network) -> Network:
    """The network with the variables in a file.

    Raises:
        ResumeError: the file is damaged, or holds no variables.
    """
    try:
        arrays, header = read_arrays(path, "variables")
        arrays = {name: _key(v) if name in header["keys"] else jnp.asarray(v) for name, v in arrays.items()}
    except (FormatError, KeyError, TypeError, ValueError) as error:
        raise ResumeError(f"{_damage(path, error)}; a run cannot go on without it: start a new one") from None
    below = lambda part: {k.removeprefix(part): v for k, v in arrays.items() if k.startswith(part)}
    return network.replace(params=below("params/"), state=below("state/"))


def _damage(path: Path, error: Exception) -> str:
    return str(error) if isinstance(error, FormatError) else f"{path} is damaged ({type(error).__name__}: {error})"


def _is_key(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _key(stored: np.ndarray) -> Any:
    return jax.random.wrap_key_data(jnp.asarray(stored), impl=IMPL)


def _named(tree: Any) -> list[tuple[str, Any]]:
    return [(jax.tree_util.keystr(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)]


def _raw(leaf: Any) -> np.ndarray:
    return np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)


def _plain(record: Record) -> dict:
    fields = ("steps", "per_epoch", "total", "compile_seconds", "train_seconds", "blame", "trained", "devices")
    return {"outcome": int(record.outcome)} | {f: getattr(record, f) for f in fields}
