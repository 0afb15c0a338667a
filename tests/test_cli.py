"""The `sonde` command: what it prints, what it writes, and how it ends."""

from __future__ import annotations

import csv
import io
import json
import os
import pickle
import re
import select
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from rich.console import Console

import sonde as sd
from sonde import recipes
from sonde.cli import main
from sonde.nn import Dense, build
from sonde.progress import Bar, Lines
from sonde.train import Dispatch, Outcome

SONDE = [sys.executable, "-m", "sonde"]
SMALL = ("--set", "epochs=3", "--set", "hidden=32", "--no-pictures")


@pytest.fixture
def sonde(capsys, tmp_path, monkeypatch):
    """The command in this process, in a folder of its own: its exit status, and what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        with pytest.raises(SystemExit) as left:
            main([str(a) for a in arguments])
        said = capsys.readouterr()
        return SimpleNamespace(status=left.value.code, out=said.out, err=said.err)

    return run


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a small recipe that has ended, and the account of it."""
    folder = tmp_path_factory.mktemp("trained") / "digits"
    with pytest.raises(SystemExit) as left:
        main(["train", "digits", "--seed", "7", "--out", str(folder), "--json", str(folder / "account.json"), *SMALL])
    assert left.value.code == 0
    return folder


@pytest.fixture(scope="module")
def digits():
    return sd.data.load("digits", seed=7)


def strict_json(path):
    return json.loads(path.read_text(), parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


# Help


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
def test_without_a_command_it_lists_them(sonde, arguments):
    ended = sonde(*arguments)
    assert ended.status == 0 and ended.err == ""
    assert all(name in ended.out for name in ("train", "resume", "predict", "inspect", "recipes"))


def test_each_command_explains_itself(sonde):
    said = sonde("train", "--help").out
    assert all(word in said for word in ("WHAT", "--target", "--set", "--out", "--seed", "--device", "--json"))
    assert "INPUT" in sonde("predict", "--help").out and "FOLDER" in sonde("resume", "--help").out
    assert sonde("--version").out.strip() == sd.__version__


def test_the_listed_settings_are_what_set_takes(sonde):
    ended, name = sonde("recipes"), ""
    assert ended.status == 0
    for line in ended.out.splitlines():
        if line and not line.startswith(" "):
            name = line
        elif line.startswith("  settings "):
            given = dict(setting.split("=") for setting in line.removeprefix("  settings ").split())
            assert recipes.made(name, given) == recipes.made(name, {}), name
    assert "digits\n  1,797 real digits" in ended.out and "reaches accuracy >= 0.975" in ended.out


# Training


def test_it_says_how_it_went_and_where_everything_is(sonde, tmp_path):
    ended = sonde("train", "digits", *SMALL)
    assert ended.status == 0
    lines = ended.out.splitlines()
    assert lines[0] == "recipe digits, seed 0, into runs/digits"
    assert lines[1].startswith("finished after 3 epochs")
    assert any(re.fullmatch(r"  test accuracy: [0-9.]+ % ± [0-9.]+ %", line) for line in lines)
    target = r"target accuracy 0\.975 for the mean of 10 runs \(--set repeats=10\): reached 0\.[0-9]+ so far"
    assert any(re.fullmatch(target, line) for line in lines)
    assert lines[-2:] == [
        "network   runs/digits/network.safetensors",
        "predict   sonde predict runs/digits/network.safetensors INPUT.npy",
    ]
    assert {p.name for p in (tmp_path / "runs/digits").iterdir()} == {
        *("network.safetensors", "history.json", "report.json"),
        *("recipe.json", "result.json", "run.json"),
    }
    assert "sonde resume" not in ended.out and "Traceback" not in ended.err


def test_what_was_drawn_is_named_and_what_ended_is_explained(sonde):
    ended = sonde("train", "digits", "--set", "epochs=3", "--set", "hidden=32", "--out", "run")
    (drawn,) = (line for line in ended.out.splitlines() if line.startswith("pictures"))
    assert drawn == "pictures  run/confusion.png, run/curves.png, run/mistakes.png"
    told = sonde("explain", "run")
    assert told.status == 0 and told.out.startswith("What was decided\n") and "What to try" in told.out
    assert "finished after 3 epochs" in told.out
    assert "no run of a recipe" in mistaken(sonde("explain", "nothing"))


def test_a_run_that_has_not_ended_is_not_explained_and_stays_as_it_is(sonde, tmp_path):
    recipes.cook(recipes.Digits(epochs=2, hidden=16), 0, tmp_path / "run", pictures=False)
    for name in ("report.json", "result.json"):
        (tmp_path / "run" / name).unlink()
    before = sorted(p.name for p in (tmp_path / "run").iterdir())
    assert "has not ended; go on with `sonde resume" in mistaken(sonde("explain", tmp_path / "run"))
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == before


def test_words_too_many_are_named_with_what_may_have_been_meant(sonde, tmp_path):
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    assert "b.npy is more than `sonde predict` takes" in mistaken(sonde("predict", "net", "a.npy", "b.npy"))
    assert "--set epochs=5" in mistaken(sonde("train", "digits", "--set", "epochs", "5"))
    assert "--column NAME=KIND" in mistaken(sonde("train", "rows.csv", "--set", "columns=x"))


def test_without_a_terminal_progress_is_plain_lines(sonde):
    lines = sonde("train", "digits", *SMALL).err.splitlines()
    assert re.fullmatch(r"training: memory: about [0-9]+ MB: data 0[.0-9]+, .*", lines[0])
    assert lines[1].startswith("training: epoch 0.") and "steps/s" in lines[1] and "left" in lines[1]
    assert re.fullmatch(
        r"training: epoch 3, step 111/111, [0-9,]+ steps/s, "
        r"train loss [0-9.]+, valid loss [0-9.]+, valid error [0-9.]+, finished",
        lines[-1],
    )


def test_the_next_run_takes_the_next_free_folder(sonde, tmp_path):
    outs = [sonde("train", "linear-regression", "--no-pictures").out.splitlines()[0] for _ in range(3)]
    assert [line.split()[-1] for line in outs] == [
        *("runs/linear-regression", "runs/linear-regression-2", "runs/linear-regression-3"),
    ]


def test_the_account_is_strict_json_with_everything_that_a_program_wants(trained):
    account = strict_json(trained / "account.json")
    named = {"recipe", "outcome", "epochs", "metrics", "targets", "seconds", "artifact", "seed", "device", "versions"}
    assert account.keys() == named | {"settings", "standard_deviations"}
    assert (account["recipe"], account["outcome"], account["epochs"], account["seed"]) == ("digits", "finished", 3, 7)
    assert account["metrics"].keys() == {"validation", "test"} and account["standard_deviations"] == {}
    assert account["seconds"].keys() == {"compile", "train", "total"}
    (target,) = account["targets"]
    reached = account["metrics"]["test"]["accuracy"]
    assert target == {"name": "accuracy", "wanted": 0.975, "reached": reached, "met": reached >= 0.975}
    assert account["artifact"] == str(trained / "network.safetensors")
    assert account["versions"]["sonde"] == sd.__version__ and account["device"] == "cpu"


def test_the_metrics_are_those_of_the_artifact_on_the_test_split(trained, digits):
    said = sd.load(trained / "network.safetensors").predict(digits.test.x).astype(int)
    assert strict_json(trained / "account.json")["metrics"]["test"]["accuracy"] == (said == digits.test.y).mean() > 0.7


def test_a_recipe_draws_its_pictures(sonde, tmp_path):
    assert sonde("train", "digits", "--set", "epochs=2", "--set", "hidden=32", "--out", "here").status == 0
    drawn = sorted(tmp_path.glob("here/*.png"))
    assert [p.name for p in drawn] == ["confusion.png", "curves.png", "mistakes.png"]
    assert all(p.read_bytes().startswith(b"\x89PNG") for p in drawn)


def test_a_diverged_run_ends_with_3_and_an_account_without_nan(sonde, tmp_path):
    ended = sonde("train", "digits", *SMALL, "--set", "rate=1e30", "--out", "here", "--json", "account.json")
    assert ended.status == 3 and "no longer a finite number" in ended.out
    account = strict_json(tmp_path / "account.json")
    assert account["outcome"] == "diverged" and not account["targets"][0]["met"]
    assert strict_json(tmp_path / "here/history.json")[0]["train/loss"] == [None]
    assert sonde("resume", "here").status == 3


def test_repeats_are_summed_up(sonde):
    ended = sonde("train", "digits", *SMALL, "--set", "repeats=2", "--seed", "3", "--out", "two")
    assert ended.status == 0
    assert "repeat 1/2 (seed 3): finished" in ended.out and "repeat 2/2 (seed 4): finished" in ended.out
    assert re.search(r"test accuracy: mean 0\.[0-9]+, standard deviation 0\.[0-9]+ over 2 runs", ended.out)
    assert "repeat 1/2: epoch" in ended.err and "repeat 2/2: epoch" in ended.err


@pytest.mark.usefixtures("mnist_is_there")
def test_variants_are_told_by_name(sonde, tmp_path):
    small = [word for key in ("rows=200", "layers=1", "units=4", "epochs=1", "repeats=1") for word in ("--set", key)]
    ended = sonde("train", "digits-0-4", *small, "--out", "three")
    assert ended.status == 0
    for name in ("plain", "norm", "dropout"):
        assert f"{name} (seed 0): finished after 1 epoch" in ended.out and f"\n  {name}, epochs: 1" in ended.out
        assert re.search(rf"target {name}/accuracy 0\.99 for the mean of 3 .*: reached 0\.[0-9]+ so far", ended.out)
    assert "pictures  three/plain/confusion.png" in ended.out and "three/variants.png" in ended.out
    assert "norm (seed 0)\n" in sonde("explain", "three").out
    said = mistaken(sonde("train", "digits-0-4", "--set", "variant=plane"))
    assert "variant must be one of plain, norm, dropout" in said


# The user's mistakes


def mistaken(ended):
    """One clear message, no traceback, status 2."""
    assert ended.status == 2 and "Traceback" not in ended.err
    (line,) = (line for line in ended.err.splitlines() if not line.startswith("training"))
    assert line.startswith("sonde: ")
    return line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["trian", "digits"], 'Did you mean "train"?'),
        (["train"], "requires an argument"),
        (["train", "digts"], "'digts' is no file or folder, no data set and no recipe; did you mean 'digits'?"),
        (["train", "digits", "--bogus"], "Unknown option: --bogus"),
        (["train", "digits", "--seed", "abc"], 'unable to convert "abc" into int'),
        (["train", "digits", "--seed", "-1"], "seed must be a whole number from 0"),
        (["train", "digits", "--seed", "4294967296"], "seed must be a whole number from 0"),
        (["train", "digits", "--device", "tpu"], 'Choose from: "auto", "cpu", "gpu"'),
        (["train", "digits", "--set", "rate"], "--set takes key=value; got 'rate'"),
        (["train", "digits", "--set", "=3"], "--set takes key=value; got '=3'"),
        (["train", "digits", "--set", "rte=1"], "no setting 'rte'; did you mean 'rate'?"),
        (["train", "digits", "--set", "rate=fast"], "rate must be a number, such as 0.003; got 'fast'"),
        (["train", "digits", "--set", "rate="], "rate must be a number, such as 0.003; got ''"),
        (["train", "digits", "--set", "rate=-1"], "rate of Adam must be a number in [0, inf); got -1.0"),
        (["train", "digits", "--set", "rate=nan"], "rate of Adam must be a number in [0, inf); got nan"),
        (["train", "digits", "--set", "epochs=1.5"], "epochs must be a whole number, such as 100; got '1.5'"),
        (["train", "digits", "--set", "epochs=0"], "lasts a number of epochs or of steps"),
        (["train", "digits", "--set", "hidden=0"], "units of Dense must be a whole number of at least 1; got 0"),
        (["train", "digits", "--set", "dropout=1"], "rate of Dropout"),
        (["train", "digits", "--set", "repeats=0"], "repeats of Digits must be a whole number of at least 1; got 0"),
        (["train", "mnist", "--set", "rows=-4"], "rows must be at least 0; got -4"),
        (["train", "mnist", "--set", "hidden=3,b"], "a whole number or several, as in 300,50; got '3,b'"),
        (["resume"], "requires an argument"),
        (["resume", "nowhere"], "there is no run of a recipe in nowhere"),
        (["inspect", "nowhere"], "there is no file nowhere"),
        (["predict", "nowhere", "x.npy"], "there is no file nowhere"),
        (["predict", "nowhere"], "requires an argument"),
    ],
    ids=lambda a: " ".join(a) if isinstance(a, list) else "",
)
def test_a_mistake_is_told_in_one_line_and_leaves_nothing(sonde, tmp_path, arguments, said):
    assert said in mistaken(sonde(*arguments, *(["--out", "here"] if arguments[:2] == ["train", "digits"] else [])))
    assert not list(tmp_path.iterdir())


def test_a_folder_with_a_run_in_it_is_left_alone(sonde, trained):
    before = {p: p.read_bytes() for p in trained.iterdir()}
    said = mistaken(sonde("train", "digits", "--out", trained))
    assert f"there is a run in {trained} already: go on with `sonde resume {trained}`, or choose another --out" in said
    assert {p: p.read_bytes() for p in trained.iterdir()} == before


def test_a_run_of_pythons_is_left_alone(sonde, tmp_path, rng):
    data = sd.data.Dataset.of(rng.normal(size=(50, 3)), rng.normal(size=50))
    sd.fit(Dense(1), data, sd.Regress(), sd.SGD(0.1), epochs=1, out=tmp_path / "mine")
    before = {p: p.read_bytes() for p in (tmp_path / "mine").iterdir()}
    assert "holds the run.json of another run" in mistaken(sonde("train", "digits", "--out", "mine"))
    assert "sonde.resume(folder, data)" in mistaken(sonde("resume", "mine"))
    assert {p: p.read_bytes() for p in (tmp_path / "mine").iterdir()} == before


def test_what_cannot_be_written_is_found_out_before_training(sonde, tmp_path):
    (tmp_path / "file").write_text("mine")
    for arguments in (["--out", "file"], ["--out", "file/below"], ["--json", "file/below"], ["--json", "."]):
        ended = sonde("train", "digits", *arguments)
        assert "cannot write" in mistaken(ended) and "training" not in ended.err
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_said_to_be_missing(sonde):
    assert "there is no gpu that JAX can use here" in mistaken(sonde("train", "digits", "--device", "gpu"))


def test_the_cpu_can_be_asked_for(sonde):
    assert sonde("train", "linear-regression", "--device", "cpu", "--no-pictures").status == 0


def test_what_is_not_the_users_mistake_is_ours(sonde, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("oh")

    monkeypatch.setattr(recipes, "cook", broken)
    ended = sonde("train", "digits")
    assert ended.status == 1 and "Traceback" in ended.err and "RuntimeError: oh" in ended.err
    assert ended.err.splitlines()[-1] == "sonde: this is our fault, not yours (RuntimeError); please report it"


# Resuming


def test_a_finished_run_stays_as_it_is_and_its_account_can_be_had_again(sonde, trained, tmp_path):
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in trained.iterdir()}
    ended = sonde("resume", trained, "--json", "again.json")
    assert ended.status == 0 and ended.out == f"the run in {trained} has ended (finished); it stays as it is\n"
    assert strict_json(tmp_path / "again.json") == strict_json(trained / "account.json")
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in trained.iterdir()} == before


def test_a_folder_that_was_moved_says_where_its_network_is_now(sonde, trained, tmp_path):
    (tmp_path / "moved").mkdir()
    for name in ("recipe.json", "result.json", "network.safetensors"):
        (tmp_path / "moved" / name).write_bytes((trained / name).read_bytes())
    sonde("resume", "moved", "--json", "again.json")
    assert strict_json(tmp_path / "again.json")["artifact"] == "moved/network.safetensors"


def test_a_run_whose_account_was_not_written_is_not_trained_again(sonde, trained, tmp_path):
    for file in trained.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "result.json").unlink()
    ended = sonde("resume", tmp_path, "--json", "again.json", "--no-pictures")
    assert ended.status == 0 and "finished after 3 epochs" in ended.out and "training" not in ended.err
    there, before = strict_json(tmp_path / "again.json"), strict_json(trained / "account.json")
    assert there["metrics"] == before["metrics"] and there["targets"] == before["targets"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("recipe.json", '{"recipe": {"is": "digits"', "is not JSON"),
        ("recipe.json", '{"recipe": {"is": "digist"}, "seed": 7}', "did you mean 'digits'"),
        ("recipe.json", '{"recipe": {"is": "Dense", "units": 3}, "seed": 7}', "Dense is no recipe"),
        ("recipe.json", "[]", "does not describe a recipe"),
        ("result.json", "[]", "no account of a run"),
        ("result.json", "{", "is not JSON"),
    ],
)
def test_a_damaged_folder_is_a_mistake_in_one_line(sonde, trained, tmp_path, name, content, said):
    for file in trained.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / name).write_text(content)
    assert said in mistaken(sonde("resume", tmp_path))


def test_an_interruption_says_how_to_go_on(sonde, monkeypatch, tmp_path):
    def pressed(recipe, seed, folder, **_):
        (folder / "recipe.json").parent.mkdir()
        (folder / "recipe.json").write_text("{}")
        raise KeyboardInterrupt

    monkeypatch.setattr(recipes, "cook", pressed)
    ended = sonde("train", "digits", "--out", "here")
    assert ended.status == 130 and ended.err == "sonde: interrupted; go on with `sonde resume here`\n"


# Predicting


@pytest.fixture
def rows(digits, tmp_path):
    np.save(tmp_path / "rows.npy", digits.test.x[:20])
    return digits.test.x[:20]


def test_predictions_are_a_table_of_labels_and_probabilities(sonde, trained, rows, tmp_path):
    ended = sonde("predict", trained / "network.safetensors", "rows.npy")
    table = list(csv.DictReader(io.StringIO(ended.out)))
    artifact = sd.load(trained / "network.safetensors")
    assert ended.status == 0 and ended.err == ""
    assert list(table[0]) == ["prediction", *(f"probability {i}" for i in range(10))]
    assert [row["prediction"] for row in table] == artifact.predict(rows).tolist()
    shares = np.array([[float(row[f"probability {i}"]) for i in range(10)] for row in table])
    np.testing.assert_allclose(shares, artifact.probabilities(rows), rtol=1e-5)


def test_predictions_go_into_a_file(sonde, trained, rows, tmp_path):
    printed = sonde("predict", trained / "network.safetensors", "rows.npy").out
    ended = sonde("predict", trained / "network.safetensors", "rows.npy", "--out", "made/here.csv")
    assert ended.out == "20 predictions in made/here.csv\n"
    assert (tmp_path / "made/here.csv").read_text() == printed


def saved(tmp_path, units, predicts, labels=None):
    inputs = {"shape": [3], "dtype": "float32", "low": -2.0, "high": 2.0}
    net = build(Dense(units), np.ones((1, 3), np.float32))
    np.save(tmp_path / "x.npy", np.linspace(-1, 1, 12).reshape(4, 3))
    artifact = sd.Artifact(net, inputs, predicts, labels)
    artifact.save(tmp_path / "net.safetensors")
    return artifact.outputs(np.load(tmp_path / "x.npy"))


def test_numbers_are_one_column_and_come_back_to_the_bit(sonde, tmp_path):
    outputs = saved(tmp_path, 1, "numbers")
    head, *lines = sonde("predict", "net.safetensors", "x.npy").out.splitlines()
    assert head == "prediction"
    np.testing.assert_array_equal(np.array(lines, np.float32), outputs[:, 0])
    saved(tmp_path, 2, "numbers")
    assert sonde("predict", "net.safetensors", "x.npy").out.startswith("prediction 1,prediction 2\n")


def test_an_answer_for_each_step_has_a_line_for_each_step_of_each_sequence(sonde, tmp_path):
    spec = sd.nn.Sequential(memory=sd.nn.GRU(3), head=sd.nn.Dense(2))
    rows = sd.Padded(np.sin(np.arange(60, dtype=np.float32)).reshape(4, 5, 3), np.array([5, 1, 3, 2]))
    inputs = {"shape": [5, 3], "dtype": "float32", "low": -2.0, "high": 2.0, "padded": True}
    artifact = sd.Artifact(build(spec, rows), inputs, "classes", ["off", "on"])
    path = artifact.save(tmp_path / "net.safetensors")
    np.savez(tmp_path / "rows.npz", x=rows.values, lengths=rows.lengths)
    ended = sonde("predict", path, "rows.npz")
    table = list(csv.DictReader(io.StringIO(ended.out)))
    columns = ["sequence", "step", "prediction", "probability off", "probability on"]
    assert ended.status == 0 and list(table[0]) == columns
    where = [(int(line["sequence"]), int(line["step"])) for line in table]
    assert where == [(i, j) for i, length in enumerate([5, 1, 3, 2]) for j in range(length)]
    assert [line["prediction"] for line in table] == artifact.predict(rows).steps.tolist()
    shares = [[float(line["probability off"]), float(line["probability on"])] for line in table]
    np.testing.assert_allclose(shares, artifact.probabilities(rows).steps, rtol=1e-5)


def test_sequences_without_their_lengths_are_refused(sonde, tmp_path):
    rows = sd.Padded(np.zeros((2, 5, 3), np.float32), np.array([5, 1]))
    inputs = {"shape": [5, 3], "dtype": "float32", "low": -2.0, "high": 2.0, "padded": True}
    network = build(sd.nn.Sequential(memory=sd.nn.GRU(3, last=True), head=sd.nn.Dense(1)), rows)
    path = sd.Artifact(network, inputs, "numbers").save(tmp_path / "net.safetensors")
    np.save(tmp_path / "rows.npy", rows.values)
    ended = sonde("predict", path, "rows.npy")
    assert ended.status == 2 and "a .npz file with x [rows, longest, ...] and lengths [rows]" in ended.err


def test_labels_with_commas_are_quoted(sonde, tmp_path):
    saved(tmp_path, 1, "classes", ("no, never", 'the "other"'))
    table = list(csv.reader(io.StringIO(sonde("predict", "net.safetensors", "x.npy").out)))
    assert table[0] == ["prediction", "probability no, never", 'probability the "other"']
    assert {row[0] for row in table[1:]} <= {"no, never", 'the "other"'}


def arrays(x):
    yield "scaled", x / 16, None
    yield "flat", x.reshape(len(x), -1), "takes an array [rows, 8, 8]; got float32[20, 64]"
    yield "one", x[0], "One row is x[None]"
    yield "none", x[:0], "x.npy has no rows"
    yield "nan", np.where(x > 15, np.nan, x), "NaN or infinite values, the first in row"
    yield "objects", np.array([{"a": 1}, None], object), "it holds Python objects"
    yield "text", np.array(["a", "b"]), "takes numbers; got an array of object"
    yield "complex", x * 1j, "holds complex64[20, 8, 8]; expected numbers"
    yield "big", x.astype(float) * 1e300, "takes float32 values"


def test_rows_that_no_training_row_was_like_are_told_and_predicted_for_as_ever(sonde, tmp_path):
    table = {"city": ["Bonn", "Graz", "Oslo"], "size": [1.0, 2.0, 4.0], "price": [1.5, 2.5, 3.5]}
    encoder = sd.data.Encoder.of(table, "price")
    net = build(Dense(1), encoder.inputs(table)["x"])
    inputs = {"shape": [4], "dtype": "float32", "low": -2.0, "high": 2.0}
    sd.Artifact(net, inputs, "numbers", None, encoder=encoder).save(tmp_path / "net.safetensors")
    (tmp_path / "usual.csv").write_text("city,size,price\nBonn,1,1\nOslo,2,3\n")
    (tmp_path / "odd.csv").write_text("city,size,price\nBonn,1,1\nRome,2,3\n")
    looks = "sonde: look: column 'city': 1 of 2 rows has none of the 3 known categories (row 1: 'Rome')\n"
    for command in ("predict", "evaluate"):
        assert "look" not in sonde(command, "net.safetensors", "usual.csv").err
        ended = sonde(command, "net.safetensors", "odd.csv")
        assert ended.status == 0 and looks in ended.err and "look" not in ended.out


def test_rows_on_another_scale_are_predicted_for_with_a_warning(sonde, trained, rows, tmp_path):
    np.save(tmp_path / "scaled.npy", rows / 16)
    ended = sonde("predict", trained / "network.safetensors", "scaled.npy")
    assert ended.status == 0 and len(ended.out.splitlines()) == 21
    assert "are they scaled as they were then?" in ended.err


@pytest.mark.parametrize("name", ["flat", "one", "none", "nan", "objects", "text", "complex", "big"])
def test_rows_that_are_not_what_it_takes_are_refused(sonde, trained, rows, tmp_path, name):
    _, array, said = next(case for case in arrays(rows) if case[0] == name)
    np.save(tmp_path / "x.npy", array)
    assert said in mistaken(sonde("predict", trained / "network.safetensors", "x.npy"))


def files(tmp_path):
    good = (tmp_path / "rows.npy").read_bytes()
    head = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 8, 8), }".ljust(117) + b"\n"
    packed = io.BytesIO()
    np.savez(packed, x=np.ones(3))
    yield "empty", b"", "is not a NumPy file (.npy, .npz); write one with numpy.save"
    yield "csv", b"1,2,3\n", "is not a NumPy file (.npy, .npz)"
    yield "npz", packed.getvalue(), "the network takes an array [rows, 8, 8]; got float64[3]"
    yield "cut off", good[:-8], "is not a NumPy file of numbers"
    yield "cut in its head", good[:40], "is not a NumPy file of numbers"
    yield "huge", b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head, "is damaged, or does not fit"


@pytest.mark.parametrize("name", ["empty", "csv", "npz", "cut off", "cut in its head", "huge"])
def test_a_file_that_is_no_array_is_refused(sonde, trained, rows, tmp_path, name):
    _, content, said = next(case for case in files(tmp_path) if case[0] == name)
    (tmp_path / "x.npy").write_bytes(content)
    assert said in mistaken(sonde("predict", trained / "network.safetensors", "x.npy"))


class Trap:
    """Whoever unpickles this runs code."""

    def __reduce__(self):
        return os.mkdir, ("sprung",)


def test_an_array_that_would_need_unpickling_is_never_unpickled(sonde, trained, tmp_path):
    np.save(tmp_path / "x.npy", np.array([Trap()], object), allow_pickle=True)
    (tmp_path / "y.npy").write_bytes(pickle.dumps(Trap()))
    for name in ("x.npy", "y.npy"):
        assert "is not a NumPy file" in mistaken(sonde("predict", trained / "network.safetensors", name))
    assert not (tmp_path / "sprung").exists()


def test_missing_a_target_is_no_failure(sonde):
    ended = sonde("train", "linear-regression", "--set", "rate=0", "--no-pictures")
    assert ended.status == 0 and re.search("target largest error of w and b 0.002: reached 4.2, missed", ended.out)


def test_a_file_that_is_not_there_or_no_artifact_is_named(sonde, trained, rows, tmp_path):
    network = trained / "network.safetensors"
    assert "there is no file or folder gone.npy" in mistaken(sonde("predict", network, "gone.npy"))
    (tmp_path / "empty").mkdir()
    assert "holds no images" in mistaken(sonde("predict", network, tmp_path / "empty"))
    assert "is a folder, not a file" in mistaken(sonde("predict", trained, "rows.npy"))
    assert "is not a safetensors file" in mistaken(sonde("predict", trained / "run.json", "rows.npy"))
    assert "cannot write" in mistaken(sonde("predict", network, "rows.npy", "--out", "rows.npy/x.csv"))


def test_an_artifact_can_be_looked_into(sonde, trained):
    ended = sonde("inspect", trained / "network.safetensors")
    assert ended.status == 0 and "takes     rows [8, 8] of float32 from 0 to 16" in ended.out
    assert "hidden_1" in ended.out and "total" in ended.out


# Progress


def dispatch(step=300, total=3000, outcome=Outcome.RUNNING, phase=0, phases=1, seconds=2.0, **report):
    report = report or {"train/loss": 0.123456, "valid/loss": 0.234567, "valid/error": 0.0345}
    return Dispatch(phase, phases, step, total, step / 100, seconds, report, outcome)


def shown(width, *dispatches):
    """The bar's last frame, and how many lines it took."""
    screen = io.StringIO()
    bar = Bar("training", Console(file=screen, force_terminal=True, width=width, color_system=None, _environ={}))
    for d in dispatches:
        bar(d)
    bar._progress.refresh()
    bar._progress.stop()
    frames = re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue()))
    return [frame.strip() for frame in frames if frame.strip()][-1]


def test_the_bar_has_epochs_rate_losses_and_the_time_left():
    frame = shown(140, dispatch())
    assert frame.endswith(
        "training  epoch 3/30  train loss 0.123  valid loss 0.235  valid error 0.0345  150 steps/s  at most 0:18 left"
    )


@pytest.mark.parametrize("width", [30, 40, 60, 80, 100, 200])
def test_the_bar_fits_any_terminal_and_leaves_out_what_matters_least(width):
    frame = shown(width, dispatch(step=299_900, total=600_000, seconds=40_000.0))
    assert len(frame) <= width and "epoch" in frame and "━" in frame and "…" not in frame
    assert ("left" in frame) == (width >= 60) and ("train loss" in frame) == (width >= 80)


def test_the_bar_tells_phases_apart_and_shows_what_several_turns_lose():
    assert "training 2/3" in shown(140, dispatch(phase=0, phases=3), dispatch(phase=1, phases=3))
    frame = shown(140, dispatch(**{"train/critic/loss": 1.5, "train/maker/loss": 2.5, "rate/critic": 1.0}))
    assert "train critic loss 1.5" in frame and "train maker loss 2.5" in frame


def test_the_bar_says_that_it_compiles_before_the_first_dispatch():
    assert "training: compiling" in shown(80)


def test_lines_come_now_and_then_and_at_the_end():
    said = io.StringIO()
    lines = Lines(every=1e9, file=said)
    for step in (100, 200, 300):
        lines(dispatch(step=step, seconds=60.0))
    lines(dispatch(step=300, outcome=Outcome.STOPPED_EARLY))
    first, last = said.getvalue().splitlines()
    assert first.startswith("training: epoch 1, step 100/3000, 2 steps/s, train loss 0.1235")
    assert "at most 29:00 left" in first
    assert last.endswith("stopped early") and "left" not in last


def test_a_reader_that_went_away_stops_no_run():
    class Gone(io.StringIO):
        def write(self, _):
            raise BrokenPipeError

    Lines(file=Gone())(dispatch())


# Real processes


def begin(*arguments, **options):
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([*SONDE, *map(str, arguments)], **streams | options)


def test_a_pipe_that_is_closed_early_is_no_error(trained, tmp_path):
    for command in (["recipes"], ["inspect", trained / "network.safetensors"]):
        process = begin(*command)
        process.stdout.close()
        assert process.stderr.read() == "" and process.wait() == 0
        process.stderr.close()


def test_it_trains_on_when_nobody_listens(tmp_path):
    process = begin("train", "linear-regression", "--out", tmp_path / "run", "--json", tmp_path / "account.json")
    process.stdout.close()
    process.stderr.close()
    assert process.wait() == 0
    assert strict_json(tmp_path / "account.json")["targets"][0]["met"]


def test_a_full_disk_is_said(trained):
    if not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full")
    with open("/dev/full", "w") as full:
        process = begin("inspect", trained / "network.safetensors", stdout=full)
        assert process.communicate()[1] == "sonde: cannot write the output: No space left on device\n"
    assert process.returncode == 2


LONG = ("--set", "epochs=100000", "--set", "patience=100000", "--set", "hidden=16", "--no-pictures")


def test_ctrl_c_keeps_the_best_network_and_says_how_to_go_on(tmp_path):
    process = begin("train", "digits", *LONG, "--out", tmp_path / "run", "--json", tmp_path / "account.json")
    while "valid loss" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130 and "Traceback" not in err and "interrupted" in err
    assert "interrupted after" in out and f"go on     sonde resume {tmp_path}/run" in out and "target" not in out
    account = strict_json(tmp_path / "account.json")
    assert account["outcome"] == "interrupted" and account["metrics"]["validation"]["accuracy"] > 0.5
    (history,) = strict_json(tmp_path / "run/history.json")
    best = np.flatnonzero(history["kept"])[-1]
    assert history["valid/loss"][best] == min(history["valid/loss"])
    assert not (tmp_path / "run/result.json").exists()


def test_ctrl_c_while_it_compiles_and_a_second_one_end_it(tmp_path):
    process = begin("train", "digits", *LONG, "--out", tmp_path / "run")
    assert process.stdout.readline().startswith("recipe digits")
    while not (tmp_path / "run/run.json").exists():
        time.sleep(0.01)
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
    out, err = process.communicate()
    assert process.returncode == 130 and "Traceback" not in err
    assert f"sonde resume {tmp_path}/run" in out + err


def test_ctrl_c_while_jax_is_imported_ends_it_in_one_line(tmp_path):
    command = [sys.executable, "-X", "importtime", "-c", "import sonde_command; sonde_command.main()", "recipes"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while " jax._src" not in (line := process.stderr.readline()):
        assert line
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    said = [line for line in err.splitlines() if not line.startswith("import time:")]
    assert (process.returncode, out, said) == (130, "", ["sonde: interrupted"])


def test_the_installed_command_begins_where_ctrl_c_is_heard():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    assert project["project"]["scripts"] == {"sonde": "sonde_command:main"}
    assert "src/sonde_command.py" in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]


def test_a_ctrl_c_that_python_can_only_report_ends_the_command_all_the_same(sonde, monkeypatch):
    class Callback:
        def __del__(self):
            signal.raise_signal(signal.SIGINT)

    def command(*arguments, **settings):
        Callback()  # no exception comes out of __del__
        time.sleep(60)

    report, began = sys.unraisablehook, time.monotonic()
    monkeypatch.setattr("sonde.cli.command.app", command)
    done = sonde()
    assert time.monotonic() - began < 30
    assert (done.status, done.out, done.err) == (130, "", "sonde: interrupted\n") and sys.unraisablehook is report


def test_in_a_terminal_there_is_a_bar_that_goes_away(tmp_path):
    ours, its = os.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    process = begin("train", "digits", *LONG, "--out", tmp_path / "run", stdout=its, stderr=its, env=environment)
    os.close(its)
    seen, pressed = "", False
    while True:
        ready, _, _ = select.select([ours], [], [], 60)
        try:
            seen += os.read(ours, 65536).decode(errors="replace") if ready else pytest.fail(seen)
        except OSError:  # how Linux says that nobody holds the other end
            break
        if not pressed and "valid loss" in seen:
            process.send_signal(signal.SIGINT)
            pressed = True
    os.close(ours)
    assert process.wait() == 130
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen)
    frames = [f.strip() for f in re.split(r"[\r\n]+", plain) if "━" in f]
    assert any("training: compiling" in f for f in frames)
    assert any("steps/s" in f and "train loss" in f and "left" in f for f in frames) and max(map(len, frames)) <= 100
    assert "interrupted after" in plain and "go on     sonde resume" in plain and "Traceback" not in plain
    assert seen.count("\x1b[?25l") == seen.count("\x1b[?25h")  # the cursor is back
