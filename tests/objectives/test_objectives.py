"""Objectives equal independent formulas, refuse what would pass silently, add up, and are wide enough a protocol."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.special
import sklearn.metrics
from sklearn.linear_model import PoissonRegressor
from sklearn.utils.class_weight import compute_class_weight

import sonde as sd
from sonde import nn
from sonde._batch import loss_of, scored
from sonde._errors import ArgumentError, DataError, MemberError, PathError, ShapeError
from sonde.objectives import (
    absolute_error,
    absolute_percentage_error,
    binary_cross_entropy,
    cosine_distance,
    hinge,
    huber,
    poisson,
    squared_error,
    squared_hinge,
)

close = dict(rtol=2e-5, atol=1e-6)


def rows(rng, *shape):
    return jnp.asarray(rng.normal(size=shape), jnp.float32)


def batch_of(x, y=None, real=None, **columns):
    columns = {"x": x} | ({} if y is None else {"y": y}) | columns
    real = np.ones(len(x), bool) if real is None else real
    return sd.Batch.of({k: jnp.asarray(v) for k, v in columns.items()}, jnp.asarray(real))


@jax.jit
def evaluated(objective, network, batch):
    """The loss, its parts and the metrics of a network at inference."""
    parts, metrics = scored(objective(network.bind(), batch))
    return loss_of(parts), parts, metrics


def judged(objective, outputs, y, **columns):
    """Loss and metrics when the network's outputs are these: its inputs, through a network that does nothing."""
    loss, _, metrics = evaluated(objective, nn.Network(nn.Sequential()), batch_of(outputs, y, **columns))
    return float(loss), {name: float(mean.value) for name, mean in metrics.items()}


# ---------------------------------------------------------------------- Classify


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("weighted", [False, True])
def test_classify_is_the_log_loss_and_the_error_rate(rng, classes, weighted):
    z, y = rng.normal(size=(40, classes)).astype(np.float32) * 3, rng.integers(0, classes, 40)
    w = rng.uniform(size=40).astype(np.float32) if weighted else None
    loss, metrics = judged(sd.Classify(), z, y, **({"weight": w} if weighted else {}))
    p = scipy.special.softmax(z.astype(np.float64), 1)
    assert loss == pytest.approx(sklearn.metrics.log_loss(y, p, sample_weight=w, labels=range(classes)), rel=1e-5)
    assert metrics["error"] == pytest.approx(1 - sklearn.metrics.accuracy_score(y, z.argmax(1), sample_weight=w))


def test_filling_rows_count_for_nothing_in_loss_and_metrics(rng):
    z, y = rng.normal(size=(6, 3)).astype(np.float32), rng.integers(0, 3, 6)
    real = np.arange(9) < 6
    loss, metrics = judged(sd.Classify(), np.concatenate([z, z[:3] * 50]), np.concatenate([y, y[:3]]), real=real)
    expected, errors = judged(sd.Classify(), z, y)
    assert loss == pytest.approx(expected, rel=1e-5)
    assert metrics == pytest.approx(errors)


@pytest.mark.parametrize("smoothing", [0.1, 0.5])
def test_label_smoothing_is_cross_entropy_with_smoothed_labels(rng, smoothing):
    z, y = rows(rng, 20, 4), rng.integers(0, 4, 20)
    loss, _ = judged(sd.Classify(smoothing=smoothing), z, y)
    smooth = optax.smooth_labels(jax.nn.one_hot(y, 4), smoothing)
    assert loss == pytest.approx(float(optax.softmax_cross_entropy(z, smooth).mean()), rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_a_single_output_is_binary_cross_entropy(rng, smoothing):
    z, y = rows(rng, 30, 1) * 3, rng.integers(0, 2, 30)
    loss, metrics = judged(sd.Classify(smoothing=smoothing), z, y)
    target = y * (1 - smoothing) + smoothing / 2
    assert loss == pytest.approx(float(optax.sigmoid_binary_cross_entropy(z[:, 0], target).mean()), rel=1e-5)
    assert metrics["error"] == pytest.approx(((np.asarray(z[:, 0]) > 0) != y).mean())


def test_class_weights_weigh_the_rows_of_a_class_in_the_loss_but_not_in_the_error(rng):
    z, y = rng.normal(size=(40, 3)).astype(np.float32), rng.integers(0, 3, 40)
    own, of_class = rng.uniform(size=40).astype(np.float32), np.array([0.5, 2.0, 3.0])
    loss, metrics = judged(sd.Classify(class_weight=of_class), z, y, weight=own)
    p = scipy.special.softmax(z.astype(np.float64), 1)
    assert loss == pytest.approx(sklearn.metrics.log_loss(y, p, sample_weight=own * of_class[y]), rel=1e-5)
    assert metrics == pytest.approx(judged(sd.Classify(), z, y, weight=own)[1])
    assert judged(sd.Classify(class_weight=tuple(of_class)), z, y, weight=own)[0] == pytest.approx(loss)


def test_balanced_class_weights_are_those_of_scikit_learn(rng):
    y = rng.permutation(np.repeat([0, 1, 3], [20, 5, 2]))
    prepared = sd.Classify(class_weight="balanced").prepare({"x": np.zeros((27, 1)), "y": y})
    expected = compute_class_weight("balanced", classes=np.array([0, 1, 3]), y=y)
    np.testing.assert_allclose(np.asarray(prepared.class_weight)[[0, 1, 3]], expected, rtol=1e-6)
    assert np.asarray(prepared.class_weight)[2] == 0
    assert prepared.classes == 4


def test_balanced_class_weights_make_every_class_count_the_same(rng):
    y, w = rng.permutation(np.repeat([0, 1, 2], [30, 6, 3])), rng.uniform(0.5, 2, 39).astype(np.float32)
    prepared = sd.Classify(class_weight="balanced").prepare({"y": y, "weight": w})
    total = np.bincount(y, w * np.asarray(prepared.class_weight)[y])
    np.testing.assert_allclose(total, total.mean(), rtol=1e-5)
    assert total.sum() == pytest.approx(w.sum(), rel=1e-5)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.array([0, 1, -1, 2]), "labels must be 0, 1, 2, ...; row 2 has -1"),
        (np.array([0.5, 1.0]), r"labels must be whole numbers \[rows\]; got float64\[2\]. Regress takes other"),
        (np.array([0.0, 1.0]), r"got float64\[2\]. .*y.astype\(\"int32\"\); if they are quantities, Regress"),
        (np.array([[0], [1]]), r"labels must be whole numbers \[rows\]; got int64\[2, 1\]. Give y\[:, 0\]$"),
        (np.array([[0.0], [1.0]]), r"Give y\[:, 0\].astype\(\"int32\"\)"),
        (np.eye(2), r"one-hot: give y.argmax\(-1\)"),
        (np.array([[0, 1, 1], [2, 0, 1]]), r"a label for each step of a sequence, give sd.Padded\(y, lengths\)"),
        (np.array([True, False]), r"got bool\[2\]. .*y.astype\(\"int32\"\)"),
    ],
    ids=str,
)
def test_labels_that_are_none_are_refused_with_what_they_are(y, message):
    for objective in (sd.Classify(), sd.Classify() + sd.L2()):
        with pytest.raises(DataError, match=message):
            objective.prepare({"x": np.zeros((len(y), 1)), "y": y})


def test_a_label_beyond_the_outputs_is_refused_with_its_value(rng):
    objective = sd.Classify().prepare({"y": np.array([0, 1, 7] * 3)})
    with pytest.raises(DataError, match=r"labels go up to 7, but the network has only 3 outputs; .*nn\.Dense\(8\)"):
        judged(objective, rows(rng, 3, 3), np.array([0, 1, 2]))
    beyond = r"labels go up to 2, but the network has only 2 outputs; .*Dense\(3\) \(or give y - 1, if labels count"
    with pytest.raises(DataError, match=beyond):  # one logistic unit
        judged(sd.Classify().prepare({"y": np.array([0, 1, 2])}), rows(rng, 3, 1), np.array([0, 1, 2]))
    assert np.isnan(judged(sd.Classify(), rows(rng, 3, 3), np.array([0, 1, 7]))[0])  # unprepared: never another's loss


@pytest.mark.parametrize("objective", [sd.Classify(), sd.Regress()], ids=repr)
def test_a_column_of_targets_is_needed(objective):
    with pytest.raises(DataError, match="in a column 'y'; there is x, z"):
        objective.prepare({"x": np.zeros(3), "z": np.zeros(3)})


def test_logits_of_another_rank_are_refused(rng):
    with pytest.raises(ShapeError, match=r"Classify needs logits \[rows, classes\]; got float32\[4, 2, 3\]"):
        judged(sd.Classify(), rows(rng, 4, 2, 3), np.zeros(4, int))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sd.Classify(smoothing=1.0), "smoothing of Classify must be a number in"),
        (lambda: sd.Classify(class_weight="balance"), "class_weight must be 'balanced' or a number a class"),
        (
            lambda: sd.Classify(class_weight=(1.0, 2.0)).prepare({"y": np.array([0, 2, 2])}),
            "2 numbers, but .* 3 classes",
        ),
        (lambda: sd.Classify(class_weight=(1.0, -5.0)), r"0 or above; got \(1, -5\)"),
        (lambda: sd.Classify(class_weight=("a", 1.0)), "0 or above"),
        (lambda: sd.Classify(class_weight=(0.0, 0)), "every number of class_weight is 0"),
        (lambda: sd.Classify(class_weight={1: 5.0, 0: 1.0}), r"in their order; give \(1.0, 5.0\), not"),
        (lambda: sd.Classify(class_weight=5.0), "a number a class; got 5.0"),
        (lambda: judged(sd.Classify(class_weight=(1.0, 5.0, 2.0)), np.eye(2), np.arange(2)), "3 numbers, .* 2 classes"),
        (lambda: sd.Classify(hinge), r"first argument of Classify is smoothing.*give Classify\(loss=hinge\)"),
        (lambda: sd.Classify(loss="hinge"), r"loss of Classify is a function, as in Classify\(loss=hinge\)"),
        (lambda: sd.Classify(loss=binary_cross_entropy), r"ends in nn.Dense\(1\) is the binary.*Regress\(binary"),
        (lambda: sd.Classify(loss=poisson), r"poisson is of numbers.*Regress\(poisson\) takes such"),
        (lambda: sd.Regress("mse"), r"loss of Regress is a function.*sonde.objectives; got 'mse'"),
        (lambda: sd.Regress(unit=0.0), "unit of Regress must be a number in"),
        (lambda: sd.L2(-1.0), "rate of L2 must be a number in"),
        (lambda: sd.L1L2(1.0, -1.0), "l2 of L1L2 must be a number in"),
    ],
)
def test_numbers_that_cannot_be_are_refused(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


# ---------------------------------------------------------------------- Regress


@pytest.mark.parametrize("shape", [(30,), (30, 1), (30, 4), (30, 2, 3)], ids=str)
def test_regress_is_half_the_mean_squared_error_and_tells_mse_and_mae(rng, shape):
    p, y = (rng.normal(size=shape).astype(np.float32) for _ in range(2))
    w = rng.uniform(size=30).astype(np.float32)
    loss, metrics = judged(sd.Regress(), p, y, weight=w)
    flat = (y.reshape(30, -1), p.reshape(30, -1))
    mse, mae = (
        f(*flat, sample_weight=w) for f in (sklearn.metrics.mean_squared_error, sklearn.metrics.mean_absolute_error)
    )
    assert loss == pytest.approx(mse / 2, rel=1e-5)
    assert metrics == pytest.approx({"mse": mse, "mae": mae}, rel=1e-5)


@pytest.mark.parametrize("kind", [squared_error, absolute_error, huber], ids=lambda f: f.__name__)
def test_regress_takes_other_losses_in_units_of_the_target(rng, kind):
    p, y = (rng.normal(size=30).astype(np.float32) * 5 for _ in range(2))
    r = np.abs(p - y).astype(np.float64) / 2.0
    expected = {"squared_error": r**2, "absolute_error": r, "huber": np.where(r <= 1, r**2 / 2, r - 0.5)}
    loss, metrics = judged(sd.Regress(kind, unit=2.0), p, y)
    assert loss == pytest.approx(expected[kind.__name__].mean(), rel=1e-4)
    assert metrics["mae"] == pytest.approx(2 * r.mean(), rel=1e-5)


def test_another_unit_is_another_loss_but_the_same_metrics(rng):
    p, y = (rng.normal(size=30).astype(np.float32) for _ in range(2))
    (loss, metrics), (small, same) = (judged(sd.Regress(unit=u), p, y) for u in (1.0, 10.0))
    assert small == pytest.approx(loss / 100, rel=1e-5)
    assert same == metrics


def test_one_output_a_row_is_compared_with_a_column_of_numbers_row_by_row(rng):
    p, y = (rng.normal(size=8).astype(np.float32) for _ in range(2))
    (loss, metrics), (expected, errors) = judged(sd.Regress(), p[:, None], y), judged(sd.Regress(), p, y)
    assert loss == pytest.approx(expected) and metrics == pytest.approx(errors)


@pytest.mark.parametrize(
    ("p", "y"), [((8,), (8, 1)), ((8, 2), (8,)), ((8, 2), (8, 3)), ((8, 1), (8, 3)), ((8,), (8, 8))]
)
def test_shapes_that_would_broadcast_silently_are_refused(p, y):
    with pytest.raises(ShapeError) as caught:
        judged(sd.Regress(), jnp.zeros(p), jnp.zeros(y))
    assert f"predictions float32{list(p)} and targets float32{list(y)} differ in shape" in str(caught.value)
    assert f"nn.Dense({y[-1] if len(y) > 1 else 1})" in str(caught.value)


def test_whole_numbers_are_targets_too(rng):
    p, y = rows(rng, 8), rng.integers(0, 100, 8)
    (loss, metrics), (expected, errors) = judged(sd.Regress(), p, y), judged(sd.Regress(), p, y.astype(np.float32))
    assert loss == pytest.approx(expected) and metrics == pytest.approx(errors)


def test_an_objective_may_be_of_another_method(rng):
    net, x, y = nn.build(Twins(), jnp.ones((1, 3)), method="classify"), rows(rng, 5, 3), jnp.array([0, 1, 0, 1, 1])
    loss, *_ = evaluated(sd.Classify(method="classify"), net, batch_of(x, y))
    expected = optax.softmax_cross_entropy_with_integer_labels(net.classify(x), y).mean()
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)
    with pytest.raises(MemberError, match="no method 'clasify'; did you mean 'classify'"):
        sd.Classify(method="clasify")(net.bind(), batch_of(x, y))


# ---------------------------------------------------------------------- other losses


@pytest.mark.parametrize("classes", [1, 2, 4])
@pytest.mark.parametrize("loss", [hinge, squared_hinge], ids=lambda f: f.__name__)
def test_classify_takes_margins_of_two_classes_or_more(rng, loss, classes):
    z, y = rng.normal(size=(40, classes)).astype(np.float32) * 2, rng.integers(0, max(classes, 2), 40)
    found, metrics = judged(sd.Classify(loss=loss), z, y)
    scores = np.concatenate([np.zeros((40, 1)), z], 1) if classes == 1 else z
    own = scores[np.arange(40), y]
    others = np.where(np.eye(scores.shape[1])[y] == 1, -np.inf, scores).max(1)
    missing = np.maximum(0, 1 - (own - others))
    assert found == pytest.approx((missing if loss is hinge else missing**2).mean(), rel=1e-5)
    assert metrics["error"] == pytest.approx((scores.argmax(1) != y).mean())


def test_a_support_vector_machine_is_that_of_scikit_learn(rng, seed):
    from sklearn.svm import LinearSVC

    x = rng.normal(size=(80, 2)).astype(np.float32)
    y = (x @ [1.0, -2.0] + 0.3 * rng.normal(size=80) > 0).astype(np.int32)
    theirs = LinearSVC(C=0.1, loss="squared_hinge", intercept_scaling=100, tol=1e-8, max_iter=100_000).fit(x, y)
    objective = sd.Classify(loss=squared_hinge) + sd.L2(1 / (0.1 * 80))
    run = sd.fit(nn.Dense(1), sd.data.Dataset({"x": x, "y": y}), objective, sd.SGD(0.2, 0.9), steps=1500, batch=80,
                 seed=seed, progress=False)  # fmt: skip
    np.testing.assert_allclose(run.network.params["kernel"][:, 0], theirs.coef_[0], atol=2e-3)


def test_smoothing_is_for_cross_entropy_alone():
    with pytest.raises(ArgumentError, match="smoothing is for cross_entropy; Classify has the loss hinge"):
        sd.Classify(0.1, loss=hinge)


def test_regress_by_counts_gives_counts(rng, seed):
    x = rng.uniform(-1, 1, size=(400, 1)).astype(np.float32)
    y = rng.poisson(np.exp(1 + 0.8 * x[:, 0])).astype(np.float32)
    data = sd.data.Dataset({"x": x, "y": y}, test={"x": x, "y": y})
    objective = sd.Regress(poisson, metrics=(sd.objectives.R2(),))
    run = sd.fit(nn.Dense(1), data, objective, sd.Adam(0.05), steps=400, batch=400, seed=seed, progress=False)
    a, b = float(run.network.params["kernel"][0, 0]), float(run.network.params["bias"][0])
    theirs = PoissonRegressor(alpha=0, tol=1e-9).fit(x, y)
    assert (a, b) == pytest.approx((theirs.coef_[0], theirs.intercept_), abs=5e-3)
    np.testing.assert_allclose(run.artifact.predict(x), theirs.predict(x), rtol=1e-2)
    assert run.history["train/mse"][-1] == pytest.approx(
        sklearn.metrics.mean_squared_error(y, theirs.predict(x)), rel=1e-2
    )
    assert run.evaluate("test")["r2"].value == pytest.approx(float(run.history["train/r2"][-1]), abs=1e-3)
    assert float(run.evaluate("test")["rmse"]) ** 2 == pytest.approx(float(run.history["train/mse"][-1]), rel=1e-2)


def test_an_artifact_of_counts_comes_back_from_its_file(tmp_path):
    net = nn.build(nn.Sequential(head=nn.Dense(1, kernel_init=nn.zeros, bias_init=nn.Constant(2.0))), jnp.ones((1, 3)))
    inputs = {"shape": [3], "dtype": "float32", "low": 0.0, "high": 1.0}
    made = sd.Artifact(net, inputs, "numbers", loss="poisson")
    back = sd.load(made.save(tmp_path / "net.safetensors"))
    np.testing.assert_allclose(back.predict(np.zeros((2, 3), "float32")), np.exp(2.0), rtol=1e-6)
    with pytest.raises(ArgumentError, match="loss must be one that takes logits"):
        sd.Artifact(net, inputs, "numbers", loss="huber")


def test_many_yes_or_no_at_once_are_measured_as_probabilities(rng):
    z, y = rng.normal(size=(20, 3)).astype(np.float32), rng.integers(0, 2, (20, 3)).astype(np.float32)
    loss, metrics = judged(sd.Regress(binary_cross_entropy), z, y)
    p = scipy.special.expit(z.astype(float))
    assert loss == pytest.approx(-(y * np.log(p) + (1 - y) * np.log(1 - p)).mean(), rel=1e-5)
    assert metrics["mae"] == pytest.approx(abs(p - y).mean(), rel=1e-5)


@pytest.mark.parametrize(
    ("loss", "y", "message"),
    [
        (poisson, [1.0, -3.0], r"the target 'y' of poisson must be counts, 0 or above; got -3.* at \[1\]"),
        (absolute_percentage_error, [1.0, 0.0], r"other than 0, .* got 0.* at \[1\]"),
        (hinge, [1, 0], r"-1 or 1 \(or booleans\); got 0.* at \[1\]"),
        (binary_cross_entropy, [1.0, 2.0], r"from 0 to 1; got 2.* at \[1\]"),
    ],
)
def test_targets_outside_a_losss_domain_are_refused_before_training(loss, y, message):
    with pytest.raises(DataError, match=message):
        sd.Regress(loss).prepare({"x": np.zeros((2, 1)), "y": np.array(y)})
    with pytest.raises(DataError, match=message):
        data = sd.data.Dataset({"x": np.zeros((2, 1), "float32"), "y": np.array(y, "float32")})
        sd.fit(nn.Dense(1), data, sd.Regress(loss), sd.SGD(0.1), steps=1, batch=2, progress=False)
    sd.Regress(loss).prepare({"y": np.array(y), "weight": np.array([1.0, 0.0])})  # a row that does not count
    assert sd.Regress(huber).prepare({"y": np.array(y)}) == sd.Regress(huber)


def test_logits_have_no_unit():
    with pytest.raises(ArgumentError, match="unit of Regress must be 1 with poisson, which takes logits; got 2"):
        sd.Regress(poisson, unit=2.0)


def test_a_loss_that_gives_no_entry_a_row_is_refused(rng):
    with pytest.raises(ShapeError, match=r"cosine_distance gives float32\[\] for predictions float32\[8\]"):
        judged(sd.Regress(cosine_distance), rows(rng, 8), np.ones(8, "float32"))


# ---------------------------------------------------------------------- probabilities where logits belong


class ByHand(nn.Layer):
    """Its own way to probabilities."""

    def __call__(self, scope, x):
        e = jnp.exp(scope("head", nn.Dense(2), x))
        return e / jnp.broadcast_to(e.sum(-1, keepdims=True), e.shape)


PROBABLE = {
    "in Dense": (nn.Sequential(nn.Dense(4, nn.relu), nn.Dense(2, nn.softmax)), "softmax"),
    "as a layer": (nn.Sequential(nn.Dense(4, nn.relu), nn.Dense(2), nn.softmax), "softmax"),
    "of one output": (nn.Sequential(nn.Dense(4, nn.relu), nn.Dense(1, nn.sigmoid)), "sigmoid"),
    "flattened": (nn.Sequential(nn.Dense(2, nn.sigmoid), nn.Flatten()), "sigmoid"),
    "by hand": (ByHand(), "softmax"),
}


@pytest.mark.parametrize("name", PROBABLE)
@pytest.mark.parametrize("twice", [False, True])
def test_probabilities_where_logits_belong_are_noticed_before_training(name, twice, points):
    spec, function = PROBABLE[name]
    for _ in range(1 + twice):  # what was compiled once notices again
        with pytest.raises(
            ArgumentError, match=f"takes logits and applies the .* but the network already ends in a {function}"
        ):
            sd.fit(spec, points, sd.Classify(), sd.SGD(0.1), steps=1, progress=False)


def test_losses_of_quantities_and_margins_may_have_any_last_activation(points):
    y = np.asarray(points.train.y, np.float32)
    numbers = sd.data.Dataset({"x": points.train.x, "y": y})
    net = nn.Sequential(nn.Dense(4, nn.relu), nn.Dense(1, nn.sigmoid))
    for data, objective in ((numbers, sd.Regress()), (points, sd.Classify(loss=hinge))):
        assert np.isfinite(
            sd.fit(net, data, objective, sd.SGD(0.1), steps=1, progress=False).history["train/loss"]
        ).all()
    with pytest.raises(ArgumentError, match="binary_cross_entropy takes logits and applies the sigmoid itself"):
        sd.fit(net, numbers, sd.Regress(binary_cross_entropy), sd.SGD(0.1), steps=1, progress=False)


@pytest.mark.parametrize("last", [nn.relu, nn.tanh, nn.softplus, nn.identity], ids=lambda f: f.__name__)
def test_what_is_no_probability_is_not_taken_for_one(last, points):
    sd.fit(nn.Sequential(nn.Dense(3, nn.softmax), nn.Dense(2, last)), points, sd.Classify(), sd.SGD(0.1), steps=1,
           progress=False)  # fmt: skip


# ---------------------------------------------------------------------- penalties


@pytest.fixture(scope="module")
def network():
    spec = nn.Sequential(a=nn.Dense(4, bias_init=nn.Normal(1.0)), norm=nn.BatchNorm(), b=nn.Dense(2))
    return nn.build(spec, jnp.ones((1, 3)), seed=1)


PENALTIES = {
    "L2": (sd.L2(0.3), lambda w: 0.15 * w**2, lambda w: 0.3 * w),
    "L1": (sd.L1(0.3), lambda w: 0.3 * abs(w), lambda w: 0.3 * np.sign(w)),
    "L1L2": (sd.L1L2(0.2, 0.5), lambda w: 0.2 * abs(w) + 0.25 * w**2, lambda w: 0.2 * np.sign(w) + 0.5 * w),
}


@pytest.mark.parametrize("name", PENALTIES)
@pytest.mark.parametrize("on", ["**kernel", "a/*", ("b/kernel", "norm/scale")], ids=str)
def test_penalties_and_their_gradients_are_their_formulas(network, name, on):
    penalty, each, slope = PENALTIES[name]
    value = lambda params: penalty.replace(on=on)(network.replace(params=params).bind(), None)
    found, gradient = jax.jit(jax.value_and_grad(value))(network.params)
    hit = network.weights(on)
    assert float(found) == pytest.approx(sum(each(np.asarray(w, np.float64)).sum() for w in hit.values()), rel=1e-5)
    for path, w in network.params.items():
        expected = slope(np.asarray(w)) if path in hit else np.zeros(w.shape)
        np.testing.assert_allclose(gradient[path], expected, **close)


def test_biases_and_normalization_are_spared_unless_asked_for(network):
    zero = {path: value * 0 if path.endswith("kernel") else value for path, value in network.params.items()}
    assert float(sd.L2(1.0)(network.replace(params=zero).bind(), None)) == 0
    assert float(sd.L2(1.0, on="**")(network.replace(params=zero).bind(), None)) > 0


@pytest.mark.parametrize(
    "penalty", [sd.L1(on="c/kernel"), sd.L2(on=("a/*", "c/kernel")), sd.L1L2(0.1, 0.1, "c/kernel")]
)
def test_a_pattern_that_meets_nothing_is_an_error_with_what_is_there(network, penalty):
    with pytest.raises(PathError, match="'c/kernel' meets nothing; did you mean 'b/kernel'"):
        penalty(network.bind(), None)


def test_a_penalty_may_stand_before_what_it_is_of():
    data = sd.data.Dataset({"x": np.ones((8, 3), np.float32), "y": np.arange(8) % 2})
    objective = sd.L2(0.1, on=("a/kernel", "b/kernel")) + sd.Classify()
    run = sd.fit(nn.Sequential(a=nn.Dense(2), b=nn.Dense(2)), data, objective, sd.SGD(0.1), steps=2, progress=False)
    assert np.isfinite(run.history["train/l2"]).all()
    with pytest.raises(PathError, match="'c/kernel' meets nothing"):
        sd.fit(nn.Dense(2), data, sd.Classify() + sd.L2(on="c/kernel"), sd.SGD(0.1), steps=2, progress=False)


def test_another_rate_of_a_penalty_does_not_compile_again(network):
    value = jax.jit(lambda penalty, network: penalty(network.bind(), None))
    one, two = value(sd.L2(0.1), network), value(sd.L2(0.2), network)
    assert float(two) == pytest.approx(2 * float(one), rel=1e-5)
    assert value._cache_size() == 1


# ---------------------------------------------------------------------- sums


class Parts(sd.Objective):
    """A loss in two parts with a metric of a name that others have too."""

    def __call__(self, net, batch):
        return {"l2": batch.mean(batch.y * 0.0 + 2.0), "own": 3.0}, {"error": batch.mean(batch.y == 0)}


def test_the_parts_of_a_sum_have_names_of_their_own_and_add_up(network, rng):
    x, y = rows(rng, 6, 3), jnp.array([0, 1, 0, 1, 1, 1])
    terms = (sd.Classify(), sd.L2(0.1), sd.L2(0.2, on="a/kernel"), sd.L1(0.3), Parts())
    total = terms[0] + terms[1] + terms[2] + terms[3] + terms[4]
    loss, parts, metrics = evaluated(total, network, batch_of(x, y))
    assert set(parts) == {"classify", "l2", "l2_2", "l1", "l2_3", "own"}
    alone = [float(evaluated(term, network, batch_of(x, y))[0]) for term in terms]
    assert float(loss) == pytest.approx(sum(alone), rel=1e-5)
    assert float(parts["l2_2"].value) == pytest.approx(alone[2], rel=1e-5)
    assert set(metrics) == {"error", "error_2"}  # neither hides the other
    assert float(metrics["error_2"].value) == pytest.approx(1 / 3)


def test_sums_are_flat_equal_in_whatever_order_they_were_bracketed_and_readable():
    a, b, c = sd.Classify(), sd.L2(1e-3), sd.L1(1e-5, on="head/kernel")
    assert (a + b) + c == a + (b + c) == sd.objectives.Sum((a, b, c))
    assert repr(a + b + c) == "Classify() + L2(rate=0.001) + L1(rate=1e-05, on='head/kernel')"
    assert a + b != b + a


def test_a_sum_prepares_each_of_its_terms():
    prepared = (sd.Classify() + sd.L2()).prepare({"y": np.array([0, 3, 3, 0])})
    assert prepared == sd.Classify(classes=4) + sd.L2()


@pytest.mark.parametrize("other", [1e-4, "L2", sd.L2, None, nn.Dense(3)])
def test_only_objectives_can_be_added(other):
    with pytest.raises(ArgumentError, match="only objectives and penalties can be added"):
        sd.Classify() + other


def test_an_objective_that_says_nothing_says_so():
    with pytest.raises(ArgumentError, match="Objective does not say what it minimizes"):
        sd.Objective()(None, None)


# ---------------------------------------------------------------------- the protocol is wide enough


class Twins(nn.Layer):
    """An autoencoder with a classifier on its code: methods that share their encoder."""

    code: int = 2

    def encode(self, scope, x):
        return scope("encoder", nn.Dense(self.code, nn.tanh), x)

    def classify(self, scope, x):
        return scope("head", nn.Dense(2), self.encode(scope, x))

    def __call__(self, scope, x):
        return scope("decoder", nn.Dense(x.shape[-1]), self.encode(scope, x))


class Both(sd.Objective):
    """Two methods of one network in one loss: what is coded must tell the input and the class."""

    def __call__(self, net, batch):
        told = sd.objectives.squared_error(net(batch.x), batch.x).sum(-1)
        named = sd.objectives.cross_entropy(net.classify(batch.x), batch.y)
        return {"told": batch.mean(told), "named": batch.mean(named)}


class Slopes(sd.Objective):
    """A gradient through the network inside the loss: the network's slope is to be cos x."""

    def __call__(self, net, batch):
        net(batch.x)  # makes the parameters when the network is built
        slope = jax.grad(lambda x: net.still(x).sum())(batch.x)
        return batch.mean(((slope - jnp.cos(batch.x)) ** 2).sum(-1))


class Contract(sd.Objective):
    """A Jacobian for each example: the code is to tell the input and yet hardly move (S. Rifai et al., 2011)."""

    rate: sd.Number = 0.1

    def __call__(self, net, batch):
        told = ((net(batch.x) - batch.x) ** 2).sum(-1)
        one = lambda row: net.still.over(None).encode(row[None])[0]
        jacobian = jax.vmap(jax.jacrev(one))(batch.x)
        return {"told": batch.mean(told), "moves": batch.mean(self.rate * (jacobian**2).sum((1, 2)))}


class Centered(sd.Objective):
    """Variables of its own, from step to step: how many steps there were, and a running mean of the inputs."""

    def __call__(self, net, batch):
        steps = net.get("steps", lambda: jnp.zeros((), jnp.int32))
        center = net.get("center", lambda: jnp.zeros(batch.x.shape[1:]))
        net.set("steps", steps + 1)
        net.set("center", 0.5 * center + 0.5 * batch.mean(batch.x).value)
        return batch.mean(((net(batch.x) - jnp.broadcast_to(center, batch.x.shape)) ** 2).sum(-1))


def trained(spec, data, objective, steps=60, seed=0, **options):
    return sd.fit(spec, data, objective, sd.Adam(0.03), steps=steps, seed=seed, progress=False, **options)


@pytest.fixture
def points(rng):
    x = rng.normal(size=(24, 3)).astype(np.float32)
    return sd.data.Dataset({"x": x, "y": (x[:, 0] > 0).astype(np.int32)})


def test_two_methods_of_one_network_may_be_in_one_loss(points, rng, seed):
    net, x, y = nn.build(Twins(), jnp.ones((1, 3))), jnp.asarray(points.train.x), jnp.asarray(points.train.y)
    net = nn.build(Twins(), jnp.ones((1, 3)), method="classify", reuse=net)
    _, parts, _ = evaluated(Both(), net, batch_of(x, y))
    code = np.tanh(x @ net.params["encoder/kernel"])
    told = ((code @ net.params["decoder/kernel"] - x) ** 2).sum(1).mean()
    assert float(parts["told"].value) == pytest.approx(float(told), rel=1e-4)
    named = sklearn.metrics.log_loss(y, scipy.special.softmax(code @ np.asarray(net.params["head/kernel"]), 1))
    assert float(parts["named"].value) == pytest.approx(named, rel=1e-4)
    run = trained(Twins(), points, Both(), batch=24, seed=seed)
    assert {path.split("/")[0] for path in run.network.params} == {"encoder", "decoder", "head"}
    assert run.history["train/loss"][-1] < run.history["train/loss"][0]


def test_a_gradient_through_the_network_may_be_in_the_loss(rng, seed):
    x = rng.uniform(-2, 2, size=(32, 1)).astype(np.float32)
    spec = nn.Sequential(h=nn.Dense(8, nn.tanh), out=nn.Dense(1))
    net = nn.build(spec, jnp.ones((1, 1)), seed=seed)
    loss = float(evaluated(Slopes(), net, batch_of(x))[0])
    first, last = np.asarray(net.params["h/kernel"]), np.asarray(net.params["out/kernel"])
    slope = ((1 - np.tanh(x @ first) ** 2) * first) @ last
    assert loss == pytest.approx(((slope - np.cos(x)) ** 2).mean(), rel=1e-4)
    run = trained(spec, sd.data.Dataset({"x": x}), Slopes(), batch=32, steps=150, seed=seed)
    assert run.history["train/loss"][-1] < 0.5 * run.history["train/loss"][0]


def test_a_jacobian_for_each_example_may_be_in_the_loss(points, seed):
    net, x = nn.build(Twins(), jnp.ones((1, 3)), seed=seed), jnp.asarray(points.train.x)
    _, parts, _ = evaluated(Contract(), net, batch_of(x))
    kernel = np.asarray(net.params["encoder/kernel"])
    jacobian = (1 - np.tanh(x @ kernel) ** 2)[:, :, None] * kernel.T[None]
    assert float(parts["moves"].value) == pytest.approx(0.1 * (jacobian**2).sum((1, 2)).mean(), rel=1e-4)
    run = trained(Twins(), points, Contract(), batch=24, seed=seed)
    assert run.history["train/loss"][-1] < run.history["train/loss"][0]


def test_single_rows_of_a_batch_are_told_apart_from_the_batch(rng):
    net = nn.build(nn.Sequential(norm=nn.BatchNorm()), jnp.ones((4, 2)))
    batch = batch_of(rows(rng, 4, 2))
    bound = net.bind(train=True).over(batch)
    with pytest.raises(ShapeError, match=r"statistics of 1 rows in a batch of 4; .*net\.over\(None\)"):
        jax.vmap(lambda row: bound.still(row[None])[0])(batch.x)
    alone = jax.vmap(lambda row: bound.still.over(None)(row[None])[0])(batch.x)
    np.testing.assert_array_equal(alone, np.zeros((4, 2)))  # a row is its own mean


def test_an_objectives_own_variables_persist_from_step_to_step(rng):
    x = rng.normal(size=(8, 2)).astype(np.float32) + 5
    data = sd.data.Dataset({"x": x}, valid={"x": x[:4]})
    for steps in (1, 4):
        state = trained(nn.Dense(2), data, Centered(), steps=steps, every=1, batch=8, control=()).network.state
        assert set(state) == {"@/steps", "@/center"}
        assert int(state["@/steps"]) == steps  # validation and probes write nothing
        np.testing.assert_allclose(state["@/center"], (1 - 0.5**steps) * x.mean(0), rtol=1e-5)
