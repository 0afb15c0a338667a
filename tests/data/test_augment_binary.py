"""Gray becomes black and white, as often as its shade says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sonde as sd
from sonde import data
from sonde._errors import DataError


@pytest.mark.parametrize("top", [1, 255])
def test_each_entry_is_all_or_nothing_with_its_own_probability_and_anew_each_time(key, rng, top):
    p = rng.random(6)
    p[:2] = 0, 1
    shades = jnp.asarray(np.round(top * p) if top == 255 else p, jnp.uint8 if top == 255 else jnp.float32)
    rows = jnp.broadcast_to(shades, (20_000, 6))
    drawn = data.Binarize().change(key, sd.Batch.of({"x": rows}), "x").x
    assert drawn.dtype == shades.dtype and set(np.unique(drawn)) == {0, top}
    share, p = np.asarray(drawn, np.float64).mean(0) / top, np.asarray(shades, np.float64) / top
    assert (abs(share - p) <= 5 * np.sqrt(p * (1 - p) / 20_000)).all()
    pairs = np.corrcoef(np.asarray(drawn[:, 2:], np.float64).T)
    assert abs(pairs - np.eye(4)).max() < 5 / np.sqrt(20_000)  # one says nothing of another
    again = data.Binarize().change(jax.random.split(key)[0], sd.Batch.of({"x": rows}), "x").x
    differ = np.asarray(again != drawn).mean(0)  # two draws of one probability
    assert (abs(differ - 2 * p * (1 - p)) <= 5 * np.sqrt(0.25 / 20_000)).all()


def test_what_is_no_probability_is_refused():
    sampler = data.Augmented(4, data.Binarize())
    with pytest.raises(DataError, match="column 'x' goes from 0 to 3. Divide by the largest value"):
        sampler.prepare({"x": np.array([[0.0], [3.0]] * 4, np.float32)})
    with pytest.raises(DataError, match="goes from nan to nan"):
        sampler.prepare({"x": np.array([[-1.0], [np.nan]] * 4, np.float32)})
    sampler.prepare({"x": np.array([[0.0], [1.0]] * 4, np.float32)})
    sampler.prepare({"x": np.array([[0], [3]] * 4, np.uint8)})
