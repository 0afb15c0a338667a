"""A network in a file predicts again anywhere, to the bit; a file that is no such thing is refused in one line."""

from __future__ import annotations

import errno
import io
import json
import os
import pickle
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save as save_tensors

import sonde as sd
from sonde import _store, nn
from sonde._errors import ArgumentError, DataError, FormatError, ShapeError, SourceError
from sonde._store import read_arrays, write_arrays

INPUTS = {"shape": [4], "dtype": "float32", "low": -3.0, "high": 3.0}


class Halve(nn.Layer, registered="tests-halve"):
    """A layer of the user's own."""

    def __call__(self, scope, x):
        return x / 2


def run_of(seed, data, spec=None, objective=None, **options):
    spec = spec or nn.Sequential(flat=nn.Flatten(), scale=nn.Scale(1 / 16), hidden=nn.Dense(16), head=nn.Dense(10))
    objective = objective or sd.Classify()
    return sd.fit(spec, data, objective, sd.Adam(1e-2), batch=64, seed=seed, **({"epochs": 2} | options))


@pytest.fixture(scope="module")
def digits():
    return sd.data.load("digits")


@pytest.fixture(scope="module")
def run(digits):
    return run_of(3, digits)


@pytest.fixture
def saved(run, tmp_path):
    return run.artifact.save(tmp_path / "net.safetensors")


def small(predicts="", labels=None, **inputs):
    net = nn.build(nn.Sequential(scale=nn.Scale(0.1), head=nn.Dense(3)), jnp.ones((1, 4)))
    return sd.Artifact(net, INPUTS | inputs, predicts, labels)


def refused(path):
    """What is said of a file that is no artifact: one line that names it."""
    with pytest.raises(FormatError) as caught:
        sd.load(path)
    said = str(caught.value)
    assert str(path) in said and "\n" not in said
    return said


def fresh(program, *arguments):
    """What a program prints in a process of its own."""
    done = subprocess.run([sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


# The same again


def test_identical_runs_write_identical_bytes_whenever_and_wherever(digits, seed, tmp_path, monkeypatch):
    one = run_of(seed, digits, out=tmp_path / "a").artifact.save(tmp_path / "one.safetensors")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("time.time", lambda: 2e9)
    two = run_of(seed, digits).artifact.save("elsewhere/two.safetensors")
    assert one.read_bytes() == two.read_bytes() == (tmp_path / "a" / "network.safetensors").read_bytes()
    assert one.read_bytes() != run_of(seed + 1, digits).artifact.save("three.safetensors").read_bytes()


def test_a_fresh_process_predicts_the_same_numbers_and_saves_the_same_bytes(run, saved, digits, tmp_path):
    rows = digits.test.x[:37].astype(np.float64)
    np.save(tmp_path / "x.npy", rows)
    program = (
        "import sys, numpy as np, sonde as sd; folder = sys.argv[1]; a = sd.load(folder + '/net.safetensors')\n"
        "x = np.load(folder + '/x.npy')\n"
        "np.savez(folder + '/y.npz', outputs=a.outputs(x), said=a.predict(x), shares=a.probabilities(x))\n"
        "a.save(folder + '/again.safetensors')"
    )
    fresh(program, tmp_path)
    there = np.load(tmp_path / "y.npz")
    np.testing.assert_array_equal(there["outputs"], run.artifact.outputs(rows))
    np.testing.assert_array_equal(there["said"], run.artifact.predict(rows))
    np.testing.assert_array_equal(there["shares"], run.artifact.probabilities(rows))
    assert (tmp_path / "again.safetensors").read_bytes() == saved.read_bytes()


def test_what_is_loaded_is_what_was_saved(run, saved):
    there = sd.load(saved)
    assert there.network == run.network
    assert (there.inputs, there.predicts, there.labels, there.method) == (
        {"shape": [8, 8], "dtype": "float32", "low": 0.0, "high": 16.0},
        "classes",
        tuple("0123456789"),
        "__call__",
    )


def test_statistics_of_batches_are_saved_and_what_objectives_own_is_not(digits, tmp_path, seed):
    class Counting(sd.Objective):
        def __call__(self, net, batch):
            net.set("count", net.get("count", lambda: jnp.zeros(())) + 1)
            return jnp.float32(0)

    spec = nn.Sequential(flat=nn.Flatten(), norm=nn.BatchNorm(), head=nn.Dense(10))
    run = run_of(seed, digits, spec, sd.Classify() + Counting(), epochs=1)
    there = sd.load(run.artifact.save(tmp_path / "net.safetensors"))
    assert "@/count" in run.network.state
    assert set(there.network.state) == set(run.network.state) - {"@/count"} != set()
    np.testing.assert_array_equal(there.outputs(digits.test.x), run.artifact.outputs(digits.test.x))


# What it predicts


def test_a_classifier_names_the_likeliest_class(run, digits):
    names = tuple(f"digit {i}" for i in range(10))
    artifact = sd.Artifact(run.network, run.artifact.inputs, "classes", names)
    shares = artifact.probabilities(digits.test.x)
    np.testing.assert_allclose(shares.sum(1), 1, atol=1e-5)
    np.testing.assert_array_equal(artifact.predict(digits.test.x), np.array(names)[shares.argmax(1)])
    assert (run.artifact.predict(digits.test.x).astype(int) == digits.test.y).mean() > 0.8


def test_a_single_logit_is_two_classes(tmp_path):
    net = nn.build(nn.Dense(1), jnp.ones((1, 4)))
    artifact = sd.Artifact(net, INPUTS, "classes", ("no", "yes"))
    x = np.random.default_rng(0).normal(size=(50, 4))
    logit = artifact.outputs(x)[:, 0]
    np.testing.assert_allclose(artifact.probabilities(x)[:, 1], 1 / (1 + np.exp(-logit)), atol=1e-6)
    np.testing.assert_array_equal(artifact.predict(x), np.where(logit > 0, "yes", "no"))


def test_a_regression_gives_a_number_a_row(rng):
    x = rng.normal(size=(200, 4))
    run = run_of(0, (x, x @ np.arange(4.0)), nn.Dense(1), sd.Regress(), epochs=1)
    assert run.artifact.predicts == "numbers" and run.artifact.labels is None
    assert run.artifact.predict(x).shape == (200,)
    with pytest.raises(ArgumentError, match="does not predict classes, so it has no probabilities"):
        run.artifact.probabilities(x)


@pytest.mark.parametrize("as_type", [np.uint8, np.int64, np.float32, np.float64, np.ndarray.tolist], ids=str)
def test_numbers_of_any_type_are_taken(run, digits, as_type):
    rows = digits.test.x[:5]
    given = as_type(rows) if as_type is np.ndarray.tolist else rows.astype(as_type)
    np.testing.assert_array_equal(run.artifact.outputs(given), run.artifact.outputs(rows))


@pytest.mark.parametrize(
    ("spoil", "kind", "said"),
    [
        (lambda x: x.reshape(len(x), 64), ShapeError, r"takes an array \[rows, 8, 8\]; got float32\[3, 64\]"),
        (lambda x: x[0], ShapeError, r"One row is x\[None\]"),
        (lambda x: np.float32(3), ShapeError, r"got float32\[\]"),
        (lambda x: x[:0], DataError, "no rows"),
        (lambda x: np.where(np.arange(3)[:, None, None] == 1, np.nan, x), DataError, "NaN or infinite.* row 1"),
        (lambda x: np.where(np.arange(3)[:, None, None] == 2, -np.inf, x), DataError, "NaN or infinite.* row 2"),
        (lambda x: x * 1e300, DataError, r"takes float32 values; got values from 0 to 1\.[0-9]+e\+301"),
        (lambda x: x * 1j, DataError, "takes numbers; got an array of complex"),
        (lambda x: x.astype(str), DataError, "takes numbers; got an array of <U"),
        (lambda x: np.array([[None, {}]]), DataError, "takes numbers; got an array of object"),
    ],
)
def test_rows_of_another_kind_are_refused(run, digits, spoil, kind, said):
    with np.errstate(all="ignore"), pytest.raises(kind, match=said):
        run.artifact.predict(spoil(np.asarray(digits.test.x[:3], np.float64 if "e\\+" in said else np.float32)))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (np.full((1, 4), 0.5), "trained on whole numbers .* got fractions. Give it the values as they were"),
        (np.full((1, 4), 256.0), "takes uint8 values; got values from 256 to 256"),
        (np.full((1, 4), -1), "takes uint8 values; got values from -1 to -1"),
        (np.full((1, 4), np.nan), "NaN or infinite"),
        (np.full((1, 4), np.inf), "NaN or infinite"),
    ],
)
def test_a_network_of_whole_numbers_takes_whole_numbers(given, said):
    artifact = small(dtype="uint8", low=0.0, high=255.0)
    assert artifact.predict(np.full((1, 4), 255.0)).shape == (1, 3)
    with pytest.raises(DataError, match=said):
        artifact.predict(given)


def test_rows_on_another_scale_are_doubted():
    artifact, rows = small(low=0.0, high=255.0), np.linspace(0, 255, 8).reshape(2, 4)
    assert artifact.doubt(rows) == artifact.doubt(rows * 0.5) == artifact.doubt(rows - 128) == ""
    assert "from 0 to 1, those it was trained on from 0 to 255" in artifact.doubt(rows / 255)
    assert artifact.doubt(rows * 255)


# Files that are no artifacts


def test_a_truncated_file_is_refused_wherever_it_ends(saved, tmp_path, rng):
    whole = saved.read_bytes()
    for end in [0, 1, 7, 8, 9, *rng.integers(10, len(whole), 40), len(whole) - 1]:
        (tmp_path / "part").write_bytes(whole[:end])
        refused(tmp_path / "part")
    (tmp_path / "more").write_bytes(whole + b"\0")
    refused(tmp_path / "more")


def test_an_altered_file_is_refused_or_means_the_same(run, saved, tmp_path, rng):
    whole, header = saved.read_bytes(), 8 + int.from_bytes(saved.read_bytes()[:8], "little")
    path = tmp_path / "altered"
    for at in [*rng.integers(0, header, 150), *rng.integers(header, len(whole), 50)]:
        altered = bytearray(whole)
        altered[at] ^= 1 << rng.integers(8)
        path.write_bytes(altered)
        try:
            there = sd.load(path)
        except FormatError as error:
            assert str(path) in str(error) and "\n" not in str(error)
        else:  # a blank that became another blank
            assert there.network == run.network and there.inputs == run.artifact.inputs


class Trap:
    """Whoever unpickles this runs code."""

    def __reduce__(self):
        return os.mkdir, ("sprung",)


def foreign():
    zipped = io.BytesIO()
    np.savez(zipped, x=np.ones(3))
    yield "empty", b""
    yield "text", b"a network, honestly\n"
    yield "json", b'{"spec": {"is": "Dense"}}'
    yield "npz", zipped.getvalue()
    yield "pickle", pickle.dumps(Trap())
    yield "another program", save_tensors({"kernel": np.ones((2, 3), np.float32)})
    yield "another program's notes", save_tensors({"kernel": np.ones(3)}, {"format": "pt"})


@pytest.mark.parametrize("content", [c for _, c in foreign()], ids=[n for n, _ in foreign()])
def test_a_foreign_file_is_refused_and_never_run(content, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "foreign").write_bytes(content)
    refused(tmp_path / "foreign")
    assert not (tmp_path / "sprung").exists()


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SourceError, match=f"there is no file {tmp_path}/none"):
        sd.load(tmp_path / "none")
    assert "a folder" in refused(tmp_path)


def test_a_file_of_the_future_asks_for_a_newer_sonde(saved, monkeypatch):
    monkeypatch.setattr(_store, "FORMAT", 2)
    small().save(saved)
    monkeypatch.undo()
    assert "has format 2 and this Sonde reads up to 1; upgrade sonde" in refused(saved)


def test_a_checkpoint_is_no_artifact(tmp_path):
    write_arrays(tmp_path / "c", {}, {}, "checkpoint")
    assert "expected 'network', got 'checkpoint'" in refused(tmp_path / "c")


def head(**changes):
    fields = {"spec": {"is": "Dense", "units": 3}, "inputs": INPUTS, "predicts": "", "labels": None}
    return fields | {"method": "__call__"} | changes


def deep(levels):
    spec = {"is": "Dense", "units": 1}
    for _ in range(levels):
        spec = {"is": "Sequential", "layers": [["a", spec]]}
    return spec


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (head(spec={"is": "Dens", "units": 3}), "no kind of value is called 'Dens'; did you mean 'Dense'"),
        (head(spec={"is": "Dense", "units": 3, "activation": {"function": "relo"}}), "no function is called 'relo'"),
        (head(spec={"is": "Dense", "units": 3, "size": 4}), "Dense has no field 'size'"),
        (head(spec={"is": "Dense"}), "Dense lacks its field 'units'"),
        (head(spec={"is": "Dense", "units": -3}), "units"),
        (head(spec={"is": ["Dense"]}), "no kind of value"),
        (head(spec={"is": "Adam"}), "a layer such as"),
        (head(spec={"is": "Classify"}), "a layer such as"),
        (head(spec="__import__('os').mkdir('sprung')"), "a layer such as"),
        (head(spec=None), "a layer such as"),
        (head(spec=deep(180)), ""),
        (head(method="encode"), "Dense has no method 'encode'"),
        (head(method="__init_subclass__"), "has no method '__init_subclass__'"),
        (head(method=3), ""),
        (head(predicts="weather"), "predicts must be one of"),
        (head(inputs={}), "inputs lacks dtype, high, low, shape"),
        (head(inputs=None), "not laid out as a network"),
        (head(inputs=INPUTS | {"dtype": "object"}), "takes numbers"),
        (head(inputs=INPUTS | {"dtype": "flaot"}), ""),
        (head(inputs=INPUTS | {"shape": ["a"]}), "shape"),
        (head(labels=3), ""),
        ({}, "not laid out as a network is .KeyError: 'spec'"),
    ],
)
def test_a_file_that_names_what_is_not_there_is_refused(header, said, tmp_path):
    write_arrays(tmp_path / "odd", {"params/kernel": np.ones((4, 3), np.float32)}, header, "network")
    assert said in refused(tmp_path / "odd").replace("(", ".") or not said


def test_arrays_that_are_neither_parameters_nor_state_are_refused(tmp_path):
    write_arrays(tmp_path / "odd", {"code/kernel": np.ones(3)}, head(), "network")
    assert "not laid out" in refused(tmp_path / "odd")


# A layer of one's own


def test_a_layer_of_ones_own_must_be_imported_first(tmp_path):
    net = nn.build(nn.Sequential(half=Halve(), head=nn.Dense(3)), jnp.ones((1, 4)))
    path = sd.Artifact(net, INPUTS).save(tmp_path / "own.safetensors")
    (tmp_path / "mine.py").write_text(
        "from sonde import nn\n"
        "class Halve(nn.Layer, registered='tests-halve'):\n"
        "    def __call__(self, scope, x):\n"
        "        return x / 2\n"
    )
    program = (
        "import sys, sonde as sd\n"
        "try: sd.load(sys.argv[1])\n"
        "except sd.SondeError as error: print(error)\n"
        "sys.path.insert(0, sys.argv[2]); import mine\n"
        "print(float(sd.load(sys.argv[1]).outputs([[1, 2, 3, 4]])[0, 0]))"
    )
    said, number = fresh(program, path, tmp_path).splitlines()
    assert "no kind of value is called 'tests-halve'" in said
    assert "(if it is your own, import the module that defines it first)" in said
    assert float(number) == float(sd.load(path).outputs([[1, 2, 3, 4]])[0, 0])


def test_a_layer_without_a_name_cannot_be_saved(tmp_path):
    class Unnamed(nn.Layer):
        def __call__(self, scope, x):
            return x

    with pytest.raises(FormatError, match='Unnamed has no name in files.*registered="name"'):
        sd.Artifact(nn.build(Unnamed(), jnp.ones((1, 4))), INPUTS).save(tmp_path / "net")
    assert not os.listdir(tmp_path)


# Writing


def test_a_full_disk_leaves_the_old_file_whole(saved, monkeypatch):
    before = saved.read_bytes()

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SourceError, match="No space left on device; nothing there has changed"):
        small().save(saved)
    assert saved.read_bytes() == before and os.listdir(saved.parent) == [saved.name]


def test_the_file_holds_six_things_and_the_arrays_and_no_more(saved):
    arrays, header = read_arrays(saved, "network")
    assert header.keys() == {"spec", "inputs", "predicts", "labels", "method", "encoder"}
    assert {name.partition("/")[0] for name in arrays} == {"params"}
    length = int.from_bytes(saved.read_bytes()[:8], "little")
    assert json.loads(saved.read_bytes()[8 : 8 + length])["__metadata__"].keys() == {"sonde"}


# For people


def test_it_says_what_it_takes_and_gives(run):
    said = run.artifact.describe()
    assert "takes     rows [8, 8] of float32 from 0 to 16" in said
    assert "predicts  classes: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9" in said
    assert "head" in said and "float32[1, 10]" in said and "default names" not in said
    net = nn.build(nn.Sequential(nn.Dense(3)), jnp.ones((1, 4)))
    assert "default names: dense_1" in sd.Artifact(net, INPUTS).describe()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"predicts": "clases"}, "predicts must be one of 'classes', 'numbers', ''; got 'clases'"),
        ({"inputs": {"shape": [4]}}, "inputs lacks dtype, high, low"),
        ({"method": "encode"}, "Sequential has no method 'encode'"),
    ],
)
def test_an_artifact_that_cannot_be_is_refused_when_it_is_made(changes, said):
    with pytest.raises(ArgumentError, match=said):
        sd.Artifact(**{"network": small().network, "inputs": INPUTS} | changes)


def test_sequences_of_different_lengths_are_predicted_for_in_memory_and_from_the_file(tmp_path, rng):
    rows = [rng.normal(size=(n, 2)) for n in rng.integers(1, 6, 40)]
    data = sd.data.Dataset.of(sd.Padded.of(rows), np.arange(40) % 2)
    spec = sd.nn.Sequential(memory=sd.nn.LSTM(3, last=True), head=sd.nn.Dense(2))
    run = sd.fit(spec, data, sd.Classify(), sd.Adam(1e-2), epochs=1, progress=False)
    expected = np.asarray(run.network(data.test.x)).argmax(-1)
    for artifact in (run.artifact, sd.load(run.artifact.save(tmp_path / "net.safetensors"))):
        assert artifact.predict(data.test.x).astype(int).tolist() == expected.tolist()
        assert artifact.predict(data.test.x[:3]).astype(int).tolist() == expected[:3].tolist()
        with pytest.raises(ShapeError, match="takes sequences, Padded"):
            artifact.predict(data.test.x.values)
