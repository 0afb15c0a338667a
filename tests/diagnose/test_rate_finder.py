"""A range test: where a loss runs away is known for a parabola, and what is suggested trains a network."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from PIL import Image

import sonde as sd
from sonde import nn, optim
from sonde._errors import ArgumentError
from sonde.data import Dataset, InOrder
from sonde.diagnose import find_rate
from sonde.objectives import half_squared_error

ROWS = 40


@pytest.fixture
def line(rng):
    """Rows of y = slope x, and the curvature of half their mean squared error, mean x^2."""
    x = rng.uniform(0.5, 2.0, (ROWS, 1)).astype(np.float32) * rng.uniform(0.3, 3.0)
    data = Dataset({"x": x, "y": rng.choice([-3.0, 3.0]).astype(np.float32) * x[:, 0]})
    return data, float((x.astype(np.float64) ** 2).mean())


PARABOLA = nn.Dense(1, kernel_init=nn.zeros, bias_init=None)


def test_the_loss_of_a_parabola_rises_from_twice_the_inverse_of_its_curvature(line):
    data, curvature = line
    low, high = 1e-3 / curvature, 100 / curvature
    found = find_rate(PARABOLA, data, sd.Regress(), sd.SGD(), low, high, steps=40, batch=InOrder(ROWS))
    falls = np.diff(found.losses) < 0  # whether the step at rates[k] made it fall
    beyond = found.rates[:-1] * curvature / 2
    clear = abs(np.log(beyond)) > 0.02
    np.testing.assert_array_equal(falls[clear], (beyond < 1)[clear])
    assert beyond[0] < 1 < beyond[-1] and found.rates[-1] < high / 2  # it ended soon after
    factor = (high / low) ** (1 / 39)
    smallest = found.rates[found.losses.argmin()]  # before the first step that makes it rise
    assert 2 / curvature / 1.02 < smallest < 1.02 * factor * 2 / curvature
    assert smallest < 10.001 * found.suggestion  # the moving mean looks back, so it falls for longer
    assert found.suggestion < 2 / curvature and found.outcome == sd.Outcome.STOPPED_EARLY


def test_losses_are_those_of_descent_at_the_rising_rates_until_their_mean_is_4_times_its_smallest(rng):
    x, y = rng.normal(size=(ROWS, 3)).astype(np.float32), rng.normal(size=ROWS).astype(np.float32)
    data, steps = Dataset({"x": x, "y": y}), 80
    found = find_rate(PARABOLA, data, sd.Regress(), sd.SGD(), 1e-3, 1e3, steps, batch=InOrder(ROWS))
    rates, made = np.geomspace(1e-3, 1e3, steps), len(found.rates)
    np.testing.assert_allclose(found.rates, rates[:made], rtol=1e-9)
    x, y, w, losses = x.astype(np.float64), y.astype(np.float64), np.zeros(3), []
    stable = rates < 2 / np.linalg.eigvalsh(x.T @ x / ROWS)[-1]  # beyond, rounding grows with all else
    for rate in rates[stable]:
        error = x @ w - y
        losses.append(0.5 * (error**2).mean())
        w = w - rate * x.T @ error / ROWS
    assert 40 < len(losses) < made < steps
    np.testing.assert_allclose(found.losses[: len(losses)], losses, rtol=1e-3)
    weights = (1 - 20 / steps) ** np.arange(float(made))
    means = [np.average(found.losses[: k + 1][::-1], weights=weights[: k + 1]) for k in range(made)]
    np.testing.assert_allclose(found.smoothed, means, rtol=1e-9)
    away = np.asarray(means) > 4 * np.minimum.accumulate(means)
    assert away[-1] and not away[:-1].any()
    assert found.suggestion == found.rates[np.argmin(means)] / 10


@pytest.fixture(scope="module")
def digits():
    return sd.data.load("digits")


NET = nn.Sequential(nn.Flatten(), nn.Scale(1 / 16), hidden=nn.Dense(64, nn.relu), head=nn.Dense(10))


def accuracy(data, optimizer, seed) -> float:
    run = sd.fit(NET, data, sd.Classify(), optimizer, epochs=5, control=(), seed=seed, progress=False)
    return run.evaluate("valid")["accuracy"].value


@pytest.mark.parametrize("kind", [sd.Adam, lambda rate: sd.SGD(rate, momentum=0.9)], ids=["adam", "momentum"])
def test_the_suggestion_learns_where_a_hundredfold_does_not_and_a_thousandth_hardly_does(digits, kind, seed):
    rate = find_rate(NET, digits, sd.Classify(), kind(1.0), seed=seed).suggestion
    assert accuracy(digits, kind(rate), seed) > 0.9
    assert accuracy(digits, kind(100 * rate), seed) < 0.5
    assert accuracy(digits, kind(rate / 1000), seed) < 0.5


def test_it_draws_from_training_rows_only_and_leaves_the_network_as_it_is(digits, seed):
    network = sd.fit(NET, digits, sd.Classify(), sd.Adam(), steps=3, progress=False).network
    before = {path: np.array(value) for path, value in network.params.items()}
    found = find_rate(network, digits, sd.Classify(), sd.Adam(), steps=40, seed=seed)
    assert all((np.asarray(network.params[path]) == value).all() for path, value in before.items())
    spoilt = {name: np.full_like(digits.valid[name], 1) for name in digits.valid}
    other = dataclasses.replace(digits, valid=spoilt, test=spoilt)
    again = find_rate(network, other, sd.Classify(), sd.Adam(), steps=40, seed=seed)
    np.testing.assert_array_equal(again.losses, found.losses)
    fresh = find_rate(NET, digits, sd.Classify(), sd.Adam(), steps=40, seed=seed)
    assert fresh.losses[0] != found.losses[0]  # it began from the network given


def test_the_same_seed_gives_the_same_test_and_the_rate_that_was_set_does_not_matter(digits, seed):
    one, same, other = (
        find_rate(NET, digits, sd.Classify(), sd.Adam(rate), steps=40, seed=s)
        for rate, s in ((1e-3, seed), (optim.Cosine(0.5), seed), (1e-3, seed + 1))
    )
    np.testing.assert_array_equal(one.losses, same.losses)
    assert one.suggestion == same.suggestion and repr(one) == repr(same)
    assert not np.array_equal(one.losses[:5], other.losses[:5])


def test_what_is_around_an_optimizer_stays_around_it(line):
    """A factor of 1/4 for the only weight: each rate does what a quarter of it does."""
    data, curvature = line
    quarter = optim.Clip(optim.PerPath(sd.SGD(), {"**": 0.25}), global_norm=1e9)
    rows = InOrder(ROWS)
    plain = find_rate(PARABOLA, data, sd.Regress(), sd.SGD(), 1e-3 / curvature, 1 / curvature, 40, rows)
    found = find_rate(PARABOLA, data, sd.Regress(), quarter, 4e-3 / curvature, 4 / curvature, 40, rows)
    np.testing.assert_allclose(found.losses, plain.losses, rtol=1e-3, atol=1e-9)
    assert found.suggestion == pytest.approx(4 * plain.suggestion)


def finite_below(prediction, target):
    """Half the squared error of a prediction closer to 0 than its target; infinite beyond."""
    return jnp.where(jnp.abs(prediction) > jnp.abs(target), jnp.inf, half_squared_error(prediction, target))


def test_a_loss_that_is_not_finite_ends_it_and_is_left_out(line):
    """Weights that begin at 0 overshoot as soon as the rate is above the inverse of the curvature."""
    data, curvature = line
    low, high = 1e-3 / curvature, 100 / curvature
    found = find_rate(PARABOLA, data, sd.Regress(finite_below), sd.SGD(), low, high, steps=40, batch=InOrder(ROWS))
    assert found.outcome == sd.Outcome.DIVERGED and "no finite number after that" in repr(found)
    assert len(found.rates) == len(found.losses) == len(found.smoothed) and np.isfinite(found.losses).all()
    assert found.rates[-2] < 1 / curvature < found.rates[-1]
    assert found.suggestion == found.rates[-1] / 10


def test_a_loss_that_never_rises_asks_for_higher_rates(line):
    data, curvature = line
    low, high = 1e-3 / curvature, 0.5 / curvature
    found = find_rate(PARABOLA, data, sd.Regress(), sd.SGD(), low, high, steps=30, batch=InOrder(ROWS))
    assert len(found.rates) == 30 and found.suggestion == pytest.approx(high / 10)
    assert found.outcome == sd.Outcome.FINISHED and "try higher ones" in repr(found)


@pytest.mark.parametrize(
    ("low", "high"), [(0.0, 1.0), (-1e-3, 1.0), (0.1, 0.1), (1.0, 0.1), (1e-3, np.inf), (np.nan, 1.0), ("1", 2.0)]
)
def test_rates_that_do_not_rise_are_refused(line, low, high):
    with pytest.raises(ArgumentError, match="0 < low < high"):
        find_rate(PARABOLA, line[0], sd.Regress(), sd.SGD(), low, high)


def test_what_else_is_refused(line):
    data, curvature = line
    with pytest.raises(ArgumentError, match="at least 20"):
        find_rate(PARABOLA, data, sd.Regress(), sd.SGD(), steps=19)
    for seed in (-1, "1", 2**32):
        with pytest.raises(ArgumentError, match="seed"):
            find_rate(PARABOLA, data, sd.Regress(), sd.SGD(), seed=seed)
    with pytest.raises(ArgumentError, match="Dataset.of"):
        find_rate(PARABOLA, (data.train.x, data.train.y), sd.Regress(), sd.SGD())
    for transformation in (optax.sgd(0.1), optim.Clip(optim.Optax(optax.sgd(0.1)), value=1.0)):
        with pytest.raises(ArgumentError, match="cannot be set"):
            find_rate(PARABOLA, data, sd.Regress(), transformation)
    with pytest.raises(ArgumentError, match="smaller low"):
        find_rate(
            PARABOLA, data, sd.Regress(), sd.SGD(), 5 / curvature, 50 / curvature, steps=20, batch=InOrder(ROWS)
        )


def test_a_picture_shows_the_losses_over_a_logarithmic_rate_and_the_suggestion(line, figures, tmp_path):
    data, curvature = line
    low, high = 1e-3 / curvature, 100 / curvature
    found = find_rate(PARABOLA, data, sd.Regress(), sd.SGD(), low, high, steps=40, batch=InOrder(ROWS))
    with Image.open(found.draw(tmp_path / "rates.png")) as image:
        assert image.format == "PNG"
    (ax,) = figures[0].axes
    assert (ax.get_xscale(), ax.get_yscale(), ax.get_xlabel()) == ("log", "log", "rate")
    each, mean, smallest, suggested = ax.lines
    np.testing.assert_array_equal(each.get_data(), [found.rates, found.losses])
    np.testing.assert_array_equal(mean.get_data(), [found.rates, found.smoothed])
    assert smallest.get_xdata()[0] == pytest.approx(10 * found.suggestion)
    assert set(suggested.get_xdata()) == {found.suggestion}
    assert len(figures[0].legends[0].get_texts()) == 4
