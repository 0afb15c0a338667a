"""Reduced recipes of what is learned without labels, each beside the mutation that misses its target."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import sonde as sd
from sonde.diagnose import reconstruction_errors, set_alarm
from sonde.recipes import Anomaly, SmsHashing, Vae, cook
from sonde.recipes.anomaly import pca_errors
from sonde.recipes.sms_hashing import bits_of, hamming, precision


def fitted(recipe, data, seed):
    return sd.fit(recipe.network(data), data, plan=recipe.plan(data), seed=seed, progress=False)


@pytest.mark.usefixtures("mnist_is_there")
def test_digits_become_likely_and_not_without_the_divergence(seed):
    recipe = Vae(rows=2000, hidden=(100,), latents=8, epochs=8, rate=4e-3, batch=50)
    data = recipe.data(seed)
    assert set(np.unique(data.test.x)) == {0, 1} and data.train.x.max() == 1 and 0.1 < data.train.x[:50].std() < 0.9
    few = sd.data.Dataset(data.train, {"x": data.valid.x[:1000]})
    bound = lambda run: run.history["valid/bound"][run.records[-1].best]
    assert bound(fitted(recipe, few, seed)) > -165  # always the mean of all images: -206
    assert bound(fitted(recipe.replace(beta=0.0), few, seed)) < -185


@pytest.mark.usefixtures("mnist_is_there")
def test_the_test_sample_is_the_same_whatever_the_seed():
    one, other = (Vae(rows=10).data(seed).test.x for seed in (1, 2))
    assert np.array_equal(one, other)


def area(run):
    return roc_auc_score(run.data.test.y, reconstruction_errors(run.network, run.data.test.x))


def test_malignant_tumors_are_odd_and_not_where_training_rows_are_of_both_kinds(seed, rng):
    recipe = Anomaly(variant="tumors", epochs=10)
    data = recipe.data(seed)
    assert not data.train.y.any() and not data.valid.y.any() and 0.7 < data.test.y.mean() < 0.8
    run = fitted(recipe, data, seed)
    assert area(run) > 0.85
    alarm = set_alarm(reconstruction_errors(run.network, data.valid.x), 0.05)
    above = alarm(reconstruction_errors(run.network, data.test.x))
    assert above[data.test.y == 0].mean() < 0.25 and above[data.test.y == 1].mean() > 0.25
    assert roc_auc_score(data.test.y, pca_errors(data.train.x, data.test.x, recipe.tumor_code)) > 0.85

    x = rng.permutation(np.concatenate([part.x for part in data.splits.values()]))
    parts = np.split(x, np.cumsum([data.train.rows, data.valid.rows]))
    mixed = {s: {"x": rows, "y": part.y} for rows, (s, part) in zip(parts, data.splits.items(), strict=True)}
    assert abs(area(fitted(recipe, dataclasses.replace(data, **mixed), seed)) - 0.5) < 0.2


@pytest.mark.usefixtures("mnist_is_there")
def test_a_zero_is_odd_among_the_other_digits_and_not_when_training_has_it(seed):
    recipe = Anomaly(variant="digit-0", rows=2000, hidden=64, code=16, epochs=6)
    data = recipe.data(seed)
    few = dataclasses.replace(data, test={k: v[:2000] for k, v in data.test.items()})
    assert area(fitted(recipe, few, seed)) > 0.78
    known = {"x": data.test.x[2000:4000], "y": data.test.y[2000:4000]}
    assert area(fitted(recipe, dataclasses.replace(few, train=known), seed)) < area(fitted(recipe, few, seed)) - 0.08


def test_a_recipe_whose_variants_have_data_of_their_own_tells_both(tmp_path):
    result = cook(Anomaly(variant="tumors", repeats=2, epochs=2), 3, tmp_path / "run", progress=False)
    numbers = result.metrics["measured"]
    assert {"tumors, autoencoder", "tumors, PCA", "tumors, isolation forest", "tumors, false alarms"} <= set(numbers)
    assert result.runs[0].data.fingerprint != result.runs[1].data.fingerprint
    assert (tmp_path / "run/scores.png").stat().st_size > 5000


def test_near_codes_are_those_that_differ_in_few_bits(rng):
    values = {"a": rng.normal(size=(6, 19)), "b": rng.normal(size=(5, 19))}
    found = bits_of(values, np.zeros(19))
    expected = ((values["a"][:, None] > 0) != (values["b"][None] > 0)).sum(-1)
    np.testing.assert_array_equal(hamming(found["a"], found["b"]), expected)


def test_precision_counts_kinds_alike_and_ties_by_chance(rng):
    base, asked = np.array([0] * 90 + [1] * 10), np.array([0] * 30 + [1] * 10)
    same = (base[None] == asked[:, None]).astype(float)
    np.testing.assert_allclose(precision(same, base, asked, 10, rng), 1)
    assert precision(0 * same, base, asked, 50, rng)[-1] == pytest.approx(0.5, abs=0.05)
    assert precision(1 - same, base, asked, 5, rng)[0] == 0


@pytest.fixture
def texts_are_there() -> None:
    """Skips, and says why, where the text messages cannot be read."""
    given = os.environ.get("SONDE_DATA")
    if not given or not (Path(given) / "text/sms_spam.tsv").exists():
        pytest.skip("set SONDE_DATA to a folder that has text/sms_spam.tsv")


@pytest.mark.usefixtures("texts_are_there")
def test_codes_of_near_texts_are_near_and_not_without_steps(seed, rng):
    recipe = SmsHashing(variant="noise", hidden=64, epochs=10, rate=5e-3)
    data = recipe.data(seed)

    def found(recipe):
        network = fitted(recipe, data, seed).network
        codes = {s: np.asarray(network.encode(data.splits[s].x)) for s in ("train", "valid")}
        bits = bits_of(codes, np.full(recipe.bits, 0.5))
        near = -hamming(bits["valid"], bits["train"])
        return precision(near, data.train.y, data.valid.y, 10, rng)[-1]

    assert found(recipe) > 0.8
    assert found(recipe.replace(rate=0.0, epochs=1)) < 0.7
