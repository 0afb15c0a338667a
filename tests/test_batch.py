"""Batches and means: exact over any partition of the rows, blind to rows that only fill up."""

import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sonde._batch import Batch, Mean, Padded, loss_of, scored
from sonde._errors import ArgumentError, DataError, MemberError, ShapeError

few = settings(deadline=None, max_examples=25)


def batch_of(x, real=None, **columns):
    real = jnp.ones(len(x), bool) if real is None else jnp.asarray(real)
    return Batch.of({"x": jnp.asarray(x), **{k: jnp.asarray(v) for k, v in columns.items()}}, real)


def merged(means):
    return Mean(sum(m.total for m in means), sum(m.count for m in means))


# whole numbers up to 2^8 with weights of eighths: every sum is exact in float32, so equal means are equal to the bit
entries = st.lists(st.tuples(st.integers(-256, 256), st.integers(0, 24)), min_size=1, max_size=24)


@few
@given(entries, st.integers(0, 2**32 - 1), st.integers(1, 9))
def test_means_merge_exactly_over_any_partition_with_weights_and_filling_rows(rows, seed, size):
    rng = np.random.default_rng(seed)
    x, w = np.array([r[0] for r in rows], np.float32), np.array([r[1] / 8 for r in rows], np.float32)
    order, parts = rng.permutation(len(x)), []
    for at in range(0, len(x), size):
        mine = order[at : at + size]
        fill = rng.integers(0, len(x), size - len(mine))
        rows_here = np.concatenate([mine, fill])
        real = np.arange(size) < len(mine)
        batch = batch_of(x[rows_here], real, weight=w[rows_here])
        parts.append(batch.mean(batch.x))
    whole = merged(parts)
    assert float(whole.total) == float((x.astype(np.float64) * w).sum())
    assert float(whole.count) == float(w.astype(np.float64).sum())
    if w.sum():
        assert float(whole.value) == pytest.approx(np.average(x, weights=w), rel=1e-6)


def test_the_mean_is_the_weighted_mean_of_each_column_of_entries(rng):
    x, w = rng.normal(size=(7, 2, 3)).astype(np.float32), rng.uniform(size=7).astype(np.float32)
    batch = batch_of(x, weight=w)
    np.testing.assert_allclose(batch.mean(batch.x).value, np.average(x, axis=0, weights=w), rtol=1e-5, atol=1e-6)


def test_a_weight_of_two_is_the_row_standing_there_twice(rng):
    x = rng.normal(size=(5, 2)).astype(np.float32)
    count = np.array([1, 2, 1, 3, 1])
    weighted, repeated = batch_of(x, weight=count), batch_of(np.repeat(x, count, 0))
    np.testing.assert_allclose(weighted.mean(weighted.x).value, repeated.mean(repeated.x).value, rtol=1e-5, atol=1e-6)
    assert float(weighted.mean(weighted.x).count) == float(repeated.mean(repeated.x).count) == 8


@pytest.mark.parametrize("rubbish", [1e6, np.nan, np.inf, -np.inf, np.finfo(np.float32).max])
def test_rubbish_in_filling_rows_changes_nothing(rng, rubbish):
    x = rng.normal(size=(6, 3)).astype(np.float32)
    clean = np.concatenate([x, np.zeros((2, 3), np.float32)])
    dirty = np.concatenate([x, np.full((2, 3), rubbish, np.float32)])
    real = np.arange(8) < 6
    a, b = (batch_of(v, real) for v in (clean, dirty))
    for ours, theirs in zip(a.mean(a.x), b.mean(b.x), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_allclose(b.mean(b.x).value, x.mean(0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rubbish", [1e6, np.nan])
def test_rubbish_in_filling_rows_has_no_gradient(rubbish):
    real = jnp.arange(4) < 3
    slope = jax.grad(lambda x: batch_of(x, real).mean(x).value)(jnp.array([1.0, 2.0, 3.0, rubbish]))
    np.testing.assert_allclose(slope, [1 / 3, 1 / 3, 1 / 3, 0], rtol=1e-6)


def test_filling_rows_weigh_nothing_whatever_their_own_weight():
    batch = batch_of([1.0, 2.0, 3.0], [True, True, False], weight=[2.0, 0.5, 7.0])
    np.testing.assert_array_equal(batch.weight, [2.0, 0.5, 0.0])


@pytest.mark.parametrize("kind", [bool, np.int32, np.uint8, np.float16])
def test_means_of_any_kind_of_entry_are_taken_in_float32(kind):
    batch = batch_of(np.array([1, 0, 1, 1], kind))
    mean = batch.mean(batch.x)
    assert mean.total.dtype == jnp.float32
    assert float(mean.value) == 0.75


@pytest.mark.parametrize("shape", [(), (1,), (3,), (5, 4), (1, 4)], ids=str)
def test_what_has_not_one_entry_a_row_is_refused(shape):
    batch = batch_of(np.zeros(4))
    with pytest.raises(ShapeError) as caught:
        batch.mean(jnp.zeros(shape))
    assert "[4, ...]" in str(caught.value)
    assert f"float32{list(shape)}" in str(caught.value)
    assert "leave the mean to the batch" in str(caught.value)


def test_a_column_is_an_attribute_and_a_missing_one_names_the_nearest():
    batch = batch_of(np.zeros(4), target=np.arange(4))
    np.testing.assert_array_equal(batch.target, np.arange(4))
    assert len(batch) == 4
    with pytest.raises(MemberError) as caught:
        _ = batch.tarjet
    assert str(caught.value) == "the batch has no column 'tarjet'; did you mean 'target'?"
    with pytest.raises(MemberError, match="no column 'qqq'; there is 'target', 'x'"):
        _ = batch.qqq
    assert not hasattr(batch, "_private")


def test_a_batch_goes_through_programs_copies_and_pickles(rng):
    batch = batch_of(rng.normal(size=4).astype(np.float32), [True, True, True, False], y=np.arange(4))
    expected = float(batch.mean(batch.x).value)
    assert float(jax.jit(lambda b: b.mean(b.x).value)(batch)) == pytest.approx(expected)
    for again in (copy.deepcopy(batch), pickle.loads(pickle.dumps(batch)), jax.tree.map(lambda a: a, batch)):
        assert list(again.columns) == ["x", "y"]
        assert float(again.mean(again.x).value) == expected


def test_a_mean_is_scaled_and_shifted_by_numbers_and_two_do_not_add(rng):
    rows = rng.normal(size=5).astype(np.float32)
    mean = batch_of(rows, [True] * 4 + [False]).mean(rows)
    value = float(rows[:4].mean())
    for got, wanted in (
        (2 * mean, 2 * value),
        (np.float32(2) * mean, 2 * value),
        (jnp.float32(2) * mean, 2 * value),
        (mean * 0.5 + 1, 0.5 * value + 1),
        (1 - mean / 4, 1 - value / 4),
        (sum([mean]), value),
    ):
        assert isinstance(got, Mean) and float(got.count) == 4
        assert float(got.value) == pytest.approx(wanted, abs=1e-6)
    for wrong in (lambda: mean + mean, lambda: sum([mean, mean]), lambda: mean * np.ones(2), lambda: mean + (1, 2)):
        with pytest.raises(ArgumentError, match="single numbers only"):
            wrong()


# ---------------------------------------------------------------------- what an objective may return


def test_a_loss_may_be_a_number_a_mean_parts_or_any_of_them_with_metrics():
    mean = Mean(jnp.float32(6), jnp.float32(3))
    for out, parts, metrics in (
        (mean, {"loss": 2.0}, {}),
        (jnp.float32(5), {"loss": 5.0}, {}),
        (5, {"loss": 5.0}, {}),
        ({"a": mean, "b": 1.0}, {"a": 2.0, "b": 1.0}, {}),
        ((mean, {"error": mean}), {"loss": 2.0}, {"error": 2.0}),
        (({"a": mean}, {"e": 0.5}), {"a": 2.0}, {"e": 0.5}),
    ):
        got = scored(out)
        assert [{k: float(m.value) for k, m in part.items()} for part in got] == [parts, metrics]
        assert float(loss_of(got[0])) == sum(parts.values())


def test_a_single_part_goes_by_the_name_it_is_given():
    assert list(scored(1.0, "l2")[0]) == ["l2"]


def test_a_loss_that_is_not_one_number_is_refused_by_name():
    batch = batch_of(np.zeros((4, 2)))
    with pytest.raises(ShapeError, match=r"'loss' must be one number.*got float32\[2\]"):
        scored(batch.mean(batch.x))
    with pytest.raises(ShapeError, match=r"'error' must be one number.*got float32\[4\]"):
        scored((1.0, {"error": jnp.zeros(4)}))


# ---------------------------------------------------------------------- sequences


def test_sequences_keep_the_type_of_their_numbers():
    found = {Padded.of(s).dtype for s in ([[0.7, 1.9], [0.2]], [[1], [0.5]], [[], [2.5]])}
    assert found == {np.dtype(np.float32)}
    assert Padded.of([[0.7, 1.9], [0.2]]).values.tolist() == np.float32([[0.7, 1.9], [0.2, 0]]).tolist()
    assert Padded.of([[3, 1], [2]]).dtype == Padded.of([[], []]).dtype == np.int32
    assert Padded.of([np.ones((2, 3), np.uint8)]).dtype == np.uint8
    assert Padded.of([[0.7], [1.2]], dtype=np.int32).values.tolist() == [[0], [1]]  # where it is asked for
    with pytest.raises(DataError, match="beyond 32 bits"):
        Padded.of([[1], [-(2**40)]])


@pytest.mark.parametrize(
    ("sequences", "said"),
    [
        (["hello world"], "sequence 0 is 'hello world'.*Tokens"),
        ([[1], ["a", "b"]], "sequence 1 is <U1.*Tokens"),
        ([[1], 2.5], "sequence 1 is the single number 2.5"),
        ([[], np.ones((2, 3)), np.ones((2, 2))], r"those of sequence 1 have \[3\], those of sequence 2 have \[2\]"),
        ([[1.0], [[1.0, 2.0]]], r"sequence 0 have \[\], those of sequence 1 have \[2\]"),
        ([[[1, 2], [3]]], "steps of sequence 0 differ in shape"),
    ],
)
def test_what_cannot_be_padded_is_refused_by_its_number(sequences, said):
    with pytest.raises(DataError, match=said):
        Padded.of(sequences)


@pytest.mark.parametrize("as_array", [np.asarray, jnp.asarray, list])
def test_lengths_are_whole_numbers_up_to_the_longest(as_array):
    values = np.ones((3, 4, 2), np.float32)
    assert Padded(values, as_array([0, 4, 2])).real.sum() == 6
    for lengths, said in (
        ([2, 9, 1], "from 0 to 4, the steps that values have; row 1 has 9"),
        ([2, 3, -1], "row 2 has -1"),
        ([2.0, 3.0, 1.0], r"whole numbers \[rows\]; got float"),
        ([True, True, False], r"whole numbers \[rows\]; got bool"),
    ):
        with pytest.raises(DataError, match=said):
            Padded(values, as_array(lengths))
    for wrong, lengths in ((values, [1, 2]), (np.ones(3), [1, 1, 1]), (values, [[1], [2], [3]])):
        with pytest.raises(ShapeError, match="a length a row; got"):
            Padded(wrong, as_array(lengths))


def test_sequences_go_through_the_transformations_of_jax():
    x = Padded(jnp.ones((3, 4)), jnp.array([4, 0, 2]))
    made = jax.jit(lambda v, n: Padded(2 * v, n).with_values(v))(x.values, x.lengths)
    assert float(made.values.sum()) == 6
    assert jax.vmap(lambda row: row)(x).lengths.tolist() == [4, 0, 2]
    assert jax.tree.map(lambda a: a.shape, x).values == (3, 4)  # leaves may be anything
