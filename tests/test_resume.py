"""A run that was cut off at any moment ends with the bits of one that was not.

Two ways to cut: at every single write, in this process (whatever a kill leaves behind is some number of whole
writes and perhaps a temporary file); and real processes, killed with SIGKILL at random times.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
import time

import jax.numpy as jnp
import numpy as np
import pytest

import sonde as sd
import sonde.fitting
from sonde import nn
from sonde._errors import ArgumentError, ResumeError
from sonde._store import write_arrays
from sonde.folder import FILES
from sonde.recipes import Digits, Recipe, Target, cook, resumable
from sonde.train import Outcome, execute
from sonde.train.step import advance, start


class Kill(BaseException):
    """What nothing catches, as nothing catches a SIGKILL."""


class Count(sd.Objective, registered="tests-resume-count"):
    """Keeps a count of its own, which the loss depends on: a variable of an objective."""

    def __call__(self, net, batch):
        seen = net.get("seen", lambda: jnp.zeros(()))
        net.set("seen", seen + 1)
        return batch.mean(1e-4 * seen * net(batch.x)[:, 0] ** 2)


class Blobs(Recipe, registered="tests-resume-blobs"):
    """A recipe of a second."""

    name = "tests-resume-blobs"
    targets = (Target("accuracy", 0.5),)
    epochs: sd.Number = 4

    def data(self, seed):
        return blobs(seed)

    def network(self, data):
        return spec()

    def plan(self, data):
        return plan(epochs=self.epochs)

    def look(self, runs, folder, seed):
        return {"seeds": float(sum(run.seed for run in runs))}


def blobs(seed=0, n=240):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    return sd.data.Dataset.of(rng.normal(size=(n, 4)).astype(np.float32) + 2 * np.eye(4)[y], y)


def spec():
    return nn.Sequential(norm=nn.BatchNorm(), hidden=nn.Dense(8, nn.relu), drop=nn.Dropout(0.2), head=nn.Dense(3))


def plan(epochs=4, **options):
    turn = sd.Turn(sd.Classify() + Count(), sd.Adam(1e-2))
    return sd.Plan(sd.Phase(turn, sd.data.Shuffled(16), epochs=epochs, control=sd.KeepBest(), **options))


def thawed():
    """Two phases: the head alone, then everything."""
    (every,) = plan(epochs=2).phases
    head = every.replace(turns=tuple(t.replace(trains="head/**") for t in every.turns))
    return sd.Plan((head, every))


short = functools.partial(execute, dispatch_seconds=0.0)


@pytest.fixture(autouse=True)
def short_dispatches(monkeypatch):
    """Many dispatches, each of which a checkpoint may follow: after 16 steps, 4, and then one by one."""
    monkeypatch.setattr(sonde.fitting, "execute", short)


def bits(folder):
    """What must be the same: the bytes of the network and of the history, and the outcome."""
    report = json.loads((folder / FILES["report"]).read_text())
    ends = report["outcome"], [(p["outcome"], p["steps"], p["best_round"]) for p in report["phases"]]
    return (folder / FILES["network"]).read_bytes(), (folder / FILES["history"]).read_bytes(), ends


@pytest.fixture
def cut(monkeypatch):
    """Let only so many files appear; the next one is where the process dies, right before it or right after."""

    def arm(writes, after=False):
        left, replace = iter(range(writes)), os.replace

        def dying(source, target):
            if next(left, None) is None:
                if after:
                    replace(source, target)
                raise Kill
            replace(source, target)

        monkeypatch.setattr(os, "replace", dying)

    return arm


def cut_at(writes, cut, monkeypatch, tmp_path, begin, go_on, same):
    """Cut at each of some writes, before or after it; go on; all is as if nothing had been. How many cuts it took."""
    cuts = 0
    for n in writes:  # half a write more: right after it
        folder = tmp_path / f"cut-{n}"
        cut(int(n), after=n % 1 > 0)
        try:
            begin(folder)
        except Kill:
            monkeypatch.undo()
            monkeypatch.setattr(sonde.fitting, "execute", short)
            go_on(folder)
            same(folder)
            cuts += 1
        else:
            monkeypatch.undo()
            return cuts
    raise AssertionError("it never came to its end")


# At every write


def test_a_run_cut_at_any_write_ends_with_the_same_bits(cut, monkeypatch, rng, tmp_path, seed):
    data = blobs(seed)
    begin = lambda folder: sd.fit(spec(), data, plan=plan(epochs=3), seed=seed, out=folder, checkpoint_seconds=0)

    def go_on(folder):
        if not (folder / FILES["run"]).exists():
            with pytest.raises(ResumeError, match="there is no run in"):
                sd.resume(folder, data)
            return begin(folder)
        run = sd.resume(folder, data, checkpoint_seconds=0)
        for path, value in whole.network.params.items():
            np.testing.assert_array_equal(run.network.params[path], value)

    whole = begin(tmp_path / "whole")
    same = lambda folder: np.testing.assert_equal(bits(folder), bits(tmp_path / "whole"))
    writes = np.arange(100) + rng.choice([0, 0.5], 100)
    assert cut_at(writes, cut, monkeypatch, tmp_path, begin, go_on, same) > 10


def test_phases_from_a_network_with_variables_cut_anywhere_end_with_the_same_bits(
    cut, monkeypatch, rng, tmp_path, seed
):
    data, first = blobs(seed), sd.fit(spec(), blobs(seed), plan=plan(epochs=1), seed=seed)
    assert float(first.network.state["@/seen"]) > 0 and first.network.state["norm/mean"].any()
    begin = lambda folder: sd.fit(first.network, data, plan=thawed(), seed=seed, out=folder, checkpoint_seconds=0)
    go_on = lambda folder: (
        sd.resume(folder, data, checkpoint_seconds=0) if (folder / FILES["run"]).exists() else begin(folder)
    )
    whole = begin(tmp_path / "whole")
    assert len(whole.records) == 2
    same = lambda folder: np.testing.assert_equal(bits(folder), bits(tmp_path / "whole"))
    writes = [1.5, *np.arange(rng.integers(2, 4), 100, 1.5)]  # at 1.5 it is begun, and has no checkpoint yet
    assert cut_at(writes, cut, monkeypatch, tmp_path, begin, go_on, same) > 5


def test_a_recipe_of_two_repeats_cut_anywhere_comes_to_the_same(cut, monkeypatch, rng, tmp_path, seed):
    run = functools.partial(cook, pictures=False, checkpoint_seconds=0)
    begin = lambda folder: run(Blobs(repeats=2, epochs=2), seed, folder)
    go_on = lambda folder: run(*resumable(folder), folder) if (folder / "recipe.json").exists() else begin(folder)

    def same(folder):
        for repeat in ("repeat-1", "repeat-2"):
            assert bits(folder / repeat) == bits(tmp_path / "whole" / repeat)
        a, b = (json.loads((f / "result.json").read_text()) for f in (folder, tmp_path / "whole"))
        for account in (a, b):
            del account["seconds"], account["artifact"]
        assert a == b

    begin(tmp_path / "whole")
    writes = np.arange(rng.integers(3), 100, 2.5)
    assert cut_at(writes, cut, monkeypatch, tmp_path, begin, go_on, same) > 4


def test_a_run_cut_again_and_again_comes_to_its_end(cut, monkeypatch, tmp_path, seed):
    data = blobs(seed)
    sd.fit(spec(), data, plan=thawed(), seed=seed, out=tmp_path / "whole")
    go = lambda: sd.fit(spec(), data, plan=thawed(), seed=seed, out=tmp_path / "cut", checkpoint_seconds=0)
    cuts = 0
    while True:
        cut(3)  # the last three writes come without a checkpoint between them
        try:
            go()
            break
        except Kill:
            cuts += 1
            monkeypatch.undo()
            monkeypatch.setattr(sonde.fitting, "execute", short)
            go = lambda: sd.resume(tmp_path / "cut", data, checkpoint_seconds=0)
    assert cuts > 2 and bits(tmp_path / "cut") == bits(tmp_path / "whole")


# Other ends


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """A folder with a run that Ctrl-C stopped, which each test copies."""
    folder = tmp_path_factory.mktemp("interrupted") / "run"
    seen = []

    def press(dispatch):
        seen.append(dispatch.step)
        if len(seen) == 3:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sonde.fitting, "execute", short)
        run = sd.fit(spec(), blobs(), plan=plan(), out=folder, observer=press)
    assert run.outcome == Outcome.INTERRUPTED and "Resume to go on" in str(run)
    return folder


@pytest.fixture
def folder(interrupted, tmp_path):
    for file in interrupted.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def test_an_interrupted_run_has_a_network_and_goes_on(folder, tmp_path_factory):
    assert sd.load(folder / FILES["network"]).predict(blobs().test.x).shape == (36,)
    run = sd.resume(folder, blobs())
    assert run.outcome == Outcome.FINISHED and not (folder / FILES["checkpoint"]).exists()
    whole = tmp_path_factory.mktemp("whole")
    sd.fit(spec(), blobs(), plan=plan(), out=whole)
    assert bits(folder) == bits(whole)


def test_going_on_compiles_nothing_again(tmp_path, seed):
    press = lambda dispatch: dispatch.step > 16 or os.kill(os.getpid(), signal.SIGINT)
    for folder, observer in ((tmp_path / "whole", None), (tmp_path / "cut", press)):
        run = sd.fit(spec(), blobs(), plan=plan(), seed=seed, out=folder, observer=observer)
    assert run.outcome == Outcome.INTERRUPTED
    before = advance._cache_size(), start._cache_size()
    assert sd.resume(tmp_path / "cut", blobs()).outcome == Outcome.FINISHED
    assert (advance._cache_size(), start._cache_size()) == before and min(before) > 0


def test_a_run_that_has_ended_is_read_from_its_folder_which_stays_as_it_is(tmp_path):
    run = sd.fit(spec(), blobs(), plan=thawed(), out=tmp_path)
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in tmp_path.iterdir()}
    there = sd.resume(tmp_path, blobs())
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in tmp_path.iterdir()} == before
    assert str(there) == str(run) and there.seed == run.seed and there.plan == run.plan
    assert there.network.params.keys() == run.network.params.keys()
    assert there.evaluate("test") == run.evaluate("test")
    for a, b in zip(there.records, run.records, strict=True):
        assert (a.outcome, a.steps, a.epochs, a.best) == (b.outcome, b.steps, b.epochs, b.best)
        for name in b.history:
            np.testing.assert_array_equal(a.history[name], b.history[name])


def test_a_diverged_run_has_ended(tmp_path):
    turn = sd.Turn(sd.Classify(), sd.SGD(1e30))
    phase = sd.Phase(turn, sd.data.Shuffled(16), epochs=4)
    two = nn.Sequential(hidden=nn.Dense(8), head=nn.Dense(3))
    run = sd.fit(two, blobs(), plan=sd.Plan(phase), out=tmp_path)
    there = sd.resume(tmp_path, blobs())
    assert run.outcome == there.outcome == Outcome.DIVERGED and str(there) == str(run)


def test_more_epochs_in_the_plan_are_trained(folder):
    path = folder / FILES["run"]
    description = json.loads(path.read_text())
    description["plan"]["phases"][0]["epochs"] = 6
    path.write_text(json.dumps(description))
    assert sd.resume(folder, blobs()).records[0].epochs == 6


# What cannot go on


def refused(folder, data=None):
    with pytest.raises(ResumeError) as caught:
        sd.resume(folder, data or blobs())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def changed(folder, file, **changes):
    said = json.loads((folder / FILES[file]).read_text())
    (folder / FILES[file]).write_text(json.dumps(said | changes))


def test_other_data_is_refused(folder):
    assert "the data is not what the run in" in refused(folder, blobs(seed=1))
    less = blobs()
    assert "the data is not what" in refused(folder, sd.data.Dataset(less.train, less.valid))
    assert sd.resume(folder, blobs()).outcome == Outcome.FINISHED


@pytest.mark.parametrize("version", [0, 2, None, "1"])
def test_a_run_of_another_format_is_refused(folder, version):
    changed(folder, "run", format=version)
    assert f"has format {version}; this Sonde goes on with format 1 only" in refused(folder)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is not JSON"),
        ('{"format": 1', "is not JSON"),
        ("[]", "has format None"),
        ('{"format": 1}', "is damaged: it lacks fingerprint, plan, seed, spec"),
    ],
)
def test_a_damaged_description_is_refused(folder, content, said):
    (folder / FILES["run"]).write_text(content)
    assert said in refused(folder)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"spec": {"is": "Sequentail"}}, "no kind of value is called 'Sequentail'; did you mean 'Sequential'"),
        ({"spec": {"is": "Adam"}}, "expected a layer"),
        ({"plan": {"is": "Adam"}}, "its plan is no plan"),
        ({"plan": 3}, "its plan is no plan"),
        ({"seed": "one"}, "seed must be a whole number"),
    ],
)
def test_a_description_of_what_this_sonde_does_not_know_is_refused(folder, changes, said):
    changed(folder, "run", **changes)
    message = refused(folder)
    assert said in message and "run.json does not describe a run of this Sonde" in message


def test_a_checkpoint_that_is_damaged_is_refused_and_without_it_the_run_begins_anew(folder, rng):
    path, whole = folder / FILES["checkpoint"], (folder / FILES["checkpoint"]).read_bytes()
    for content in [b"", whole[:100], whole[:-1], *(flipped(whole, at) for at in rng.integers(0, len(whole), 20))]:
        path.write_bytes(content)
        if content[8:500].strip() != whole[8:500].strip():
            assert str(path) in refused(folder)
    path.write_bytes(whole[: len(whole) // 2])
    assert "without the file the run begins anew" in refused(folder)
    write_arrays(path, {}, {"records": [{"steps": 3}]}, "checkpoint")
    assert "is damaged" in refused(folder)
    write_arrays(path, {}, {}, "network")
    assert "expected 'checkpoint', got 'network'" in refused(folder)
    path.unlink()
    assert sd.resume(folder, blobs()).outcome == Outcome.FINISHED


def flipped(content, at):
    return content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :]


@pytest.mark.parametrize(
    ("layer", "said"),
    [({"is": "Dense", "units": 9}, "should be float32"), ({"is": "BatchNorm"}, "a part was changed since")],
)
def test_a_checkpoint_that_does_not_fit_its_plan_is_refused(folder, layer, said):
    description = json.loads((folder / FILES["run"]).read_text())
    description["spec"]["layers"][1] = layer
    changed(folder, "run", spec=description["spec"])
    message = refused(folder)
    assert "the checkpoint does not fit the plan" in message and said in message


def test_the_variables_it_began_with_are_needed(tmp_path):
    network = nn.build(spec(), np.ones((1, 4), np.float32))
    with pytest.raises(Kill):
        sd.fit(network, blobs(), plan=plan(), out=tmp_path, checkpoint_seconds=0, observer=raising(Kill))
    path = tmp_path / FILES["start"]
    whole = path.read_bytes()
    path.write_bytes(flipped(whole, len(whole) - 1))
    assert "start.safetensors was altered" in refused(tmp_path)
    path.unlink()
    with pytest.raises(sd.SondeError, match=r"there is no file .*start\.safetensors"):
        sd.resume(tmp_path, blobs())
    path.write_bytes(whole)
    assert sd.resume(tmp_path, blobs()).outcome == Outcome.FINISHED


def raising(error):
    def observer(dispatch):
        raise error

    return observer


def test_a_damaged_report_is_refused(folder):
    sd.resume(folder, blobs())
    changed(folder, "report", phases=[{"outcome": "finished"}])
    assert "is not the report of a run of this Sonde" in refused(folder)


def test_a_folder_of_another_recipe_is_not_gone_on_with(tmp_path):
    cook(Blobs(epochs=1), 0, tmp_path / "a", pictures=False)
    for recipe, seed in ((Blobs(epochs=2), 0), (Blobs(epochs=1), 1), (Digits(), 0)):
        with pytest.raises(ArgumentError, match="other settings or another seed"):
            cook(recipe, seed, tmp_path / "a")
    sd.fit(spec(), blobs(), plan=plan(), out=tmp_path / "b")
    before = bits(tmp_path / "b")
    with pytest.raises(ArgumentError, match=r"holds the run\.json of another run"):
        cook(Blobs(), 0, tmp_path / "b")
    with pytest.raises(ResumeError, match=r"a run that Python began goes on with sonde\.resume"):
        resumable(tmp_path / "b")
    assert bits(tmp_path / "b") == before


# Real processes

PROGRAM = """
import functools, sys, sonde.recipes, sonde.fitting
from sonde.cli import main
sonde.fitting.execute = functools.partial(sonde.fitting.execute, dispatch_seconds=0.02)
sonde.recipes.cook = functools.partial(sonde.recipes.cook, checkpoint_seconds=0)
main(sys.argv[1:])
"""


def command(*arguments, seconds=None):
    """The command, with a checkpoint every few hundredths of a second; whether it ended before it was killed."""
    told = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    try:
        done = subprocess.run(told, capture_output=True, text=True, timeout=seconds)  # kills with SIGKILL
    except subprocess.TimeoutExpired:
        return False
    assert done.returncode == 0, done.stderr
    return True


def test_a_process_killed_at_random_moments_ends_with_the_same_bits(tmp_path, rng):
    settings = ("--set", "epochs=40", "--set", "patience=40", "--set", "hidden=64", "--no-pictures")
    began, kills, ended = time.perf_counter(), 5, 0
    command("train", "digits", *settings, "--out", tmp_path / "whole")
    whole = time.perf_counter() - began
    while kills:
        folder = tmp_path / f"cut-{ended}"
        go = ("train", "digits", *settings, "--out", folder)
        while not command(*go, seconds=rng.uniform(0.2, 0.8) * whole if kills else None):
            kills -= 1
            go = ("resume", folder, "--no-pictures") if (folder / "recipe.json").exists() else go
            print("killed", sorted(p.name for p in folder.rglob("*")))
        assert bits(folder) == bits(tmp_path / "whole")
        ended += 1
