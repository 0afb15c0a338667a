"""The estimate of memory: exact where shapes say it, near what the compiled program takes, and said before a run."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sonde as sd
from sonde import nn
from sonde.data.stream import Stream
from sonde.nn.network import as_network
from sonde.train.memory import Memory, available, estimate
from sonde.train.step import Vars, advance, grown, start

ADAM = sd.Adam(1e-3)


def columns(rows, features=20):
    return {"x": np.zeros((rows, features), np.float32), "y": np.arange(rows, dtype=np.int32) % 3}


def plan(batch=32, optimizer=ADAM, control=()):
    return sd.Plan(sd.Phase(sd.Turn(sd.Classify(), optimizer), sd.data.Shuffled(batch), epochs=1, control=control))


def network(width=64):
    return as_network(nn.Sequential(hidden=nn.Dense(width, nn.relu), head=nn.Dense(3)))


def estimated(data, made=None, net=None):
    return estimate(net or network(), (made or plan()).prepare(data["train"]), data)


def test_the_data_is_counted_to_the_byte():
    assert estimated({"train": columns(1000)}).data == 1000 * (20 * 4 + 4)
    assert estimated({"train": columns(1000), "valid": columns(50)}).data == 1050 * (20 * 4 + 4)
    padded = {"x": sd.Padded(np.zeros((9, 7), np.float32), np.ones(9, np.int32)), "y": np.arange(9, dtype=np.int32) % 3}

    class Summed(nn.Layer):
        def __call__(self, scope, x):
            return jnp.stack([x.values.sum(1)] * 3, 1) * scope.param("w", (3,), nn.zeros)[None]

    assert estimated({"train": padded}, net=as_network(Summed())).data == 9 * 7 * 4 + 9 * 4 + 9 * 4


@pytest.mark.parametrize("optimizer", [sd.Adam(1e-3), sd.SGD(0.1)], ids=["adam", "sgd"])
def test_what_is_carried_is_what_the_engine_carries(optimizer):
    data, made = {"train": columns(100), "valid": columns(10)}, plan(optimizer=optimizer, control=sd.KeepBest())
    made = made.prepare(data["train"])
    net = grown(network(), made, data, 0)
    variables = Vars(net.params, net.state)
    p = start(net.spec, made.phases[0], data, variables, jax.random.key(0), 256)
    sizes = [sum(leaf.nbytes for leaf in jax.tree.leaves(tree)) for tree in (p, variables)]
    assert estimate(network(), made, data).variables == 2 * sizes[0] + sizes[1]


@pytest.mark.parametrize(("rows", "width"), [(32, 64), (2000, 64), (64, 1000), (2000, 500)])
def test_it_is_near_what_the_compiler_says_its_program_takes(rows, width):
    data, made = {"train": columns(4000)}, plan(batch=rows).prepare(columns(4000))
    net = grown(network(width), made, data, 0)
    p = start(net.spec, made.phases[0], data, Vars(net.params, net.state), jax.random.key(0), 256)
    program = advance.lower(net.spec, made.phases[0], data, p, jnp.int32(0)).compile().memory_analysis()
    taken = program.argument_size_in_bytes + program.output_size_in_bytes + program.temp_size_in_bytes
    memory = estimate(network(width), made, data)
    assert taken / 2 < memory.total - memory.compiling < 2 * taken


def test_a_stream_takes_two_chunks_however_long_it_is():
    stream = Stream(columns(100_000), chunk=640)
    memory = estimate(network(), plan().prepare(columns(100)), {"train": stream, "valid": columns(10)})
    assert memory.data == (2 * 640 + 10) * (20 * 4 + 4)


def test_a_bigger_batch_or_network_takes_more_and_the_largest_phase_counts():
    data = {"train": columns(1000)}
    small, rows, wide = estimated(data), estimated(data, plan(256)), estimated(data, net=network(640))
    assert rows.batch > 4 * small.batch and rows.variables == small.variables and rows.rows == 256
    assert wide.variables > 8 * small.variables
    both = sd.Plan(plan().phases + plan(256).phases)
    assert estimated(data, both) == rows


def test_it_is_said_in_a_unit_that_fits():
    assert str(Memory(3_000_000, 1_200_000, 40_000, 32)) == (
        "about 4.2 MB: data 3, network and optimizer 1.2, a batch of 32 rows 0.04"
    )
    assert str(Memory(4_200_000_000, 10**9, 10**8, 1024, 10**8)) == (
        "about 5.4 GB: data 4.2, network and optimizer 1, a batch of 1,024 rows 0.1, compiling 0.1"
    )


def test_what_is_free_is_known_here():
    free = available()
    assert free is None or 10**7 < free < 10**14


def test_a_run_says_what_it_takes_before_it_begins_and_warns_if_that_is_most_of_what_is_free(monkeypatch, capsys):
    data = sd.data.Dataset({"x": np.zeros((100, 20), np.float32), "y": np.arange(100) % 3})
    told = lambda **more: sd.fit(network().spec, data, sd.Classify(), sd.SGD(0.1), epochs=1, **more).decisions
    before = lambda said: lambda _: said.append(capsys.readouterr().err)
    first: list[str] = []
    assert any(line.startswith("memory: about ") for line in told(progress=True, observer=before(first)))
    assert first[0].startswith("training: memory: about ")
    assert any(line.startswith("memory: about ") for line in told())
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sonde.fitting.available", lambda: 1_000_000)
    said: list[str] = []
    assert any("only 1 MB are free" in line for line in told(observer=before(said)))
    assert "look: the run takes about" in said[0]
    told(progress=False)
    assert "look:" not in capsys.readouterr().err


def test_a_mistake_in_the_network_is_told_by_the_run_and_not_by_the_estimate():
    data = sd.data.Dataset({"x": np.zeros((100, 20), np.uint8), "y": np.arange(100) % 3})
    with pytest.raises(sd.SondeError, match="Dense takes floating-point numbers"):
        sd.fit(network().spec, data, sd.Classify(), sd.SGD(0.1), epochs=1)
