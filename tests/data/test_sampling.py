"""Samplers: minibatch u is a pure function of (key, u), and an epoch is what it is said to be."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from sonde._errors import ArgumentError, DataError
from sonde.data import Balanced, Bootstrap, Folds, InOrder, Pairs, Sampler, Shuffled, shuffle
from sonde.data.sampling import as_sampler

CERTAIN = 1e-6
"""How often a test of distributions may be wrong about a right one."""


def evenly(counts, expected=None):
    """Whether counts are as even (or as expected) as chance has them."""
    return scipy.stats.chisquare(np.ravel(counts), expected).pvalue > CERTAIN


def table(n, classes=3, **columns):
    """Columns in which a row can be told: ``at`` is its number, ``y`` its class."""
    return {"at": jnp.asarray(np.arange(n)), "y": jnp.asarray(np.arange(n) % classes), **columns}


def batches(draw, key, us):
    """Minibatches, as arrays of NumPy with an axis of minibatches in front."""
    return jax.tree.map(np.asarray, jax.jit(jax.vmap(draw, (None, 0)))(key, np.asarray(us)))


def part(tree, *at):
    """An entry of every array of a tree."""
    return jax.tree.map(lambda a: a[at], tree)


def epochs(sampler, columns, keys, es):
    """The minibatches of some epochs with some keys: by key, by epoch, in order. One program draws them all."""
    per = sampler.per_epoch(columns)
    us = np.asarray(es)[:, None] * per + np.arange(per)
    draw = lambda key, u: sampler.over(columns)(key, u)
    over_us = jax.vmap(jax.vmap(draw, (None, 0)), (None, 0))
    drawn = jax.tree.map(np.asarray, jax.jit(jax.vmap(over_us, (0, None)))(keys, us))
    return [[part(drawn, k, e) for e in range(len(es))] for k in range(len(keys))]


def epoch(sampler, columns, key, e=0):
    """The minibatches of an epoch."""
    return epochs(sampler, columns, key[None], [e])[0][0]


def counted(batch):
    """The rows that count, in the order drawn."""
    return batch.columns["at"][batch.weight > 0]


# ---------------------------------------------------------------------- the shuffle

EDGES = (1, 2, 64, 65, 257)


def test_a_shuffle_is_a_bijection_whatever_the_number_of_rows(rng, key):
    sizes = {*EDGES, *rng.integers(3, 300, 3).tolist(), int(rng.integers(10_000, 100_000)), 65_537}
    for n in sorted(sizes):
        order = np.asarray(jax.jit(shuffle, static_argnums=2)(key, jnp.arange(n), n))
        assert order.dtype == np.int32
        np.testing.assert_array_equal(np.sort(order), np.arange(n), err_msg=str(n))


def test_a_shuffle_of_more_rows_than_can_be_listed_stays_inside_and_repeats_none(rng, key):
    n = 2_000_000_011
    at = jnp.asarray(rng.choice(n, 5000, replace=False), jnp.int32)
    to = np.asarray(shuffle(key, at, n))
    assert to.min() >= 0 and to.max() < n
    assert len(np.unique(to)) == 5000
    assert scipy.stats.kstest(to / n, "uniform").pvalue > CERTAIN


def test_a_shuffle_can_be_asked_for_some_positions_alone(key):
    whole = np.asarray(shuffle(key, jnp.arange(100), 100))
    np.testing.assert_array_equal(shuffle(key, jnp.array([7, 99, 7, 0]), 100), whole[[7, 99, 7, 0]])


@pytest.mark.parametrize("n", [3, 10, 65])
def test_every_row_goes_everywhere_equally_often(n, key):
    orders = np.asarray(jax.jit(jax.vmap(lambda k: shuffle(k, jnp.arange(n), n)))(jax.random.split(key, 4000)))
    first = [evenly(np.bincount(orders[:, i], minlength=n)) for i in range(n)]
    assert all(first)
    both = np.bincount(orders[:, 0] * n + orders[:, -1], minlength=n * n).reshape(n, n)  # two rows at once
    assert n > 10 or evenly(both[~np.eye(n, dtype=bool)])


def test_every_order_of_four_rows_comes_equally_often(key):
    orders = np.asarray(jax.jit(jax.vmap(lambda k: shuffle(k, jnp.arange(4), 4)))(jax.random.split(key, 6000)))
    seen = {order: 0 for order in itertools.permutations(range(4))}
    for order in orders.tolist():
        seen[tuple(order)] += 1
    assert evenly(list(seen.values()))


# ---------------------------------------------------------------------- every row once

SIZES = [(1, 4), (5, 8), (6, 6), (12, 4), (37, 5)]


@pytest.mark.parametrize("kind", [Shuffled, InOrder])
@pytest.mark.parametrize(("n", "size"), SIZES)
def test_every_row_comes_once_an_epoch_and_the_last_batch_is_filled_with_rows_of_weight_0(kind, n, size, key):
    sampler, columns = kind(size), table(n)
    assert sampler.per_epoch(columns) == -(-n // size)
    for drawn in epochs(sampler, columns, key[None], (0, 3))[0]:
        assert drawn.weight.shape == (-(-n // size), min(size, n))
        assert sorted(counted(drawn)) == list(range(n))
        assert set(np.unique(drawn.weight)) <= {0.0, 1.0}
        assert (drawn.weight[:-1] == 1).all()  # only the last batch is filled
        at = drawn.columns["at"]
        assert ((0 <= at) & (at < n)).all()
        np.testing.assert_array_equal(drawn.columns["y"], at % 3)  # columns stay together


def test_in_order_is_in_order(key):
    np.testing.assert_array_equal(counted(epoch(InOrder(4), table(10), key, 2)), np.arange(10))


def test_epochs_and_keys_have_orders_of_their_own(key):
    sampler, columns = Shuffled(8), table(64)
    drawn = epochs(sampler, columns, jax.random.split(key), (0, 1, 2))
    orders = [counted(one) for of_key in drawn for one in of_key]
    for one, other in itertools.combinations([np.arange(64), *orders], 2):
        assert (one == other).sum() < 16  # one in common is expected


def test_minibatches_are_even_samples(key):
    draw = Shuffled(5).over(table(20))
    firsts = batches(draw, key, 4 * np.arange(3000)).columns["at"]  # the first minibatch of each epoch
    assert evenly(np.bincount(firsts[:, 0], minlength=20))
    assert evenly(np.bincount(firsts.ravel(), minlength=20))


def test_own_weights_of_rows_are_kept(rng, key):
    w = rng.uniform(1, 2, size=10).astype(np.float32)
    drawn = epoch(Shuffled(4), table(10, weight=jnp.asarray(w)), key)
    real = drawn.weight > 0
    np.testing.assert_array_equal(drawn.weight[real], w[drawn.columns["at"][real]])
    assert real.sum() == 10


SAMPLERS = [
    Shuffled(4),
    InOrder(4),
    Balanced(4).prepare(table(10)),
    Bootstrap(4, 3),
    Pairs(4).prepare(table(10)),
    Folds(4, folds=3, fold=1),
]


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda s: type(s).__name__)
def test_a_minibatch_is_a_pure_function_of_key_and_number(sampler, key):
    columns, keys = table(10), jax.random.split(key)
    draw, program = sampler.over(columns), jax.jit(sampler.over(columns))
    everything = jax.jit(jax.vmap(jax.vmap(draw, (None, 0)), (0, None)))(keys, jnp.arange(8))
    one, other = (part(jax.tree.map(np.asarray, everything), k) for k in (0, 1))
    for u in (3, 0, 3):  # in any order, again, from a new draw
        alone = program(keys[0], u)
        np.testing.assert_array_equal(alone.weight, one.weight[u])
        for name, column in alone.columns.items():
            np.testing.assert_array_equal(column, one.columns[name][u])
    differ = any((one.columns[name] != other.columns[name]).any() for name in one.columns)
    assert differ != isinstance(sampler, InOrder)


def test_a_minibatch_may_be_drawn_outside_of_any_program(key):
    draw = Shuffled(4).over(table(10))
    np.testing.assert_array_equal(draw(key, 2).at, jax.jit(draw)(key, 2).at)


# ---------------------------------------------------------------------- Balanced


def test_balanced_draws_classes_equally_often_and_rows_of_a_class_too(key):
    y = np.repeat([0, 1, 3, 4], [100, 5, 10, 1])  # no row is of class 2
    columns = {"at": jnp.asarray(np.arange(116)), "y": jnp.asarray(y)}
    sampler = Balanced(16).prepare(columns)
    assert sampler.classes == 5 and sampler.per_epoch(columns) == 8
    drawn = batches(sampler.over(columns), key, np.arange(400))
    assert (drawn.weight == 1).all()
    np.testing.assert_array_equal(drawn.columns["y"], y[drawn.columns["at"]])
    found = np.bincount(drawn.columns["y"].ravel(), minlength=5)
    assert found[2] == 0 and evenly(found[[0, 1, 3, 4]])
    rows = np.bincount(drawn.columns["at"].ravel(), minlength=116)
    for c in (0, 1, 3):
        assert evenly(rows[y == c])


@pytest.mark.parametrize("n", [1, 3])
def test_balanced_works_with_fewer_rows_than_a_minibatch(n, key):
    columns = table(n)
    drawn = epoch(Balanced(8).prepare(columns), columns, key)
    assert drawn.weight.shape == (1, n)
    assert set(drawn.columns["at"].ravel()) <= set(range(n))


# ---------------------------------------------------------------------- Bootstrap


@pytest.mark.parametrize(("n", "size"), [(40, 7), (6, 6), (5, 9), (1, 1)])
def test_bootstrap_is_one_resampled_set_whatever_the_key_and_the_epoch(n, size, key):
    columns = table(n)
    drawn = epochs(Bootstrap(size, 3), columns, jax.random.split(key), (0, 5))
    orders = [counted(one).tolist() for of_key in drawn for one in of_key]
    assert len(orders[0]) == n and set(orders[0]) <= set(range(n))
    assert all(sorted(order) == sorted(orders[0]) for order in orders)
    if n == 40:
        assert len({tuple(order) for order in orders}) == 4
        assert sorted(counted(epoch(Bootstrap(size, 4), columns, key))) != sorted(orders[0])


def test_members_of_a_bootstrap_are_independent_draws_with_replacement(key):
    n, members = 20, 300
    columns, per = table(n), 1
    draw = lambda member: Bootstrap(n, member).over(columns)(key, 0).columns["at"]  # a number: one program for all
    rows = np.asarray(jax.jit(jax.vmap(draw))(jnp.arange(members)))
    assert rows.shape == (members, per * n)
    assert evenly(np.bincount(rows.ravel(), minlength=n))
    distinct = np.array([len(set(r)) for r in rows.tolist()])
    expected = n * (1 - (1 - 1 / n) ** n)
    variance = n * (n - 1) * (1 - 2 / n) ** n + n * (1 - 1 / n) ** n - n**2 * (1 - 1 / n) ** (2 * n)
    assert abs(distinct.mean() - expected) < 5.5 * np.sqrt(variance / members)


def test_a_bootstrap_leaves_out_exactly_the_rows_it_never_draws(key):
    columns = table(30)
    for member in range(3):
        drawn = counted(epoch(Bootstrap(7, member), columns, key))
        left_out = np.asarray(Bootstrap(7, member).left_out(columns))
        assert set(np.flatnonzero(left_out)) == set(range(30)) - set(drawn.tolist())


# ---------------------------------------------------------------------- Pairs


@pytest.mark.parametrize(("counts", "size"), [((30, 20, 0, 10), 8), ((2, 1), 7)], ids=str)
def test_pairs_are_half_of_one_class_and_half_of_two(counts, size, key):
    y = np.repeat(np.arange(len(counts)), counts)
    n = len(y)
    columns = {"at": jnp.asarray(np.arange(n)), "y": jnp.asarray(y)}
    sampler = Pairs(size).prepare(columns)
    assert sampler.per_epoch(columns) == -(-n // size)
    drawn = batches(sampler.over(columns), key, np.arange(300))
    c = drawn.columns
    assert set(c) == {"a_at", "a_y", "b_at", "b_y", "same"}
    np.testing.assert_array_equal(c["same"] == 1, c["a_y"] == c["b_y"])
    np.testing.assert_array_equal(c["same"].sum(1), np.full(300, size // 2))
    for side in "ab":
        np.testing.assert_array_equal(c[f"{side}_y"], y[c[f"{side}_at"]])
    assert (drawn.weight == 1).all() and drawn.weight.shape == (300, size)
    assert n == 2 or evenly(np.bincount(c["a_at"].ravel(), minlength=n))


def test_the_second_of_a_pair_is_an_even_draw_from_the_class_or_from_all_others(key):
    y = np.repeat([0, 1, 2], [2, 3, 4])
    columns = {"at": jnp.asarray(np.arange(9)), "y": jnp.asarray(y)}
    c = batches(Pairs(16).prepare(columns).over(columns), key, np.arange(500)).columns
    for label in range(3):
        for same in (0, 1):
            chosen = (c["a_y"] == label) & (c["same"] == same)
            found = np.bincount(c["b_at"][chosen], minlength=9)
            allowed = (y == label) == bool(same)
            assert found[~allowed].sum() == 0
            assert evenly(found[allowed])


def test_pairs_need_two_classes():
    with pytest.raises(DataError, match="Pairs needs rows of at least two classes in 'y'; there is one"):
        Pairs(4).prepare({"y": np.ones(5, int)})


@pytest.mark.parametrize("sampler", [Pairs(4), Balanced(4)])
def test_labels_are_looked_for_in_the_column_named(sampler, key):
    with pytest.raises(DataError, match="needs labels in a column 'y'"):
        sampler.prepare({"x": np.zeros(5)})
    columns = {"kind": jnp.asarray(np.arange(6) % 2), "at": jnp.asarray(np.arange(6))}
    drawn = epoch(sampler.replace(label="kind").prepare(columns), columns, key)
    assert drawn.weight.all()


# ---------------------------------------------------------------------- Folds


@pytest.mark.parametrize(("n", "folds", "size"), [(11, 3, 4), (7, 7, 2), (5, 2, 50)])
def test_training_rows_and_the_fold_held_out_part_the_rows(n, folds, size, key):
    columns, held = table(n), []
    us = np.arange(3 * Folds(size, folds).per_epoch(columns))

    @jax.jit
    @jax.vmap
    def of(fold):
        sampler = Folds(size, folds, fold)
        return jax.vmap(sampler.over(columns), (None, 0))(key, us), sampler.held_out(columns)(key, 0)

    everything = jax.tree.map(np.asarray, of(jnp.arange(folds)))
    for fold in range(folds):
        train, out = part(everything, fold)
        out = counted(out)
        for us_of_epoch in np.split(np.arange(len(us)), 3):
            rows = counted(part(train, us_of_epoch))
            assert len(set(rows)) == len(rows)  # each row once an epoch
            assert sorted([*rows, *out]) == list(range(n))
        assert len(out) in (n // folds, -(-n // folds))
        held += out.tolist()
    assert sorted(held) == list(range(n))  # every row is held out once


def test_folds_depend_on_their_seed_alone(seed, key):
    columns = table(30)
    out = lambda s, key: sorted(counted(batches(Folds(4, 3, 0, s).held_out(columns), key, [0])))
    one = out(seed, key)
    assert one == out(seed, jax.random.fold_in(key, 1))
    assert one != out(seed + 1, key)  # the same by chance in one of 30 million


def test_the_fold_is_a_number_so_that_folds_may_be_lanes_of_one_program(key):
    columns = table(11)
    per = Folds(4, 3).per_epoch(columns)

    @jax.jit
    def lane(fold):
        sampler = Folds(4, 3, fold)
        return jax.vmap(lambda u: sampler.over(columns)(key, u))(np.arange(per)), sampler.held_out(columns)(key, 0)

    train, out = jax.tree.map(np.asarray, jax.vmap(lane)(np.arange(3)))
    for fold in (0, 2):
        alone, held = epoch(Folds(4, 3, fold), columns, key), batches(Folds(4, 3, fold).held_out(columns), key, [0])
        np.testing.assert_array_equal(train.columns["at"][fold], alone.columns["at"])
        np.testing.assert_array_equal(train.weight[fold], alone.weight)
        np.testing.assert_array_equal(out.columns["at"][fold], held.columns["at"][0])
        np.testing.assert_array_equal(out.weight[fold], held.weight[0])
    assert (train.columns["at"][0] != train.columns["at"][2]).any()


def test_training_rows_of_a_fold_are_shuffled_anew_each_epoch(key):
    columns = table(40)
    orders = [counted(one).tolist() for one in epochs(Folds(8, 4), columns, key[None], (0, 1))[0]]
    assert orders[0] != orders[1] and sorted(orders[0]) == sorted(orders[1])


# ---------------------------------------------------------------------- what cannot be


@pytest.mark.parametrize("kind", [Shuffled, InOrder, Balanced, Bootstrap, Pairs, Folds])
@pytest.mark.parametrize("size", [0, -1, 2.0, "32", True, None])
def test_an_empty_or_fractional_minibatch_is_refused(kind, size):
    with pytest.raises(ArgumentError, match=f"size of {kind.__name__} must be a whole number of at least 1; got"):
        kind(size)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Folds(4, folds=1), "folds of Folds must be a whole number of at least 2; got 1"),
        (lambda: Folds(4, folds=3, fold=3), r"fold of Folds must be a number in \[0, 3\); got 3"),
        (lambda: Folds(4, folds=3, fold=-1), "fold of Folds must be a number in"),
        (lambda: Sampler(4).over(table(3)), "Sampler does not say how it draws"),
        (lambda: as_sampler(2.5), r"batch must be a number of rows or a sampler .*; got 2\.5"),
        (lambda: as_sampler(Shuffled), "batch must be a number of rows or a sampler"),
        (lambda: as_sampler(True), "batch must be a number of rows or a sampler"),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


def test_more_folds_than_rows_are_refused():
    with pytest.raises(DataError, match="2 rows cannot be parted into 3 folds"):
        Folds(4, folds=3).over(table(2))


def test_a_number_of_rows_stands_for_a_sampler_that_shuffles():
    assert as_sampler(32) == Shuffled(32)
    assert as_sampler(Balanced(4)) == Balanced(4)


def test_other_splits_are_judged_by_every_row_in_order(key):
    columns = table(2500)
    for sampler in (Shuffled(4), Balanced(4), Bootstrap(4), Folds(4)):
        np.testing.assert_array_equal(counted(epoch(sampler.judging(), columns, key)), np.arange(2500))
    judged = Pairs(4).prepare(table(9)).judging()
    assert isinstance(judged, Pairs) and judged.size >= 1000
