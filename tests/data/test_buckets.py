"""Columns filled up to a bucket: what is drawn from them is what is drawn from the columns alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sonde as sd
from sonde.data import Balanced, Bootstrap, Folds, InOrder, Shuffled
from sonde.data.buckets import bucket, filled, places_of, rows_of
from sonde.data.stream import placed

SIZES = (1, 2, 31, 32, 33, 404, 512, 513, 1024, 1025, 1797, 10_000, 60_000, 1_000_003)


def test_a_bucket_holds_the_rows_and_little_more():
    for n in SIZES:
        assert 0 <= bucket(n) - n < max(32, n / 16)
        assert bucket(bucket(n)) == bucket(n)
    shared = np.mean([bucket(n) == bucket(n + 1) for n in range(100, 5000)])
    assert shared > 0.95  # folds of n and n + 1 rows


@pytest.mark.parametrize("kind", [Shuffled, InOrder])
@pytest.mark.parametrize(("n", "size"), [(45, 7), (97, 32), (33, 32)])
def test_the_same_rows_are_drawn_as_without_filling_and_filling_never(kind, n, size, key):
    columns = {"at": np.arange(n, dtype=np.int32), "x": np.ones((n, 2), np.float32)}
    wide = filled(columns, n)
    assert places_of(wide) == bucket(n) > n and rows_of(wide) == n
    wild = type(wide)({**wide, "x": wide["x"].at[n:].set(jnp.nan)}, wide.rows)
    sampler = kind(size)
    per = sampler.per_epoch(columns)
    assert int(sampler.per_epoch(wide)) == per
    steps = jnp.arange(3 * per)
    drawn = lambda c: jax.jit(lambda c: jax.lax.map(lambda u: sampler.over(c)(key, u), steps))(c)
    alone, among = drawn(jax.tree.map(jnp.asarray, columns)), drawn(wild)
    for a, b in zip(jax.tree.leaves(alone), jax.tree.leaves(among), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_judge_of_fewer_rows_than_it_takes_gives_them_weight_and_filling_none(key):
    columns = {"at": np.arange(45, dtype=np.int32)}
    batch = InOrder(1000).over(filled(columns, 45))(key, jnp.int32(0))
    assert len(batch) == 64 and batch.weight.sum() == 45
    assert np.asarray(batch.at[batch.weight > 0]).tolist() == list(range(45))


def test_columns_of_sequences_are_filled_up_too():
    words = sd.Padded.of([[3, 1, 2], [5]])
    wide = filled({"x": words, "y": np.arange(2)}, 2)
    assert wide["x"].shape == (32, 3) and wide["x"].lengths[:3].tolist() == [3, 1, 3]
    assert isinstance(wide | {"z": 0}, type(wide)) and (wide | {"z": 0}).rows == 2


class Mine(Shuffled):
    """Draws in a way of its own, which knows nothing of filling."""

    def over(self, columns):
        return lambda key, u: sd.Batch.of(dict(columns), jnp.ones(len(columns["x"]), bool))


@pytest.mark.parametrize(
    ("sampler", "train", "valid"),
    [
        (Shuffled(32), True, True),
        (Shuffled(100), False, True),  # a full batch is the columns as they are
        (sd.data.Augmented(32, sd.data.Noise(0.1)), True, True),
        (Balanced(32), False, True),
        (Bootstrap(32), False, True),
        (Folds(32), False, True),
        (Mine(32), False, True),
    ],
    ids=lambda v: type(v).__name__ if isinstance(v, sd.data.Sampler) else "",
)
def test_what_cannot_tell_rows_from_filling_is_given_the_columns_as_they_are(sampler, train, valid):
    rows = lambda n: {"x": np.zeros((n, 3), np.float32), "y": np.zeros(n, np.int32)}
    found = placed(sd.data.Dataset(train=rows(100), valid=rows(40)), [sampler])
    assert (places_of(found["train"]), places_of(found["valid"])) == (128 if train else 100, 64 if valid else 40)
    assert places_of(placed(sd.data.Dataset(train=rows(100)))["train"]) == 100
    assert places_of(placed(sd.data.Dataset(train=rows(100)), [Shuffled(32), Folds(32)])["train"]) == 100
