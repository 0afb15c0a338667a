"""Matrices turned over while a phase runs: nobody sees it, and only those are that nothing else would mind."""

from __future__ import annotations

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sonde as sd
from sonde import nn
from sonde._random import derive, root
from sonde.data import Shuffled
from sonde.train import layout
from sonde.train.execute import execute
from sonde.train.step import Engine, Vars, advance, grown, start

RNG = np.random.default_rng(0)
ROWS = {"x": RNG.normal(size=(50, 6)).astype(np.float32), "y": (np.arange(50) % 3).astype(np.int32)}
WORDS = {"x": RNG.integers(0, 9, (50, 4)).astype(np.int32), "y": ROWS["y"]}
NET = nn.Sequential(hidden=nn.Dense(5, nn.relu), norm=nn.BatchNorm(), head=nn.Dense(3))


@pytest.fixture(params=[0, 10**9], ids=["turned", "as they are"])
def smallest(request, monkeypatch):
    """Every matrix is large enough, or none is."""
    monkeypatch.setattr(layout, "SMALLEST", request.param)
    jax.clear_caches()
    yield request.param
    jax.clear_caches()


def plan(optimizer: Any, columns: dict = ROWS, batch: int = 8, **options: Any) -> sd.Plan:
    turn = sd.Turn(sd.Classify() + sd.L2(1e-3), optimizer)
    return sd.Plan(sd.Phase(turn, Shuffled(batch), **({"epochs": 3} | options))).prepare(columns)


def data(columns: dict) -> dict:
    return {split: jax.tree.map(jnp.asarray, columns) for split in ("train", "valid")}


def turned(spec: Any, plan: sd.Plan, columns: dict = ROWS) -> set[str]:
    network = grown(nn.Network(spec), plan, data(columns), 0)
    return set(Engine(spec, plan.phases[0], data(columns), Vars(network.params, network.state)).turned)


class Mine(sd.Adam):
    """What is derived may look at a matrix as a whole."""


def test_kernels_of_dense_layers_are_turned_under_an_elementwise_optimizer(monkeypatch):
    monkeypatch.setattr(layout, "SMALLEST", 0)
    both = {"hidden/kernel", "head/kernel"}
    for optimizer in (sd.SGD(0.1, 0.9), sd.Adam(0.1), sd.AdamW(0.1), sd.RMSProp(0.1)):
        assert turned(NET, plan(optimizer)) == both
    assert turned(NET, plan(Mine(0.1))) == set()
    assert turned(NET, plan(sd.optim.LBFGS(), batch=50)) == set()
    assert turned(NET, plan(sd.Adam(0.1), average=sd.EMA(0.9))) == set()
    embedded = nn.Sequential(words=nn.Embedding(9, 4), flat=nn.Flatten(), head=nn.Dense(3))
    assert turned(embedded, plan(sd.Adam(0.1), WORDS), WORDS) == {"head/kernel"}
    monkeypatch.setattr(layout, "SMALLEST", 20)
    assert turned(NET, plan(sd.Adam(0.1))) == {"hidden/kernel"}  # 6 x 5 numbers, and 5 x 3


def test_parameters_move_where_they_lie(monkeypatch):
    """The program copies no kernel from step to step; it does where the rate is known before the gradients are."""

    def copied() -> list[str]:
        jax.clear_caches()
        spec = nn.Sequential(a=nn.Dense(70, nn.relu), b=nn.Dense(80, nn.relu), c=nn.Dense(90), head=nn.Dense(3))
        phase, rows = plan(sd.SGD(0.1, 0.9)).phases[0], data(ROWS)
        network = grown(nn.Network(spec), sd.Plan(phase), rows, 0)
        begun = start(spec, phase, rows, Vars(network.params, network.state), root(0), 4)
        text = advance.lower(spec, phase, rows, begun, np.int32(9)).compile().as_text()
        (step,) = (part for part in text.split("\n\n") if part.count(" dot(") > 2)  # its gradients
        return re.findall(r"%copy[.\d]* = f32\[(?:80,70|70,80|90,80|80,90)\]", step)

    assert copied() == []
    monkeypatch.setattr("sonde.train.step.after", lambda known, rate, never: rate)
    assert len(copied()) == 2
    jax.clear_caches()


def test_a_step_a_slice_and_a_whole_run_agree_to_the_bit(smallest, seed):
    phase, rows = plan(sd.Adam(0.05), every=5).phases[0], data(ROWS)
    network = grown(nn.Network(NET), sd.Plan(phase), rows, seed)
    variables, key = Vars(network.params, network.state), derive(root(seed), 0)
    ends = []
    for stride in (1, 4, 1000):
        p = start(NET, phase, rows, variables, key, 16)
        while not int(p.outcome):
            p = advance(NET, phase, rows, p, np.int32(int(p.state.step) + stride))
        ends.append([np.asarray(v).tobytes() for v in jax.tree.leaves((p.state, p.kept, p.history))])
        assert p.state.vars.params["hidden/kernel"].shape == (6, 5)
    assert ends[0] == ends[1] == ends[2]


def test_a_run_is_the_same_to_rounding_in_either_layout(monkeypatch, seed):
    found = []
    for smallest in (0, 10**9):
        monkeypatch.setattr(layout, "SMALLEST", smallest)
        jax.clear_caches()
        probes = (sd.GradientNorm(), sd.UpdateRatio())
        found.append(execute(nn.Network(NET), plan(sd.SGD(0.1, 0.9), probes=probes), data(ROWS), seed))
    jax.clear_caches()
    (one, (a,)), (other, (b,)) = found
    for path, v in one.params.items():
        np.testing.assert_allclose(v, other.params[path], rtol=1e-4, atol=1e-5, err_msg=path)
    for name, values in a.history.items():
        np.testing.assert_allclose(values, b.history[name], rtol=1e-3, atol=1e-5, err_msg=name)
