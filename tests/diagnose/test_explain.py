"""`Run.explain`: what it says of a run is so, and it says what a run of each kind calls for."""

import dataclasses

import numpy as np
import pytest

import sonde as sd
from sonde import nn
from sonde.diagnose.explain import baseline


def network(outputs, width=8):
    return nn.Sequential(hidden=nn.Dense(width, nn.relu), head=nn.Dense(outputs))


def fit(data, objective, outputs, rate=1e-2, width=8, **options):
    given = {"epochs": 4, "batch": 32} | options
    return sd.fit(network(outputs, width), data, objective, sd.Adam(rate), **given)


class Small(sd.Value):
    """Outputs near 0: an objective that predicts nothing."""

    def __call__(self, net, batch):
        return batch.mean((net(batch.x) ** 2).mean(-1))


@pytest.fixture(scope="module")
def pets():
    """Two classes that can be told apart, and a rare third that looks like the first."""
    rng = np.random.default_rng(0)
    y = rng.choice(3, 900, p=[0.45, 0.45, 0.1])
    x = rng.normal(size=(900, 4)).astype(np.float32)
    x[:, 0] += np.where(y == 1, 6, 0)
    return sd.data.Dataset.of(x, y, labels=("cat", "dog", "lynx"))


def test_it_is_short_and_says_what_was_decided_and_how_it_ended(pets):
    run = fit(pets, sd.Classify(), 3, epochs=8)
    said = run.explain()
    assert len(said.splitlines()) < 40
    titles = [line for line in said.splitlines() if not line.startswith(" ")]
    assert titles == ["What was decided", "How it ended", "What that says", "What to try"]
    assert "630 training, 135 validation, 135 test rows" in said and "Classify() by Adam(rate=0.01)" in said
    assert "handed on is the network of epoch" in said and all(d in said for d in run.decisions)
    always = np.mean(pets.test.y == np.bincount(pets.train.y).argmax())
    assert f"accuracy {run.evaluate('test')['accuracy']}" in said
    assert f"always saying the most frequent class: {100 * always:.1f} %" in said.split("test: ")[1]


def test_it_names_the_classes_that_are_confused_and_the_one_that_is_not_found(pets):
    said = fit(pets, sd.Classify(), 3, epochs=8).explain()
    assert "'lynx' is taken for 'cat' most often" in said
    assert "% of class 'lynx' are found" in said and "data.Balanced" in said


def test_what_to_try_does_not_depend_on_the_test_rows(pets):
    other = sd.data.Dataset(pets.train, pets.valid, {"x": pets.test.x, "y": (pets.test.y + 1) % 3}, pets.labels)
    a, b = (fit(data, sd.Classify(), 3).explain().partition("What that says")[2] for data in (pets, other))
    assert a == b


def test_rows_learned_by_heart_are_told_from_chance():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(200, 30)).astype(np.float32), rng.integers(0, 2, 200)
    run = fit(sd.data.Dataset.of(x, y), sd.Classify(), 2, epochs=60, width=64, control=())
    said = run.explain()
    assert float(run.evaluate("train")["accuracy"]) > 0.95
    assert "holds for the training rows only" in said and "learned nothing that lasts" in said
    assert "overfitting" in said and "KeepBest() or Patience(5), Dropout" in said
    phases = tuple(phase.replace(control=sd.Patience(99)) for phase in run.plan.phases)
    said = dataclasses.replace(run, plan=sd.Plan(phases)).explain()
    assert "overfitting" in said and "Patience(5)" not in said  # it was there


def test_a_run_cut_short_says_how_to_go_on_and_numbers_that_are_too_low_are_noticed():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(400, 2)).astype(np.float32)
    data = sd.data.Dataset.of(x, 100 + x[:, 0])
    said = fit(data, sd.Regress(), 1, rate=1e-3, epochs=5).explain()
    assert "fit(run.network, ..., epochs=5)" in said and "underfitting" in said
    assert "predictions are too low by" in said and "always saying the mean of the training rows" in said


def test_a_diverged_run_and_one_that_predicts_nothing_are_explained(pets):
    assert "Try a rate near" in fit(pets, sd.Classify(), 3, rate=1e30).explain()
    free = fit(pets, Small(), 3, epochs=1)
    assert "What that says" not in free.explain() and "How it ended" in free.explain()


def test_the_baseline_is_the_majority_or_the_mean_of_the_training_rows():
    train, part = (sd.data.Columns({"x": np.zeros((4, 1)), "y": y}) for y in ([0, 1, 1, 1], [1, 0, 0, 1]))
    scores = baseline("classes", train, part)
    assert float(scores["accuracy"]) == 0.5
    assert float(scores["log_loss"]) == pytest.approx(-np.log([4 / 6, 2 / 6, 2 / 6, 4 / 6]).mean())
    train, part = (sd.data.Columns({"x": np.zeros((3, 1)), "y": y}) for y in ([1.0, 2.0, 6.0], [3.0, 5.0, 1.0]))
    assert float(baseline("numbers", train, part)["rmse"]) == pytest.approx(np.sqrt((0 + 4 + 4) / 3))
    weighted = sd.data.Columns({"x": np.zeros((3, 1)), "y": [1.0, 2.0, 6.0], "weight": [1.0, 0.0, 1.0]})
    assert float(baseline("numbers", weighted, part)["rmse"]) == pytest.approx(np.sqrt((0.25 + 2.25 + 6.25) / 3))


def test_a_loss_that_rises_while_the_answers_stay_right_is_not_called_learning_by_heart():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 10)).astype(np.float32)
    run = fit(sd.data.Dataset.of(x, (x[:, 0] > 0).astype(int)), sd.Classify(), 2, epochs=80, width=64)
    said = run.explain()
    assert "no more apart than chance makes them" in said and "overfitting" in str(run)
    assert "it grows too sure of itself" in said and "overfitting" not in said
