"""Controllers judge alike whoever runs the plan, whichever way is better, and whatever counts as a round."""

import functools

import jax.numpy as jnp
import numpy as np
import pytest
from families import Climb, Point

import sonde as sd
from sonde import nn
from sonde._errors import ArgumentError, PathError
from sonde.data import InOrder, Shuffled
from sonde.nn import Network
from sonde.train import Outcome, execute, execute_many

TOLD = "valid/told"
NEVER = 1e9
AT_ONCE = 1e-9
"""Seconds in a dispatch: from 16 steps down to one at a time."""
close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)


def told(script) -> dict:
    """Data whose validation split says, of every step, what the controllers shall hear."""
    script = jnp.asarray(script, jnp.float32)
    rows = {"x": jnp.zeros((12, 1)), "script": jnp.zeros(12)}
    return {"train": rows, "valid": {"x": jnp.zeros((len(script), 1)), "script": script}}


def heard(script, *control, every: int = 1, steps: int = 0) -> tuple[float, sd.train.Record]:
    """The weight handed on, which counts the steps of the network that was kept, and the record."""
    steps = steps or len(script) - 1
    turn = sd.Turn(Climb(), sd.SGD(1.0))
    plan = sd.Plan(sd.Phase(turn, InOrder(4), steps=steps, every=every, control=control))
    network, (record,) = execute(Network(Point()), plan, told(script))
    return float(network.params["w"]), record


# ---------------------------------------------------------------------- patience in steps


class Rounds(Climb):
    """The same with a script of what is heard after every 50 steps."""

    def __call__(self, net, batch):
        step = net.get("step", lambda: jnp.int32(0))
        net.set("step", step + 1)
        return batch.mean(-net(batch.x)), {"told": sd.Mean(batch.script[step // 50], jnp.ones(()))}


def test_evaluated_every_50_steps_stopped_after_2000_without_a_winner_and_the_winner_is_handed_on():
    script = np.full(121, 0.9)
    script[[1, 14, 25, 66]] = 0.8, 0.5, 0.3, 0.3  # the last one is too late
    plan = sd.Plan(
        sd.Phase(sd.Turn(Rounds(), sd.SGD(1.0)), InOrder(4), steps=6000, every=50,
                 control=sd.Patience(steps=2000, watch=TOLD))
    )  # fmt: skip
    network, (record,) = execute(Network(Point()), plan, told(script))
    assert record.outcome == Outcome.STOPPED_EARLY and record.steps == 25 * 50 + 2000
    assert network.params["w"] == 25 * 50 == record.history["step"][record.best]
    assert (np.diff(record.history["step"]) == 50).all()
    script[65] = 0.2  # exactly 2,000 steps later: in time
    network, (record,) = execute(Network(Point()), plan, told(script))
    assert network.params["w"] == 65 * 50 and record.steps == 65 * 50 + 2000


# ---------------------------------------------------------------------- either way may be the better one

MIRRORED = {
    "keep best": lambda best: (sd.KeepBest(TOLD, 0.05, best),),
    "patience": lambda best: (sd.Patience(watch=TOLD, steps=9, least=0.05, best=best),),
    "plateau": lambda best: (sd.KeepBest(TOLD, best=best), sd.Plateau(0.5, 2.0, TOLD, least=0.05, best=best)),
}


@pytest.mark.parametrize("kind", MIRRORED)
def test_the_largest_is_to_a_script_what_the_smallest_is_to_its_negative(kind, rng):
    for _ in range(8):
        script = np.exp(-np.arange(80) / 20) + 0.2 * rng.normal(size=80)
        script = np.where(rng.random(80) < 0.1, np.nan, script)
        smallest, down = heard(script, *MIRRORED[kind]("smallest"))
        largest, up = heard(-script, *MIRRORED[kind]("largest"))
        assert smallest == largest and (down.outcome, down.steps) == (up.outcome, up.steps)
        for name in ("kept", "rate", "step"):
            np.testing.assert_array_equal(down.history[name], up.history[name])
        wrong, _ = heard(-script, *MIRRORED[kind]("smallest"))
        assert wrong != largest


def test_a_target_is_reached_from_either_side():
    rising, falling = np.linspace(0, 1, 101), np.linspace(1, 0, 101)
    for script, best, value, steps in (
        (rising, "largest", 0.305, 31), (falling, "smallest", 0.305, 70), (rising, "", 0.305, 1),
    ):  # fmt: skip
        _, record = heard(script, sd.Target(value, TOLD, best))
        assert (record.outcome, record.steps) == (Outcome.REACHED_TARGET, steps)


@pytest.mark.parametrize(
    ("watch", "largest"),
    [("valid/accuracy", 1), ("valid/critic/top_5_accuracy", 1), ("valid/r2", 1), ("valid/error", 0), ("train/mse", 0),
     ("valid/agreement", 0)],
)  # fmt: skip
def test_the_name_says_which_way_is_better_unless_best_does(watch, largest):
    clock = sd.Clock(jnp.int32(1), 1, 9)
    for best, is_largest in (("", largest), ("largest", 1), ("smallest", 0)):
        keep = sd.KeepBest(watch, best=best)
        memory, _ = keep.observe(keep.init(), {watch: jnp.float32(0.5)}, clock)
        for value, is_larger in ((0.6, 1), (0.4, 0)):
            assert bool(keep.observe(memory, {watch: jnp.float32(value)}, clock)[1].keep) == (is_larger == is_largest)


def test_what_is_neither_largest_nor_smallest_is_refused():
    for make in (sd.KeepBest, sd.Patience, sd.Plateau, lambda best: sd.Target(0.1, best=best)):
        with pytest.raises(ArgumentError, match="best of .* must be 'smallest' or 'largest'.*got 'max'"):
            make(best="max")


def test_watching_what_is_not_there_is_said_of_every_controller():
    for control in (sd.KeepBest("valid/tolt"), sd.Patience(watch="valid/tolt"), sd.Plateau(watch="valid/tolt"),
                    sd.Target(0.1, "valid/tolt")):  # fmt: skip
        with pytest.raises(PathError, match="watches 'valid/tolt', which is not in the report.*'valid/told'"):
            heard(np.zeros(9), control)


# ---------------------------------------------------------------------- plateaus


def test_a_plateau_waits_for_steps_and_ends_at_the_lowest_rate():
    _, record = heard(np.ones(61), sd.Plateau(0.5, watch=TOLD, steps=10, lowest=0.2), steps=60)
    scale = record.history["rate"]  # as it was during the round
    first = {0.5: 12, 0.25: 22, 0.2: 32}  # the first round is better than none
    for rate, step in first.items():
        np.testing.assert_allclose(scale[record.history["step"] == step], rate, rtol=1e-6)
        assert scale[record.history["step"] == step - 1][0] > 1.1 * rate
    np.testing.assert_allclose(scale[-1], 0.2, rtol=1e-6)


def test_what_is_hardly_better_does_not_hold_off_a_plateau():
    script = 1 - 1e-4 * np.arange(40)
    rate = lambda least: heard(script, sd.Plateau(0.5, watch=TOLD, steps=10, least=least))[1].history["rate"][-1]
    assert rate(0.0) == 1 and rate(0.01) == 0.125


# ---------------------------------------------------------------------- every executor



def judges(loss=NEVER, accuracy=0, plateau=NEVER, low=-1.0, high=2.0) -> tuple:
    """Every controller at once; the numbers say whose turn it is, so all of it is one program.

    An accuracy of 200 rows is never 0.8025 nor differs by 0.0325, so rounding decides nothing.
    """
    return (
        sd.KeepBest(least=0.01),
        sd.Patience(loss, watch="valid/loss", least=0.05),
        sd.Patience(NEVER, accuracy, watch="valid/accuracy", least=0.0325),
        sd.Plateau(0.3, plateau, watch="valid/accuracy", least=0.0325),
        sd.Target(low),
        sd.Target(high, watch="valid/accuracy"),
    )


CONTROLS = {
    "keep best": ({}, Outcome.FINISHED),
    "patience": ({"loss": 1.0}, Outcome.STOPPED_EARLY),
    "patience in steps, accuracy": ({"accuracy": 12}, Outcome.STOPPED_EARLY),
    "plateau": ({"plateau": 1.0}, Outcome.FINISHED),
    "target": ({"low": 0.9}, Outcome.REACHED_TARGET),
    "target, accuracy": ({"high": 0.8025}, Outcome.REACHED_TARGET),
}


@pytest.fixture(scope="module")
def digits() -> dict:
    """Ten steps of 32 an epoch; 200 rows for validation."""
    from sklearn.datasets import load_digits

    d = load_digits()
    x, y = (d.data / 16).astype(np.float32), d.target.astype(np.int32)
    part = lambda rows: {"x": jnp.asarray(x[rows]), "y": jnp.asarray(y[rows])}
    return {"train": part(slice(0, 303)), "valid": part(slice(303, 503))}


def test_every_executor_stops_at_the_same_step_with_the_same_network(digits, seed):
    net = Network(nn.Sequential(head=nn.Dense(10)))
    turn = sd.Turn(sd.Classify(metrics=sd.objectives.accuracy), sd.SGD(0.5))
    plans = [
        sd.Plan(sd.Phase(turn, Shuffled(32), epochs=12, every=4, control=judges(**numbers))).prepare(digits["train"])
        for numbers, _ in CONTROLS.values()
    ]
    lanes = {how: execute_many(net, plans, digits, [seed] * len(plans), how) for how in ("map", "vmap")}
    ends = []
    for i, (plan, (name, (_, outcome))) in enumerate(zip(plans, CONTROLS.items(), strict=True)):
        network, (record,) = execute(net, plan, digits, seed, dispatch_seconds=10.0)
        assert record.outcome == outcome, name
        assert (record.history["rate"][-1] < 0.5) == (name == "plateau")
        sliced, (again,) = execute(net, plan, digits, seed, dispatch_seconds=AT_ONCE)
        assert sliced == network and (again.outcome, again.steps) == (record.outcome, record.steps)
        for how, (networks, (progress,)) in lanes.items():
            same = np.testing.assert_array_equal if how == "map" else close
            assert (int(progress.outcome[i]), int(progress.state.step[i])) == (record.outcome, record.steps)
            for key in record.history.keys() - {"epoch"}:
                same(np.asarray(progress.history[key][i])[: record.rounds], record.history[key])
            for path, value in network.params.items():
                same(networks.params[path][i], value)
        ends.append(record.steps)
    assert len(set(ends)) >= 4, "they end alike, so it shows little"
