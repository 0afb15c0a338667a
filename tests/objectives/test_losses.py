"""Losses mean what they say: minimized by their functional, equal to references, exact in the extremes."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.optimize
import scipy.special

from sonde._errors import ArgumentError, DataError, ShapeError
from sonde._value import FUNCTIONS, from_json, to_json
from sonde.objectives.losses import (
    absolute_error,
    binary_cross_entropy,
    cross_entropy,
    half_squared_error,
    huber,
    squared_error,
)

QUANTITIES = (half_squared_error, squared_error, absolute_error, huber)
ALL = (cross_entropy, binary_cross_entropy, *QUANTITIES)


@pytest.fixture(autouse=True)
def strict():
    with jax.numpy_rank_promotion("raise"):
        yield


@pytest.fixture
def rng():
    seed = np.random.SeedSequence().entropy
    print(f"seed {seed}")
    return np.random.default_rng(seed)


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


def best_constant(loss, targets):
    """The constant with the least mean loss, found without gradients."""
    mean = jax.jit(lambda c: loss(jnp.full(len(targets), c), jnp.asarray(targets)).mean())
    low, high = float(targets.min()), float(targets.max())
    found = scipy.optimize.minimize_scalar(
        lambda c: float(mean(c)), bounds=(low, high), method="bounded", options={"xatol": 1e-10}
    )
    return found.x


def derivative(f, x, h=1e-5):
    """Central differences of a function of an array, entry by entry."""
    flat = np.zeros(x.size)
    for i in range(x.size):
        step = np.zeros(x.size)
        step[i] = h
        step = step.reshape(x.shape)
        flat[i] = (float(f(x + step)) - float(f(x - step))) / (2 * h)
    return flat.reshape(x.shape)


# What each is minimized by


@pytest.mark.parametrize("loss", [half_squared_error, squared_error])
def test_squared_errors_are_minimized_by_the_mean(loss, rng, x64):
    targets = rng.gamma(1.0, size=1001)  # skewed, so that mean and median differ
    assert best_constant(loss, targets) == pytest.approx(targets.mean(), abs=1e-6)


def test_absolute_error_is_minimized_by_the_median(rng, x64):
    targets = rng.gamma(1.0, size=1001)
    assert best_constant(absolute_error, targets) == pytest.approx(np.median(targets), abs=1e-6)


def test_huber_is_minimized_where_the_clipped_errors_balance(rng, x64):
    targets = rng.gamma(1.0, size=1001)
    best = best_constant(huber, targets)
    balance = scipy.optimize.brentq(lambda c: np.clip(c - targets, -1, 1).mean(), 0, targets.max())
    assert best == pytest.approx(balance, abs=1e-6)
    assert np.median(targets) < best < targets.mean()


def test_huber_goes_from_the_median_to_the_mean(rng, x64):
    targets = rng.gamma(1.0, size=1001)
    small = best_constant(lambda p, t: huber(p, t, delta=1e-3) * 1e3, targets)
    large = best_constant(lambda p, t: huber(p, t, delta=1e3), targets)
    assert small == pytest.approx(np.median(targets), abs=5e-3)
    assert large == pytest.approx(targets.mean(), abs=1e-6)


def test_binary_cross_entropy_is_minimized_by_the_probability(rng, x64):
    for targets in (rng.random(1000) < 0.3, rng.random(1000)):
        t = jnp.asarray(targets, float)
        mean = jax.jit(lambda z, t=t: binary_cross_entropy(jnp.full(len(t), z), t).mean())
        z = scipy.optimize.minimize_scalar(mean, bounds=(-9, 9), method="bounded").x
        assert scipy.special.expit(z) == pytest.approx(targets.mean(), abs=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy_is_minimized_by_the_frequencies(smoothing, rng, x64):
    labels = rng.choice(4, size=500, p=[0.1, 0.2, 0.3, 0.4])

    @jax.jit
    def mean(z):
        return cross_entropy(jnp.tile(z[None], (500, 1)), jnp.asarray(labels), smoothing=smoothing).mean()

    found = scipy.optimize.minimize(lambda z: float(mean(z)), np.zeros(4), jac=jax.jit(jax.grad(mean)))
    frequencies = (1 - smoothing) * np.bincount(labels, minlength=4) / 500 + smoothing / 4
    np.testing.assert_allclose(scipy.special.softmax(found.x), frequencies, atol=1e-4)


# Values and gradients against references that share no code with them


def reference(loss, p, t):
    match loss.__name__:
        case "half_squared_error":
            return 0.5 * (p - t) ** 2
        case "squared_error":
            return (p - t) ** 2
        case "absolute_error":
            return np.abs(p - t)
        case "huber":
            return scipy.special.huber(1.0, p - t)
        case "binary_cross_entropy":
            q = scipy.special.expit(p)
            return -t * np.log(q) - (1 - t) * np.log1p(-q)


@pytest.mark.parametrize("loss", [*QUANTITIES, binary_cross_entropy])
def test_values_and_gradients(loss, rng, x64):
    r, t = rng.normal(size=(5, 3)) * 2, rng.random((5, 3))
    p = t + r + 0.02 * (np.abs(np.abs(r) - np.round(np.abs(r))) < 0.01)  # away from the joints at 0 and 1
    np.testing.assert_allclose(loss(jnp.asarray(p), jnp.asarray(t)), reference(loss, p, t), rtol=1e-11)
    exact = jax.grad(lambda p, t: loss(p, t).sum(), (0, 1))(jnp.asarray(p), jnp.asarray(t))
    close = dict(rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(exact[0], derivative(lambda p: reference(loss, p, t).sum(), p), **close)
    np.testing.assert_allclose(exact[1], derivative(lambda t: reference(loss, p, t).sum(), t), **close)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_by_hand(smoothing, rng, x64):
    z, y = rng.normal(size=(6, 5)) * 3, rng.integers(5, size=6)
    t = (1 - smoothing) * np.eye(5)[y] + smoothing / 5

    def by_hand(z):
        return -(t * (z - scipy.special.logsumexp(z, axis=-1, keepdims=True))).sum(-1)

    got = cross_entropy(jnp.asarray(z), jnp.asarray(y), smoothing=smoothing)
    np.testing.assert_allclose(got, by_hand(z), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(got, cross_entropy(jnp.asarray(z), jnp.asarray(t)), rtol=1e-12, atol=1e-14)
    gradient = jax.grad(lambda z: cross_entropy(z, jnp.asarray(y), smoothing=smoothing).sum())(jnp.asarray(z))
    np.testing.assert_allclose(gradient, scipy.special.softmax(z, axis=-1) - t, atol=1e-12)
    np.testing.assert_allclose(gradient, derivative(lambda z: by_hand(z).sum(), z), rtol=1e-5, atol=1e-8)


def test_against_optax(rng):
    z, y = rng.normal(size=(6, 5)).astype("float32"), rng.integers(5, size=6)
    t = rng.random((6, 5)).astype("float32")
    close = dict(rtol=2e-6, atol=2e-7)
    theirs = optax.softmax_cross_entropy_with_integer_labels(jnp.asarray(z), jnp.asarray(y))
    np.testing.assert_allclose(cross_entropy(z, y), theirs, **close)
    np.testing.assert_allclose(binary_cross_entropy(z, t), optax.sigmoid_binary_cross_entropy(z, t), **close)
    np.testing.assert_allclose(half_squared_error(z, t), optax.l2_loss(z, t), **close)
    np.testing.assert_allclose(squared_error(z, t), optax.squared_error(z, t), **close)
    np.testing.assert_allclose(huber(z, t, delta=0.3), optax.huber_loss(z, t, delta=0.3), **close)


def test_relations(rng):
    """Two classes are a yes or no; softmax does not see a shift; labels are one-hot probabilities."""
    z, y = rng.normal(size=8).astype("float32"), rng.integers(2, size=8)
    pair = jnp.stack([jnp.zeros(8), z], -1)
    close = dict(rtol=1e-5, atol=3e-6)
    np.testing.assert_allclose(cross_entropy(pair, y), binary_cross_entropy(z, y.astype("float32")), **close)
    np.testing.assert_allclose(cross_entropy(pair + 7, y), cross_entropy(pair, y), **close)
    np.testing.assert_array_equal(cross_entropy(pair, np.eye(2, dtype="float32")[y]), cross_entropy(pair, y))


@pytest.mark.parametrize("at", [0.0, 0.4, -0.4])
def test_second_derivatives_hold_at_the_joints(at, x64):
    """A head that starts at zero sits exactly there, and curvature is watched there."""
    second = jax.grad(jax.grad(lambda p: binary_cross_entropy(p, jnp.asarray(1.0))))(at)
    q = scipy.special.expit(at)
    assert second == pytest.approx(q * (1 - q), rel=1e-9)
    assert jax.grad(jax.grad(lambda p: huber(p, jnp.asarray(0.0))))(at) == 1.0


# Extremes


@pytest.mark.parametrize("size", [1e4, 1e30])
def test_extreme_logits_stay_finite(size):
    z = jnp.array([[size, -size, 0.0], [-size, size, size], [size, size, size]], jnp.float32)
    for y in (0, 1, 2):
        for labels in (jnp.full(3, y), jax.nn.one_hot(jnp.full(3, y), 3)):
            for smoothing in (0.0, 0.1):
                loss, gradient = jax.value_and_grad(
                    lambda z, y=labels, s=smoothing: cross_entropy(z, y, smoothing=s).mean()
                )(z)
                assert np.isfinite(loss) and np.isfinite(gradient).all() and loss >= 0
    for t in (0.0, 0.3, 1.0):
        loss, gradient = jax.value_and_grad(lambda z, t=t: binary_cross_entropy(z, t).mean())(z)
        assert np.isfinite(loss) and np.isfinite(gradient).all() and loss >= 0


def test_a_small_loss_is_not_lost(rng):
    z = jnp.array([20.0, 40.0, -20.0])
    t = jnp.array([1.0, 1.0, 0.0])
    small = np.log1p(np.exp(-np.array([20.0, 40.0, 20.0])))
    np.testing.assert_allclose(binary_cross_entropy(z, t), small, rtol=1e-5)
    gradient = jax.grad(lambda z: binary_cross_entropy(z, t).sum())(z)
    np.testing.assert_allclose(np.abs(gradient), small, rtol=1e-5)


def test_a_class_ruled_out_costs_nothing_unless_asked_for():
    z, y = jnp.array([[1.0, 1.0, -jnp.inf]]), jnp.array([0])
    for labels in (y, jnp.array([[1.0, 0.0, 0.0]])):
        loss, gradient = jax.value_and_grad(lambda z, y=labels: cross_entropy(z, y)[0])(z)
        assert loss == pytest.approx(np.log(2)) and np.isfinite(gradient).all()
    assert cross_entropy(z, jnp.array([2]))[0] == np.inf


@pytest.mark.parametrize("label", [-1, 3, 200])
def test_a_label_that_is_no_class_gives_nan_in_a_program_and_is_refused_where_it_is_seen(label):
    z, y = jnp.zeros((2, 3)), jnp.array([0, label])
    for smoothing in (0.0, 0.1):
        compiled = jax.jit(lambda z, y, s=smoothing: cross_entropy(z, y, smoothing=s))
        assert np.isnan(compiled(z, y)).tolist() == [False, True]
        with pytest.raises(DataError, match=rf"must be classes from 0 to 2; got {label} at \[1\]"):
            cross_entropy(z, y, smoothing=smoothing)


def test_bytes_are_labels_even_of_many_classes():
    z = jnp.zeros((2, 300)).at[:, 255].set(1.0)
    bytes_, wide = np.array([0, 255], "uint8"), np.array([0, 255], "int64")
    np.testing.assert_array_equal(cross_entropy(z, bytes_), cross_entropy(z, wide))


@pytest.mark.parametrize("half", ["bfloat16", "float16"])
def test_half_precision_is_computed_in_float32(half):
    z = jnp.array([[300.0, 0.0]], half)
    for loss in (*QUANTITIES, binary_cross_entropy):
        got = loss(z, jnp.zeros((1, 2), half))
        assert got.dtype == jnp.float32 and np.isfinite(got).all()  # 300^2 is infinite in float16
    assert cross_entropy(z, jnp.array([1])).dtype == jnp.float32


def test_one_target_out_of_line_cannot_pull_far():
    pulls = [float(jax.grad(lambda p, f=f: f(p, 0.0))(jnp.asarray(100.0))) for f in QUANTITIES]
    assert pulls == [100, 200, 1, 1]


# Shapes and kinds


def every_loss(p, t, z, y):
    elementwise = {loss.__name__: loss(p, t) for loss in (*QUANTITIES, binary_cross_entropy)}
    soft = cross_entropy(z, jax.nn.one_hot(y, z.shape[-1]), smoothing=0.1)
    return elementwise | {"labels": cross_entropy(z, y), "probabilities": soft}


@pytest.mark.parametrize("shape", [(), (4,), (2, 3, 4)])
def test_any_rank_under_every_transformation(shape, rng):
    p, t = rng.normal(size=shape).astype("float32"), rng.random(shape).astype("float32")
    z, y = rng.normal(size=(*shape, 5)).astype("float32"), rng.integers(5, size=shape)
    given = tuple(map(jnp.asarray, (p, t, z, y)))
    plain = every_loss(*given)
    for name, value in plain.items():
        assert value.shape == shape and value.dtype == jnp.float32, name
    for transformed in (jax.jit(every_loss), jax.vmap(every_loss))[: 1 + bool(shape)]:
        for name, value in transformed(*given).items():
            np.testing.assert_allclose(value, plain[name], rtol=1e-5, atol=1e-6, err_msg=name)
    total = lambda *given: sum(value.sum() for value in every_loss(*given).values())  # noqa: E731
    assert [g.shape for g in jax.jit(jax.grad(total, (0, 2)))(*given)] == [shape, (*shape, 5)]


def test_numbers_of_a_loss_are_arguments_of_a_program():
    z, y = jnp.array([[1.0, 2.0]]), jnp.array([0])
    one_by_one = [float(cross_entropy(z, y, smoothing=s)[0]) for s in (0.0, 0.1, 0.3)]
    at_once = jax.vmap(lambda s: cross_entropy(z, y, smoothing=s)[0])(jnp.array([0.0, 0.1, 0.3]))
    np.testing.assert_allclose(at_once, one_by_one, rtol=1e-6)
    deltas = jax.vmap(lambda d: huber(jnp.asarray(3.0), 0.0, delta=d))(jnp.array([1.0, 2.0]))
    np.testing.assert_allclose(deltas, [2.5, 4.0])


def test_a_python_number_stands_for_an_array_full_of_it():
    p = jnp.array([[0.5, -1.0]])
    for loss in (*QUANTITIES, binary_cross_entropy):
        np.testing.assert_array_equal(loss(p, 1), loss(p, jnp.ones((1, 2))))
    np.testing.assert_array_equal(absolute_error(1, p), absolute_error(jnp.ones((1, 2)), p))
    assert float(absolute_error(0.3, 1)) == pytest.approx(0.7)


def test_worked_examples():
    assert float(absolute_error(0.3, 1.0)) == pytest.approx(0.7)
    np.testing.assert_allclose(squared_error(jnp.array([0.01, 100.0]), 0.0), [1e-4, 1e4], rtol=1e-6)
    errors = jnp.array([100.0, -100.0])
    assert float(errors.mean()) == 0 and float(absolute_error(errors, 0.0).mean()) == 100


@pytest.mark.parametrize("loss", [*QUANTITIES, binary_cross_entropy])
@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit], ids=["plain", "jit"])
def test_shapes_that_would_broadcast_are_refused(loss, wrap):
    column, row = jnp.zeros((8, 1)), jnp.zeros(8)
    with pytest.raises(ShapeError, match=r"float32\[8, 1\].*float32\[8\].*\[\.\.\., 0\].*\[\.\.\., None\]"):
        wrap(loss)(column, row)
    with pytest.raises(ShapeError, match=r"float32\[8\].*float32\[8, 1\].*\[\.\.\., 0\]"):
        wrap(loss)(row, column)
    for other in (jnp.zeros((1, 8)), jnp.zeros(()), jnp.zeros(1), jnp.zeros(7)):
        with pytest.raises(ShapeError, match="nothing is broadcast"):
            wrap(loss)(row, other)


def test_cross_entropy_says_what_does_not_fit():
    z = jnp.zeros((4, 3))
    for labels, kind, words in [
        (jnp.zeros(4), ArgumentError, r"must be integers.*float32\[4\].*astype\('int32'\)"),
        (jnp.zeros(4, bool), ArgumentError, "must be integers"),
        (jnp.zeros((4, 3), int), ArgumentError, r"must be floating.*int32\[4, 3\].*argmax"),
        (jnp.zeros((4, 1), int), ShapeError, r"int32\[4, 1\].*labels\[\.\.\., 0\]"),
        (jnp.zeros(5, int), ShapeError, r"float32\[4, 3\].*int32\[5\]"),
        (jnp.zeros((4, 2)), ShapeError, r"float32\[4, 2\].*Bring"),
        (jnp.zeros((3, 4), bool), ShapeError, "bool"),
    ]:
        with pytest.raises(kind, match=words):
            cross_entropy(z, labels)
    for labels in (jnp.zeros(4, int), jnp.zeros((4, 1))):
        with pytest.raises(ShapeError, match="2 classes or more.*binary_cross_entropy"):
            cross_entropy(jnp.zeros((4, 1)), labels)
    with pytest.raises(ArgumentError, match="logits of cross_entropy must be floating"):
        cross_entropy(jnp.zeros((4, 3), int), jnp.zeros(4, int))
    with pytest.raises(ShapeError, match="2 classes or more"):
        cross_entropy(jnp.zeros(1), jnp.asarray(0))
    for smoothing in (-0.1, 1.0, float("nan")):
        with pytest.raises(ArgumentError, match=r"smoothing .* \[0, 1\)"):
            cross_entropy(z, jnp.zeros(4, int), smoothing=smoothing)


@pytest.mark.parametrize("loss", [*QUANTITIES, binary_cross_entropy])
def test_integers_where_quantities_belong_are_refused(loss):
    with pytest.raises(ArgumentError, match=r"must be floating; got int32\[3\].*astype"):
        loss(jnp.zeros(3), jnp.zeros(3, int))
    with pytest.raises(ArgumentError, match="must be floating"):
        loss(jnp.zeros(3, int), jnp.zeros(3))


def test_booleans_are_targets_of_yes_and_no():
    z = jnp.array([1.0, 2.0])
    expected = binary_cross_entropy(z, jnp.array([1.0, 0.0]))
    for yes in (jnp.array([True, False]), np.array([True, False])):
        np.testing.assert_array_equal(binary_cross_entropy(z, yes), expected)


@pytest.mark.parametrize("delta", [0.0, -1.0, float("nan"), float("inf")])
def test_delta_of_huber(delta):
    with pytest.raises(ArgumentError, match="delta of huber"):
        huber(jnp.zeros(2), jnp.zeros(2), delta=delta)


@pytest.mark.parametrize("loss", ALL)
def test_losses_have_names_in_files(loss):
    assert FUNCTIONS[loss.__name__] is loss
    assert from_json(to_json(loss)) is loss
