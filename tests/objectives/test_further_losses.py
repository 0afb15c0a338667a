"""Margins, divergences, counts, percentages and directions: minimizers, references, and their domains."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.optimize
import scipy.special
import scipy.stats
import sklearn.metrics

from sonde import nn
from sonde._errors import ArgumentError, DataError, ShapeError
from sonde.objectives import (
    L1,
    absolute_error,
    absolute_percentage_error,
    binary_cross_entropy,
    cosine_distance,
    cross_entropy,
    hinge,
    kl_divergence,
    poisson,
    squared_error,
    squared_hinge,
)
from sonde.objectives.losses import mean_of


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


def least(loss, targets, low, high):
    """The constant with the least mean loss, found without gradients; the loss is convex in it."""
    mean = jax.jit(lambda c: loss(jnp.full(len(targets), c), jnp.asarray(targets)).mean())
    options = {"xatol": 1e-10}
    return scipy.optimize.minimize_scalar(
        lambda c: float(mean(c)), bounds=(low, high), method="bounded", options=options
    ).x


def lowest(loss, targets, size):
    """The vector with the least mean loss, found from a start that is not it."""
    mean = jax.jit(lambda z: loss(jnp.tile(z[None], (len(targets), 1)), jnp.asarray(targets)).mean())
    start = np.linspace(0.5, 1, size)
    return scipy.optimize.minimize(lambda z: float(mean(z)), start, jac=jax.jit(jax.grad(mean)), tol=1e-10).x


# ---------------------------------------------------------------------- minimizers


@pytest.mark.parametrize("share", [0.2, 0.7])
def test_hinge_is_minimized_by_the_likelier_answer_and_squared_hinge_by_the_mean(share, x64):
    targets = np.where(np.arange(1000) < 1000 * share, 1.0, -1.0)
    assert least(hinge, targets, -3, 3) == pytest.approx(1 if share > 0.5 else -1, abs=1e-6)
    assert least(squared_hinge, targets, -3, 3) == pytest.approx(2 * share - 1, abs=1e-6)


def test_hinge_of_several_classes_is_minimized_by_the_likeliest_ahead_by_one(rng, x64):
    labels = rng.permutation(np.repeat([0, 1, 2], [15, 60, 25]))
    mean = jax.jit(lambda z: hinge(jnp.tile(z[None], (100, 1)), jnp.asarray(labels)).mean())
    # a linear program: minimize the mean slack s, s_y >= 1 - z_y + z_k for all k other than y
    share = np.bincount(labels) / 100
    rows = [(y, k) for y in range(3) for k in range(3) if k != y]
    bounds = np.array([np.eye(3)[k] - np.eye(3)[y] for y, k in rows])
    slack = -np.array([np.eye(3)[y] for y, _ in rows])
    found = scipy.optimize.linprog(
        np.r_[np.zeros(3), share], np.c_[bounds, slack], -np.ones(6), bounds=[(-9, 9)] * 3 + [(0, None)] * 3
    )
    assert float(mean(jnp.array([0.0, 1.0, 0.0]))) == pytest.approx(found.fun, rel=1e-9)


def test_kl_divergence_is_minimized_by_the_mean_of_the_probabilities(rng, x64):
    targets = rng.dirichlet([1.0, 2.0, 3.0], size=200)
    found = lowest(kl_divergence, targets, 3)
    np.testing.assert_allclose(scipy.special.softmax(found), targets.mean(0), atol=1e-5)


def test_poisson_is_minimized_by_the_logarithm_of_the_mean_count(rng, x64):
    targets = rng.poisson(3.0, size=1000).astype(float)
    assert np.exp(least(poisson, targets, -5, 5)) == pytest.approx(targets.mean(), rel=1e-6)


def test_percentage_error_is_minimized_by_the_median_weighted_by_one_over_the_target(rng, x64):
    targets = rng.gamma(2.0, size=1001) + 0.1
    order, weight = np.sort(targets), 1 / np.sort(targets)
    median = order[np.searchsorted(np.cumsum(weight), weight.sum() / 2)]
    assert least(absolute_percentage_error, targets, 0, targets.max()) == pytest.approx(median, abs=1e-6)
    assert median < np.median(targets)


def test_cosine_distance_is_minimized_by_the_mean_direction(rng, x64):
    targets = rng.normal(size=(300, 3)) * rng.uniform(0.1, 10, size=(300, 1)) + [3.0, 0.0, -3.0]
    found = lowest(cosine_distance, targets, 3)
    mean = (targets / np.linalg.norm(targets, axis=1, keepdims=True)).mean(0)
    np.testing.assert_allclose(found / np.linalg.norm(found), mean / np.linalg.norm(mean), atol=1e-5)


# ---------------------------------------------------------------------- references that share no code


def test_hinge_is_that_of_scikit_learn_for_two_classes_and_several(rng):
    z, t = rng.normal(size=50).astype("float32") * 2, rng.choice([-1, 1], 50)
    assert float(hinge(z, t).mean()) == pytest.approx(sklearn.metrics.hinge_loss(t, z), rel=1e-5)
    scores, y = rng.normal(size=(50, 4)).astype("float32") * 2, np.r_[np.arange(4), rng.integers(0, 4, 46)]
    assert float(hinge(scores, y).mean()) == pytest.approx(sklearn.metrics.hinge_loss(y, scores), rel=1e-5)
    np.testing.assert_allclose(squared_hinge(scores, y), hinge(scores, y) ** 2, rtol=1e-6)
    np.testing.assert_allclose(squared_hinge(z, t), hinge(z, t) ** 2, rtol=1e-6)


def test_labels_of_two_classes_are_signs_booleans_or_class_numbers_of_two_scores(rng):
    z, yes = jnp.asarray(rng.normal(size=20) * 2, jnp.float32), rng.random(20) < 0.5
    expected = hinge(z, np.where(yes, 1.0, -1.0).astype("float32"))
    for labels in (yes, jnp.asarray(yes), np.where(yes, 1, -1)):
        np.testing.assert_array_equal(hinge(z, labels), expected)
    pair = jnp.stack([jnp.zeros(20), z], -1)
    np.testing.assert_allclose(hinge(pair, yes.astype(int)), expected, rtol=1e-6)
    np.testing.assert_array_equal(hinge(z, 1), hinge(z, np.ones(20, bool)))


def test_kl_divergence_is_that_of_scipy_and_cross_entropy_less_the_entropy(rng):
    z, t = rng.normal(size=(30, 5)).astype("float32"), rng.dirichlet(np.ones(5), 30).astype("float32")
    t[0] = [0, 0, 1, 0, 0]
    p = scipy.special.softmax(z.astype(float), 1)
    np.testing.assert_allclose(kl_divergence(z, t), scipy.stats.entropy(t, p, axis=1), rtol=1e-4, atol=1e-6)
    entropy = scipy.stats.entropy(t, axis=1)
    np.testing.assert_allclose(kl_divergence(z, t), cross_entropy(z, t) - entropy, rtol=1e-4, atol=2e-6)
    slope = lambda loss: jax.grad(lambda z: loss(z, jnp.asarray(t)).sum())(jnp.asarray(z))
    np.testing.assert_allclose(slope(kl_divergence), slope(cross_entropy), rtol=1e-5, atol=1e-6)
    same = kl_divergence(np.log(t[1:]), t[1:])
    np.testing.assert_allclose(same, np.zeros(29), atol=1e-6)


def test_poisson_is_the_log_likelihood_of_scipy_without_its_factorial(rng):
    z, t = rng.normal(size=40).astype("float32"), rng.poisson(4.0, 40)
    likelihood = scipy.stats.poisson.logpmf(t, np.exp(z.astype(float))) + scipy.special.gammaln(t + 1)
    np.testing.assert_allclose(poisson(z, t.astype("float32")), -likelihood, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        jax.grad(lambda z: poisson(z, jnp.asarray(t, jnp.float32)).sum())(z), np.exp(z) - t, rtol=1e-4, atol=1e-5
    )


def test_percentage_error_is_a_hundred_times_that_of_scikit_learn(rng):
    p, t = rng.normal(size=(2, 40)).astype("float32") + 3
    expected = 100 * sklearn.metrics.mean_absolute_percentage_error(t, p)
    assert float(absolute_percentage_error(p, t).mean()) == pytest.approx(expected, rel=1e-5)


def test_cosine_distance_is_that_of_optax_and_sees_no_length(rng):
    p, t = rng.normal(size=(2, 20, 4)).astype("float32")
    expected = optax.cosine_distance(p, t)
    np.testing.assert_allclose(cosine_distance(p, t), expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(cosine_distance(7 * p, 0.1 * t), expected, rtol=1e-4, atol=1e-6)


def test_a_prediction_without_direction_has_a_finite_slope():
    value, slope = jax.value_and_grad(lambda p: cosine_distance(p, jnp.array([0.0, 2.0])))(jnp.zeros(2))
    assert value == 1 and np.isfinite(slope).all()


FURTHER = {
    "hinge": (hinge, (8,), lambda rng: rng.choice([-1.0, 1.0], 8)),
    "squared_hinge": (squared_hinge, (8,), lambda rng: rng.choice([-1.0, 1.0], 8)),
    "kl_divergence": (kl_divergence, (8, 3), lambda rng: rng.dirichlet(np.ones(3), 8)),
    "poisson": (poisson, (8,), lambda rng: rng.poisson(3.0, 8).astype(float)),
    "absolute_percentage_error": (absolute_percentage_error, (8,), lambda rng: rng.uniform(1, 2, 8)),
    "cosine_distance": (cosine_distance, (8, 3), lambda rng: rng.normal(size=(8, 3))),
}
further = pytest.mark.parametrize("name", FURTHER)


@further
def test_half_precision_is_computed_in_float32(name, rng):
    loss, shape, draw = FURTHER[name]
    for half in ("bfloat16", "float16"):
        got = loss(jnp.asarray(rng.normal(size=shape), half), jnp.asarray(draw(rng), half))
        assert got.dtype == jnp.float32 and np.isfinite(got).all()


@further
def test_shapes_that_would_broadcast_are_refused(name, rng):
    loss, shape, draw = FURTHER[name]
    t = jnp.asarray(draw(rng), jnp.float32)
    for wrong in ((*shape, 1), (shape[0], 7), (1, *shape)):
        with pytest.raises((ShapeError, ArgumentError), match="float32"):
            loss(jnp.zeros(wrong), t)


def test_what_is_right_already_is_not_moved():
    """The derivative of |x| at 0 is 0, not 1: for errors and for the weights that L1 keeps at 0."""
    for loss in (absolute_error, absolute_percentage_error):
        slope = jax.grad(lambda p, loss=loss: loss(p, jnp.array([2.0, 2.0, 2.0])).sum())(jnp.array([1.0, 2.0, 3.0]))
        assert np.sign(slope).tolist() == [-1, 0, 1]
    net = nn.build(nn.Dense(2, kernel_init=nn.zeros), jnp.ones((1, 3)))
    slope = jax.grad(lambda params: L1(0.5)(net.replace(params=params).bind(), None))(net.params)
    assert not slope["kernel"].any()


# ---------------------------------------------------------------------- domains


OUTSIDE = {
    "hinge": (hinge, np.float32([1, 0, -1]), r"labels of hinge must be -1 or 1 .*; got 0.* at \[1\]"),
    "squared_hinge": (squared_hinge, np.float32([1, -1, 2]), r"squared_hinge must be -1 or 1 .*got 2.* at \[2\]"),
    "poisson": (poisson, np.float32([0, 3, -2]), r"target of poisson must be counts, 0 or above; got -2.* at \[2\]"),
    "absolute_percentage_error": (
        absolute_percentage_error, np.float32([2, 0, 1]), r"other than 0, of which.*got 0.* at \[1\]",
    ),
    "binary_cross_entropy": (binary_cross_entropy, np.float32([0, 1.5, 1]), r"from 0 to 1; got 1\.5 at \[1\]"),
}  # fmt: skip


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_target_outside_the_domain_is_refused_with_its_value_and_marked_in_a_program(name):
    loss, t, words = OUTSIDE[name]
    with pytest.raises(DataError, match=words):
        loss(jnp.zeros(3), t)
    z = jnp.full(3, 0.5)
    with pytest.raises(DataError, match=words):  # what is not differentiated is known
        jax.grad(lambda z: loss(z, t).sum())(z)
    found, slope = jax.jit(jax.vmap(jax.value_and_grad(loss)))(z, t)
    wrong = np.isnan(found)
    assert wrong.sum() == 1 and np.isfinite(slope[~wrong]).all()
    np.testing.assert_array_equal(found[~wrong], loss(z[~wrong], t[~wrong]))


@pytest.mark.parametrize("loss", [kl_divergence, cross_entropy])
@pytest.mark.parametrize("row", [[0.5, 0.6, 0.5], [1.5, -0.5, 0.0], [np.nan, 1.0, 0.0]], ids=str)
def test_rows_that_are_no_probabilities_are_refused(loss, row):
    t = np.float32([[1, 0, 0], row])
    with pytest.raises(DataError, match=r"with a sum of 1 in each row; got \[.*\] at \[1\]"):
        loss(jnp.zeros((2, 3)), t)
    assert np.isnan(jax.jit(loss)(jnp.zeros((2, 3)), t)).tolist() == [False, True]


def test_a_vector_without_direction_is_refused():
    t = np.float32([[1, 0], [0, 0]])
    with pytest.raises(DataError, match=r"vectors other than 0, which has no direction; got \[0. 0.\] at \[1\]"):
        cosine_distance(jnp.ones((2, 2)), t)
    assert np.isnan(jax.jit(cosine_distance)(jnp.ones((2, 2)), t)).tolist() == [False, True]
    with pytest.raises(ShapeError, match="takes vectors"):
        cosine_distance(1.0, 2.0)


@pytest.mark.parametrize("loss", [hinge, squared_hinge])
def test_labels_of_margins_that_do_not_fit_are_refused(loss):
    scores = jnp.zeros((4, 3))
    with pytest.raises(DataError, match=r"classes from 0 to 2; got 3 at \[2\]"):
        loss(scores, np.array([0, 1, 3, 2]))
    with pytest.raises(ArgumentError, match=r"class numbers, so they must be integers.*float32\[4\]"):
        loss(scores, np.zeros(4, "float32"))
    with pytest.raises(ShapeError, match=r"scores\[\.\.\., 0\]"):
        loss(jnp.zeros((4, 1)), np.zeros(4, int))
    assert np.isnan(jax.jit(loss)(scores, np.array([0, 1, 3, 2]))).tolist() == [False, False, True, False]


# ---------------------------------------------------------------------- numbers worked by hand


def test_worked_numbers():
    """V09 and V11: what the source's page of losses works out."""
    errors = jnp.array([0.01, 100.0])
    np.testing.assert_allclose(squared_error(errors, 0.0), [1e-4, 1e4], rtol=1e-6)
    assert float(1 - jnp.float32(0.3)) == pytest.approx(0.7)
    assert hinge(jnp.array([0.3]), jnp.array([1]))[0] == pytest.approx(0.7)
    assert float(jnp.array([100.0, -100.0]).mean()) == 0
    assert float(absolute_percentage_error(90.0, 100.0)) == pytest.approx(10)
    assert float(poisson(0.0, 5.0)) == 1


def test_what_outputs_stand_for():
    z = jnp.array([[0.0, np.log(3.0)]], jnp.float32)
    np.testing.assert_allclose(mean_of("poisson", z), [[1, 3]], rtol=1e-6)
    np.testing.assert_allclose(mean_of("binary_cross_entropy", z), [[0.5, 0.75]], rtol=1e-6)
    np.testing.assert_allclose(mean_of("kl_divergence", z), [[0.25, 0.75]], rtol=1e-6)
    np.testing.assert_array_equal(mean_of("squared_error", z), z)


@pytest.mark.parametrize("size", [1.0, 1e3, 1e15])
def test_large_scores_and_vectors_stay_finite(size):
    z = jnp.array([[size, -size, 0.0]])
    for loss, t in (
        (hinge, jnp.array([1])),
        (kl_divergence, jnp.array([[0.0, 1.0, 0.0]])),
        (cosine_distance, jnp.array([[0.0, size, 0.0]])),
    ):
        value, slope = jax.value_and_grad(lambda z, loss=loss, t=t: loss(z, t).sum())(z)
        assert np.isfinite(value) and np.isfinite(slope).all(), loss.__name__


def test_their_gradients_are_of_every_order(x64):
    twice = lambda loss, t: jax.grad(jax.grad(functools.partial(lambda z, t: loss(z, t), t=t)))
    assert float(twice(poisson, jnp.asarray(3.0))(0.5)) == pytest.approx(np.exp(0.5))
    assert float(twice(squared_hinge, jnp.asarray(1.0))(0.5)) == pytest.approx(2)
