"""Answers for each step of a sequence: what counts, from the loss to the report; and the rows that judge."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import sklearn.metrics

import sonde as sd
from sonde import nn
from sonde._errors import ArgumentError, DataError, ShapeError
from sonde.objectives import R2, TopK, binary_cross_entropy, poisson

KINDS = 3


def tagged(rng, rows, time=7):
    """Sequences of numbers; the label of a step is the sign of what came before it, or 0 at the beginning."""
    lengths = rng.integers(1, time + 1, rows).astype(np.int32)
    x = rng.normal(size=(rows, time, 1)).astype(np.float32)
    y = np.zeros((rows, time), np.int32)
    y[:, 1:] = 1 + (x[:, :-1, 0] > 0)
    behind = np.arange(time) >= lengths[:, None]
    x[behind], y[behind] = 100.0, 0  # filling that would spoil everything, if it were looked at
    return {"x": sd.Padded(x, lengths), "y": sd.Padded(y, lengths)}


TAGGER = nn.Sequential(memory=nn.RNN(8), head=nn.Dense(KINDS))


@pytest.fixture
def bound(rng):
    columns = tagged(rng, 6)
    net = nn.build(TAGGER, columns["x"])
    return net, columns, np.asarray(net(columns["x"]).values, np.float64)


def test_the_loss_is_the_mean_over_real_steps_each_with_the_weight_of_its_row(bound, rng):
    net, columns, logits = bound
    weight = rng.uniform(0.5, 2, 6).astype(np.float32)
    loss, metrics = sd.Classify()(net.bind(), sd.Batch.of(columns | {"weight": jnp.asarray(weight)}))
    total = count = wrong = 0.0
    for row in range(6):
        for t in range(int(columns["y"].lengths[row])):
            z, label = logits[row, t], columns["y"].values[row, t]
            total += weight[row] * (scipy.special.logsumexp(z) - z[label])
            wrong += weight[row] * (z.argmax() != label)
            count += weight[row]
    np.testing.assert_allclose([loss.total, loss.count], [total, count], rtol=1e-4)
    np.testing.assert_allclose(metrics["error"].value, wrong / count, rtol=1e-5)


@pytest.mark.parametrize("objective", [sd.Classify(0.1, (1.0, 2.0, 3.0)), sd.Classify(metrics=(TopK(2),))], ids=repr)
def test_filling_of_any_kind_changes_nothing(bound, objective):
    net, columns, _ = bound
    other = columns | {"y": sd.Padded(np.where(columns["y"].real, columns["y"].values, -1), columns["y"].lengths)}
    one, two = (objective(net.bind(), sd.Batch.of(c, jnp.arange(6) < 5)) for c in (columns, other))
    assert float(one[0].value) == float(two[0].value) and np.isfinite(one[0].value)
    for name in one[1]:
        assert float(one[1][name].value) == float(two[1][name].value)


def test_longer_filling_changes_nothing(bound):
    net, columns, _ = bound
    wide = lambda v: np.pad(v, [(0, 0), (0, 4), *[(0, 0)] * (v.ndim - 2)], constant_values=2)
    longer = {name: sd.Padded(wide(np.asarray(c.values)), c.lengths) for name, c in columns.items()}
    one, two = (sd.Classify()(net.bind(), sd.Batch.of(c))[0] for c in (columns, longer))
    np.testing.assert_allclose(one.value, two.value, rtol=1e-5)


@pytest.fixture(scope="module")
def run():
    rng = np.random.default_rng(0)
    data = sd.data.Dataset(tagged(rng, 300), tagged(rng, 100), tagged(rng, 100), labels=("first", "low", "high"))
    return sd.fit(TAGGER, data, sd.Classify(), sd.Adam(0.02), epochs=12, batch=32, progress=False)


def test_a_tagger_learns_what_needs_the_step_before(run):
    assert run.evaluate("test")["accuracy"].value > 0.97


def test_validation_while_training_and_afterwards_agree(run):
    best = run.records[-1].best
    valid = run.evaluate("valid")
    assert run.history["valid/error"][best] == pytest.approx(1 - valid["accuracy"].value, abs=1e-6)
    assert run.history["valid/loss"][best] == pytest.approx(valid["log_loss"].value, rel=1e-4)


def test_metrics_are_those_of_scikit_learn_over_real_steps_and_errors_count_sequences(run):
    part = run.data.test
    said = run.artifact.predict(part.x)
    right = [run.data.labels[k] for k in part.y.steps]
    accuracy, error = run.evaluate("test")["f1"], run.evaluate("test")["accuracy"].error
    assert accuracy.value == pytest.approx(sklearn.metrics.f1_score(right, said.steps, average="macro"))
    p = run.evaluate("test")["accuracy"].value
    assert error == pytest.approx(np.sqrt(p * (1 - p) / part.rows), rel=1e-3)


def test_a_tagger_predicts_names_and_probabilities_for_each_step(run):
    x = run.data.test.x[:4]
    said, shares = run.artifact.predict(x), run.artifact.probabilities(x)
    assert said.values.shape == (4, 7) and shares.values.shape == (4, 7, 3)
    real = np.asarray(said.real)
    assert set(said.values[real]) <= {"first", "low", "high"} and set(said.values[~real]) <= {""}
    np.testing.assert_allclose(shares.values.sum(-1), np.where(real, 1, 0), atol=1e-5)
    assert (said.values[:, 0] == "first").all()


def test_a_tagger_can_be_saved_explained_and_drawn(run, tmp_path):
    again = sd.load(run.artifact.save(tmp_path / "tagger.safetensors"))
    np.testing.assert_array_equal(again.predict(run.data.test.x).values, run.artifact.predict(run.data.test.x).values)
    assert again.score({"x": run.data.test.x, "y": run.data.test.y})["accuracy"] == run.evaluate("test")["accuracy"]
    assert "always saying the most frequent class" in run.explain()
    assert {"curves", "confusion"} <= set(run.plot())
    assert "300 rows" in repr(run.data) or run.data._repr_html_()


def test_balanced_weights_count_steps(rng):
    columns = tagged(rng, 50)
    count = np.bincount(columns["y"].steps, minlength=3)
    prepared = sd.Classify(class_weight="balanced").prepare(columns)
    np.testing.assert_allclose(prepared.class_weight, count.sum() / (3 * count), rtol=1e-6)


def test_numbers_may_be_answered_step_by_step_too(rng):
    columns = tagged(rng, 200)
    before = np.concatenate([np.zeros((200, 1)), columns["x"].values[:, :-1, 0]], 1).astype(np.float32)
    data = sd.data.Dataset({"x": columns["x"], "y": sd.Padded(before, columns["x"].lengths)})
    spec = nn.Sequential(memory=nn.RNN(16), head=nn.Dense(1))
    run = sd.fit(spec, data, sd.Regress(metrics=(R2(),)), sd.Adam(0.01), epochs=30, batch=32, progress=False)
    assert run.evaluate("train")["r2"].value > 0.9
    assert run.artifact.predict(data.train.x).values.shape == (200, 7)
    assert "predictions" in run.plot() and run.explain()


# ---------------------------------------------------------------------- what does not fit


def test_one_answer_a_sequence_and_a_label_a_step_are_told_apart(rng):
    columns = tagged(rng, 20)
    many, one = TAGGER, nn.Sequential(nn.RNN(8, last=True), nn.Dense(3))
    fit = lambda spec, c: sd.fit(spec, sd.data.Dataset(c), sd.Classify(), sd.SGD(0.1), epochs=1, progress=False)
    with pytest.raises(ShapeError, match="a target for each step.*leave last=True out"):
        fit(one, columns)
    with pytest.raises(ShapeError, match=r"an answer for each step.*nn.LSTM\(units, last=True\)"):
        fit(many, columns | {"y": np.arange(20) % 3})


def test_sequences_must_be_as_long_as_their_labels(rng):
    columns = tagged(rng, 20)
    lengths = columns["y"].lengths.copy()
    lengths[3] = 8 - lengths[3]
    lengths[3] += lengths[3] == columns["y"].lengths[3]
    columns |= {"y": sd.Padded(columns["y"].values, lengths)}
    with pytest.raises(DataError, match=rf"row 3 has {columns['x'].lengths[3]} steps in x, but {lengths[3]} targets"):
        sd.Classify().prepare(columns)


def test_a_label_that_is_none_is_named_by_its_step_and_row(rng):
    columns = tagged(rng, 20)
    columns["y"].values[5, 0] = -2
    with pytest.raises(DataError, match=r"labels must be 0, 1, 2, ...; step 0 of row 5 has -2"):
        sd.Classify().prepare(columns)
    columns["y"].values[5, 0] = 7
    with pytest.raises(DataError, match="the label 7 in row 5, step 0, but the 3 named classes"):
        sd.data.Dataset(columns, labels=("a", "b", "c"))


def test_rows_of_sequences_of_labels_are_of_no_class(rng):
    data = sd.data.Dataset(tagged(rng, 20), labels=("a", "b", "c"))
    for ask in (lambda: data.few(2), lambda: data.hold_out(2), lambda: data.only("a")):
        with pytest.raises(ArgumentError, match="a label for each step of a sequence"):
            ask()


def test_sequences_with_labels_can_be_split(rng):
    columns = tagged(rng, 40)
    data = sd.data.Dataset.of(columns["x"], columns["y"], valid=0.25, test=0.25)
    assert (data.train.rows, data.valid.rows, data.test.rows, data.classes) == (20, 10, 10, 3)


# ---------------------------------------------------------------------- rows that judge


def judged(y, split, objective, head=1, dtype=np.float32, **more):
    """What comes of fitting, with one target in the validation or test rows that training rows do not have."""
    x = np.zeros((8, 2), np.float32)
    good = np.arange(8).astype(dtype) % 2
    bad = good.copy()
    bad[3] = y
    parts = {"train": {"x": x, "y": good}, "valid": {"x": x, "y": good}, "test": {"x": x, "y": good}}
    parts[split] = {"x": x, "y": bad} | more
    parts["train"] |= {name: np.ones_like(v) for name, v in more.items()}
    for other in {"valid", "test"} - {split}:
        parts[other] |= {name: np.ones_like(v) for name, v in more.items()}
    return sd.fit(nn.Dense(head), sd.data.Dataset(**parts), objective, sd.SGD(0.1), epochs=1, progress=False)


@pytest.mark.parametrize("split", ["valid", "test"])
def test_a_target_outside_the_losss_domain_is_refused_in_every_split(split):
    with pytest.raises(DataError, match=rf"'y' \(of the {split} split\) of poisson must be counts.*got -1. at \[3\]"):
        judged(-1.0, split, sd.Regress(poisson))
    with pytest.raises(DataError, match=rf"\(of the {split} split\) of binary_cross_entropy must be from 0 to 1"):
        judged(2.0, split, sd.Regress(binary_cross_entropy) + sd.L2(1e-3))


def test_what_does_not_count_may_be_anything():
    weight = np.ones(8, np.float32)
    weight[3] = 0
    assert judged(-1.0, "valid", sd.Regress(poisson), weight=weight).outcome.words == "finished"


@pytest.mark.parametrize("split", ["valid", "test"])
def test_labels_are_checked_in_every_split(split):
    with pytest.raises(DataError, match=rf"labels of the {split} split must be 0, 1, 2, ...; row 3 has -1"):
        judged(-1, split, sd.Classify(), 2, np.int32)
    with pytest.raises(DataError, match="labels go up to 2, but the network has only 2 outputs"):
        judged(2, split, sd.Classify(), 2, np.int32)
    assert judged(2, split, sd.Classify(), 3, np.int32).outcome.words == "finished"
    with pytest.raises(ArgumentError, match=rf"class_weight has 2 numbers, but row 3 of the {split} split has the"):
        judged(2, split, sd.Classify(class_weight=(1.0, 2.0)), 3, np.int32)
