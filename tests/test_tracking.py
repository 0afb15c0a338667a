"""Trackers write every round down once, where independent readers find it, and their failures stop no run."""

from __future__ import annotations

import builtins
import errno
import os
import struct
import subprocess
import sys

import numpy as np
import pytest

import sonde as sd
from sonde import nn
from sonde._errors import ArgumentError, SourceError
from sonde.tracking import MLflow, TensorBoard
from sonde.train import Dispatch, Outcome

TRACKED = {"train/loss", "train/error", "valid/loss", "valid/error", "rate", "epoch", "kept"}


@pytest.fixture(scope="module")
def digits():
    return sd.data.load("digits")


def spec():
    return nn.Sequential(flat=nn.Flatten(), scale=nn.Scale(1 / 16), hidden=nn.Dense(8, nn.relu), head=nn.Dense(10))


def train(data, observer, rate=1e-2, **options):
    given = {"epochs": 30, "batch": 64} | options
    return sd.fit(spec(), data, sd.Classify(), sd.Adam(rate), observer=observer, **given)


def two_phases(data, observer):
    turn = sd.Turn(sd.Classify(), sd.Adam(1e-2))
    phases = (sd.Phase(turn, sd.data.Shuffled(64), epochs=2), sd.Phase(turn, sd.data.Shuffled(64), epochs=3))
    return sd.fit(spec(), data, plan=sd.Plan(phases), observer=observer)


# TensorBoard


def crc32c(data):
    """CRC-32C bit by bit, as RFC 3720 has it, masked as TFRecord files have it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def scalars(folder):
    """{tag: [(step, value), ...]} of the event files in a folder, each record checked against its sums."""
    from tensorboardX.proto.event_pb2 import Event

    found = {}
    for file in sorted(folder.iterdir()):
        rest = file.read_bytes()
        while rest:
            (size,) = struct.unpack("<Q", rest[:8])
            assert struct.unpack("<I", rest[8:12])[0] == crc32c(rest[:8])
            body, rest = rest[12 : 12 + size], rest[12 + size :]
            assert struct.unpack("<I", rest[:4])[0] == crc32c(body)
            rest, event = rest[4:], Event.FromString(body)
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def assert_same(logged, history):
    assert logged.keys() == TRACKED
    for name, points in logged.items():
        steps, values = zip(*points, strict=True)
        np.testing.assert_array_equal(steps, history["step"])
        np.testing.assert_allclose(values, history[name], rtol=1e-6)


def test_tensorboard_has_every_round_once_at_its_step(digits, tmp_path):
    dispatches = []
    run = train(digits, (TensorBoard(tmp_path), dispatches.append))
    assert 1 < len(dispatches) < run.records[0].rounds == 30  # a dispatch closed several
    assert_same(scalars(tmp_path), run.history)


def test_tensorboard_tells_phases_apart(digits, tmp_path):
    run = two_phases(digits, TensorBoard(tmp_path))
    logged = scalars(tmp_path)
    assert logged.keys() == {f"phase{i}/{name}" for i in (1, 2) for name in TRACKED}
    for i, record in enumerate(run.records):
        assert [v for _, v in logged[f"phase{i + 1}/train/loss"]] == record.history["train/loss"].tolist()


def test_what_is_so_far_is_on_disk_while_the_run_goes_on(digits, tmp_path):
    seen = []
    look = lambda d: seen.append(len(scalars(tmp_path).get("rate", ())) == len(d.history.get("step", ())))
    train(digits, (TensorBoard(tmp_path), look), epochs=3)
    assert seen and all(seen)


def test_two_boards_in_one_folder_do_not_overwrite_each_other(digits, tmp_path):
    for _ in range(2):
        train(digits, TensorBoard(tmp_path), epochs=1)
    assert len(scalars(tmp_path)["rate"]) == 2


def test_tensorboard_says_what_it_cannot_write(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SourceError, match="TensorBoard cannot write into .*file"):
        TensorBoard(tmp_path / "file")


# MLflow


def written(tracker, uri):
    """({metric: [(step, value), ...]}, the run) as MLflow's own client reads them."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=str(uri))
    run = client.get_run(tracker.run_id)
    points = {name: client.get_metric_history(tracker.run_id, name) for name in run.data.metrics}
    return {name: [(m.step, m.value) for m in metrics] for name, metrics in points.items()}, run


def test_mlflow_has_every_round_once_at_its_step(digits, tmp_path):
    tracker = MLflow("digits", "first", tmp_path)
    run = train(digits, tracker)
    logged, there = written(tracker, tmp_path)
    assert_same(logged, run.history)
    assert there.info.status == "FINISHED" and there.info.run_name == "first"
    assert there.data.tags["sonde.outcome"] == "finished"


def test_mlflow_says_how_a_run_ended(digits, tmp_path):
    tracker = MLflow(uri=f"file://{tmp_path}")
    run = train(digits, tracker, rate=1e30, epochs=3)
    logged, there = written(tracker, f"file://{tmp_path}")
    assert run.outcome == Outcome.DIVERGED and there.info.status == "FAILED"
    assert there.data.tags["sonde.outcome"] == "diverged" and len(logged["train/loss"]) == run.records[0].rounds
    with MLflow(uri=tmp_path) as unfinished:
        pass
    assert written(unfinished, tmp_path)[1].data.tags["sonde.outcome"] == "no end"


def test_a_run_that_breaks_leaves_no_tracker_open(digits, tmp_path):
    tracker = MLflow(uri=tmp_path)

    def broken(_):
        raise RuntimeError("by the user")

    with pytest.raises(RuntimeError, match="by the user"):
        train(digits, (tracker, broken))
    assert written(tracker, tmp_path)[1].info.status == "FAILED"


def test_more_metrics_than_mlflow_takes_at_once_and_names_it_refuses(tmp_path):
    history = {f"probe/{i}*": np.arange(3.0) for i in range(350)} | {"step": np.arange(1, 4)}
    tracker = MLflow(uri=tmp_path)
    tracker(Dispatch(0, 1, 3, 3, 3.0, 1.0, {}, Outcome.FINISHED, history))
    assert tracker.failed == ""
    logged, _ = written(tracker, tmp_path)
    assert len(logged) == 350 and logged["probe/349_"] == [(1, 0.0), (2, 1.0), (3, 2.0)]


def test_mlflow_refuses_what_it_cannot_use_in_our_words():
    with pytest.raises(ArgumentError, match="MLflow cannot begin a run at nothing://x: .*a folder and the address"):
        MLflow(uri="nothing://x")


def test_mlflow_sends_nothing_home(tmp_path):
    program = f"""
import os, socket
def refuse(*a, **k): raise SystemExit("the network was asked")
for name in ("getaddrinfo", "create_connection"): setattr(socket, name, refuse)
socket.socket.connect = refuse
from sonde.tracking import MLflow
with MLflow(uri={str(tmp_path)!r}): pass
from mlflow.telemetry.utils import is_telemetry_disabled
import threading
print(is_telemetry_disabled(), [t.name for t in threading.enumerate() if t.name != "MainThread"])
"""
    kept = ("PATH", "HOME", "JAX_PLATFORMS")
    environment = {k: v for k, v in os.environ.items() if k in kept}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert done.stdout.split("\n")[0] == "True []", done.stdout + done.stderr


# Both


def test_a_full_disk_ends_the_tracking_and_not_the_run_and_it_is_said(digits, tmp_path, capfd):
    tracker = TensorBoard(tmp_path)
    written, write = [], tracker._writer.write_event

    def until_full(event):
        written.append(event)
        if len(written) > 10:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(event)

    tracker._writer.write_event = until_full
    run = train(digits, tracker)
    assert run.outcome == Outcome.FINISHED and len(written) == 11  # it was not tried again
    assert "TensorBoard stopped logging at step" in capfd.readouterr().err
    assert any("TensorBoard stopped logging" in said and "No space left" in said for said in run.decisions)


@pytest.mark.parametrize(
    ("kind", "library", "said"),
    [
        (TensorBoard, "tensorboardX", r"TensorBoard needs tensorboardX: pip install 'sonde\[tensorboard\]'"),
        (MLflow, "mlflow", r"MLflow needs mlflow-skinny: pip install 'sonde\[mlflow\]'"),
    ],
)
def test_a_library_that_is_missing_is_named(kind, library, said, monkeypatch, tmp_path):
    usual = builtins.__import__

    def without(name, *args, **kwargs):
        if name.partition(".")[0] == library:
            raise ModuleNotFoundError(name)
        return usual(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ArgumentError, match=said):
        kind(tmp_path)


def test_a_tracker_is_for_one_run(digits, tmp_path):
    tracker = TensorBoard(tmp_path)
    train(digits, tracker, epochs=1)
    with pytest.raises(ArgumentError, match="has written down a run already; make one for each run"):
        train(digits, tracker, epochs=1)


@pytest.mark.parametrize("wrong", [TensorBoard, 3, ("runs",)])
def test_what_is_no_observer_is_refused(digits, wrong):
    with pytest.raises(ArgumentError, match="observer must be a function of a Dispatch"):
        train(digits, wrong)
