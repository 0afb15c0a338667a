"""Several networks as one: what they say together, worked out by NumPy and SciPy from what each says."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

import sonde as sd
from sonde import nn
from sonde._errors import ArgumentError, ShapeError
from sonde.nn.ensemble import combined

close = dict(rtol=2e-5, atol=2e-6)


@pytest.fixture
def logits(rng):
    """What five members say of 40 rows, four classes."""
    return 3 * rng.normal(size=(5, 40, 4)).astype(np.float32)


def probabilities(logits):
    return scipy.special.softmax(logits.astype(np.float64), -1)


def test_the_softmax_of_what_comes_out_is_the_mean_of_the_members_probabilities(logits):
    np.testing.assert_allclose(
        probabilities(np.asarray(combined("probabilities", logits))), probabilities(logits).mean(0), **close
    )


def test_a_single_logit_is_a_logistic_unit_and_stays_a_single_one(rng):
    z = 3 * rng.normal(size=(5, 40, 1)).astype(np.float32)
    y = np.asarray(combined("probabilities", jnp.asarray(z)))
    assert y.shape == (40, 1)
    np.testing.assert_allclose(scipy.special.expit(y), scipy.special.expit(z).mean(0), **close)
    most = np.asarray(combined("vote", jnp.asarray(z)))
    np.testing.assert_array_equal(most > 0, np.median(z, 0) > 0)


def test_members_that_are_sure_of_opposite_things_are_sure_of_nothing_together():
    """Probabilities of 0 and 1 to all digits: the mean is a half, where a mean of logits would say either."""
    sure = jnp.asarray([[[1000.0, 0.0]], [[0.0, 500.0]]])
    np.testing.assert_allclose(nn.softmax(combined("probabilities", sure)), [[0.5, 0.5]])
    np.testing.assert_allclose(nn.softmax(combined("mean", sure)), [[1.0, 0.0]])


def test_most_votes_win_and_among_equally_many_the_higher_mean_probability(logits):
    y = np.asarray(combined("vote", logits))
    votes = np.stack([(logits.argmax(-1) == c).sum(0) for c in range(4)], -1)
    p = probabilities(logits).mean(0)
    np.testing.assert_array_equal(y.argmax(-1), (votes + p).argmax(-1))
    np.testing.assert_allclose(np.exp(y), (votes + p) / 6, **close)
    ties = np.sort(votes, -1)[:, -1] == np.sort(votes, -1)[:, -2]
    assert ties.any() and not ties.all()


def test_numbers_are_averaged(rng):
    y = rng.normal(size=(3, 7)).astype(np.float32)
    np.testing.assert_allclose(combined("mean", jnp.asarray(y)), y.mean(0), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("how", ["probabilities", "mean", "vote"])
def test_members_that_do_not_count_for_a_row_say_nothing_of_it(rng, logits, how):
    logits, counts = logits[:, :6], rng.random((5, 6)) < 0.5
    counts[0] |= ~counts.any(0)
    y = np.asarray(combined(how, jnp.asarray(logits), jnp.asarray(counts)))
    for row in range(6):
        alone = combined(how, jnp.asarray(logits[counts[:, row]][:, row : row + 1]))
        np.testing.assert_allclose(y[row], alone[0], **close)


def test_the_squared_error_of_the_mean_is_never_more_than_the_mean_squared_error(rng):
    """By Jensen's inequality, and the difference is the members' variance (A. Krogh and J. Vedelsby, 1995)."""
    y, target = rng.normal(size=(6, 50, 2)), rng.normal(size=(50, 2))
    together = np.asarray(combined("mean", jnp.asarray(y, jnp.float32)), np.float64)
    error, each = ((together - target) ** 2).mean(), ((y - target) ** 2).mean()
    assert error <= each
    np.testing.assert_allclose(each - error, y.var(0).mean(), rtol=1e-4)


@pytest.mark.parametrize("how", ["probabilities", "mean"])
def test_the_log_loss_of_the_ensemble_is_never_more_than_the_mean_log_loss(logits, rng, how):
    labels = rng.integers(0, 4, 40)
    loss = lambda z: -scipy.special.log_softmax(np.asarray(z, np.float64), -1)[..., np.arange(40), labels].mean(-1)
    assert loss(combined(how, logits)) <= loss(logits).mean() + 1e-6


def test_an_ensemble_is_its_members_beside_each_other(rng):
    x = jnp.asarray(rng.normal(size=(6, 4)), jnp.float32)
    spec = nn.Ensemble(nn.Dense(3, nn.tanh), nn.Sequential(hidden=nn.Dense(8, nn.relu), head=nn.Dense(3)))
    net = nn.build(spec, x)
    second = (f"1/{layer}/{name}" for layer in ("head", "hidden") for name in ("bias", "kernel"))
    assert list(net.params) == ["0/bias", "0/kernel", *second]
    own = lambda i: {p.removeprefix(f"{i}/"): w for p, w in net.params.items() if p.startswith(f"{i}/")}
    p = [nn.softmax(nn.Network(layer, own(i))(x)) for i, layer in enumerate(spec.layers)]
    np.testing.assert_allclose(nn.softmax(net(x)), (p[0] + p[1]) / 2, **close)


def test_members_of_one_kind_begin_with_weights_of_their_own():
    net = nn.build(nn.Ensemble(*[nn.Dense(3)] * 3), jnp.ones((1, 4)))
    kernels = [np.asarray(w) for w in net.weights("*/kernel").values()]
    assert len(kernels) == 3 and all((a != b).all() for a, b in zip(kernels, kernels[1:], strict=False))


def test_trained_networks_are_joined_with_their_variables_and_states(rng, seed):
    x = jnp.asarray(rng.normal(size=(6, 4)), jnp.float32)
    spec = nn.Sequential(hidden=nn.Dense(5), norm=nn.BatchNorm(), head=nn.Dense(3))
    one = nn.build(spec, x, seed=seed)
    one = one.replace(state={k: v + 0.3 for k, v in one.state.items()} | {"@/chains": jnp.ones(3)})
    other = nn.build(nn.Dense(3), x, seed=seed + 1)
    both = nn.ensemble(one, other)
    assert both.spec == nn.Ensemble(spec, nn.Dense(3))
    assert sorted(both.state) == ["0/norm/mean", "0/norm/var"]
    np.testing.assert_allclose(nn.softmax(both(x)), (nn.softmax(one(x)) + nn.softmax(other(x))) / 2, **close)
    folded = nn.fold(both)
    assert not folded.state
    np.testing.assert_allclose(folded(x), both(x), rtol=1e-4, atol=1e-5)


def test_an_ensemble_can_be_evaluated_fitted_and_saved_as_any_network(tmp_path):
    data = sd.data.load("iris", seed=0)
    net = nn.Ensemble(*[nn.Sequential(hidden=nn.Dense(8, nn.tanh), head=nn.Dense(3))] * 3)
    run = sd.fit(net, data, sd.Classify(), sd.Adam(0.05), epochs=60)
    assert run.evaluate("valid")["accuracy"].value > 0.8
    back = sd.load(run.artifact.save(tmp_path / "iris.safetensors"))
    np.testing.assert_array_equal(back.probabilities(data.test.x), run.artifact.probabilities(data.test.x))
    assert back.network == run.network


def test_sequences_of_different_lengths_stay_such(rng):
    x = sd.Padded(jnp.asarray(rng.normal(size=(2, 5, 4)), jnp.float32), jnp.array([5, 2]))
    net = nn.build(nn.Ensemble(*[nn.GRU(3)] * 2, combine="mean"), x)
    y = net(x)
    assert y.lengths.tolist() == [5, 2] and (y.values[1, 2:] == 0).all() and (y.values[1, :2] != 0).all()


def test_what_is_no_ensemble_is_refused():
    with pytest.raises(ArgumentError, match="Ensemble needs at least one member"):
        nn.Ensemble()
    with pytest.raises(ArgumentError, match="combine of Ensemble must be one of probabilities, mean, vote; got 'max'"):
        nn.Ensemble(nn.Dense(2), combine="max")
    with pytest.raises(ArgumentError, match=r"made of networks or of runs; got Dense\(units=2\)"):
        nn.ensemble(nn.Dense(2))  # pyright: ignore
    with pytest.raises(ShapeError, match=r"must give the same shape; got float32\[1, 2\], float32\[1, 3\]"):
        nn.build(nn.Ensemble(nn.Dense(2), nn.Dense(3)), jnp.ones((1, 4)))
    with pytest.raises(ShapeError, match=r'of logits \[rows, classes\] .* got float32\[4\].*"mean"'):
        combined("vote", jnp.ones((3, 4)))


def test_it_prints_as_it_is_written():
    assert repr(nn.Ensemble(*[nn.Dense(2)] * 3)) == "Ensemble(*[Dense(units=2)] * 3)"
    assert repr(nn.Ensemble(nn.Dense(2), nn.Dense(3), combine="vote")) == (
        "Ensemble(Dense(units=2), Dense(units=3), combine='vote')"
    )
