"""A phase in bfloat16: its products are, and nothing else is."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sonde as sd
from sonde import nn
from sonde._errors import ArgumentError
from sonde._random import root
from sonde.train.step import Engine, Vars, grown

X = np.random.default_rng(0).normal(size=(8, 6, 6, 2)).astype(np.float32)
IMAGES = {"x": X, "y": np.arange(8, dtype=np.int32) % 3}
SERIES = {**IMAGES, "x": X.reshape(8, 6, 12)}
WORDS = {**IMAGES, "x": np.arange(40, dtype=np.int32).reshape(8, 5) % 7}

NETWORKS = {
    "dense": (nn.Sequential(flat=nn.Flatten(), hidden=nn.Dense(5, nn.relu), norm=nn.BatchNorm()), IMAGES),
    "conv": (nn.Sequential(conv=nn.Conv(4, 3), norm=nn.BatchNorm(), pool=nn.GlobalAveragePool()), IMAGES),
    "lstm": (nn.LSTM(5, last=True), SERIES),
    "gru": (nn.GRU(5, last=True), SERIES),
    "words": (nn.Sequential(embed=nn.Embedding(7, 4), gru=nn.GRU(3, last=True), drop=nn.Dropout(0.5)), WORDS),
    "attention": (nn.Sequential(attend=nn.Attention(2), norm=nn.LayerNorm(), flat=nn.Flatten()), SERIES),
}


def engine(body: Any, columns: dict, precision: str) -> tuple[Engine, Any]:
    """A phase of Adam for a network of this body, and its beginning."""
    spec = nn.Sequential(body=body, head=nn.Dense(3))
    turn = sd.Turn(sd.Classify() + sd.L2(1e-4), sd.Adam(0.01))
    plan = sd.Plan(sd.Phase(turn, sd.data.Shuffled(4), steps=3, precision=precision)).prepare(columns)
    data = {split: jax.tree.map(jnp.asarray, columns) for split in ("train", "valid")}
    network = grown(nn.Network(spec), plan, data, 0)
    variables = Vars(network.params, network.state)
    made = Engine(spec, plan.phases[0], data, variables)
    return made, jax.eval_shape(lambda v: made.start(v, root(0), 4), variables)


def products(function: Any, *args: Any) -> list[str]:
    """The types of what is multiplied in a program, a product each; of the inputs, not of the sums."""
    found = []

    def look(jaxpr: Any) -> None:
        for equation in jaxpr.eqns:
            if equation.primitive.name in ("dot_general", "conv_general_dilated"):
                found.append("/".join(sorted({v.aval.dtype.name for v in equation.invars})))
            for inner in jax.tree.leaves(equation.params, is_leaf=lambda p: hasattr(p, "eqns") or hasattr(p, "jaxpr")):
                if hasattr(inner, "eqns") or hasattr(inner, "jaxpr"):
                    look(inner if hasattr(inner, "eqns") else inner.jaxpr)

    look(jax.make_jaxpr(function)(*args).jaxpr)
    return found


@pytest.mark.parametrize("name", NETWORKS)
def test_a_step_keeps_every_variable_and_every_sum_in_float32(name):
    made, p = engine(*NETWORKS[name], "bfloat16")
    state, means, _ = jax.eval_shape(made.step, p.state, root(0))
    kinds = lambda tree: [(a.shape, a.dtype) for a in jax.tree.leaves(tree)]
    assert kinds(state) == kinds(p.state)
    floats = [a for a in jax.tree.leaves((p, state, means)) if jnp.issubdtype(a.dtype, jnp.inexact)]
    assert {a.dtype for a in floats} == {jnp.dtype("float32")}


@pytest.mark.parametrize("name", ["dense", "conv", "attention"])
def test_products_with_weights_are_in_bfloat16_and_those_of_judging_are_not(name):
    for precision, expected in (("float32", "float32"), ("bfloat16", "bfloat16")):
        made, p = engine(*NETWORKS[name], precision)
        stepping = products(made.step, p.state, root(0))
        between = {"float32"} if name == "attention" else set()  # of queries and keys, neither of which is a weight
        assert len(stepping) >= 3 and set(stepping) == {expected} | between
        judging = products(made.evaluate, p.state.vars, root(0))
        assert judging and set(judging) == {"float32"}


def test_digits_are_learned_as_well_as_in_float32(seed):
    data = sd.data.load("digits")
    net = nn.Sequential(flat=nn.Flatten(), scale=nn.Scale(1 / 16), hidden=nn.Dense(32, nn.relu), head=nn.Dense(10))
    runs = {
        precision: sd.fit(net, data, sd.Classify(), sd.Adam(0.01), epochs=8, precision=precision, seed=seed)
        for precision in ("float32", "bfloat16")
    }
    full, low = (run.evaluate("valid")["accuracy"] for run in runs.values())
    assert full.value > 0.9 and abs(full.value - low.value) < 3 * max(full.error, low.error)
    losses = [run.records[0].history["train/loss"] for run in runs.values()]
    assert (losses[0] != losses[1]).any(), "the same numbers, so it shows nothing"
    np.testing.assert_allclose(losses[0][0], losses[1][0], rtol=0.05)
    assert "products in bfloat16; weights, sums and judging in float32" in runs["bfloat16"].decisions
    assert not any("products" in line for line in runs["float32"].decisions)
    plan = runs["bfloat16"].plan
    assert sd.from_json(sd.to_json(plan)) == plan and plan.phases[0].precision == "bfloat16"


def test_what_is_no_precision_is_refused_and_a_plan_says_its_own():
    with pytest.raises(ArgumentError, match="precision of a phase must be one of float32, bfloat16; got 'float16'"):
        sd.Phase(sd.Turn(sd.Classify(), sd.SGD(0.1)), sd.data.Shuffled(4), epochs=1, precision="float16")
    plan = sd.Plan(sd.Phase(sd.Turn(sd.Classify(), sd.SGD(0.1)), sd.data.Shuffled(4), epochs=1))
    with pytest.raises(ArgumentError, match="a plan says its precision itself"):
        sd.fit(nn.Dense(3), (X.reshape(8, -1), IMAGES["y"]), plan=plan, precision="bfloat16")
