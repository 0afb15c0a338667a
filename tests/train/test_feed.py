"""Training on a stream: the same bits however it is cut, one program for all chunks, little memory."""

import functools
import json
import subprocess
import sys

import jax
import numpy as np
import pytest

import sonde as sd
import sonde.fitting
from sonde import nn
from sonde.folder import FILES
from sonde.train import Outcome, execute
from sonde.train.step import advance


def blobs(n=500, chunk=None, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    x = rng.normal(size=(n, 4)).astype(np.float32) + 2 * np.eye(4, dtype=np.float32)[y]
    valid = {"x": x[:60], "y": y[:60]}
    return sd.data.Dataset(train={"x": x, "y": y}, valid=valid, chunk=chunk)


def spec():
    return nn.Sequential(norm=nn.BatchNorm(), hidden=nn.Dense(8, nn.relu), drop=nn.Dropout(0.2), head=nn.Dense(3))


def train(data, plan=None, observer=None, checkpoints=None, **options):
    phase = sd.Phase(sd.Turn(sd.Classify(), sd.Adam(1e-2)), sd.data.Shuffled(16), epochs=3, control=sd.KeepBest())
    plan = (plan or sd.Plan((phase, phase.replace(probes=sd.GradientNorm())))).prepare(dict(data.train))
    data = sonde.fitting.placed(data)
    network = sonde.fitting.as_network(spec())
    return execute(network, plan, data, 7, observer=observer, checkpoints=checkpoints, checkpoint_seconds=0, **options)


def same(one, other):
    assert one[0] == other[0]
    for a, b in zip(one[1], other[1], strict=True):
        assert a.history.keys() == b.history.keys()
        for name in a.history:
            np.testing.assert_array_equal(a.history[name], b.history[name], err_msg=name)


def test_how_dispatches_are_cut_gives_the_same_bits():
    data = blobs(chunk=100)  # chunks of 6 minibatches; an epoch has 32
    told = []
    whole = train(data, observer=lambda d: told.append((d.phase, d.step)))
    same(whole, train(data, dispatch_seconds=0.0))
    ends = {6 * k for k in range(1, 6)} | {32}
    assert {(0, step) for step in ends} <= set(told)  # no dispatch goes beyond a chunk
    assert whole[1][0].steps == 96


@pytest.mark.parametrize("stop", [1, 40, 100])
def test_a_run_cut_off_within_a_chunk_goes_on_to_the_same_bits(stop, tmp_path):
    class Kill(Exception):
        pass

    data, path = blobs(chunk=100), tmp_path / "checkpoint"

    def kill(told):
        if told.phase * 96 + told.step >= stop:
            raise Kill

    with pytest.raises(Kill):
        train(data, checkpoints=path, observer=kill, dispatch_seconds=0.0)
    same(train(data), train(data, checkpoints=path))


def test_two_phases_and_seeds_draw_differently(key):
    stream = sonde.fitting.placed(blobs(chunk=100))["train"]
    sampler = stream.sampler(16)
    spans = {str(stream.spans(sampler, k, 0)) for k in jax.random.split(key, 3)}
    assert len(spans) == 3


def test_one_program_serves_every_chunk_and_epoch():
    before = advance._cache_size()  # pyright: ignore[reportAttributeAccessIssue]
    phase = sd.Phase(sd.Turn(sd.Classify(), sd.Adam(1e-2)), sd.data.Shuffled(10), epochs=3)
    _, (record,) = train(blobs(n=237, chunk=50), sd.Plan(phase))
    assert record.outcome == Outcome.FINISHED
    assert advance._cache_size() - before == 1  # pyright: ignore[reportAttributeAccessIssue]


def test_a_stream_learns_what_columns_on_the_device_teach(tmp_path):
    data = sd.data.load("digits")
    streamed = sd.data.open_folder(sd.data.write(tmp_path / "digits", data), chunk=300)
    net = nn.Sequential(nn.Flatten(), nn.Scale(1 / 16), hidden=nn.Dense(64, nn.relu), head=nn.Dense(10))
    fit = functools.partial(sd.fit, net, objective=sd.Classify(), optimizer=sd.Adam(3e-3), epochs=15, progress=False)
    one, other = fit(data=data), fit(data=streamed)
    a, b = one.evaluate("test")["accuracy"], other.evaluate("test")["accuracy"]
    assert abs(a.value - b.value) < 4 * np.hypot(a.error or 0, b.error or 0)
    assert b.value > 0.93
    assert one.artifact.inputs == other.artifact.inputs


def test_a_streamed_run_is_resumed_by_its_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(sonde.fitting, "execute", functools.partial(execute, dispatch_seconds=0.0))
    data = blobs(chunk=100)

    class Kill(Exception):
        pass

    def kill(told):
        if told.step >= 50:
            raise Kill

    fit = functools.partial(sd.fit, spec(), data, sd.Classify(), sd.Adam(1e-2), batch=16, epochs=3, progress=False)
    fit(out=tmp_path / "whole")
    with pytest.raises(Kill):
        fit(out=tmp_path / "cut", observer=kill, checkpoint_seconds=0)
    sd.resume(tmp_path / "cut", data, progress=False)
    for name in ("network", "history"):
        whole, cut = ((tmp_path / run / FILES[name]).read_bytes() for run in ("whole", "cut"))
        assert whole == cut
    with pytest.raises(sd.SondeError, match="not what the run"):
        sd.resume(tmp_path / "cut", blobs(chunk=101), progress=False)


GROWTH = """
import json, sys, threading, time
import numpy as np
import sonde as sd
from sonde import nn

def resident():  # what cannot be read again from a file
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("RssAnon"))

most, going = [0], [True]

def watch():
    while going[0]:
        most[-1] = max(most[-1], resident())
        time.sleep(0.002)

net = nn.Sequential(nn.Scale(1 / 255), hidden=nn.Dense(8, nn.relu), head=nn.Dense(10))
rng = np.random.default_rng(0)

def part(i, rows=1250):
    return {"x": rng.integers(0, 256, (rows, 3136)).astype(np.uint8), "y": rng.integers(0, 10, rows)}

def fit(data, **length):
    return sd.fit(net, data, sd.Classify(), sd.SGD(0.1), batch=250, progress=False, **length)

watcher = threading.Thread(target=watch)
watcher.start()
fit(sd.data.Dataset(train=part(0), chunk=500), steps=1).evaluate("train")    # what imports take
written = resident()
most[:] = [0]
folder = sd.data.write(sys.argv[1], (part(i) for i in range(80)))
writing = most[0] - written
fit(sd.data.open_folder(folder, chunk=2500), steps=1)    # what the compiler takes
before = resident()
most[:] = [0]
run = fit(sd.data.open_folder(folder, chunk=2500), epochs=2)
run.evaluate("train")
going[0] = False
watcher.join()
print(json.dumps([writing, most[0] - before, run.records[0].steps]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_a_file_is_trained_on_in_less_memory_than_it_takes(tmp_path):
    done = subprocess.run([sys.executable, "-c", GROWTH, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    writing, training, steps = json.loads(done.stdout.splitlines()[-1])
    size = (tmp_path / "train" / "x.npy").stat().st_size / 2**20
    print(f"{size:.0f} MiB in a file; {writing:.0f} MiB to write it, {training:.0f} MiB to train")
    assert steps == 2 * 400
    assert size > 290
    assert writing < size / 2
    assert training < size / 2
