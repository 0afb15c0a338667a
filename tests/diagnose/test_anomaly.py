"""Odd rows are those that are given back badly, and an alarm keeps its promise."""

import numpy as np
import pytest
import scipy.stats
from sklearn.decomposition import PCA

from sonde import nn
from sonde._errors import ArgumentError, DataError, ShapeError
from sonde.diagnose import reconstruction_errors, set_alarm


def test_the_errors_of_a_projection_are_those_of_pca(rng):
    x = (rng.normal(size=(70, 3)) @ rng.normal(size=(3, 8)) + 0.3 * rng.normal(size=(70, 8))).astype(np.float32)
    pca = PCA(3).fit(x)
    directions = np.asarray(pca.components_)
    spec = nn.Sequential(there=nn.Dense(3), back=nn.Dense(8))
    params = {
        "there/kernel": directions.T,
        "there/bias": -pca.mean_ @ directions.T,
        "back/kernel": directions,
        "back/bias": pca.mean_,
    }
    net = nn.build(spec, x).replace(params={k: np.asarray(v, np.float32) for k, v in params.items()})
    expected = ((pca.inverse_transform(pca.transform(x)) - x) ** 2).mean(1)
    np.testing.assert_allclose(reconstruction_errors(net, x), expected, rtol=1e-3, atol=1e-5)
    images = nn.build(nn.Sequential(nn.Flatten(), nn.Dense(8, kernel_init=nn.zeros), nn.Reshape(2, 4)), x[:, None])
    np.testing.assert_allclose(reconstruction_errors(images, x.reshape(-1, 2, 4)), (x**2).mean(1), rtol=1e-5)


@pytest.mark.parametrize(("n", "rate"), [(99, 0.05), (40, 0.1), (300, 0.01), (19, 0.05)])
def test_of_new_normal_rows_as_many_are_above_it_as_it_says_whatever_the_scores_are(n, rate, rng):
    """For scores that are uniform on [0, 1], the true rate of false alarms is 1 - threshold."""
    draws = 4000
    rates = np.array([1 - set_alarm(u, rate).threshold for u in rng.random((draws, n))])
    alarm = set_alarm(rng.random(n), rate)
    expected = np.floor((n + 1) * rate + 1e-9) / (n + 1)
    assert expected <= rate and abs(rates.mean() - expected) < 5 * rates.std() / np.sqrt(draws)
    assert rates.std() == pytest.approx(alarm.deviation, rel=0.1)
    a = (n + 1) * expected
    assert scipy.stats.kstest(rates, scipy.stats.beta(a, n + 1 - a).cdf).pvalue > 1e-4
    scores = rng.lognormal(size=n)
    stretched = set_alarm(np.exp(scores), rate)
    assert np.array_equal(stretched(np.exp(scores)), set_alarm(scores, rate)(scores))  # only their order matters


def test_what_cannot_be_promised_is_refused():
    with pytest.raises(ArgumentError, match="9 normal rows cannot promise a rate of 0.05: the least is 1 / 10; hold "
                                            "out at least 19 rows"):  # fmt: skip
        set_alarm(np.arange(9.0), 0.05)
    set_alarm(np.arange(19.0), 0.05)
    with pytest.raises(ArgumentError, match="a fraction between 0 and 1; got 5"):
        set_alarm(np.arange(100.0), 5)
    with pytest.raises(DataError, match="1 of 3 scores are nan"):
        set_alarm([1.0, np.nan, 2.0], 0.5)
    with pytest.raises(ShapeError, match=r"takes scores \[rows\]; got"):
        set_alarm([[1.0]], 0.5)
    x = np.zeros((3, 4), np.float32)
    with pytest.raises(ShapeError, match=r"gives its input back; of float32\[3, 4\] this one makes float32\[3, 2\]"):
        reconstruction_errors(nn.build(nn.Dense(2), x), x)
