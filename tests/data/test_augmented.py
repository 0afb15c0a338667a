"""The sampler that changes rows: the same with the same key, never for judging, everywhere a sampler goes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sonde as sd
import sonde.fitting
from sonde import data, nn
from sonde._errors import ArgumentError, DataError, LayerError
from sonde.train import execute
from sonde.train.step import advance

OPS = (data.Shift(1), data.Rotate(20.0), data.Noise(0.1))


@pytest.fixture(scope="module")
def columns():
    """Real digits on the device."""
    train = data.load("digits").train
    return {"x": jnp.asarray(train.x[:100]), "y": jnp.asarray(train.y[:100])}


def test_the_same_key_and_number_give_the_same_rows_and_others_give_others(columns, key):
    draw = jax.jit(data.Augmented(16, OPS).over(columns))
    once = np.asarray(draw(key, 3).x)
    np.testing.assert_array_equal(draw(key, 3).x, once)
    other = data.Augmented(16, OPS).over(columns)
    for k, u in ((key, 10), (jax.random.fold_in(key, 1), 3)):  # 10 is 3 of the next epoch
        assert not np.array_equal(other(k, u).x, once)


def test_what_is_drawn_is_drawn_as_without_and_only_one_column_changes(columns, key):
    plain = data.Shuffled(16).over(columns)
    changed = data.Augmented(16, OPS).over(columns)
    for u in (0, 6):  # 6 is filled up
        a, b = plain(key, u), changed(key, u)
        np.testing.assert_array_equal(a.weight, b.weight)
        np.testing.assert_array_equal(a.y, b.y)
        assert not np.array_equal(a.x, b.x)


def test_equal_rows_of_a_minibatch_get_different_draws(columns, key):
    same = {"x": jnp.broadcast_to(columns["x"][:1], (20, 8, 8))}
    for op in (data.Rotate(30.0), data.Noise(1.0), data.Cutout(3.0)):
        rows = np.asarray(data.Augmented(20, op).over(same)(key, 0).x)
        assert len({row.tobytes() for row in rows}) > 10, op


def test_every_operation_has_a_draw_of_its_own(key):
    same = {"x": jnp.ones((200, 4), jnp.float32)}
    twice = np.asarray(data.Augmented(200, (data.Noise(1.0), data.Noise(1.0))).over(same)(key, 0).x)
    assert abs(twice.std() - np.sqrt(2)) < 5 * np.sqrt(2) / np.sqrt(2 * 800)  # alike they would add up to 2


def test_two_columns_of_one_minibatch_are_changed_by_draws_of_their_own(key):
    pairs = {"x": jnp.zeros((40, 5), jnp.float32), "y": jnp.arange(40) % 2}
    sampler = data.Augmented(data.Augmented(data.Pairs(8), data.Noise(1.0), "a_x"), data.Noise(1.0), "b_x")
    batch = sampler.prepare(jax.tree.map(np.asarray, pairs)).over(pairs)(key, 0)
    assert np.std(batch.a_x) > 0 and np.std(batch.b_x) > 0
    assert not np.array_equal(batch.a_x, batch.b_x)


def test_geometric_operations_in_a_row_draw_what_they_draw_alone(columns, key):
    """Whole shifts and mirror images are done one by one; with a rotation of nothing between them, as one."""
    one_by_one = data.Augmented(16, (data.Shift(2), data.Flip())).over(columns)(key, 0).x
    as_one = data.Augmented(16, (data.Shift(2), data.Flip(), data.Rotate(0.0))).over(columns)(key, 0).x
    np.testing.assert_allclose(one_by_one, as_one, atol=1e-4)


def test_rows_for_judging_stay_as_they_are(columns, key):
    sampler = data.Augmented(16, OPS)
    judged = sampler.judging().over(columns)(key, 0)
    np.testing.assert_array_equal(judged.x, columns["x"])
    folds = data.Augmented(data.Folds(16, folds=4), OPS)
    held = folds.held_out(columns)(key, 0)
    inner = folds.sampler.held_out(columns)(key, 0)
    np.testing.assert_array_equal(held.x, inner.x)


def test_an_epoch_is_as_long_as_without(columns):
    for inner in (data.Shuffled(16), data.Balanced(16), data.Bootstrap(16), data.Folds(16, folds=3)):
        plain = jax.tree.map(np.asarray, columns)
        sampler = data.Augmented(inner, OPS).prepare(plain)
        assert sampler.per_epoch(columns) == inner.prepare(plain).per_epoch(columns)
        assert sampler.size == inner.size


def test_another_strength_compiles_nothing():
    given = data.load("digits")
    net = nn.Sequential(nn.Flatten(), head=nn.Dense(10))
    fit = functools.partial(sd.fit, net, given, sd.Classify(), sd.Adam(1e-2), epochs=1, progress=False)
    fit(augment=(data.Rotate(10.0), data.Shift((1, 2))))
    before = advance._cache_size()  # pyright: ignore[reportAttributeAccessIssue]
    fit(augment=(data.Rotate(20.0), data.Shift((2, 1))))
    assert advance._cache_size() == before  # pyright: ignore[reportAttributeAccessIssue]


# ---------------------------------------------------------------------- in training


class Brighter(data.Augmentation):
    """Adds a number to every pixel: what a test can see from afar."""

    by: sd.Number = 100.0

    def __call__(self, key, x):
        return x + self.by


def plan(sampler, trains="**"):
    turn = sd.Turn(sd.Classify(metrics=()), sd.SGD(0.0), trains=trains)
    return sd.Plan(sd.Phase(turn, sampler, epochs=1, control=sd.KeepBest()))


def test_a_resting_body_sees_changed_rows():
    """Its outputs are known of unchanged rows only, so they must not be looked up."""
    given = data.load("digits")
    net = nn.Sequential(flat=nn.Flatten(), body=nn.Dense(12, nn.tanh), head=nn.Dense(10))
    start = nn.build(net, jnp.asarray(given.train.x[:2]))
    run = lambda sampler: sd.fit(start, given, plan=plan(sampler, "head/**"), progress=False).history
    told = run(data.Augmented(data.InOrder(16), Brighter(-100.0)))
    moved_data = sd.data.Dataset({**given.train, "x": given.train.x - 100}, given.valid)
    plain = sd.fit(start, moved_data, plan=plan(data.InOrder(16), "head/**"), progress=False).history
    still = run(data.InOrder(16))
    assert told["train/loss"][0] == pytest.approx(plain["train/loss"][0], rel=1e-4)
    assert abs(told["train/loss"][0] - still["train/loss"][0]) > 100 * 1e-4 * still["train/loss"][0]
    assert told["valid/loss"][0] == pytest.approx(still["valid/loss"][0], rel=1e-5)


def test_augment_is_short_for_a_sampler_that_changes_rows():
    given = data.load("digits")
    net = nn.Sequential(nn.Flatten(), head=nn.Dense(10))
    fit = functools.partial(sd.fit, net, given, sd.Classify(), sd.Adam(1e-2), epochs=2, progress=False, seed=3)
    short, long = fit(batch=16, augment=data.Shift(1)), fit(batch=data.Augmented(data.Shuffled(16), data.Shift(1)))
    assert short.network == long.network
    assert short.network != fit(batch=16).network
    assert any("changes them anew each time by Shift(by=1)" in line for line in short.decisions)
    back = sd.from_json(sd.to_json(short.plan))
    assert back == short.plan


def anywhere(images, rng):
    """Digits of 8 x 8 at random places of 12 x 12."""
    wide = np.zeros((len(images), 12, 12), np.float32)
    for to, image, (i, j) in zip(wide, images, rng.integers(0, 5, (len(images), 2)), strict=True):
        to[i : i + 8, j : j + 8] = image
    return wide


def test_shifts_teach_what_two_hundred_rows_do_not(seed, rng):
    """Digits may be anywhere: some 40 in 100 are told without augmentation, 60 with."""
    few = data.load("digits", seed=seed).few(20, seed=seed)
    wide = sd.data.Dataset(*({"x": anywhere(part.x, rng), "y": part.y} for part in few.splits.values()))
    net = nn.Sequential(nn.Flatten(), nn.Scale(1 / 16), hidden=nn.Dense(64, nn.relu), head=nn.Dense(10))
    fit = functools.partial(sd.fit, net, wide, sd.Classify(), sd.Adam(3e-3), epochs=60, progress=False, seed=seed)
    score = lambda run: run.evaluate("test")["accuracy"].value
    assert score(fit(augment=data.Shift(2))) > score(fit()) + 0.05


def test_a_stream_is_changed_too_whatever_its_dispatches(tmp_path):
    given = data.load("digits")
    streamed = sd.data.open_folder(sd.data.write(tmp_path / "digits", given), chunk=300)
    spec = nn.Sequential(nn.Flatten(), head=nn.Dense(10))

    def train(sampler, **options):
        turn = sd.Turn(sd.Classify(), sd.Adam(1e-2))
        prepared = sd.Plan(sd.Phase(turn, sampler, epochs=2)).prepare(dict(streamed.train))
        on_device = sonde.fitting.placed(streamed)
        return execute(sonde.fitting.as_network(spec), prepared, on_device, 7, **options)[0]

    changed = train(data.Augmented(32, (data.Shift(1), data.Noise(1.0))))
    assert changed == train(data.Augmented(32, (data.Shift(1), data.Noise(1.0))), dispatch_seconds=0.0)
    assert changed != train(data.Shuffled(32))
    with pytest.raises(ArgumentError, match="needs every row at hand"):
        train(data.Augmented(data.Balanced(32), data.Shift(1)))


# ---------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: data.Augmented(32, ()), "needs at least one operation"),
        (lambda: data.Augmented(32, data.Shift), r"augmentations are values, not classes: write Shift\(\.\.\.\)"),
        (lambda: data.Augmented(32, (data.Shift(1), "flip")), "an augmentation is a value such as .*; got 'flip'"),
        (lambda: data.Augmented("all", data.Shift(1)), "batch must be a number of rows or a sampler"),
    ],
)
def test_what_is_no_sampler_or_no_operation_is_refused(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


def test_a_column_that_is_not_there_is_named():
    given = data.load("digits")
    with pytest.raises(DataError, match="changes the column 'image', which is not there; there is 'x', 'y'"):
        data.Augmented(32, data.Shift(1), column="image").prepare(dict(given.train))


def test_a_plan_says_itself_what_is_augmented():
    given = data.load("digits")
    with pytest.raises(ArgumentError, match="a plan says itself what is augmented"):
        sd.fit(nn.Dense(10), given, plan=plan(data.Shuffled(8)), augment=data.Noise(0.1))


def test_rows_of_a_table_cannot_be_mirrored_and_fit_says_so():
    given = data.load("iris")
    with pytest.raises((ArgumentError, LayerError, ValueError), match="Flip takes images .* a row is float32"):
        sd.fit(nn.Dense(3), given, sd.Classify(), sd.Adam(), epochs=1, augment=data.Flip(), progress=False)


def test_simulated_sounds_teach_what_one_clean_sound_of_each_kind_does_not(rng, seed):
    steps, periods = np.arange(64), np.array([4, 6, 10])

    def burst(period, onset, loudness=1.0):
        inside = (steps >= onset) & (steps < onset + 24)
        return loudness * np.where(inside, np.sin(2 * np.pi * (steps - onset) / period), 0)

    clean = np.array([burst(period, 20) for period in periods], np.float32)
    heard = rng.integers(0, 3, 400)
    recorded = [burst(periods[y], rng.integers(5, 36), rng.uniform(0.5, 1.5)) for y in heard]
    recorded = (np.array(recorded) + 0.3 * rng.normal(size=(400, 64))).astype(np.float32)
    known = {"x": np.repeat(clean, 100, 0), "y": np.repeat(np.arange(3), 100)}
    sounds = sd.data.Dataset(known, {"x": recorded, "y": heard})
    net = nn.Sequential(hidden=nn.Dense(64, nn.relu), head=nn.Dense(3))

    def told_apart(augment):
        run = sd.fit(
            net, sounds, sd.Classify(), sd.Adam(3e-3), epochs=40, augment=augment, seed=seed, progress=False
        )
        return run.evaluate("valid")["accuracy"].value

    assert told_apart((sd.data.TimeShift(16), sd.data.Amplify(0.5), sd.data.Noise(0.3))) > 0.9
    assert told_apart(()) < 0.75
