"""Mixup: the label is the mixture that the row is, and a classifier learns from it what it should."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import sonde as sd
from sonde import data, nn, objectives
from sonde._errors import ArgumentError, DataError, ShapeError
from sonde.data.mixup import symmetric_beta

CERTAIN = 1e-6


def batch_of(rng, rows=50, classes=4, **more):
    """Rows that are their own label: x is one-hot of y, so a mixture of x shows that of y."""
    y = jnp.asarray(rng.integers(0, classes, rows), jnp.int32)
    return sd.Batch.of({"x": jax.nn.one_hot(y, classes), "y": y, **more})


def test_labels_are_mixed_as_rows_are(rng, key):
    batch = batch_of(rng)
    mixed = data.Mixup(0.7, classes=4).change(key, batch, "x")
    np.testing.assert_allclose(mixed.x, mixed.y, atol=1e-6)
    np.testing.assert_allclose(mixed.y.sum(1), 1, atol=1e-6)
    assert (np.asarray(mixed.y).max(1) < 0.99).mean() > 0.2


@pytest.mark.parametrize("a", [0.05, 0.3, 1.0, 4.0])
def test_shares_are_beta_distributed(a, key):
    shares = np.asarray(symmetric_beta(key, a, 20_000), np.float64)
    beta = scipy.stats.beta(a, a)
    assert np.isfinite(shares).all() and shares.min() >= 0 and shares.max() <= 1
    edges = np.array([0.0, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 1.0])
    counts = np.histogram(shares, edges)[0]
    assert scipy.stats.chisquare(counts, 20_000 * np.diff(beta.cdf(edges))).pvalue > CERTAIN
    assert abs(shares.var() - beta.var()) < 5.5 * 0.5 / np.sqrt(20_000)


def test_each_row_has_a_share_of_its_own_and_every_row_is_mixed_into_one(rng, key):
    n = 40
    batch = sd.Batch.of({"x": jnp.eye(n)})
    mixed = np.asarray(data.Mixup(2.0, label="").change(key, batch, "x").x)
    np.testing.assert_allclose(mixed.sum(1), 1, atol=1e-6)
    own = np.diag(mixed)
    assert len(set(own.round(6))) > n / 2
    assert ((mixed > 0).sum(1) <= 2).all() and ((mixed - np.diag(own) > 0).sum(0) <= 1).all()


def test_quantities_are_mixed_as_quantities(rng, key):
    x = jnp.asarray(rng.normal(size=(30, 3)), jnp.float32)
    columns = {"x": x, "y": x @ jnp.array([1.0, -2.0, 0.5])}
    mixed = data.Mixup(1.0).prepare(columns, "x").change(key, sd.Batch.of(columns), "x")
    np.testing.assert_allclose(mixed.y, mixed.x @ jnp.array([1.0, -2.0, 0.5]), atol=1e-5)


def test_images_of_whole_numbers_stay_so(rng, key):
    x = jnp.asarray(rng.integers(0, 256, (20, 5, 5)), jnp.uint8)
    exact = data.Mixup(1.0, label="").change(key, sd.Batch.of({"x": x.astype(jnp.float32)}), "x").x
    whole = data.Mixup(1.0, label="").change(key, sd.Batch.of({"x": x}), "x").x
    assert whole.dtype == jnp.uint8
    assert abs(np.asarray(whole) - np.asarray(exact)).max() <= 0.501


def test_a_row_that_does_not_count_is_mixed_into_none(rng, key):
    n = 30
    real = jnp.asarray(rng.random(n) < 0.5)
    batch = sd.Batch.of({"x": jnp.eye(n)}, real)
    mixed = np.asarray(data.Mixup(1.0, label="").change(key, batch, "x").x)
    others = mixed - np.diag(np.diag(mixed))
    assert others[:, ~np.asarray(real)].max() == 0 < others.max()


def test_labels_are_needed_or_declined():
    with pytest.raises(DataError, match="column 'y' too, which is not there; there is 'x'; Mixup"):
        data.Mixup().prepare({"x": np.zeros((3, 2), np.float32)}, "x")
    assert data.Mixup(label="").prepare({"x": np.zeros((3, 2), np.float32)}, "x") == data.Mixup(label="")


# ---------------------------------------------------------------------- Classify


def scored(part, logits, y, **more):
    """Loss and metrics of given logits."""
    net = nn.build(nn.Flatten(), logits).bind()
    loss, metrics = part(net, sd.Batch.of({"x": logits, "y": y, **more}))
    return float(loss.value), {name: float(m.value) for name, m in metrics.items()}


def test_probabilities_as_targets_are_their_cross_entropy_and_errors_count_the_likeliest(rng):
    logits = rng.normal(size=(40, 5)).astype(np.float32)
    y = rng.dirichlet(np.ones(5), 40).astype(np.float32)
    log_p = scipy.special.log_softmax(logits.astype(np.float64), 1)
    part = sd.Classify(metrics=(objectives.accuracy,))
    loss, metrics = scored(part, jnp.asarray(logits), jnp.asarray(y))
    assert loss == pytest.approx(-(y * log_p).sum(1).mean(), rel=1e-5)
    wrong = (logits.argmax(1) != y.argmax(1)).mean()
    assert metrics == pytest.approx({"error": wrong, "accuracy": 1 - wrong}, rel=1e-5)
    smooth, _ = scored(sd.Classify(0.2), jnp.asarray(logits), jnp.asarray(y))
    assert smooth == pytest.approx(-((0.8 * y + 0.2 / 5) * log_p).sum(1).mean(), rel=1e-5)


@pytest.mark.parametrize("part", [sd.Classify(), sd.Classify(0.1), sd.Classify(class_weight=(1.0, 0.0, 3.0, 2.0))])
def test_certain_probabilities_are_labels(part, rng):
    logits = jnp.asarray(rng.normal(size=(30, 4)), jnp.float32)
    y = jnp.asarray(rng.integers(0, 4, 30), jnp.int32)
    hard, soft = scored(part, logits, y), scored(part, logits, jax.nn.one_hot(y, 4))
    assert hard[0] == pytest.approx(soft[0], rel=1e-5)
    assert hard[1] == soft[1]


def test_class_weights_count_a_share_as_its_class(rng):
    logits, weights = rng.normal(size=(20, 3)).astype(np.float32), np.array([1.0, 5.0, 0.5])
    y = rng.dirichlet(np.ones(3), 20).astype(np.float32)
    log_p = scipy.special.log_softmax(logits.astype(np.float64), 1)
    expected = -(y * weights * log_p).sum() / (y * weights).sum()
    part = sd.Classify(class_weight=tuple(weights.tolist()))
    assert scored(part, jnp.asarray(logits), jnp.asarray(y))[0] == pytest.approx(expected, rel=1e-5)


def test_a_class_without_rows_has_no_share(rng):
    logits, y = jnp.asarray(rng.normal(size=(6, 4)), jnp.float32), jnp.full((6, 2), 0.5)
    wide = jnp.concatenate([y, jnp.zeros((6, 2))], 1)
    assert scored(sd.Classify(), logits, y) == scored(sd.Classify(), logits, wide)


def test_targets_that_do_not_fit_are_refused(rng):
    logits = jnp.asarray(rng.normal(size=(6, 3)), jnp.float32)
    for y in (jnp.full((6, 4), 0.25), jnp.zeros(6), jnp.zeros((6, 1, 3))):
        with pytest.raises(ShapeError, match="Classify takes labels .* or their probabilities"):
            scored(sd.Classify(), logits, y)
    with pytest.raises(ArgumentError, match="the loss hinge takes labels, not probabilities"):
        scored(sd.Classify(loss=objectives.hinge), logits, jnp.full((6, 3), 1 / 3))


def test_a_network_learns_from_mixtures_and_is_judged_by_labels(seed):
    given = data.load("digits", seed=seed)
    net = nn.Sequential(nn.Flatten(), nn.Scale(1 / 16), hidden=nn.Dense(64, nn.relu), head=nn.Dense(10))
    run = sd.fit(
        net, given, sd.Classify(), sd.Adam(3e-3), epochs=12, augment=data.Mixup(0.4), seed=seed, progress=False
    )
    history = run.history
    assert run.evaluate("test")["accuracy"].value > 0.93
    assert history["train/loss"][-1] > 2 * history["valid/loss"][-1]  # mixtures cannot be certain, labels can
