"""The adversarial game's value and the variational bound: what they mean, and their references."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import scipy.special
import scipy.stats

from sonde._errors import ArgumentError, ShapeError
from sonde.objectives import (
    discriminator_loss,
    gaussian_kl,
    generator_loss,
    half_squared_error,
    saturating_generator_loss,
    variational_loss,
)


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


# ---------------------------------------------------------------------- the game


@pytest.mark.parametrize("places", [2, 7])
def test_against_the_best_discriminator_the_game_is_worth_twice_the_jensen_shannon_divergence_less_log_4(
    places, rng, x64
):
    p, q = rng.dirichlet(np.ones(places)), rng.dirichlet(np.ones(places))
    pairs = jnp.asarray(np.outer(p, q).ravel())  # how often a real row of place i meets a fake one of place j
    there, here = np.divmod(np.arange(places**2), places)
    minus_value = lambda logits: (pairs * discriminator_loss(logits[there], logits[here])).sum()
    best = jnp.asarray(np.log(p / q))  # D = p / (p + q)
    middle = (p + q) / 2
    divergence = (scipy.special.rel_entr(p, middle).sum() + scipy.special.rel_entr(q, middle).sum()) / 2
    np.testing.assert_allclose(-minus_value(best), 2 * divergence - np.log(4), rtol=1e-10)
    found = scipy.optimize.minimize(minus_value, np.zeros(places), jac=jax.grad(minus_value), tol=1e-10).x
    np.testing.assert_allclose(scipy.special.expit(found), p / (p + q), atol=1e-5)
    np.testing.assert_allclose(-minus_value(jnp.zeros(places)), -np.log(4), rtol=1e-10)  # it cannot tell them apart


def test_losses_of_the_game_are_logarithms_of_the_discriminators_probabilities(rng, x64):
    a, b = rng.normal(size=(2, 50)) * 3
    real, fake = scipy.special.expit(a), scipy.special.expit(b)
    np.testing.assert_allclose(discriminator_loss(a, b), -np.log(real) - np.log(1 - fake), rtol=1e-10)
    np.testing.assert_allclose(generator_loss(b), -np.log(fake), rtol=1e-10)
    np.testing.assert_allclose(saturating_generator_loss(b), np.log(1 - fake), rtol=1e-10)


def test_what_the_discriminator_loses_to_fakes_is_what_the_saturating_generator_gains(rng):
    b = jnp.asarray(rng.normal(size=20), jnp.float32)
    sure = jnp.full(20, 100.0)  # of the real rows the discriminator is sure, so they cost nothing
    np.testing.assert_allclose(discriminator_loss(sure, b), -saturating_generator_loss(b), rtol=1e-6)


@pytest.mark.parametrize("logit", [-30.0, -100.0, -1e4])
def test_the_generators_loss_has_a_slope_where_the_saturating_one_has_none(logit):
    b = jnp.float32(logit)
    assert float(jax.grad(generator_loss)(b)) == pytest.approx(-1)
    assert abs(float(jax.grad(saturating_generator_loss)(b))) < 1e-12
    assert float(generator_loss(b)) == pytest.approx(-logit)  # and it is finite, where log sigmoid is not


def test_both_losses_of_the_generator_go_down_where_the_discriminator_is_fooled_more(rng):
    b = jnp.sort(jnp.asarray(rng.normal(size=20) * 3, jnp.float32))
    for loss in (generator_loss, saturating_generator_loss):
        assert (jnp.diff(loss(b)) < 0).all() and (jax.vmap(jax.grad(loss))(b) < 0).all()


def test_as_many_fake_rows_as_real_ones_are_needed():
    with pytest.raises(ShapeError, match="discriminator_loss takes real and fake of one shape"):
        discriminator_loss(jnp.zeros((4, 1)), jnp.zeros(4))
    with pytest.raises(ArgumentError, match="fake of generator_loss must be floating"):
        generator_loss(jnp.zeros(4, jnp.int32))


# ---------------------------------------------------------------------- the bound


def test_the_divergence_from_the_standard_normal_is_what_draws_say(rng, x64):
    mean, log_variance = rng.normal(size=(2, 4, 3))
    spread = np.exp(log_variance / 2)
    draws = rng.normal(size=(100_000, 4, 3)) * spread + mean
    ratio = (scipy.stats.norm.logpdf(draws, mean, spread) - scipy.stats.norm.logpdf(draws)).sum(-1)
    error = ratio.std(0) / np.sqrt(len(draws))
    found = np.asarray(gaussian_kl(mean, log_variance))
    assert (abs(found - ratio.mean(0)) < 5 * error).all()
    assert (abs(found - ratio.mean(0) / 2) > 5 * error).any()  # and the draws would tell it from another


def test_the_divergence_is_the_integral_of_scipy(rng, x64):
    mean, log_variance = rng.normal(size=2)
    q, p = scipy.stats.norm(mean, np.exp(log_variance / 2)), scipy.stats.norm()
    integral = q.expect(lambda z: q.logpdf(z) - p.logpdf(z))
    np.testing.assert_allclose(gaussian_kl(np.array([mean]), np.array([log_variance])), integral, rtol=1e-6)


def test_the_divergence_is_0_for_the_standard_normal_alone(rng):
    assert float(gaussian_kl(jnp.zeros(5), jnp.zeros(5))) == 0
    mean, log_variance = jnp.asarray(rng.normal(size=(2, 50, 5)), jnp.float32)
    assert (gaussian_kl(mean, log_variance) > 0).all()
    near = gaussian_kl(jnp.full(1, 1e-4), jnp.full(1, 1e-4))  # (m^2 + v^2 / 2) / 2, which nothing may cancel
    np.testing.assert_allclose(near, 7.5e-9, rtol=1e-3)


class Loaded:
    """p(z) = N(0, 1), p(x | z) = N(W z, 1): log p(x) and the posterior of z are known. W has orthogonal columns, so
    the posterior has no correlations."""

    def __init__(self, rng):
        self.W = np.linalg.qr(rng.normal(size=(4, 2)))[0] * np.array([2.0, 0.5])
        self.x = rng.normal(size=4)
        precision = 1 + (self.W**2).sum(0)
        self.mean, self.log_variance = self.W.T @ self.x / precision, -np.log(precision)
        self.log_p = scipy.stats.multivariate_normal(np.zeros(4), self.W @ self.W.T + np.eye(4)).logpdf(self.x)

    def bounds(self, rng, mean, log_variance, draws=20_000):
        """The bound and its standard error, from draws of the code."""
        z = rng.normal(size=(draws, 2)) * np.exp(log_variance / 2) + mean
        row = lambda v: np.broadcast_to(v, (draws, len(v)))
        loss = variational_loss(z @ self.W.T, row(self.x), row(mean), row(log_variance), loss=half_squared_error)
        found = -np.asarray(loss) - len(self.x) / 2 * np.log(2 * np.pi)
        return found.mean(), found.std() / np.sqrt(draws)


def test_with_the_posterior_the_bound_is_the_likelihood_itself(rng, x64):
    model = Loaded(rng)
    bound, error = model.bounds(rng, model.mean, model.log_variance)
    assert abs(bound - model.log_p) < 5 * error


def test_with_another_code_the_bound_is_below_the_likelihood_by_its_distance_from_the_posterior(rng, x64):
    model = Loaded(rng)
    mean, log_variance = model.mean + 0.5, model.log_variance + 0.7
    bound, error = model.bounds(rng, mean, log_variance)
    ratio = np.exp(log_variance - model.log_variance)
    far = (ratio + (mean - model.mean) ** 2 / np.exp(model.log_variance) - 1 - np.log(ratio)).sum() / 2
    assert abs(bound - (model.log_p - far)) < 5 * error
    assert bound < model.log_p - 5 * error


def test_of_yes_and_no_the_likelihood_is_that_of_bernoulli(rng, x64):
    logits, mean, log_variance = rng.normal(size=(3, 5)), rng.normal(size=(3, 2)), rng.normal(size=(3, 2))
    x = (rng.random((3, 5)) < 0.5).astype(float)
    likelihood = scipy.stats.bernoulli.logpmf(x, scipy.special.expit(logits)).sum(-1)
    found = variational_loss(logits, x, mean, log_variance)
    np.testing.assert_allclose(found, -likelihood + gaussian_kl(mean, log_variance), rtol=1e-10)
    image = variational_loss(logits.reshape(3, 5, 1), x.reshape(3, 5, 1), mean, log_variance)
    np.testing.assert_allclose(image, found, rtol=1e-12)  # whatever the shape of a row, all of it is summed


def test_rows_and_codes_that_do_not_belong_together_are_refused():
    code = jnp.zeros((3, 2))
    with pytest.raises(ShapeError, match=r"rows, \[3, ...\]; got a loss float32\[4, 5\]"):
        variational_loss(jnp.zeros((4, 5)), jnp.zeros((4, 5)), code, code)
    with pytest.raises(ShapeError, match="mean and log_variance of one shape"):
        gaussian_kl(code, jnp.zeros(3))
    with pytest.raises(ShapeError, match="gaussian_kl takes vectors"):
        gaussian_kl(0.0, 0.0)
    with pytest.raises(ShapeError, match="binary_cross_entropy takes logits and targets of one shape"):
        variational_loss(jnp.zeros((3, 5)), jnp.zeros((3, 4)), code, code)


def test_the_slopes_of_the_bound_are_those_by_hand(rng):
    given = [jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in ((3, 5), (3, 5), (3, 2), (3, 2))]
    given[1] = jax.nn.sigmoid(given[1])
    slopes = jax.grad(lambda *xs: variational_loss(*xs).sum(), (0, 2, 3))(*given)
    np.testing.assert_allclose(slopes[0], jax.nn.sigmoid(given[0]) - given[1], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(slopes[1], given[2], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(slopes[2], (jnp.exp(given[3]) - 1) / 2, rtol=1e-4, atol=1e-6)

