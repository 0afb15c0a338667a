"""Minibatches shared among devices: the numbers of one device to rounding, and only where it pays."""

from __future__ import annotations

import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sonde as sd
from sonde import nn
from sonde._errors import ArgumentError
from sonde.train import Outcome, execute
from sonde.train.parallel import among, chosen, everywhere, here, operations
from sonde.train.step import Engine, Vars, advance, start

IMAGES, SERIES = (6, 6, 2), (5, 3)


def columns(shape, rng, rows=40):
    x = rng.normal(size=(rows, *shape)).astype(np.float32)
    return {"x": x, "y": np.arange(rows, dtype=np.int32) % 3}


def conv():
    """Everything that looks at other rows or at chance: statistics of a batch, dropout."""
    hidden = nn.Sequential(conv=nn.Conv(4, 3, activation=nn.relu), norm=nn.BatchNorm(), drop=nn.Dropout(0.3))
    return nn.Sequential(hidden=hidden, pool=nn.MaxPool(2), flat=nn.Flatten(), head=nn.Dense(3))


NETWORKS = {
    "conv": (conv(), IMAGES),
    "dense": (nn.Sequential(flat=nn.Flatten(), norm=nn.LayerNorm(), head=nn.Dense(3)), IMAGES),
    "lstm": (nn.Sequential(lstm=nn.LSTM(4, last=True), head=nn.Dense(3)), SERIES),
    "gru": (nn.Sequential(gru=nn.Bidirectional(nn.GRU(4)), pool=nn.GlobalMaxPool(), head=nn.Dense(3)), SERIES),
    "attention": (nn.Sequential(attend=nn.Attention(1), pool=nn.GlobalAveragePool(), head=nn.Dense(3)), SERIES),
}


def fit(spec, data, devices, **options):
    given = {"batch": 16, "epochs": 2, "seed": 3, "progress": False, "probes": sd.train.GradientNorm()} | options
    return sd.fit(spec, data, sd.Classify() + sd.L2(1e-3), sd.SGD(0.05, 0.9), devices=devices, **given)


def alike(one, other):
    for tree, again in ((one.network.params, other.network.params), (one.network.state, other.network.state)):
        assert tree.keys() == again.keys()
        for path in tree:
            np.testing.assert_allclose(tree[path], again[path], rtol=2e-3, atol=2e-4, err_msg=path)
    for name, values in one.history.items():
        np.testing.assert_allclose(values, other.history[name], rtol=2e-3, atol=2e-4, err_msg=name)


@pytest.mark.parametrize("name", NETWORKS)
def test_two_devices_come_to_what_one_comes_to(name, rng):
    spec, shape = NETWORKS[name]
    data = sd.data.Dataset(train=columns(shape, rng), valid=columns(shape, rng, 12))
    alone, shared = fit(spec, data, 1), fit(spec, data, 2)
    assert [alone.records[0].devices, shared.records[0].devices] == [1, 2]
    alike(alone, shared)
    assert "shares each minibatch among 2 devices" in str(shared) and "shares" not in str(alone)
    assert all(len(value.devices()) == 1 for value in shared.network.params.values())


@pytest.mark.parametrize("how", ["augmented", "stream", "full batch"])
def test_rows_may_come_from_anywhere(how, rng):
    train = columns(IMAGES, rng)
    given = {"chunk": 16} if how == "stream" else {}
    options = {"augmented": {"augment": sd.data.Flip()}, "stream": {}, "full batch": {"batch": 40}}[how]
    data = sd.data.Dataset(train=train, **given)
    alike(fit(conv(), data, 1, **options), fit(conv(), data, 2, **options))


def test_a_body_at_rest_is_looked_up_on_every_device(rng):
    data = sd.data.Dataset(train=columns(IMAGES, rng))
    turn = sd.Turn(sd.Classify(), sd.Adam(1e-2), trains="head/**")
    plan = lambda n: sd.Plan(sd.Phase(turn, sd.data.Shuffled(16), epochs=2, devices=n))
    alike(*(sd.fit(conv(), data, plan=plan(n), progress=False) for n in (1, 2)))


def test_a_run_that_goes_on_has_the_bits_of_one_that_was_not_interrupted(rng, tmp_path):
    data, calls = sd.data.Dataset(train=columns(IMAGES, rng)), []

    def interrupt(dispatch):
        calls.append(dispatch)
        if len(calls) == 1:
            raise Stop

    class Stop(BaseException):
        pass

    whole = fit(conv(), data, 2, epochs=12, out=tmp_path / "whole")
    with pytest.raises(Stop):
        fit(conv(), data, 2, epochs=12, out=tmp_path / "cut", observer=interrupt, checkpoint_seconds=0)
    again = sd.resume(tmp_path / "cut", data, progress=False)
    assert again.records[0].devices == 2 and again.outcome == Outcome.FINISHED
    assert again.network == whole.network


@pytest.mark.parametrize("name", ["conv", "lstm", "gru", "attention"])
def test_gradients_are_added_up_and_nothing_is_handed_round(name, rng):
    spec, shape = NETWORKS[name]
    data = {"train": jax.tree.map(jnp.asarray, columns(shape, rng))}
    phase = sd.Phase(sd.Turn(sd.Classify(), sd.SGD(0.1)), sd.data.Shuffled(16), steps=5).prepare(data["train"])
    net, mesh = nn.build(spec, data["train"]["x"][:2]), among(2)
    begun = start(spec, phase, data, Vars(net.params, net.state), jax.random.key(0), 4)
    given = everywhere((data, begun), mesh)
    text = advance.lower(spec, phase, *given, np.int32(5), mesh).compile().as_text()
    assert "all-reduce" in text
    assert not any(word in text for word in ("all-gather", "all-to-all", "collective-permute"))


def test_products_of_convolutions_and_of_loops_with_a_derivative_are_counted(rng):
    def counted(spec, shape):
        data = {"train": jax.tree.map(jnp.asarray, columns(shape, rng))}
        phase = sd.Phase(sd.Turn(sd.Classify(), sd.SGD(0.1)), sd.data.Shuffled(10), steps=1).prepare(data["train"])
        net = nn.build(spec, data["train"]["x"][:2])
        return Engine(spec, phase, data, Vars(net.params, net.state)).operations

    assert counted(NETWORKS["conv"][0], IMAGES) == 2 * 10 * 36 * (9 * 2) * 4
    assert counted(NETWORKS["lstm"][0], SERIES) == 2 * 10 * 5 * 4 * (4 * 4)
    assert counted(NETWORKS["gru"][0], SERIES) == 2 * (2 * 10 * 5 * 4 * (3 * 4))
    rnn = nn.Sequential(rnn=nn.RNN(4, last=True), head=nn.Dense(3))
    assert counted(NETWORKS["dense"][0], IMAGES) == counted(rnn, SERIES) == 0
    of_jax = jax.make_jaxpr(lambda x: x @ x)(jnp.ones((3, 3))).jaxpr
    assert operations(of_jax) == 0 and operations(of_jax, carried=True) == 54


def test_many_cores_share_as_far_as_there_is_enough_for_each(monkeypatch):
    monkeypatch.setattr(jax, "local_device_count", lambda: 64)
    assert chosen(None, 64, 2.6e8, 100_000) == 8  # ten have enough, and eight divide 64
    assert chosen(None, 64, 1e10, 100_000) == 64


def test_it_is_shared_where_that_pays():
    assert chosen(None, 64, 1e9, 100_000) == 2
    assert chosen(None, 64, 1e7, 1_000) == chosen(None, 64, 4e7, 1_000) == 1  # too little to do for each
    assert chosen(None, 64, 1e9, 10_000_000) == 1  # too much to add up
    assert chosen(None, 63, 1e9, 100_000) == 1  # rows that do not come out even
    assert chosen(2, 64, 0, 1) == 2 and chosen(1, 64, 1e9, 1) == 1  # asked for
    with pytest.raises(ArgumentError, match=r"devices=64, but JAX has 2; .*every_core\(\) before anything"):
        chosen(64, 64, 1e9, 1)


def test_a_run_says_if_more_cores_would_have_been_faster(rng, monkeypatch):
    data = sd.data.Dataset(train=columns(IMAGES, rng))
    monkeypatch.setattr("sonde.train.parallel.SHARE", 1.0)
    monkeypatch.setattr("sonde.train.parallel.REUSE", 0.0)
    assert "would share" not in str(fit(conv(), data, None))  # all cores are devices here
    monkeypatch.setattr(sys.modules["sonde.train.execute"], "cores", lambda: 4)
    assert "would share each minibatch among 4 cores" in str(fit(conv(), data, None))
    assert "would share" not in str(fit(conv(), data, 1))  # as it was asked for
    assert "would share" not in str(fit(conv(), data, None, batch=10))  # 4 does not divide 10


def test_cores_do_not_add_up_inside_loops(rng, monkeypatch):
    """XLA may wait for ever there: two devices for each other, each in a sum of its own."""
    monkeypatch.setattr("sonde.train.parallel.SHARE", 1.0)
    monkeypatch.setattr("sonde.train.parallel.REUSE", 0.0)
    rnn = nn.Sequential(conv=nn.Conv(4, 3), rnn=nn.RNN(4, last=True), head=nn.Dense(3))
    series = sd.data.Dataset(train=columns(SERIES, rng))
    assert fit(rnn, series, None).records[0].devices == 1
    with pytest.raises(ArgumentError, match=r"devices=2: .* nn\.RNN"):
        fit(rnn, series, 2)
    repeated = sd.Plan(sd.Phase(sd.Turn(sd.Classify(), sd.SGD(0.1), repeats=2), sd.data.Shuffled(16), epochs=1))
    run = sd.fit(conv(), sd.data.Dataset(train=columns(IMAGES, rng)), plan=repeated, progress=False)
    assert run.records[0].devices == 1


@pytest.mark.parametrize("altered", [False, True], ids=["plain", "altered"])
def test_nothing_is_added_up_where_rows_are_drawn_or_inside_a_loop_beside_others(altered, rng):
    """The sums over devices of a step, of validation and of probes: none in a loop within the step."""
    both = {split: jax.tree.map(jnp.asarray, columns(IMAGES, rng, rows=4096)) for split in ("train", "valid")}
    batch = sd.data.Shuffled(16)
    if altered:
        batch = sd.data.Augmented(batch, (sd.data.Rotate(10), sd.data.Crop(1), sd.data.Flip()))
    phase = sd.Phase(sd.Turn(sd.Classify(), sd.SGD(0.1)), batch, epochs=2, probes=sd.train.GradientNorm())
    plan = sd.Plan(phase).prepare(both["train"])
    net = nn.build(conv(), both["train"]["x"][:2])
    variables = Vars(net.params, net.state)
    progress = start(net.spec, plan.phases[0], both, variables, jax.random.key(0), 8)
    mesh = among(2)
    given = net.spec, plan.phases[0], everywhere(both, mesh), everywhere(progress, mesh), np.int32(9), mesh
    text = advance.lower(*given).compile().as_text()
    sums = [line for line in text.splitlines() if " all-reduce(" in line or " all-gather(" in line]
    where = {re.search(r'op_name="([^"]*)"', line)[1] for line in sums}
    # rounds are a loop, and in it steps are one, and so is validation; beside that one probes may add up nothing
    assert where and all("/while/cond" not in name and name.count("/while/body") == 2 for name in where), where


def test_a_phase_says_what_is_no_number_of_devices(rng):
    data = sd.data.Dataset(train=columns(IMAGES, rng))
    for wrong in (0, -1, 1.5, "all"):
        with pytest.raises(ArgumentError, match="devices"):
            fit(conv(), data, wrong)
    plan = sd.Plan(sd.Phase(sd.Turn(sd.Classify(), sd.SGD(0.1)), sd.data.Shuffled(8), epochs=1))
    with pytest.raises(ArgumentError, match=r"Phase\(turn, \.\.\., devices=\.\.\.\)"):
        sd.fit(conv(), data, plan=plan, devices=2)


def test_cores_share_the_memory_of_what_they_all_have():
    x = jnp.arange(100_000.0)
    both = everywhere({"x": x}, among(2))["x"]
    assert {part.data.unsafe_buffer_pointer() for part in both.addressable_shards} == {x.unsafe_buffer_pointer()}
    assert here(both).unsafe_buffer_pointer() == x.unsafe_buffer_pointer() and here(x) is x


PROGRAMS = {
    "first": ("sd.train.every_core()", "cores()"),
    "after JAX began": ("jax.numpy.ones(3); sd.train.every_core()", "1"),
    "told otherwise": ("jax.config.update('jax_num_cpu_devices', 3); sd.train.every_core()", "3"),
    "told by a flag": (
        "os.environ['XLA_FLAGS'] = '--xla_force_host_platform_device_count=3'; sd.train.every_core()",
        "3",
    ),
    "only imported": ("pass", "1"),
}


@pytest.mark.parametrize("how", PROGRAMS)
def test_every_core_is_a_device_if_it_is_said_in_time(how):
    begin, wanted = PROGRAMS[how]
    program = f"import os, jax, jax.numpy, sonde as sd; from sonde.train.parallel import cores; {begin}"
    program += f"; assert jax.local_device_count() == {wanted}, jax.local_device_count()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_execute_takes_what_a_run_takes(rng):
    data = {"train": jax.tree.map(jnp.asarray, columns(IMAGES, rng))}
    phase = sd.Phase(sd.Turn(sd.Classify(), sd.SGD(0.1)), sd.data.Shuffled(16), steps=7, devices=2)
    plan = sd.Plan((phase, phase.replace(devices=1))).prepare(data["train"])
    whole, records = execute(nn.Network(conv()), plan, data, 1)
    sliced, _ = execute(nn.Network(conv()), plan, data, 1, dispatch_seconds=0)
    assert [r.devices for r in records] == [2, 1] and whole == sliced
