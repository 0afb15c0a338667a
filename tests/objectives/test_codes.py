"""Penalties on codes: what they measure, and what codes become under them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sonde as sd
from sonde import nn
from sonde._errors import ArgumentError, PathError, ShapeError
from sonde.objectives import ActivityKL, ActivityL1, Contractive, Reconstruct


def rows(x, weight=None):
    """A batch of rows."""
    return sd.Batch.of({"x": x} | ({} if weight is None else {"weight": weight}))


@pytest.fixture
def given(rng):
    """Some rows and their weights."""
    return jnp.asarray(rng.normal(size=(6, 5)), jnp.float32), jnp.asarray(rng.uniform(0.5, 2, 6), jnp.float32)


def coder(x, encoder):
    """An autoencoder of those rows."""
    return nn.build(nn.Autoencoder(encoder, nn.Dense(x.shape[-1])), x)


def test_activity_l1_is_the_mean_over_rows_of_the_codes_absolute_sum(given):
    x, weight = given
    net = coder(x, nn.Dense(3, nn.tanh))
    loss, metrics = ActivityL1(0.1)(net.bind(), rows(x, weight))
    code = abs(np.asarray(net.encode(x), np.float64))
    np.testing.assert_allclose(loss.value, 0.1 * np.average(code.sum(1), weights=weight), rtol=1e-5)
    np.testing.assert_allclose(metrics["activity"].value, np.average(code.mean(1), weights=weight), rtol=1e-5)


def test_activity_kl_is_the_divergence_of_bernoulli_variables_of_the_share_and_of_each_units_mean(given):
    from scipy.special import rel_entr

    x, weight = given
    net = coder(x, nn.Dense(3, nn.sigmoid))
    loss, _ = ActivityKL(0.5, share=0.2)(net.bind(), rows(x, weight))
    m = np.average(np.asarray(net.encode(x), np.float64), axis=0, weights=weight)
    np.testing.assert_allclose(loss.value, 0.5 * (rel_entr(0.2, m) + rel_entr(0.8, 1 - m)).sum(), rtol=1e-5)
    right = nn.Network(nn.Autoencoder(nn.Dense(1, nn.sigmoid), nn.Dense(5)), coder(x, nn.Dense(1)).params)
    right = right.replace(params={k: 0 * v for k, v in right.params.items()})
    assert abs(float(ActivityKL(1.0, share=0.5)(right.bind(), rows(x))[0].value)) < 1e-6  # each unit is 1/2


def test_channels_of_a_convolution_are_units_wherever_they_are_on(rng):
    x = jnp.asarray(rng.uniform(size=(4, 6, 6, 1)), jnp.float32)
    spec = nn.Autoencoder(nn.Conv(3, 3, activation=nn.sigmoid), nn.Conv(1, 3))
    net = nn.build(spec, x)
    m = np.asarray(net.encode(x), np.float64).mean((0, 1, 2))
    kl = 0.1 * np.log(0.1 / m) + 0.9 * np.log(0.9 / (1 - m))
    np.testing.assert_allclose(ActivityKL(1.0, share=0.1)(net.bind(), rows(x))[0].value, kl.sum(), rtol=1e-4)


def trained(objective, x, seed, activation):
    spec = nn.Autoencoder(nn.Dense(32, activation), nn.Dense(x.shape[1]))
    data = sd.data.Dataset({"x": x})
    return sd.fit(spec, data, objective, sd.Adam(0.01), epochs=30, batch=100, seed=seed, progress=False).network


def test_sparse_codes_have_few_units_on_and_free_ones_have_many(seed):
    x = sd.data.load("digits").train.x.reshape(-1, 64)[:500] / np.float32(16)
    on = lambda network: float((np.asarray(network.encode(x)) > 0.2).mean())
    assert on(trained(Reconstruct() + ActivityKL(0.01, share=0.05), x, seed, nn.sigmoid)) < 0.15
    assert on(trained(Reconstruct(), x, seed, nn.sigmoid)) > 0.5
    exactly = lambda rate: trained(Reconstruct() + ActivityL1(rate), x, seed, nn.relu)
    assert on(exactly(3e-3)) < 0.6 * on(exactly(0.0))


# ---------------------------------------------------------------------- slopes

DEEP = nn.Sequential(wide=nn.Dense(7, nn.tanh), code=nn.Dense(3, nn.sigmoid))


@pytest.mark.parametrize("encoder", [nn.Dense(3, nn.tanh), nn.TiedDense(3), nn.Dense(3, nn.softmax), DEEP])
def test_slopes_are_those_of_the_jacobian(encoder, given):
    x, weight = given
    net = coder(x, encoder)
    loss, metrics = Contractive(0.3)(net.bind(), rows(x, weight))
    jacobian = jax.vmap(jax.jacrev(lambda row: net.encode(row[None])[0]))(x)
    norm = np.average((np.asarray(jacobian, np.float64) ** 2).sum((1, 2)), weights=weight)
    np.testing.assert_allclose(metrics["slopes"].value, norm, rtol=1e-4)
    np.testing.assert_allclose(loss.value, 0.3 * norm, rtol=1e-4)


def test_the_closed_form_the_exact_way_and_probes_agree_and_so_do_their_gradients(given, seed):
    x, _ = given
    layer = nn.build(nn.Dense(4, nn.sigmoid, bias_init=nn.Normal(0.5)), x, seed=seed)
    one, same = layer.spec, nn.Sequential(same=layer.spec)  # of which no closed form is known
    params = {f"same/{k}": v for k, v in layer.params.items()}

    def penalty(spec, probes):
        def value(params, key):
            net = nn.Network(nn.Autoencoder(spec, nn.Dense(5)), params).bind(key)
            return Contractive(1.0, probes=probes)(net, rows(x))[0].value

        own = layer.params if spec is one else params
        return jax.value_and_grad(value)({f"encoder/{k}": v for k, v in own.items()}, jax.random.key(seed))

    (closed, by_closed), (exact, by_exact) = penalty(one, 0), penalty(same, 0)
    np.testing.assert_allclose(closed, exact, rtol=1e-5)
    for name in ("kernel", "bias"):
        np.testing.assert_allclose(
            by_closed[f"encoder/{name}"], by_exact[f"encoder/same/{name}"], rtol=1e-4, atol=1e-6
        )
    probed, by_probes = penalty(same, 4000)
    # v^T J J^T v of random signs has the variance 2 sum_(i != j) (J J^T)_ij^2, at most 2 |J|^4
    assert abs(float(probed - exact)) < 5 * float(exact) * np.sqrt(2 / 4000)
    apart = by_probes["encoder/same/kernel"] - by_exact["encoder/same/kernel"]
    assert float(jnp.linalg.norm(apart)) < 0.15 * float(jnp.linalg.norm(by_exact["encoder/same/kernel"]))


def test_probes_are_right_on_average_and_differ_from_step_to_step(given):
    x, _ = given
    net = coder(x, DEEP)
    exact = float(Contractive(1.0)(net.bind(), rows(x))[0].value)
    drawn = jax.jit(jax.vmap(lambda key: Contractive(1.0, probes=1)(net.bind(key), rows(x))[0].value))
    each = np.asarray(drawn(jax.random.split(jax.random.key(0), 500)), np.float64)
    assert each.std() > 0 and abs(each.mean() - exact) < 5 * each.std() / np.sqrt(500)


def test_a_contracted_code_moves_less_when_its_input_is_moved(seed, rng):
    x = sd.data.load("digits").train.x.reshape(-1, 64)[:500] / np.float32(16)
    near = x + rng.normal(size=x.shape).astype(np.float32) * 0.1

    def moved(rate):
        network = trained(Reconstruct() + Contractive(rate), x, seed, nn.sigmoid)
        there, moves = np.asarray(network.encode(x)), np.asarray(network.encode(near))
        return float(((moves - there) ** 2).sum(1).mean())

    assert moved(0.01) < 0.5 * moved(0.0)


# ---------------------------------------------------------------------- what does not fit


def test_a_code_that_is_no_share_is_refused_for_the_divergence(given):
    x, _ = given
    fit = lambda encoder, objective: sd.fit(
        nn.Autoencoder(encoder, nn.Dense(5)), sd.data.Dataset({"x": x}), objective, sd.SGD(0.1), steps=1, progress=False
    )
    with pytest.raises(ArgumentError, match="units from 0 to 1, and encoder does not end in a sigmoid; give it nn.sig"):
        fit(nn.Dense(3, nn.tanh), Reconstruct() + ActivityKL())
    fit(nn.Sequential(wide=nn.Dense(4), code=nn.Dense(3, nn.sigmoid)), Reconstruct() + ActivityKL())
    with pytest.raises(PathError, match="no layer is called at 'encodr'; did you mean 'encoder'"):
        fit(nn.Dense(3), Reconstruct() + ActivityL1(at="encodr"))


def test_numbers_that_are_none_are_refused(given):
    x, _ = given
    for wrong in (lambda: ActivityKL(share=1.0), lambda: ActivityL1(-1.0), lambda: Contractive(probes=-1)):
        with pytest.raises(ArgumentError):
            wrong()
    net = nn.build(nn.Autoencoder(nn.Flatten(), nn.Flatten()), np.zeros((1, 5), np.uint8))
    with pytest.raises(ShapeError, match="no slopes by whole numbers"):
        Contractive()(net.bind(), rows(jnp.zeros((2, 5), jnp.uint8)))
