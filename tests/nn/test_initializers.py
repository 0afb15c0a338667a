"""Initializers that are more than a distribution: which weights are 0, which products are, and what 30 layers keep."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from sonde import nn
from sonde._errors import ArgumentError

CERTAIN = 1e-6
"""How often a test of distributions may be wrong about a right one."""

# ---------------------------------------------------------------------- Uniform


def test_uniform_draws_are_equally_likely_anywhere_between_the_ends(key):
    w = np.asarray(nn.Uniform(-0.5, 2.0)(key, (3000,)))
    assert w.min() >= -0.5 and w.max() < 2
    assert scipy.stats.kstest(w, scipy.stats.uniform(-0.5, 2.5).cdf).pvalue > CERTAIN
    assert nn.Uniform() == nn.Uniform(-1, 1)


# ---------------------------------------------------------------------- Sparse


@pytest.mark.parametrize("shape", [(40, 30), (3, 3, 5, 7)], ids=str)
@pytest.mark.parametrize("nonzero", [1, 15, 40])
def test_each_unit_has_exactly_so_many_incoming_weights(key, shape, nonzero):
    w = np.asarray(nn.Sparse(nonzero, 0.3)(key, shape)).reshape(-1, shape[-1])
    np.testing.assert_array_equal((w != 0).sum(0), nonzero)


def test_sparse_weights_are_normal_and_every_input_is_as_likely(key):
    inputs, units, nonzero = 20, 4000, 5
    w = np.asarray(nn.Sparse(nonzero, 0.3)(key, (inputs, units)))
    assert scipy.stats.kstest(w[w != 0], scipy.stats.norm(0, 0.3).cdf).pvalue > CERTAIN
    share = nonzero / inputs
    z = ((w != 0).sum(1) - units * share) / np.sqrt(units * share * (1 - share))
    # the counts add up to units * nonzero, so there are inputs - 1 of them, and a little more spread
    assert scipy.stats.chi2(inputs - 1).sf((z**2).sum() * (inputs - 1) / inputs) > CERTAIN
    pairs = [tuple(np.flatnonzero(column)) for column in w.T != 0]
    assert len(set(pairs)) > 0.8 * len(pairs)  # 15,504 choices: units rarely share one


def test_sparse_needs_as_many_inputs_as_weights(key):
    with pytest.raises(ArgumentError, match=r"Sparse\(15\) needs at least 15 inputs a unit; a kernel \[4, 3\] has 4"):
        nn.Sparse(15)(key, (4, 3))


# ---------------------------------------------------------------------- Orthogonal


@pytest.mark.parametrize("shape", [(6, 6), (9, 4), (4, 9), (3, 3, 2, 5)], ids=str)
def test_orthogonal_columns_or_rows_have_length_gain_and_right_angles(key, shape):
    w = np.asarray(nn.Orthogonal(1.5)(key, shape), np.float64).reshape(-1, shape[-1])
    product = w.T @ w if w.shape[0] >= w.shape[1] else w @ w.T
    np.testing.assert_allclose(product, 1.5**2 * np.eye(len(product)), atol=2e-5)


def test_every_orthogonal_matrix_is_equally_likely(key):
    """Under Haar's measure a turn by any fixed Q changes nothing; entries and traces have known laws."""
    n, many = 3, 4000
    draw = jax.vmap(lambda k: nn.Orthogonal()(k, (n, n)))
    w = np.asarray(draw(jax.random.split(key, many)), np.float64)
    # an entry z of a random unit vector of three numbers is uniform on [-1, 1] (Archimedes)
    for i, j in [(0, 0), (1, 1), (2, 2), (0, 2), (2, 0)]:
        assert scipy.stats.kstest(w[:, i, j], scipy.stats.uniform(-1, 2).cdf).pvalue > CERTAIN
    assert abs((np.linalg.det(w) > 0).mean() - 0.5) < 5.5 * 0.5 / np.sqrt(many)
    trace = np.trace(w, axis1=1, axis2=2)  # E tr = 0 and E tr^2 = 1, which QR without the signs misses by far
    assert abs(trace.mean()) < 5.5 / np.sqrt(many)
    assert abs((trace**2).mean() - 1) < 5.5 * np.sqrt(2 / many)  # E tr^4 = 3
    turned = scipy.stats.special_ortho_group(n, seed=0).rvs() @ w[: many // 2]
    traces = (np.trace(each, axis1=1, axis2=2) for each in (turned, w[many // 2 :]))
    assert scipy.stats.ks_2samp(*traces).pvalue > CERTAIN


def test_the_signs_of_qr_alone_would_not_be_equally_likely(key):
    """That the test above can fail: NumPy's QR has diagonals of R below 0, and traces that are too large."""
    w = np.linalg.qr(np.random.default_rng(0).normal(size=(4000, 3, 3)))[0]
    trace = np.trace(w, axis1=1, axis2=2)
    assert abs(trace.mean()) > 20 / np.sqrt(4000)


# ---------------------------------------------------------------------- Identity


def test_a_layer_that_starts_as_the_identity_hands_its_inputs_on(rng, key):
    x = jnp.asarray(rng.normal(size=(5, 4)), jnp.float32)
    np.testing.assert_array_equal(nn.build(nn.Dense(4, kernel_init=nn.Identity()), x)(x), x)
    np.testing.assert_array_equal(nn.Identity(2.0)(key, (2, 3)), [[2, 0, 0], [0, 2, 0]])
    w = np.asarray(nn.Identity()(key, (3, 5, 2, 2)))  # an image keeps its place: the center of 3 x 5
    assert w.sum() == 2 and (w[1, 2] == np.eye(2)).all()


# ---------------------------------------------------------------------- thirty layers

DEPTH, WIDTH, ROWS = 30, 300, 16

KEEP = {
    "he_normal before relu": (nn.relu, nn.he_normal),
    "he_uniform before relu": (nn.relu, nn.he_uniform),
    "glorot_normal, linear": (nn.identity, nn.glorot_normal),
    "glorot_uniform, linear": (nn.identity, nn.glorot_uniform),
    "lecun_normal, linear": (nn.identity, nn.lecun_normal),
    "lecun_uniform, linear": (nn.identity, nn.lecun_uniform),
    "lecun_normal before selu": (nn.selu, nn.lecun_normal),
    "lecun_uniform before selu": (nn.selu, nn.lecun_uniform),
    "Sparse before relu": (nn.relu, nn.Sparse(15, (2 / 15) ** 0.5)),
    "Sparse, linear": (nn.identity, nn.Sparse(15, (1 / 15) ** 0.5)),
    "Orthogonal before relu": (nn.relu, nn.Orthogonal(2**0.5)),
    "Orthogonal, linear": (nn.identity, nn.Orthogonal()),
    "Identity, linear": (nn.identity, nn.Identity()),
}


@functools.partial(jax.jit, static_argnums=(0, 1))
def through(activation, init, x, key):
    """The mean square of what each of 30 layers gives."""

    def layer(x, key):
        y = activation(x @ init(key, (WIDTH, WIDTH)))
        return y, (y**2).mean()

    return jax.lax.scan(layer, x, jax.random.split(key, DEPTH))[1]


@pytest.mark.parametrize("name", KEEP)
def test_what_claims_to_keep_the_size_of_signals_keeps_it_through_30_layers(name, rng, key):
    x = jnp.asarray(rng.normal(size=(ROWS, WIDTH)), jnp.float32)
    last = float(through(*KEEP[name], x, key)[-1])
    if name in ("Orthogonal, linear", "Identity, linear"):  # to the rounding of 30 products
        assert last == pytest.approx(float((x**2).mean()), rel=1e-4)
    else:
        # one layer multiplies the size by about 1 + sqrt(5 / width) z, and sparse ones by 1 + sqrt(10 / width) z
        spread = np.sqrt((10 if "Sparse" in name else 5) / WIDTH * DEPTH)
        assert abs(np.log(last)) < 5.5 * spread < 6


@pytest.mark.parametrize(
    ("activation", "init"),
    [(nn.relu, nn.glorot_normal), (nn.relu, nn.fan_in_uniform), (nn.tanh, nn.Normal(0.01)), (nn.relu, nn.Normal(0.3))],
)
def test_what_does_not_fit_dies_or_explodes_within_30_layers(activation, init, rng, key):
    x = jnp.asarray(rng.normal(size=(ROWS, WIDTH)), jnp.float32)
    last = float(through(activation, init, x, key)[-1])
    assert last < 1e-4 or last > 1e4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Uniform(1.0, 1.0), "low of Uniform must be below high; got 1.0 and 1.0"),
        (lambda: nn.Uniform(float("nan")), "low of Uniform must be a number"),
        (lambda: nn.Sparse(0), "nonzero of Sparse must be a whole number of at least 1; got 0"),
        (lambda: nn.Sparse(1.5), "nonzero of Sparse must be a whole number"),
        (lambda: nn.Sparse(3, 0.0), "sigma of Sparse must be a number"),
        (lambda: nn.Orthogonal(0.0), "gain of Orthogonal must be a number"),
        (lambda: nn.Identity("1"), "gain of Identity must be a number"),
        (lambda: nn.Sparse(3)(jax.random.key(0), (3,)), "Sparse needs an axis of inputs and one of outputs"),
        (lambda: nn.Orthogonal()(jax.random.key(0), (3,)), "Orthogonal needs an axis of inputs"),
        (lambda: nn.Identity()(jax.random.key(0), ()), "Identity needs an axis of inputs"),
    ],
)
def test_initializers_refuse_what_cannot_be_drawn(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()
