"""The variational objective against what is known in closed form."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import sonde as sd
from sonde import nn
from sonde._errors import ArgumentError, DataError, ShapeError
from sonde.diagnose import bounds
from sonde.objectives import Variational, absolute_error, half_squared_error, variational_loss

SPREAD = 0.5
GAUSSIAN = Variational(loss=half_squared_error, spread=SPREAD)


def linear(rng, exact=True, features=4, n=2):
    """p(z) = N(0, 1), p(x | z) = N(W z + b, SPREAD^2): the posterior of z and log p(x) are known. W has orthogonal
    columns, so the posterior has no correlations, and a linear encoder gives it (or one that is ``exact=False``)."""
    W = np.linalg.qr(rng.normal(size=(features, n)))[0] * rng.uniform(0.5, 2, n)
    b = rng.normal(size=features)
    precision = 1 + (W**2).sum(0) / SPREAD**2
    kernel = W / SPREAD**2 / precision
    v = -np.log(precision) + (0 if exact else 0.7)
    params = {
        "encoder/kernel": np.concatenate([kernel, np.zeros_like(kernel)], 1),
        "encoder/bias": np.concatenate([-b @ kernel + (0 if exact else 0.2), v]),
        "decoder/kernel": W.T,
        "decoder/bias": b,
    }
    spec = nn.VariationalAutoencoder(encoder=nn.Dense(2 * n), decoder=nn.Dense(features))
    net = nn.Network(spec, {k: jnp.asarray(a, jnp.float32) for k, a in params.items()})
    covariance = W @ W.T + SPREAD**2 * np.eye(features)
    return net, scipy.stats.multivariate_normal(b, covariance)


def scored(objective, net, x, key, weight=None):
    batch = sd.Batch.of({"x": jnp.asarray(x, jnp.float32)} | ({} if weight is None else {"weight": weight}))
    loss, metrics = objective(net.bind(key), batch)
    return {"loss": float(loss.value)} | {name: float(mean.value) for name, mean in metrics.items()}


def test_with_the_posterior_for_a_code_both_bounds_are_the_log_likelihood_itself(rng, seed):
    net, truth = linear(rng)
    x = truth.rvs(30, random_state=rng).astype(np.float32)
    found = bounds(net, x, GAUSSIAN, samples=20, seed=seed, size=16)  # in two parts
    np.testing.assert_allclose(found.weighted, truth.logpdf(x), rtol=1e-4, atol=1e-3)  # every weight is p(x)
    np.testing.assert_allclose(found.variational, truth.logpdf(x), rtol=1e-4, atol=1e-3)


def test_with_another_code_the_bound_is_loose_and_importance_weights_make_up_for_it(rng, seed):
    net, truth = linear(rng, exact=False)
    x = truth.rvs(200, random_state=rng).astype(np.float32)
    one, many = (bounds(net, x, GAUSSIAN, samples=samples, seed=seed) for samples in (2, 2000))
    short = lambda found: float(np.mean(truth.logpdf(x) - found))
    assert short(many.variational) > 0.3
    assert short(one.variational) > short(one.weighted) > 0.05 and abs(short(many.weighted)) < 0.03


def test_the_loss_is_the_mean_of_minus_the_bound_and_its_divergence_is_in_closed_form(rng, key):
    net, truth = linear(rng, exact=False)
    x = truth.rvs(2000, random_state=rng)
    found = scored(GAUSSIAN, net, x, key)
    assert found["loss"] == pytest.approx(-found["bound"], rel=1e-5)
    assert found["bound"] == pytest.approx(-found["reconstruction"] - found["kl"], rel=1e-5)
    many = bounds(net, x, GAUSSIAN, samples=50)
    error = np.std([scored(GAUSSIAN, net, x, k)["bound"] for k in jax.random.split(key, 8)])
    assert abs(found["bound"] - many.variational.mean()) < 6 * error + 1e-3
    assert found["kl"] == pytest.approx(many.kl.sum(), rel=1e-4)


def test_of_yes_and_no_it_is_the_loss_of_one_draw(rng, key):
    spec = nn.VariationalAutoencoder(encoder=nn.Dense(4), decoder=nn.Dense(5))
    x = jnp.asarray(rng.random((7, 5)) < 0.5, jnp.float32)
    net = nn.build(spec, x, seed=int(rng.integers(1000)))
    net = net.replace(params={**net.params, "decoder/kernel": jnp.zeros((2, 5))})  # so the draw does not matter
    mean, log_variance = net.encode(x)
    expected = variational_loss(net.decode(mean), x, mean, log_variance).mean()
    assert scored(Variational(), net, x, key)["loss"] == pytest.approx(float(expected), rel=1e-5)


def test_beta_counts_the_divergence_and_several_draws_have_less_spread(rng, key):
    net, truth = linear(rng, exact=False)
    x = truth.rvs(20, random_state=rng)
    plain, doubled = scored(GAUSSIAN, net, x, key), scored(GAUSSIAN.replace(beta=2.0), net, x, key)
    assert doubled["loss"] == pytest.approx(plain["loss"] + plain["kl"], rel=1e-5)
    assert doubled["bound"] == plain["bound"]
    keys = jax.random.split(key, 60)

    def spread(objective):
        batch = sd.Batch.of({"x": jnp.asarray(x, jnp.float32)})
        return float(jax.lax.map(lambda k: objective(net.bind(k), batch)[0].value, keys).std())

    assert 4 < spread(GAUSSIAN) / spread(GAUSSIAN.replace(samples=64)) < 16  # 8, since variances go with 1 / samples


def test_the_gradient_is_that_of_the_expected_loss(rng, key):
    """For a linear decoder the expectation over the code is known: the squared error grows by s^2 |W|^2."""
    net, truth = linear(rng, exact=False)
    x = jnp.asarray(truth.rvs(40, random_state=rng), jnp.float32)

    def expected(params):
        mean, v = net.replace(params=params).encode(x)
        W = params["decoder/kernel"]
        miss = ((x - mean @ W - params["decoder/bias"][None]) ** 2).sum(-1) + (jnp.exp(v) @ W**2).sum(-1)
        return (miss / (2 * SPREAD**2) + (mean**2 + jnp.exp(v) - 1 - v).sum(-1) / 2).mean()

    objective, batch = GAUSSIAN.replace(samples=300), sd.Batch.of({"x": x})
    drawn = lambda params, k: objective(net.replace(params=params).bind(k), batch)[0].value
    each = jax.lax.map(lambda k: jax.grad(drawn)(net.params, k), jax.random.split(key, 20))
    for path, slope in jax.grad(expected)(net.params).items():
        error = each[path].std(0) / np.sqrt(20) + 1e-4
        assert (abs(each[path].mean(0) - slope) < 6 * error).all(), path


def test_rows_count_by_their_weight_in_every_draw(rng, key):
    net, truth = linear(rng)
    x = truth.rvs(6, random_state=rng)
    x[-1] = 1e3
    weight = jnp.array([1.0, 1, 1, 1, 1, 0])
    assert scored(GAUSSIAN.replace(samples=3), net, x, key, weight)["loss"] < 100


def test_an_axis_that_the_decoder_does_not_read_collapses(seed, rng):
    """One direction of variance, three axes of code: training leaves one that says something."""
    x = (rng.normal(size=(600, 1)) @ np.ones((1, 4)) + 0.1 * rng.normal(size=(600, 4))).astype(np.float32)
    spec = nn.VariationalAutoencoder(encoder=nn.Dense(6), decoder=nn.Dense(4))
    data = sd.data.Dataset({"x": x[:500]}, {"x": x[500:]})
    objective = Variational(loss=half_squared_error, spread=0.15)
    fit = functools.partial(sd.fit, spec, data, epochs=200, batch=50, seed=seed, progress=False)
    run = fit(objective, sd.Adam(0.03))
    found = bounds(run.network, x[500:], objective, samples=50)
    assert found.kl.shape == (3,) and found.active(0.05) == 1
    free = fit(objective.replace(beta=0.0), sd.Adam(0.03))
    assert bounds(free.network, x[500:], objective, samples=50).active(0.05) == 3


def test_what_cannot_be_meant_is_refused(rng, key):
    with pytest.raises(ArgumentError, match="loss of Variational must be a likelihood.*got absolute_error"):
        Variational(loss=absolute_error)
    with pytest.raises(ArgumentError, match="spread is that of Gaussian outputs"):
        Variational(spread=0.5)
    with pytest.raises(ArgumentError, match="samples of Variational must be a whole number of at least 1; got 0"):
        Variational(samples=0)
    with pytest.raises(DataError, match="must be"):
        Variational().prepare({"x": np.full((3, 2), 1.5, np.float32)})
    with pytest.raises(DataError, match="needs inputs in a column 'x'; there is y"):
        Variational().prepare({"y": np.zeros(3)})
    with pytest.raises(DataError, match="sequences of different lengths"):
        Variational().prepare({"x": sd.Padded.of([[1.0], [1.0, 2.0]])})
    with pytest.raises(ArgumentError, match="VariationalAutoencoder needs a decoder"):
        nn.VariationalAutoencoder(nn.TiedDense(4))
    x = np.zeros((10, 4), np.float32)
    fit = lambda spec: sd.fit(spec, (x, x), Variational(), sd.Adam(1e-3), steps=1, progress=False)
    with pytest.raises(ShapeError, match=r"\[rows, 2 n\]: end it with nn.Dense\(2 \* n\)"):
        fit(nn.VariationalAutoencoder(encoder=nn.Dense(3), decoder=nn.Dense(4)))
    with pytest.raises(ShapeError, match=r"the decoder gives \[5\] for a row, which is .*; end it with nn.Dense\(4\)"):
        fit(nn.VariationalAutoencoder(encoder=nn.Dense(4), decoder=nn.Dense(5)))
    with pytest.raises(ArgumentError, match="Leave the last activation of the decoder out"):
        fit(nn.VariationalAutoencoder(encoder=nn.Dense(4), decoder=nn.Dense(4, nn.sigmoid)))
    with pytest.raises(Exception, match="has no method 'encode'"):
        fit(nn.Dense(4))


def test_called_it_gives_back_from_the_mean_and_images_keep_their_shape(rng):
    spec = nn.VariationalAutoencoder(
        encoder=nn.Sequential(nn.Flatten(), code=nn.Dense(4)), decoder=nn.Sequential(nn.Dense(6), nn.Reshape(2, 3))
    )
    x = jnp.asarray(rng.random((5, 2, 3)), jnp.float32)
    net = nn.build(spec, x)
    np.testing.assert_allclose(net(x), net.decode(net.encode(x)[0]), rtol=1e-5)
    assert net(x).shape == x.shape and "encoder/code/kernel" in net.params
    batch = sd.Batch.of({"x": x})
    assert np.isfinite(float(Variational(samples=2)(net.bind(jax.random.key(0)), batch)[0].value))
    assert bounds(net, x, Variational(), samples=3).weighted.shape == (5,)
