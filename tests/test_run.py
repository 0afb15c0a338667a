"""`fit` and the `Run` it gives: what it says is so, what it draws and saves is there, and mistakes are named."""

from __future__ import annotations

import json
import math
import signal
import sys

import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics

import sonde as sd
from sonde import nn
from sonde._errors import ArgumentError, FormatError, PathError, SourceError
from sonde.folder import FILES, read_history, strict
from sonde.train import Outcome
from sonde.train.execute import interruptible


def spec():
    return nn.Sequential(flat=nn.Flatten(), scale=nn.Scale(1 / 16), hidden=nn.Dense(16, nn.relu), head=nn.Dense(10))


def train(data, *, rate=1e-2, network=None, **options):
    given = {"epochs": 3, "batch": 64} | options
    return sd.fit(network or spec(), data, sd.Classify(), sd.Adam(rate), **given)


@pytest.fixture(scope="module")
def digits():
    return sd.data.load("digits")


@pytest.fixture(scope="module")
def run(digits):
    return train(digits, epochs=6, seed=1)


@pytest.fixture(scope="module")
def diverged(digits):
    return train(digits, rate=1e30)


@pytest.fixture(scope="module")
def line():
    x = np.random.default_rng(0).normal(size=(300, 2)).astype(np.float32)
    y = 100 + 50 * x @ np.array([1.0, -2.0])
    data = sd.data.Dataset.of(x, y)
    return sd.fit(nn.Sequential(head=nn.Dense(1)), data, sd.Regress(), sd.SGD(0.1), epochs=20, batch=10)


# Printing


def test_it_says_how_it_ended_how_good_it_is_and_what_was_decided(run):
    said = str(run)
    assert said.startswith("finished after 6 epochs, network of epoch ")
    accuracy = run.evaluate("test")["accuracy"]
    assert f"test accuracy: {accuracy}" in said and "±" in str(accuracy)
    assert "validation accuracy" in said
    assert "trains 1,210 parameters" in said
    assert "1,168 rows in batches of 64: 19 steps an epoch" in said
    assert "keeps the network of the smallest valid/loss" in said
    assert "to compile" in said and "on cpu" in said
    assert repr(run) == said


def test_a_regression_speaks_of_errors_in_its_own_units(line):
    test = line.evaluate("test")
    assert float(test["r2"]) > 0.99 and float(test["rmse"]) < 10
    assert f"test rmse: {test['rmse']}" in str(line)


def test_a_diverged_run_says_where_and_what_to_try(diverged):
    assert diverged.outcome == Outcome.DIVERGED
    said = str(diverged)
    assert said.startswith("diverged after ") and "no longer a finite number at step" in said and "Try " in said
    assert all(np.isfinite(v).all() for v in diverged.network.params.values())


def test_phases_are_told_apart_and_what_rests_is_named(digits, tmp_path):
    head = sd.Turn(sd.Classify(), sd.Adam(1e-2), trains="head/**")
    every = sd.Turn(sd.Classify(), sd.Adam(1e-3))
    phases = (sd.Phase(head, sd.data.Shuffled(64), epochs=1), sd.Phase(every, sd.data.Shuffled(64), epochs=2))
    run = sd.fit(spec(), digits, plan=sd.Plan(phases))
    assert [p.name for p in run.plot(tmp_path)][:2] == ["curves-1.png", "curves-2.png"]
    assert [r.epochs for r in run.records] == [1, 2] and str(run).startswith("finished after 3 epochs")
    assert "phase 1: trains 170 parameters of 1,210; hidden rest" in str(run)
    assert "phase 2: trains 1,210 parameters" in str(run)


# Evaluating


def test_evaluation_is_that_of_the_network_handed_on(run, digits):
    said = np.asarray(run.network(jnp.asarray(digits.test.x))).argmax(1)
    assert float(run.evaluate("test")["accuracy"]) == pytest.approx((said == digits.test.y).mean(), abs=1e-9)
    assert run.evaluate("test") is run.evaluate("test")
    assert float(run.evaluate("train")["accuracy"]) > 0.8


def test_other_rows_can_be_evaluated_and_weigh_what_they_weigh(run, digits):
    part = {"x": digits.test.x[:50], "y": digits.test.y[:50]}
    score = run.evaluate(part)["accuracy"]
    right = run.artifact.predict(part["x"]).astype(int) == part["y"]
    assert float(score) == pytest.approx(right.mean())
    weight = np.where(right, 1.0, 0.0)
    assert float(run.evaluate(part | {"weight": weight})["accuracy"]) == 1


def test_a_split_that_is_misspelled_is_named_and_one_that_is_missing_has_no_metrics(run, digits):
    with pytest.raises(ArgumentError, match="no split is called 'tets'; did you mean 'test'"):
        run.evaluate("tets")
    four = sd.data.Dataset({"x": np.eye(4, dtype=np.float32), "y": [0, 1, 0, 1]})
    alone = sd.fit(nn.Sequential(nn.Dense(2)), four, sd.Classify(), sd.SGD(1), steps=1)
    assert alone.evaluate("test") == {} and "test accuracy" not in str(alone)
    assert "keeps the network of the last round" in str(alone)
    assert "default names: dense_1" in str(alone)  # and that they may not last


# Report and history


def test_the_report_is_strict_json_even_when_it_diverged(run, diverged):
    for each in (run, diverged):
        report = json.loads(json.dumps(each.report(), allow_nan=False))
        assert report["outcome"] == each.outcome.words
        assert report["metrics"]["test"]["accuracy"]["value"] == float(each.evaluate("test")["accuracy"])
        assert report["seconds"].keys() == {"compile", "train", "total"}
        assert report["seed"] == each.seed and report["device"] == "cpu" and "jax" in report["versions"]
        (phase,) = report["phases"]
        assert phase["steps"] == each.records[0].steps and phase["best_round"] == each.records[0].best


def test_strict_json_has_null_for_what_is_not_finite():
    assert strict({"a": [1.5, math.nan, (math.inf, "nan", 3)]}) == {"a": [1.5, None, [None, "nan", 3]]}


def test_the_history_has_an_entry_a_round(run):
    history = run.history
    assert {"step", "epoch", "train/loss", "valid/loss", "train/error", "valid/error", "rate", "kept"} <= set(history)
    assert all(len(values) == 6 for values in history.values())
    np.testing.assert_array_equal(history["epoch"], np.arange(1, 7))
    np.testing.assert_array_equal(history["step"], 19 * np.arange(1, 7))
    assert np.flatnonzero(history["kept"])[-1] == history["valid/loss"].argmin()
    assert history["train/loss"][-1] < history["train/loss"][0]


# Saving and drawing


def test_saving_writes_the_network_the_report_and_the_history(run, digits, tmp_path):
    path = run.save(tmp_path / "here")
    assert {p.name for p in path.parent.iterdir()} == {"network.safetensors", "report.json", "history.json"}
    assert run.folder == tmp_path / "here"
    np.testing.assert_array_equal(sd.load(path).predict(digits.test.x), run.artifact.predict(digits.test.x))
    assert json.loads((path.parent / "report.json").read_text()) == json.loads(json.dumps(run.report()))


def test_a_history_that_is_read_back_is_what_it_was_and_strict_json(run, diverged, tmp_path):
    no_literals = {"parse_constant": lambda word: pytest.fail(f"{word} is no JSON")}
    for each in (run, diverged):
        each.save(tmp_path / each.outcome.words)
        (there,) = read_history(tmp_path / each.outcome.words)
        json.loads((tmp_path / each.outcome.words / "history.json").read_text(), **no_literals)
        assert there.keys() == each.history.keys()
        for name, values in each.history.items():
            finite = np.where(np.isfinite(values), values, np.nan)
            np.testing.assert_array_equal(there[name], finite)


def test_a_run_is_not_saved_over_another(run, digits, tmp_path):
    other = train(digits, epochs=1, out=tmp_path)
    before = (tmp_path / FILES["network"]).read_bytes()
    with pytest.raises(ArgumentError, match="another run is in"):
        run.save(tmp_path)
    other.save(tmp_path)
    assert (tmp_path / FILES["network"]).read_bytes() == before


def test_a_folder_that_cannot_be_written_is_named(run, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SourceError, match=f"cannot write {tmp_path}/file/"):
        run.save(tmp_path / "file")


def is_picture(path):
    return path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 5_000


def test_a_classifier_draws_its_curves_its_confusion_and_its_mistakes(run, tmp_path):
    made = run.plot(tmp_path)
    assert [p.name for p in made] == ["curves.png", "confusion.png", "mistakes.png"] and all(map(is_picture, made))


def test_a_regression_draws_its_curves_and_its_predictions(line, tmp_path):
    made = line.plot(tmp_path / "new")
    assert [p.name for p in made] == ["curves.png", "predictions.png"] and all(map(is_picture, made))


def test_without_a_folder_the_figures_themselves_are_given(run, line, tmp_path):
    assert list(run.plot()) == ["curves", "confusion", "mistakes"]
    title = line.plot()["predictions"].axes[0].get_title(loc="left")
    valid = line.evaluate("valid")
    assert title == f"R² {float(valid['r2']):.3f}, RMSE {float(valid['rmse']):.3g}"


def test_a_diverged_run_has_its_curves_too(diverged, tmp_path):
    assert diverged.plot(tmp_path)[0].name == "curves.png"


# What fit takes


def test_the_same_seed_gives_the_same_bits_and_another_gives_others(digits, seed):
    a, b, c = (train(digits, epochs=1, seed=s) for s in (seed, np.int64(seed), seed + 1))
    assert a.network == b.network and a.network != c.network
    assert a.history["train/loss"].tobytes() == b.history["train/loss"].tobytes()


def test_arrays_are_split_as_a_dataset_is(line):
    given = tuple(np.concatenate([part[name] for part in line.data.splits.values()]) for name in ("x", "y"))
    run = sd.fit(line.network.spec, given, sd.Regress(), sd.SGD(0.1), epochs=1, batch=10)
    assert {name: part.rows for name, part in run.data.splits.items()} == {"train": 210, "valid": 45, "test": 45}


def test_a_network_is_gone_on_from(run, digits):
    more = train(digits, network=run.network, epochs=1, rate=1e-6)
    assert more.history["valid/loss"][0] == pytest.approx(run.history["valid/loss"].min(), rel=0.01)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"seed": -1}, "seed must be a whole number from 0 to 4294967295; got -1"),
        ({"seed": 2**32}, "seed must be"),
        ({"seed": 0.5}, "seed must be"),
        ({"seed": True}, "seed must be"),
        ({"epochs": 0}, "lasts a number of epochs or of steps"),
        ({"epochs": 3, "steps": 3}, "lasts a number of epochs or of steps"),
        ({"batch": 0}, "size of Shuffled must be"),
        ({"control": "patience"}, "control takes controllers"),
        ({"plan": sd.Plan(sd.Phase(sd.Turn(sd.Classify(), sd.Adam()), sd.data.Shuffled(), epochs=1))}, "got both"),
    ],
)
def test_mistakes_in_arguments_are_named(digits, options, said):
    with pytest.raises(ArgumentError, match=said):
        train(digits, **options)


def test_it_needs_to_know_what_to_minimize_and_how(digits):
    with pytest.raises(ArgumentError, match="fit needs an objective and an optimizer"):
        sd.fit(spec(), digits, sd.Classify(), epochs=1)


def test_a_folder_with_a_run_in_it_is_not_begun_in_again(digits, tmp_path):
    train(digits, epochs=1, out=tmp_path / "begun")
    with pytest.raises(ArgumentError, match="there is a run in .* already; resume it, or choose another folder"):
        train(digits, epochs=1, out=tmp_path / "begun")
    train(digits, epochs=1).save(tmp_path / "saved")
    with pytest.raises(ArgumentError, match="holds the network.safetensors of another run; choose another folder"):
        train(digits, epochs=1, out=tmp_path / "saved")


def test_a_run_that_came_to_nothing_can_begin_in_its_folder_once_it_is_mended(digits, tmp_path):
    with pytest.raises(PathError, match="vaild/loss"):
        train(digits, epochs=1, out=tmp_path, control=sd.KeepBest(watch="vaild/loss"))
    train(digits, epochs=1, out=tmp_path, control=sd.KeepBest(watch="valid/loss"))
    assert (tmp_path / "network.safetensors").exists()


def test_a_part_without_a_name_in_files_is_named_before_anything_is_written(digits, tmp_path):
    with pytest.raises(FormatError, match="no name in files"):
        sd.fit(spec(), digits, plan=plan_of(sd.Classify(), Unnamed()), out=tmp_path)
    assert not list(tmp_path.iterdir())


class Unnamed(sd.SGD):
    """Registered under no name."""


def plan_of(objective, optimizer):
    return sd.Plan(sd.Phase(sd.Turn(objective, optimizer), sd.data.Shuffled(64), epochs=1))


def test_an_observer_hears_of_every_dispatch(digits):
    heard = []
    run = train(digits, epochs=4, observer=heard.append)
    assert [d.step for d in heard] == sorted({d.step for d in heard}) and heard[-1].step == run.records[0].steps
    assert all(d.total == 4 * 19 and d.phases == 1 for d in heard)
    assert heard[-1].outcome == Outcome.FINISHED and {d.outcome for d in heard[:-1]} <= {Outcome.RUNNING}


def test_a_ctrl_c_that_python_can_only_report_is_still_heard_and_makes_no_noise(capfd):
    class Callback:
        def __del__(self):
            signal.raise_signal(signal.SIGINT)

    report = sys.unraisablehook
    with interruptible() as asked:
        signal.raise_signal(signal.SIGINT)
        Callback()  # the second one is raised inside __del__, from where no exception comes out
        assert asked.is_set()
    assert capfd.readouterr().err == "" and sys.unraisablehook is report


def test_ctrl_c_is_a_request_a_second_one_an_order_and_where_it_is_ignored_nothing():
    usual = signal.getsignal(signal.SIGINT)
    with interruptible() as asked:
        signal.raise_signal(signal.SIGINT)
        assert asked.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is usual
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interruptible() as asked:
            signal.raise_signal(signal.SIGINT)
        assert not asked.is_set() and signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, usual)


# ---------------------------------------------------------------------- what is easily confused


def short(spec, objective, x=None, y=None, **options):
    """A short run."""
    x = np.ones((40, 3), np.float32) * np.arange(40)[:, None] / 40 if x is None else x
    data = sd.data.Dataset({"x": x, "y": x[:, 0] if y is None else y})
    return sd.fit(spec, data, objective, sd.SGD(1e-3), epochs=1, progress=False, **options)


def by_numpy(prediction, target):
    """A loss by NumPy, which compiled programs do not know."""
    return np.square(np.asarray(prediction) - target)


def by_choice(prediction, target):
    """A loss that asks for numbers while they are not there."""
    return prediction if (prediction > target).all() else target


def by_scikit_learn(prediction, target):
    """A metric of the host."""
    return sklearn.metrics.r2_score(target, prediction)


@pytest.mark.parametrize(
    ("objective", "where"),
    [
        (lambda: sd.Regress(by_numpy), "by_numpy"),
        (lambda: sd.Regress(by_choice), "by_choice"),
        (lambda: sd.Regress(metrics=(by_scikit_learn,)), "by_scikit_learn"),
    ],
)
def test_what_no_compiled_program_can_do_is_named_with_its_line(objective, where):
    with pytest.raises(sd.SondeError, match=rf"in {where} \(test_run.py, line \d+\): use jax.numpy .* jnp.where"):
        short(nn.Dense(1), objective())


def test_a_loss_is_no_objective():
    with pytest.raises(ArgumentError, match=r"Regress\(loss\) with a loss of .* got squared_error"):
        short(nn.Dense(1), sd.objectives.squared_error)


def test_arguments_of_fit_in_another_order_or_by_another_name_are_refused():
    x, y, net = np.ones((20, 3)), np.arange(20) % 2, nn.Dense(2)
    more = {"epochs": 1, "progress": False}
    with pytest.raises(ArgumentError, match=r"fit\(network, \(x, y\), ...\), after the network; got float64\[20, 3\]"):
        sd.fit(net, x, y, sd.Classify(), **more)
    with pytest.raises(ArgumentError, match="the network comes first, then the data"):
        sd.fit(sd.data.Dataset({"x": x, "y": y}), net, sd.Classify(), sd.SGD(0.1), **more)
    with pytest.raises(ArgumentError, match="fit has no 'batch_size'; did you mean 'batch'"):
        sd.fit(net, (x, y), sd.Classify(), sd.SGD(0.1), batch_size=3, **more)


class Bare(sd.Objective):
    """A mean that counts every row, whether it only fills up or not."""

    def __call__(self, net, batch):
        return ((net(batch.x)[:, 0] - batch.y) ** 2).mean()


class Means(sd.Objective):
    """The same by the batch, which knows the rows that count."""

    def __call__(self, net, batch):
        return batch.mean((net(batch.x)[:, 0] - batch.y) ** 2)


class OfWeights(sd.Objective):
    """A penalty of one's own: no rows are in it, so it is a number."""

    def __call__(self, net, batch):
        return 0.1 * sum((w**2).sum() for w in net.weights("**kernel").values())


def test_a_loss_that_counts_filling_rows_is_told_of():
    told = lambda objective, **more: [
        line for line in short(nn.Dense(1), objective, **more).decisions if "look: " in line and "batch.mean" in line
    ]
    (line,) = told(Bare() + sd.L2(0.1))
    assert line.startswith("look: Bare gives a bare number")
    assert told(Means() + OfWeights()) == told(Bare(), batch=20) == []


def test_images_in_which_a_convolution_finds_no_channels_are_told_of():
    spec = nn.Sequential(conv=nn.Conv(2, 3), pool=nn.GlobalAveragePool(), head=nn.Dense(2))

    def told(*shape):
        run = short(spec, sd.Classify(), np.random.default_rng(0).normal(size=(40, *shape)), np.arange(40) % 2)
        return [line for line in run.decisions if line.startswith("look: conv")]

    assert "begin the network with nn.Reshape(12, 12, 1)" in told(12, 12)[0]
    assert "give np.moveaxis(x, 1, -1)" in told(3, 8, 8)[0]
    assert told(12, 12, 1) == []
