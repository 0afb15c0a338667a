"""`bag`: members are the runs alone, together they err less than by themselves, and what they never saw judges them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

import sonde as sd
from sonde import nn
from sonde._errors import ArgumentError
from sonde.train import Outcome

DIGITS = nn.Sequential(pixels=nn.Flatten(), scaled=nn.Scale(1 / 16), hidden=nn.Dense(40, nn.relu), head=nn.Dense(10))
CURVE = nn.Sequential(hidden=nn.Dense(40, nn.tanh), head=nn.Dense(1))
OPTIONS = dict(epochs=25, batch=50, control=sd.Patience(5))


@pytest.fixture(scope="module")
def digits():
    """200 rows to train on."""
    return sd.data.load("digits").few(20)


@pytest.fixture(scope="module")
def bag(digits):
    return sd.bag(DIGITS, digits, sd.Classify(), sd.Adam(0.01), members=5, seed=7, **OPTIONS)


@pytest.fixture(scope="module")
def curve():
    """A noisy sine, of which 60 rows are few for 40 units; no validation rows."""
    rng = np.random.default_rng(1)
    x = rng.uniform(-3, 3, (360, 1)).astype(np.float32)
    y = np.sin(2 * x[:, 0]) + 0.4 * rng.normal(size=360)
    part = lambda at: {"x": x[at], "y": y[at].astype(np.float32)}
    return sd.data.Dataset(part(slice(60)), test=part(slice(60, 360)))


@pytest.fixture(scope="module")
def curves(curve):
    return sd.bag(CURVE, curve, sd.Regress(), sd.Adam(0.02), members=8, epochs=150, batch=20)


def bits(network):
    return {path: np.asarray(value).tobytes() for path, value in {**network.params, **network.state}.items()}


# ---------------------------------------------------------------------- members


@pytest.mark.parametrize("i", [0, 3])
def test_a_member_is_the_run_alone(bag, digits, i):
    options = OPTIONS | {"batch": sd.data.Bootstrap(50, i)}
    alone, member = sd.fit(DIGITS, digits, sd.Classify(), sd.Adam(0.01), seed=7 + i, **options), bag.members[i]
    assert bits(alone.network) == bits(member.network)
    assert alone.history.keys() == member.history.keys()
    for name, values in alone.history.items():
        np.testing.assert_array_equal(values, member.history[name], err_msg=name)
    same = ("outcome", "steps", "per_epoch", "total", "trained")
    assert [getattr(alone.records[0], n) for n in same] == [getattr(member.records[0], n) for n in same]
    assert alone.evaluate("test") == member.evaluate("test") and alone.plan == member.plan


def test_each_member_stops_by_itself_with_its_best_network(bag):
    records = [member.records[0] for member in bag.members]
    assert {r.outcome for r in records} <= {Outcome.STOPPED_EARLY, Outcome.FINISHED}
    assert len({r.steps for r in records}) > 1
    for member, record in zip(bag.members, records, strict=True):
        losses = record.history["valid/loss"]
        assert record.rounds == len(losses) and record.best == losses.argmin()
        assert member.evaluate("valid")["log_loss"].value == pytest.approx(losses[record.best], rel=1e-4)


def test_members_drew_rows_of_their_own_and_began_differently(bag, digits):
    plans = [member.plan.phases[0].batch for member in bag.members]
    assert plans == [sd.data.Bootstrap(50, i) for i in range(5)]
    left = np.stack([plan.left_out(digits.train) for plan in plans])
    assert (left.sum(1) > 40).all() and len({tuple(row) for row in left.tolist()}) == 5
    assert [member.seed for member in bag.members] == [7, 8, 9, 10, 11]


def test_another_sampler_is_that_of_all_and_a_tuple_has_one_for_each(curve):
    short = dict(epochs=2, seed=3)
    alike = sd.bag(CURVE, curve, sd.Regress(), sd.Adam(0.02), members=2, batch=sd.data.Shuffled(20), **short)
    for i, member in enumerate(alike.members):
        alone = sd.fit(CURVE, curve, sd.Regress(), sd.Adam(0.02), epochs=2, batch=20, seed=3 + i)
        assert bits(alone.network) == bits(member.network)
    folds = [sd.data.Folds(20, 3, fold) for fold in range(3)]
    parts = sd.bag(CURVE, curve, sd.Regress(), sd.Adam(0.02), batch=folds, control=sd.KeepBest(), **short)
    assert [member.plan.phases[0].batch for member in parts.members] == folds
    begun = sd.bag(CURVE, curve, sd.Regress(), sd.Adam(0.02), members=2, batch=sd.data.Bootstrap(20, 5), **short)
    assert [member.plan.phases[0].batch.member for member in begun.members] == [5, 6]


def test_members_of_a_plan_are_runs_of_it_whose_bootstraps_are_counted_and_whose_rows_are_augmented(curve):
    turn, noise = sd.Turn(sd.Regress(), sd.SGD(0.02)), sd.data.Noise(0.1)
    phases = lambda i: (
        sd.Phase(turn, sd.data.Bootstrap(20, i), epochs=2, control=sd.KeepBest("train/loss")),
        sd.Phase(turn, sd.data.Augmented(sd.data.Bootstrap(20, i), noise), steps=4),
    )
    both = sd.bag(CURVE, curve, plan=sd.Plan(phases(0)), members=2, seed=3)
    alone, member = sd.fit(CURVE, curve, plan=sd.Plan(phases(1)), seed=4), both.members[1]
    assert bits(alone.network) == bits(member.network) and alone.plan == member.plan
    assert [r.steps for r in member.records] == [r.steps for r in alone.records] == [6, 4]
    assert both.out_of_bag()["rmse"].value > 0  # rows that neither phase drew


def test_augment_is_that_of_a_run(curve):
    noise, short = sd.data.Noise(0.5), dict(epochs=2, seed=3)
    moved = sd.bag(CURVE, curve, sd.Regress(), sd.SGD(0.02), members=2, batch=20, augment=noise, **short)
    drawn = sd.data.Augmented(sd.data.Bootstrap(20, 0), noise)
    alone = sd.fit(CURVE, curve, sd.Regress(), sd.SGD(0.02), batch=drawn, **short)
    assert bits(alone.network) == bits(moved.members[0].network)
    plain = sd.bag(CURVE, curve, sd.Regress(), sd.SGD(0.02), members=2, batch=20, **short)
    assert bits(plain.members[0].network) != bits(alone.network)


def test_a_plan_beside_what_it_says_itself_is_refused_and_so_is_neither(curve):
    plan = sd.Plan(sd.Phase(sd.Turn(sd.Regress(), sd.SGD()), sd.data.Bootstrap(20), epochs=1))
    with pytest.raises(ArgumentError, match="takes a plan, or an objective and an optimizer; got both"):
        sd.bag(CURVE, curve, sd.Regress(), plan=plan)
    with pytest.raises(ArgumentError, match="a plan says itself what is augmented"):
        sd.bag(CURVE, curve, plan=plan, augment=sd.data.Noise(0.1))
    with pytest.raises(ArgumentError, match="bag needs an objective and an optimizer"):
        sd.bag(CURVE, curve, sd.Regress())


def test_all_at_once_is_one_after_the_other_to_rounding(curve):
    short = dict(members=3, epochs=10, batch=20)
    one, other = (sd.bag(CURVE, curve, sd.Regress(), sd.SGD(0.05), how=how, **short) for how in ("map", "vmap"))
    for a, b in zip(one.members, other.members, strict=True):
        for path, value in a.network.params.items():
            np.testing.assert_allclose(b.network.params[path], value, rtol=1e-4, atol=1e-5)


# ---------------------------------------------------------------------- together


def test_the_squared_error_of_all_is_the_mean_of_theirs_less_their_variance(curves, curve):
    """Exact for any members (A. Krogh and J. Vedelsby, 1995), so never more than the mean: Jensen's inequality."""
    said = np.stack([member.artifact.predict(curve.test.x) for member in curves.members]).astype(np.float64)
    error, each = curves.evaluate("test")["rmse"].value ** 2, ((said - curve.test.y) ** 2).mean(1)
    assert error == pytest.approx(each.mean() - said.var(0).mean(), rel=1e-4)
    assert error < 0.95 * each.mean()  # they do differ, so it does gain
    assert [m.evaluate("test")["rmse"].value ** 2 for m in curves.members] == pytest.approx(each, rel=1e-4)


def test_on_digits_all_together_are_better_than_members_are_on_average_and_copies_are_not(bag):
    mean = np.mean([member.evaluate("test")["log_loss"].value for member in bag.members])
    assert bag.evaluate("test")["log_loss"].value < 0.95 * mean
    right = np.mean([member.evaluate("test")["accuracy"].value for member in bag.members])
    assert bag.evaluate("test")["accuracy"].value > right
    copies = sd.Bag([bag.members[0]] * 5)
    alone = bag.members[0].evaluate("test")["log_loss"].value
    assert copies.evaluate("test")["log_loss"].value == pytest.approx(alone, rel=1e-5)


def test_rows_out_of_the_bag_are_judged_by_those_who_never_drew_them(bag, digits):
    x, y = digits.train.x, digits.train.y
    total, votes = np.zeros((200, 10)), np.zeros(200)
    for member in bag.members:
        draw = member.plan.phases[0].batch.over({"row": jnp.arange(200)})
        drawn = {int(row) for u in range(4) for row in draw(jax.random.key(0), u).columns["row"]}
        never = ~np.isin(np.arange(200), list(drawn))
        total += np.where(never[:, None], scipy.special.softmax(member.network.in_batches(x), -1), 0)
        votes += never
    seen = votes > 0
    assert 0.8 < seen.mean() < 1  # with five members (1 - 1/e)^5, a tenth of the rows, were drawn by all
    p = total[seen] / votes[seen, None]
    found = bag.out_of_bag()
    assert found["accuracy"].value == pytest.approx((p.argmax(1) == y[seen]).mean())
    assert found["log_loss"].value == pytest.approx(-np.log(p[np.arange(seen.sum()), y[seen]]).mean(), rel=1e-4)


def test_a_bag_is_one_file_that_predicts_as_it_does(bag, digits, tmp_path):
    back = sd.load(bag.artifact.save(tmp_path / "bag.safetensors"))
    np.testing.assert_array_equal(back.predict(digits.test.x), bag.artifact.predict(digits.test.x))
    p = np.mean([member.artifact.probabilities(digits.test.x) for member in bag.members], 0)
    np.testing.assert_allclose(back.probabilities(digits.test.x), p, rtol=1e-4, atol=1e-6)
    assert back.network.spec == nn.Ensemble(*[DIGITS] * 5)


def test_how_predictions_become_one_follows_from_the_objective(bag, curves, digits):
    assert (bag.combine, curves.combine) == ("probabilities", "mean")
    margins = sd.Classify(loss=sd.objectives.hinge)
    assert sd.bag(DIGITS, digits, margins, sd.Adam(0.01), members=2, epochs=1).combine == "mean"
    assert dataclasses.replace(bag, combine="vote").network.spec.combine == "vote"


def test_runs_of_different_networks_can_be_put_together_by_hand(bag, digits):
    linear = sd.fit(nn.Sequential(nn.Flatten(), head=nn.Dense(10)), digits, sd.Classify(), sd.Adam(0.01), epochs=2)
    both = sd.Bag((bag.members[0], linear))
    assert both.network.spec.layers == (DIGITS, linear.network.spec)
    assert both.evaluate("valid")["accuracy"].value > 0.5


def test_it_says_how_good_all_are_and_how_good_each_is(bag):
    said = str(bag)
    assert said.startswith("5 members, predictions combined by probabilities\n  validation accuracy: ")
    each = [member.evaluate("test")["accuracy"].value for member in bag.members]
    words = f"(members: {100 * min(each):.1f} % to {100 * max(each):.1f} %, mean {100 * np.mean(each):.1f} %)"
    assert f"test accuracy: {bag.evaluate('test')['accuracy']} {words}" in said


# ---------------------------------------------------------------------- mistakes


class Halves(nn.Layer):
    """A layer that predicts by another method."""

    def answer(self, scope, x):
        return scope("dense", nn.Dense(1), x)


def test_what_cannot_be_is_refused(curve, curves, bag):
    fit = lambda **options: sd.bag(CURVE, curve, sd.Regress(), sd.SGD(0.1), **{"epochs": 1} | options)
    with pytest.raises(ArgumentError, match="members must be a whole number of at least 1; got 0"):
        fit(members=0)
    with pytest.raises(ArgumentError, match="no clock is read: leave the TimeBudget out"):
        fit(control=sd.TimeBudget(5.0))
    with pytest.raises(ArgumentError, match="how must be 'map' or 'vmap'; got 'pmap'"):
        fit(how="pmap")
    with pytest.raises(ArgumentError, match="plans of one program may differ in their numbers only"):
        fit(batch=(16, 32))
    with pytest.raises(ArgumentError, match="combine must be one of probabilities, mean, vote; got 'max'"):
        fit(combine="max")
    with pytest.raises(ArgumentError, match="the objective predicts by 'answer'"):
        sd.bag(Halves(), curve, sd.Regress(method="answer"), sd.SGD(0.1), epochs=1)
    with pytest.raises(ArgumentError, match="only of members that drew theirs by data.Bootstrap"):
        fit(members=2, batch=sd.data.Shuffled(20)).out_of_bag()
    with pytest.raises(ArgumentError, match="a bag is made of runs, at least one; got ()"):
        sd.Bag(())
    with pytest.raises(ArgumentError, match="need the same data"):
        sd.Bag((bag.members[0], curves.members[0]))
