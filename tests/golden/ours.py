"""What Sonde gives for the same cases, and how far that is from a peer: ``python -m tests.golden.ours`` prints it."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import sonde as sd
from sonde import nn, objectives

from .cases import CASES, Case, cotangent
from .files import PEERS, read


def spec_of(kind: str, options: dict) -> Any:
    """The layer that a case is about."""
    if kind == "activation":
        options = dict(options)
        function = getattr(nn, options.pop("function"))
        return nn.Function(function(**options) if options else function)
    return getattr(nn, kind)(**options)


def answered(case: Case, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Outputs and gradients of a case, in float64, by the names of the files."""
    if case.kind == "initializer":
        return {"-> y": drawn(**case.options)}
    arrays = {name: jnp.asarray(v, jnp.float64 if v.dtype.kind == "f" else v.dtype) for name, v in given.items()}
    if case.kind == "optimizer":
        return {"-> y": np.asarray(descended(case.options, **arrays))}
    if case.kind == "loss":
        run = lambda moved: {"y": lost(case.options, *(moved.get(name, given) for name, given in arrays.items()))}
    else:
        spec = spec_of(case.kind, case.options)
        run = lambda moved: outputs(spec, case.kind, {**arrays, **moved})
    moved = {n: v for n, v in arrays.items() if jnp.issubdtype(v.dtype, jnp.floating) and n != "t"}

    def weighed(moved: dict) -> tuple:
        found = run(moved)
        return (found["y"] * cotangent(found["y"].shape)).sum(), found

    (_, found), slopes = jax.jit(jax.value_and_grad(weighed, has_aux=True))(moved)
    told = {f"-> {name}": np.asarray(value) for name, value in found.items()}
    return told | {f"d {name}": np.asarray(value) for name, value in slopes.items()}


def outputs(spec: Any, kind: str, arrays: dict) -> dict[str, Any]:
    """What a layer gives in training, and the state that it leaves."""
    inputs = [arrays[name] for name in ("x", "context") if name in arrays]
    params = {name: v for name, v in arrays.items() if name not in ("x", "context")}
    state = {}
    if kind == "BatchNorm":
        state = {"mean": jnp.zeros(inputs[0].shape[-1]), "var": jnp.ones(inputs[0].shape[-1])}
    net = nn.Network(spec, params, state).bind(train=True)
    return {"y": net(*inputs)} | dict(net._frame.state)


def lost(options: dict, *given: Any) -> Any:
    """The loss of each row or entry."""
    numbers = {name: value for name, value in options.items() if name not in ("function", "classes")}
    numbers |= {"loss": getattr(objectives, numbers["loss"])} if "loss" in numbers else {}
    return getattr(objectives, options["function"])(*given, **numbers)


def descended(options: dict, start: Any, gradients: Any) -> Any:
    """Where ten steps lead."""
    options = dict(options)
    part = getattr(sd.optim, options.pop("optimizer"))(**options)
    params = {"kernel": start}
    memory, path = part.init(params), []
    for gradient in gradients:
        params, memory = part.update(params, {"kernel": gradient}, memory, part.rate, lambda p: p["kernel"].sum())
        path.append(params["kernel"])
    return jnp.stack(path)


def drawn(function: str, shape: tuple) -> np.ndarray:
    """The spread and the extremes of a draw."""
    init = getattr(nn, function, None)
    init = init() if isinstance(init, type) else init
    w = np.asarray(init(jax.random.key(0), shape), np.float64)
    return np.array([w.std(), w.min(), w.max()])


class Difference(NamedTuple):
    """The largest difference of a case's outputs and gradients, relative to the largest number there (or 1)."""

    case: str
    peer: str
    values: float
    gradients: float


def difference(case: Case, peer: str, given: dict[str, np.ndarray]) -> Difference:
    """How far Sonde is from a peer; of a draw of an initializer, its spread."""
    found = answered(case, {name: given[name] for name in case.arrays})
    if case.kind == "initializer":
        return Difference(case.name, peer, abs(found["-> y"][0] / given["-> y"][0] - 1), 0.0)
    theirs = {name: v for name, v in given.items() if name not in case.arrays}
    assert found.keys() == theirs.keys(), f"{case.name}: {sorted(found)} is not {sorted(theirs)}"
    apart = {"->": 0.0, "d": 0.0}
    for name, ours in found.items():
        assert ours.shape == theirs[name].shape, f"{case.name}: {name} {ours.shape} is not {theirs[name].shape}"
        size = max(1.0, float(np.abs(theirs[name]).max()))
        kind = name.split(" ")[0]
        apart[kind] = max(apart[kind], float(np.abs(ours - theirs[name]).max()) / size)
    return Difference(case.name, peer, apart["->"], apart["d"])


def compared() -> list[Difference]:
    """All differences of all peers."""
    with jax.enable_x64(True):
        told = []
        for peer in PEERS:
            cases = read(peer)[1]
            told += [difference(case, peer, cases[case.name]) for case in CASES if case.name in cases]
    return told


if __name__ == "__main__":
    for peer in PEERS:
        print(peer, read(peer)[0])
    table: dict[str, dict[str, Difference]] = {}
    for found in compared():
        table.setdefault(found.case, {})[found.peer] = found
    heads = "".join(f"{peer + ' value':>16}{'gradient':>12}" for peer in PEERS)
    print(f"\n{'case':30}{heads}")
    for name, row in table.items():
        cells = "".join(f"{row[p].values:16.1e}{row[p].gradients:12.1e}" if p in row else " " * 28 for p in PEERS)
        print(f"{name:30}{cells}")
