"""Metrics equal naive counting and scikit-learn's, weights count rows, errors are as large as they say."""

import math

import numpy as np
import pytest
import sklearn.metrics

from sonde._errors import DataError, ShapeError
from sonde.objectives.metrics import (
    BETTER,
    Fraction,
    Score,
    classification_metrics,
    confusion_matrix,
    regression_metrics,
)


@pytest.fixture
def rng():
    seed = np.random.SeedSequence().entropy
    print(f"seed {seed}")
    return np.random.default_rng(seed)


def predictions(rng, n, classes):
    """Probabilities that know something, and labels in which every class occurs."""
    labels = np.append(np.arange(classes), rng.integers(classes, size=n - classes))
    logits = rng.normal(size=(n, classes)) + 1.5 * np.eye(classes)[labels]
    p = np.exp(logits)
    return p / p.sum(1, keepdims=True), labels


def naive(p, y, w):
    """The definitions, row by row and pair by pair."""
    n, classes = p.shape
    said = [max(range(classes), key=lambda k, row=row: row[k]) for row in p]
    total = sum(w)
    rates, f1 = [], []
    for k in range(classes):
        tp = sum(w[i] for i in range(n) if y[i] == k and said[i] == k)
        fp = sum(w[i] for i in range(n) if y[i] != k and said[i] == k)
        fn = sum(w[i] for i in range(n) if y[i] == k and said[i] != k)
        rates.append(tp / (tp + fn))
        f1.append(2 * tp / (2 * tp + fp + fn))
    auc, precision = [], []
    for k in range(classes):
        above = pairs = 0.0
        for i in range(n):
            for j in range(n):
                if y[i] == k and y[j] != k:
                    pairs += w[i] * w[j]
                    above += w[i] * w[j] * ((p[i, k] > p[j, k]) + 0.5 * (p[i, k] == p[j, k]))
        auc.append(above / pairs)
        average = 0.0
        for i in range(n):
            if y[i] == k:
                listed = [j for j in range(n) if p[j, k] >= p[i, k]]
                average += w[i] * sum(w[j] for j in listed if y[j] == k) / sum(w[j] for j in listed)
        precision.append(average / sum(w[i] for i in range(n) if y[i] == k))
    found = {
        "accuracy": sum(w[i] for i in range(n) if said[i] == y[i]) / total,
        "balanced_accuracy": sum(rates) / classes,
        "f1": sum(f1) / classes,
        "log_loss": -sum(w[i] * math.log(p[i, y[i]]) for i in range(n)) / total,
        "roc_auc": sum(auc) / classes,
        "pr_auc": sum(precision) / classes,
    }
    if classes > 3:
        found["top_3_accuracy"] = sum(w[i] for i in range(n) if sum(p[i] > p[i, y[i]]) < 3) / total
    return found


def values(scores):
    return {name: float(score) for name, score in scores.items()}


def check_same(once, again):
    assert once.keys() == again.keys()
    for name in once:
        assert once[name].value == pytest.approx(again[name].value, rel=1e-9), name
        assert (once[name].error or 0.0) == pytest.approx(again[name].error or 0.0, rel=1e-9), name


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("weighted", [False, True])
def test_classification_by_naive_counting(classes, weighted, rng):
    p, y = predictions(rng, 40, classes)
    w = rng.gamma(2.0, size=40) if weighted else np.ones(40)
    got = values(classification_metrics(p, y, w if weighted else None))
    assert got == pytest.approx(naive(p, y, w), rel=1e-10)


def test_classification_by_scikit_learn(rng):
    p, y = predictions(rng, 300, 6)
    w = rng.gamma(2.0, size=300)
    got = values(classification_metrics(p, y, w))
    said, kw = p.argmax(1), {"sample_weight": w}
    assert got == pytest.approx({
        "accuracy": sklearn.metrics.accuracy_score(y, said, **kw),
        "balanced_accuracy": sklearn.metrics.balanced_accuracy_score(y, said, **kw),
        "top_3_accuracy": sklearn.metrics.top_k_accuracy_score(y, p, k=3, **kw),
        "f1": sklearn.metrics.f1_score(y, said, average="macro", **kw),
        "log_loss": sklearn.metrics.log_loss(y, p, **kw),
        "roc_auc": sklearn.metrics.roc_auc_score(y, p, multi_class="ovr", **kw),
        "pr_auc": sklearn.metrics.average_precision_score(y, p, **kw),
    })  # fmt: skip


@pytest.mark.parametrize("classes", [2, 5])
def test_weight_two_is_the_row_twice_and_zero_is_no_row(classes, rng):
    p, y = predictions(rng, 60, classes)
    times = np.append(np.ones(classes, int), rng.integers(0, 4, size=60 - classes))
    rows = np.repeat(np.arange(60), times)
    weighted, repeated = classification_metrics(p, y, times), classification_metrics(p[rows], y[rows])
    assert values(weighted) == pytest.approx(values(repeated), rel=1e-12)
    target, prediction = rng.normal(size=60), rng.normal(size=60)
    weighted = regression_metrics(prediction, target, times)
    repeated = regression_metrics(prediction[rows], target[rows])
    assert values(weighted) == pytest.approx(values(repeated), rel=1e-12)


def test_order_of_rows_and_scale_of_weights_change_nothing(rng):
    p, y = predictions(rng, 80, 4)
    w, order = rng.gamma(2.0, size=80), rng.permutation(80)
    target = rng.normal(size=(80, 2))
    prediction = target + rng.normal(size=(80, 2))
    for metrics, a, b in ((classification_metrics, p, y), (regression_metrics, prediction, target)):
        once, again = metrics(a, b, w), metrics(a[order], b[order], 7 * w[order])
        check_same(once, again)


def test_regression_by_scikit_learn_and_by_hand(rng):
    target = rng.normal(size=50) * 3
    prediction = target + rng.normal(size=50)
    w = rng.gamma(2.0, size=50)
    got, kw = regression_metrics(prediction, target, w), {"sample_weight": w}
    assert values(got) == pytest.approx({
        "rmse": sklearn.metrics.root_mean_squared_error(target, prediction, **kw),
        "mae": sklearn.metrics.mean_absolute_error(target, prediction, **kw),
        "r2": sklearn.metrics.r2_score(target, prediction, **kw),
    })  # fmt: skip
    unweighted = regression_metrics(prediction, target)
    miss = np.abs(prediction - target)
    assert unweighted["mae"] == pytest.approx((miss.mean(), miss.std(ddof=1) / math.sqrt(50)))
    assert unweighted["rmse"].value == pytest.approx(math.sqrt((miss**2).mean()))


def test_several_outputs(rng):
    target = rng.normal(size=(30, 2, 3))
    prediction = target + rng.normal(size=(30, 2, 3))
    got = regression_metrics(prediction, target)
    assert got["rmse"].value == pytest.approx(math.sqrt(np.square(prediction - target).mean()))
    assert got["mae"].value == pytest.approx(np.abs(prediction - target).mean())
    column = regression_metrics(prediction[:, 0, :1], target[:, 0, :1])
    check_same(column, regression_metrics(prediction[:, 0, 0], target[:, 0, 0]))


# Standard errors


def check_errors(draw, metrics, repeats):
    """Said over seen spread has a standard error of 1 / sqrt(2 repeats), and 3 % are left for its bias."""
    runs = [metrics(*draw()) for _ in range(repeats)]
    for name in runs[0]:
        scores = [run[name] for run in runs]
        if scores[0].error is not None:
            seen = np.std([score.value for score in scores], ddof=1)
            said = math.sqrt(np.mean([score.error**2 for score in scores]))
            assert said / seen == pytest.approx(1, abs=4.5 / math.sqrt(2 * repeats) + 0.03), name


@pytest.mark.parametrize("weighted", [False, True])
def test_classification_errors_are_the_spread_over_repeats(weighted, rng):
    def draw():
        p, y = predictions(rng, 200, 4)
        return p, y, rng.gamma(2.0, size=200) if weighted else None

    check_errors(draw, classification_metrics, 300)


@pytest.mark.parametrize("weighted", [False, True])
def test_regression_errors_are_the_spread_over_repeats(weighted, rng):
    def draw():
        target = rng.normal(size=200)
        return target + rng.normal(size=200), target, rng.gamma(2.0, size=200) if weighted else None

    check_errors(draw, regression_metrics, 600)


def test_the_error_of_an_accuracy():
    p = np.tile([0.9, 0.1], (400, 1))
    y = np.arange(400) % 10 == 0
    accuracy = classification_metrics(p, y.astype(int))["accuracy"]
    assert accuracy == pytest.approx((0.9, math.sqrt(0.9 * 0.1 / 400)))
    w = np.repeat([3.0, 1.0], 200)
    n_eff = w.sum() ** 2 / (w**2).sum()
    weighted = classification_metrics(p, y.astype(int), w)["accuracy"]
    assert weighted == pytest.approx((0.9, math.sqrt(0.9 * 0.1 / n_eff)))


@pytest.mark.parametrize("right", [0, 1])
def test_a_perfect_score_is_not_certain(right):
    p = np.tile([0.9, 0.1], (100, 1))
    scores = classification_metrics(p, np.full(100, 1 - right))
    q = 0.5 / 101  # the mean of Beta(1/2, 100 + 1/2)
    assert scores["accuracy"] == pytest.approx((right, math.sqrt(q * (1 - q) / 100)))
    assert scores["balanced_accuracy"] == pytest.approx(scores["accuracy"])


def test_an_error_that_cannot_be_known_is_none():
    one = regression_metrics([1.0], [2.0])
    assert one["mae"] == (1.0, None) and one["rmse"] == (1.0, None) and "r2" not in one
    assert regression_metrics([1.0, 2.0], [1.0, 2.0])["rmse"] == (0.0, None)
    assert classification_metrics([[0.5, 0.5]], [0])["log_loss"].error is None


# What is left out, and edges


def test_top_k_depends_on_the_classes(rng):
    for classes, name in ((3, None), (4, "top_3_accuracy"), (99, "top_3_accuracy"), (100, "top_5_accuracy")):
        p, y = predictions(rng, 2 * classes, classes)
        found = [key for key in classification_metrics(p, y) if key.startswith("top_")]
        assert found == ([name] if name else [])


def test_an_absent_class_leaves_out_what_is_undefined(rng):
    p, y = predictions(rng, 50, 4)
    scores = classification_metrics(p[y != 2], y[y != 2])
    assert "roc_auc" not in scores and "pr_auc" not in scores
    same = classification_metrics(p, y, y != 2)  # present, but of weight 0
    assert same == scores
    rates = [(p[y == k].argmax(1) == k).mean() for k in (0, 1, 3)]
    assert scores["balanced_accuracy"].value == pytest.approx(np.mean(rates))


def test_certainty_and_its_price():
    scores = classification_metrics([[1.0, 0.0], [1.0, 0.0]], [0, 1])
    assert scores["log_loss"].value == pytest.approx(-np.log(np.finfo(float).eps) / 2)
    perfect = classification_metrics(np.eye(4)[[0, 1, 2, 3, 0]], [0, 1, 2, 3, 0])
    for name, score in perfect.items():
        assert score.value == pytest.approx(0 if name == "log_loss" else 1, abs=1e-12), name


def test_float32_softmax_is_taken_as_it_comes(rng):
    p, y = predictions(rng, 100, 5)
    exact, rounded = classification_metrics(p, y), classification_metrics(p.astype("float32"), y)
    assert values(rounded) == pytest.approx(values(exact), rel=1e-5)


def test_a_constant_target_has_no_r2():
    assert set(regression_metrics([1.0, 2.0], [3.0, 3.0])) == {"rmse", "mae"}


def test_every_metric_has_a_direction(rng):
    p, y = predictions(rng, 200, 100)
    names = {*classification_metrics(p, y), *classification_metrics(*predictions(rng, 50, 4))}
    names |= set(regression_metrics(rng.normal(size=9), rng.normal(size=9)))
    assert names | {"loss", "error"} == set(BETTER) and set(BETTER.values()) == {1, -1}
    p, y = predictions(rng, 200, 4)
    better = classification_metrics(0.5 * p + 0.5 * np.eye(4)[y], y)
    worse = classification_metrics(np.full((200, 4), 0.25), np.arange(200) % 4)
    for name in better:
        assert BETTER[name] * better[name].value > BETTER[name] * worse[name].value


def test_how_scores_print():
    assert str(Fraction(0.978, 0.007)) == "97.8 % ± 0.7 %"
    assert str(Fraction(0.9784, 0.0004)) == "97.84 % ± 0.04 %"
    assert str(Fraction(0.5)) == "50.0 %"
    assert str(Score(3.14159, 0.02)) == "3.142 ± 0.020"
    assert str(Score(1234.5, 67.0)) == "1234 ± 67"
    assert str(Score(0.123456)) == "0.1235"
    value, error = Fraction(0.5, 0.1)
    assert (value, error, float(Fraction(0.5))) == (0.5, 0.1, 0.5)


# Confusion


def test_confusion_matrix_counts_pairs(rng):
    y, said = rng.integers(4, size=100), rng.integers(4, size=100)
    got = confusion_matrix(y, said, 6)
    assert got.shape == (6, 6) and got.dtype == np.int64
    for i, j in np.ndindex(6, 6):
        assert got[i, j] == ((y == i) & (said == j)).sum()
    np.testing.assert_array_equal(confusion_matrix(said, y, 6), got.T)
    order = rng.permutation(100)
    np.testing.assert_array_equal(confusion_matrix(y[order], said[order], 6), got)
    assert confusion_matrix([0, 0], [0, 0], 1).tolist() == [[2]]


# Refusals


@pytest.mark.parametrize(
    ("p", "y", "w", "kind", "words"),
    [
        (np.full(4, 0.5), [0, 1, 0, 1], None, ShapeError, r"float64\[4\].*np\.stack"),
        (np.full((4, 1), 0.5), [0, 1, 0, 1], None, ShapeError, r"float64\[4, 1\].*np\.stack"),
        (np.full((4, 2), 0.5), [0, 1, 0], None, ShapeError, r"float64\[4, 2\].*int64\[3\]"),
        (np.full((2, 2), 0.5), np.eye(2, dtype=int), None, ShapeError, "argmax"),
        (np.zeros((0, 2)), np.zeros(0, int), None, ShapeError, "n > 0"),
        (np.full((2, 2), 0.5), [0, 2], None, DataError, "from 0 to 1; row 1 has 2"),
        (np.full((2, 2), 0.5), [-1, 1], None, DataError, "row 0 has -1"),
        (np.full((2, 2), 0.5), [0.0, 1.0], None, DataError, r"must be integers.*float64\[2\]"),
        ([[0.5, 0.5], [np.nan, 1.0]], [0, 1], None, DataError, r"row 1 contain nan \(1 of 2 rows do\)"),
        ([[0.5, 0.5], [3.0, -2.0]], [0, 1], None, DataError, "row 1.*softmax"),
        ([[0.5, 0.5], [3.0, 2.0]], [0, 1], None, DataError, "sum to 5, not 1"),
        (np.full((2, 2), 0.5), [0, 1], [1.0], ShapeError, r"\[2\]; got float64\[1\]"),
        (np.full((2, 2), 0.5), [0, 1], [1.0, -1.0], DataError, "row 1 has -1"),
        (np.full((2, 2), 0.5), [0, 1], [1.0, np.nan], DataError, "row 1 has nan"),
        (np.full((2, 2), 0.5), [0, 1], [0.0, 0.0], DataError, "every weight is 0"),
    ],
)
def test_what_classification_metrics_refuses(p, y, w, kind, words):
    with pytest.raises(kind, match=words):
        classification_metrics(p, y, w)


@pytest.mark.parametrize(
    ("p", "t", "kind", "words"),
    [
        (np.zeros((4, 1)), np.zeros(4), ShapeError, r"float64\[4, 1\].*float64\[4\]"),
        (np.zeros(0), np.zeros(0), ShapeError, "n > 0"),
        (1.0, 1.0, ShapeError, "one shape"),
        ([1.0, np.nan], [1.0, 2.0], DataError, "the prediction of row 1 contain nan"),
        ([1.0, 2.0], [np.inf, 2.0], DataError, "the target of row 0 contain inf"),
    ],
)
def test_what_regression_metrics_refuses(p, t, kind, words):
    with pytest.raises(kind, match=words):
        regression_metrics(p, t)


def test_what_confusion_matrix_refuses():
    with pytest.raises(DataError, match="predictions must lie from 0 to 1; row 1 has 2"):
        confusion_matrix([0, 1], [0, 2], 2)
    with pytest.raises(ShapeError, match=r"int64\[2\] and int64\[3\]"):
        confusion_matrix([0, 1], [0, 1, 1], 2)
