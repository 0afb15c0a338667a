"""The engine does what a plan says: to the bit in any slicing, exactly in its numbers, safely in how it ends."""

from __future__ import annotations

import functools
import math
import os
import signal
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from families import Climb, Discriminate, Gan, Generate, Point

import sonde as sd
from sonde import nn
from sonde._batch import Batch
from sonde._errors import PathError
from sonde._random import derive, root
from sonde.data import Folds, InOrder, Shuffled
from sonde.nn import Network
from sonde.objectives import cross_entropy
from sonde.optim import Schedule
from sonde.train import Outcome, advice, execute, execute_many
from sonde.train.execute import CAPACITY
from sonde.train.step import ENDLESS, Engine, Vars, advance, grown, start

NEVER = 1e9
AT_ONCE = 1e-9
"""Seconds in a dispatch: from 16 steps down to one at a time."""


# ---------------------------------------------------------------------- one job that most tests share: one compilation


class Jump(Schedule):
    """``first``, and from step ``at`` on ``then``."""

    first: sd.Number
    at: sd.Number = ENDLESS
    then: sd.Number = 1e38

    def __call__(self, clock: sd.Clock) -> Any:
        return jnp.where(clock.step < self.at, self.first, self.then)


@functools.cache
def digits() -> dict:
    """303 rows for training, so ten steps of 32 an epoch, the last of which is short; 200 for validation."""
    from sklearn.datasets import load_digits

    d = load_digits()
    x, y = (d.data / 16).astype(np.float32), d.target.astype(np.int32)
    part = lambda rows: {"x": jnp.asarray(x[rows]), "y": jnp.asarray(y[rows])}
    return {"train": part(slice(0, 303)), "valid": part(slice(303, 503))}


def net(drop: float = 0.2) -> Network:
    return Network(
        nn.Sequential(hidden=nn.Dense(16, nn.relu), norm=nn.BatchNorm(), drop=nn.Dropout(drop), head=nn.Dense(10))
    )


def phase(
    rate: float = 0.01,
    *,
    at: int = ENDLESS,
    then: float = 1e38,
    epochs: int = 8,
    steps: int = 0,
    every: int = 0,
    patience: float = NEVER,
    least: float = 0.0,
    plateau: float = NEVER,
    target: float = -1.0,
    seconds: float = NEVER,
) -> sd.Phase:
    """A classifier under every controller; the arguments are numbers of the plan, so all of them are one program."""
    control = (
        sd.Patience(patience, least=least),
        sd.Plateau(0.5, plateau),
        sd.Target(target),
        sd.TimeBudget(seconds),
    )
    turn = sd.Turn(sd.Classify() + sd.L2(1e-4), sd.Adam(Jump(rate, at, then)))
    return sd.Phase(turn, Shuffled(32), 0 if steps else epochs, steps, every, control)


def job(*args: Any, **options: Any) -> sd.Plan:
    return sd.Plan(phase(*args, **options)).prepare(digits()["train"])


def ends(plan: sd.Plan, seed: int, **options: Any) -> tuple[Network, sd.train.Record]:
    """The network that is handed on, and the record of the only phase."""
    network, (record,) = execute(net(), plan, digits(), seed, **options)
    return network, record


class Walk:
    """A phase taken by hand, in strides: `execute` without its loop."""

    def __init__(self, network: Network, plan: sd.Plan, data: dict, seed: int) -> None:
        built = grown(network, plan, data, seed)
        self.spec, self.phase, self.data = built.spec, plan.phases[0], data
        key = derive(root(seed), 0)
        self.began = Vars(built.params, built.state)
        self.key = key
        self.now = start(self.spec, self.phase, data, self.began, key, CAPACITY)

    def to(self, step: int) -> Any:
        """Onward to a step."""
        self.now = advance(self.spec, self.phase, self.data, self.now, jnp.int32(step))
        return self.now

    def by(self, stride: int) -> Any:
        """Onward to the end, so many steps at a time."""
        while int(self.now.outcome) == Outcome.RUNNING:
            self.to(int(self.now.state.step) + stride)
        return self.now


def rounds(walk: Walk, every: int) -> list[Vars]:
    """The variables at the end of every round, until the phase ends."""
    seen = []
    while int(walk.now.outcome) == Outcome.RUNNING:
        seen.append(walk.to((len(seen) + 1) * every).state.vars)
    return seen


def raw(leaf: Any) -> np.ndarray:
    is_key = isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(leaf) if is_key else leaf)


def same_bits(a: Any, b: Any) -> bool:
    """Whether two trees have one structure and the same bits in every leaf."""
    a, b = jax.tree.flatten(a), jax.tree.flatten(b)
    return a[1] == b[1] and all(raw(i).tobytes() == raw(j).tobytes() for i, j in zip(a[0], b[0], strict=True))


def same_network(network: Network, variables: Vars) -> bool:
    return same_bits((network.params, network.state), tuple(variables))


def finite(network: Network) -> bool:
    return all(bool(jnp.isfinite(v).all()) for v in (*network.params.values(), *network.state.values()))


# ---------------------------------------------------------------------- any slicing, the same bits

STOPS = {"rate": 0.03, "epochs": 60, "patience": 3.0, "least": 0.02, "plateau": 1.0}


def test_steps_slices_and_the_whole_run_agree_to_the_bit_early_stop_and_plateau_included(seed):
    walk = lambda: Walk(net(), job(**STOPS), digits(), seed)
    whole = walk().to(ENDLESS)
    filled = int(whole.filled)
    assert int(whole.outcome) == Outcome.STOPPED_EARLY and 0 < filled < 60
    rates = np.asarray(whole.history["rate"][:filled])
    assert rates[-1] < rates[0], "no plateau in this run, so it shows nothing"
    assert not same_bits(whole.kept, whole.state.vars), "the last network is the best one, so it shows nothing"
    for stride in (1, 7, 38):
        assert same_bits(walk().by(stride), whole), stride
    for seconds in (AT_ONCE, 1e-3, 10.0):
        network, record = ends(job(**STOPS), seed, dispatch_seconds=seconds)
        assert same_network(network, whole.kept)
        assert record.outcome == Outcome.STOPPED_EARLY and record.steps == int(whole.state.step)
        assert all(same_bits(record.history[k], h[:filled]) for k, h in whole.history.items())


def test_another_seed_is_another_run_and_the_same_seed_the_same(seed):
    one, again, other = (ends(job(), s)[0] for s in (seed, seed, seed + 1))
    assert one == again and one != other


def test_nothing_compiles_again_for_another_seed_rate_dropout_length_or_patience(seed):
    def run(drop: float = 0.2, seed: int = seed, **numbers: Any) -> None:
        execute(net(drop), job(**numbers), digits(), seed)

    run()
    before = advance._cache_size(), start._cache_size()
    run(seed=seed + 1)
    run(drop=0.37)
    run(rate=0.002)
    run(epochs=3)
    run(steps=17)
    run(every=3)
    run(patience=2.0, least=0.1, plateau=1.0, target=0.5)
    run(at=12)  # diverges, and is looked into
    run(seconds=50.0)
    assert (advance._cache_size(), start._cache_size()) == before


# ---------------------------------------------------------------------- the arithmetic, against loops written by hand


@pytest.fixture
def rows(rng: np.random.Generator) -> dict:
    """103 rows: ten batches of 10 and one of 3."""
    x = rng.normal(size=(103, 5)).astype(np.float32)
    return {"train": {"x": jnp.asarray(x), "y": jnp.asarray(rng.integers(0, 3, 103).astype(np.int32))}}


@functools.partial(jax.jit, static_argnums=3)
def drawn(sampler: sd.data.Sampler, columns: dict, key: jax.Array, steps: int) -> Batch:
    """The first minibatches of a phase, stacked."""
    return jax.lax.map(lambda u: sampler.over(columns)(key, u), jnp.arange(steps))


def batches(data: dict, seed: int, phase: int, steps: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """The rows that count in the minibatches of 10 that a phase draws, without whatever fills up the last one."""
    key = derive(root(seed), phase)
    columns = {k: v for k, v in data["train"].items() if k != "weight"}
    every = drawn(Shuffled(10), columns, key, 26)
    x, y, real = (np.asarray(v)[:steps] for v in (every.x, every.y, every.weight > 0))
    return [(a[r], b[r]) for a, b, r in zip(x, y, real, strict=True)]


def softmax_gradient(w: np.ndarray, b: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple:
    """Summed cross-entropy of a linear classifier, and the gradient of its mean: x'(p - t) / n."""
    z = x @ w + b
    p = np.exp(z - z.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    error = (p - np.eye(w.shape[1])[y]) / len(y)
    return -np.log(p[np.arange(len(y)), y]).sum(), x.T @ error, error.sum(0)


LINEAR = Network(nn.Sequential(head=nn.Dense(3)))


def two_phases(optimizer: sd.optim.Optimizer, *lengths: tuple[int, int], repeats: int = 1) -> sd.Plan:
    """Phases of so many steps, in rounds of so many."""
    turn, probes = sd.Turn(sd.Classify(), optimizer, repeats=repeats), (sd.GradientNorm(), sd.UpdateRatio())
    return sd.Plan(tuple(sd.Phase(turn, Shuffled(10), steps=n, every=e, probes=probes) for n, e in lengths))


def descend(g, memory, t):
    return g, None


def heavy_ball(g, memory, t):
    v = g if memory is None else 0.9 * memory + g
    return v, v


def adam(g, memory, t):
    m, v = (0, 0) if memory is None else memory
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
    return (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8), (m, v)


@pytest.mark.parametrize(
    ("optimizer", "rule", "repeats"),
    [
        (sd.SGD(0.3), descend, 1),
        (sd.SGD(0.1, momentum=0.9), heavy_ball, 1),
        (sd.Adam(0.02), adam, 1),
        (sd.SGD(0.3), descend, 2),  # a minibatch of its own for every repeat
    ],
    ids=["sgd", "momentum", "adam", "repeats"],
)
def test_two_phases_of_ten_and_thirteen_steps_equal_a_loop_in_numpy(optimizer, rule, repeats, rows, seed):
    plan = two_phases(optimizer, (10, 10), (13, 5), repeats=repeats).prepare(rows["train"])
    begun = grown(LINEAR, plan, rows, seed)
    trained, records = execute(LINEAR, plan, rows, seed)

    p = [np.asarray(begun.params[f"head/{n}"], np.float64) for n in ("kernel", "bias")]
    for i, steps in enumerate((10, 13)):
        memory, losses, counts = [None, None], [], []  # an optimizer begins afresh in every phase
        for t, (x, y) in enumerate(batches(rows, seed, i, steps * repeats), start=1):
            loss, *gradients = softmax_gradient(*p, x.astype(np.float64), y)
            losses.append(loss)
            counts.append(len(y))
            for j, g in enumerate(gradients):
                direction, memory[j] = rule(g, memory[j], t)
                p[j] = p[j] - optimizer.rate * direction
        at = np.arange(0, steps, 5 if i else 10) * repeats  # a round's loss is the mean over all of its rows
        means = np.add.reduceat(losses, at) / np.add.reduceat(counts, at)
        assert records[i].history["train/loss"] == pytest.approx(means.tolist(), rel=1e-5)
    assert 3 in counts  # the short batch was among them
    for name, expected in zip(("kernel", "bias"), p, strict=True):
        np.testing.assert_allclose(trained.params[f"head/{name}"], expected, rtol=1e-4, atol=1e-5)


# ---------------------------------------------------------------------- rows that do not count

NORMED = nn.Sequential(hidden=nn.Dense(6, nn.tanh), norm=nn.BatchNorm(), head=nn.Dense(3))


def plain(steps: int, size: int, rate: float = 0.1) -> sd.Plan:
    return sd.Plan(sd.Phase(sd.Turn(sd.Classify(), sd.SGD(rate)), Shuffled(size), steps=steps, every=steps))


def test_an_epoch_of_103_rows_in_tens_is_the_one_with_a_short_last_batch(rows, seed):
    rows = weighted(rows, np.ones(103))
    plan = plain(11, 10).prepare(rows["train"])
    begun = grown(Network(NORMED), plan, rows, seed)
    trained, (record,) = execute(Network(NORMED), plan, rows, seed)

    def forward(params: dict, x: Any, y: Any) -> tuple:
        h = jnp.tanh(x @ params["hidden/kernel"] + params["hidden/bias"])
        mean, var = h.mean(0), h.var(0)
        h = (h - mean) / jnp.sqrt(var + 1e-5) * params["norm/scale"] + params["norm/offset"]
        each = jax.nn.log_softmax(h @ params["head/kernel"] + params["head/bias"])
        return -each[jnp.arange(len(y)), y].mean(), (mean, var)

    params, mean, var, total = begun.params, np.zeros(6), np.ones(6), 0.0
    with jax.numpy_rank_promotion("allow"):
        step = jax.jit(jax.value_and_grad(forward, has_aux=True))
        for x, y in batches(rows, seed, 0, 11):
            (loss, (m, v)), g = step(params, x, y)
            params = {k: params[k] - 0.1 * g[k] for k in params}
            mean, var, total = 0.9 * mean + 0.1 * m, 0.9 * var + 0.1 * v, total + float(loss) * len(y)
    assert record.history["train/loss"] == pytest.approx([total / 103], rel=1e-5)
    for path, expected in {**params, "norm/mean": mean, "norm/var": var}.items():
        got = {**trained.params, **trained.state}[path]
        np.testing.assert_allclose(got, expected, rtol=2e-4, atol=2e-5, err_msg=path)


def weighted(data: dict, weight: np.ndarray, **changes: Any) -> dict:
    columns = {**data["train"], **changes}
    return {"train": {k: jnp.asarray(v) for k, v in columns.items()} | {"weight": jnp.asarray(weight, jnp.float32)}}


def some(data: dict, chosen: np.ndarray) -> dict:
    return {"train": {k: v[chosen] for k, v in data["train"].items()}}


def full_batch(data: dict, seed: int) -> tuple[Network, float]:
    trained, (record,) = execute(Network(NORMED), plain(10, 1000).prepare(data["train"]), data, seed)
    return trained, record.history["train/loss"][0]


def close(a: tuple[Network, float], b: tuple[Network, float]) -> bool:
    leaves = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.allclose(i, j, rtol=1e-3, atol=1e-4) for i, j in leaves)


def test_rows_of_weight_0_are_not_there_and_may_hold_anything(rows, seed, rng):
    counts = rng.permutation(103) < 70
    x = np.asarray(rows["train"]["x"])
    wild = np.where(counts[:, None], x, np.float32(1e6))
    masked = full_batch(weighted(rows, counts), seed)
    assert same_bits(masked, full_batch(weighted(rows, counts, x=wild), seed))
    left = some(rows, np.flatnonzero(counts))
    assert close(masked, full_batch(weighted(left, np.ones(70)), seed))
    assert not close(masked, full_batch(weighted(rows, np.ones(103)), seed))


def test_a_weight_of_2_is_the_row_twice(rows, seed, rng):
    single = some(rows, np.arange(70))
    twice = rng.permutation(70) < 33
    heavy = full_batch(weighted(single, 1 + twice), seed)
    doubled = some(single, np.concatenate([np.arange(70), np.flatnonzero(twice)]))  # 103 rows
    assert close(heavy, full_batch(weighted(doubled, np.ones(103)), seed))
    assert not close(heavy, full_batch(weighted(single, np.ones(70)), seed))


def test_a_minibatch_in_which_nothing_counts_is_no_divergence_and_leaves_statistics_alone(rows, seed):
    weight = np.zeros(103)
    weight[:2] = 1  # most minibatches of 10 hold no row that counts
    data = weighted(rows, weight)
    trained, (record,) = execute(Network(NORMED), plain(33, 10).prepare(data["train"]), data, seed)
    assert record.outcome == Outcome.FINISHED and finite(trained)
    assert all(bool((v > 0.05).all()) for k, v in trained.state.items() if k.endswith("var") and len(v))
    begun = grown(Network(NORMED), plain(33, 10).prepare(data["train"]), data, seed)
    assert not same_bits(trained.params, begun.params)


# ---------------------------------------------------------------------- how a phase ends, and what it hands on


def by_hand(network: Network, split: str) -> float:
    """Cross-entropy plus penalty of a network at rest, in NumPy."""
    p = {k: np.asarray(v, np.float64) for k, v in (*network.params.items(), *network.state.items())}
    h = np.maximum(np.asarray(digits()[split]["x"]) @ p["hidden/kernel"] + p["hidden/bias"], 0)
    h = (h - p["norm/mean"]) / np.sqrt(p["norm/var"] + 1e-5) * p["norm/scale"] + p["norm/offset"]
    y = np.asarray(digits()[split]["y"])
    loss, *_ = softmax_gradient(p["head/kernel"], p["head/bias"], h, y)
    return loss / len(y) + 0.5e-4 * sum((p[k] ** 2).sum() for k in ("hidden/kernel", "head/kernel"))


HOW = {
    "finished": (Outcome.FINISHED, {"rate": 0.05}),
    "stopped early": (Outcome.STOPPED_EARLY, {"rate": 0.03, "patience": 2.0, "least": 0.05, "epochs": 200}),
    "reached target": (Outcome.REACHED_TARGET, {"target": 1.2, "epochs": 200}),
    "diverged": (Outcome.DIVERGED, {"at": 43, "epochs": 200}),
    "out of time": (Outcome.OUT_OF_TIME, {"every": 4, "seconds": 1e-9}),
}


@pytest.mark.parametrize("how", HOW)
def test_the_best_network_is_handed_on_however_the_phase_ends(how, seed):
    outcome, numbers = HOW[how]
    plan = job(**numbers)
    handed_on, record = ends(plan, seed)
    assert record.outcome == outcome and finite(handed_on)
    losses = record.history["valid/loss"]
    best, level = 0, np.float32(np.inf)
    for i, loss in enumerate(losses):
        if loss < level - np.float32(numbers.get("least", 0)):
            best, level = i, loss
    assert record.best == best and record.at_best("valid/loss") == losses[best]
    every = numbers.get("every", 10)
    assert same_network(handed_on, Walk(net(), plan, digits(), seed).to((best + 1) * every).state.vars)
    assert by_hand(handed_on, "valid") == pytest.approx(losses[best], rel=1e-4)
    if how == "out of time":
        assert record.steps == 16  # judged after the first dispatch
    if how == "diverged":
        assert record.steps == 45 and best < 4  # the 44th update is ruinous, and the step after it shows that
        assert np.isnan(losses[-1]) and not record.history["kept"][-1]
    if how == "reached target":
        assert losses[-1] <= 1.2 < losses[:-1].min(initial=np.inf)


def test_a_run_that_diverges_at_once_hands_on_the_network_it_began_with(seed):
    plan = job(at=0)
    handed_on, record = ends(plan, seed)
    assert record.outcome == Outcome.DIVERGED and record.steps == 2 and record.best is None
    assert same_network(handed_on, Walk(net(), plan, digits(), seed).began)
    assert "the network it began with" in advice(record)


def test_divergence_says_at_which_step_and_where(seed):
    for seconds in (AT_ONCE, 10.0):
        _, record = ends(job(at=23), seed, dispatch_seconds=seconds)
        assert record.outcome == Outcome.DIVERGED and record.steps - 1 == 24
        assert record.blame == "first in the output of hidden"
        assert "step 24" in advice(record) and record.blame in advice(record)


class Kink(sd.Objective):
    """A loss that is finite where its gradient is not: |w - w| as a root of a square."""

    def __call__(self, net: Any, batch: Batch) -> Any:
        w = net(batch.x)
        return batch.mean(jnp.sqrt((w - w) ** 2) + w)


class Cliff(sd.Objective):
    """Goes up to 3.5 and over the edge."""

    def __call__(self, net: Any, batch: Batch) -> Any:
        w = net(batch.x)
        return {"up": batch.mean(-w), "edge": batch.mean(0.001 * jnp.log(3.5 - w))}


@pytest.mark.parametrize("seconds", [AT_ONCE, 10.0])
@pytest.mark.parametrize(
    ("objective", "every", "bad", "blame"),
    [
        (Kink(), 1, 0, "first in the update of w"),
        (Kink(), 9, 1, "first in the update of w, a step before"),
        (Cliff(), 9, 4, "first in the loss 'edge'"),
    ],
)
def test_divergence_in_an_update_or_in_a_part_of_a_loss_is_found_too(objective, every, bad, blame, seconds):
    data = {"train": {"x": jnp.zeros((4, 1))}}
    plan = sd.Plan(sd.Phase(sd.Turn(objective, sd.SGD(1.0)), InOrder(4), steps=bad + 1, every=every))
    network, (record,) = execute(Network(Point()), plan, data, dispatch_seconds=seconds)
    assert record.outcome == Outcome.DIVERGED  # though it is the last step, and though the weight may be finite
    assert (record.steps - 1, record.rounds, record.blame) == (bad, 1, blame)
    assert network.params["w"] == 0  # as it began


def test_statistics_that_are_no_longer_finite_are_a_divergence_too(rng):
    for size, outcome in ((1.0, Outcome.FINISHED), (1e21, Outcome.DIVERGED)):  # whose square no float32 holds
        x = size * rng.normal(size=(8, 3)).astype(np.float32)
        data = {"train": {"x": jnp.asarray(x), "y": jnp.arange(8) % 2}}
        phase = sd.Phase(sd.Turn(sd.Classify(), sd.SGD(0.1)), InOrder(4), epochs=3)
        spec = nn.Sequential(norm=nn.BatchNorm(), head=nn.Dense(2))
        network, (record,) = execute(Network(spec), sd.Plan(phase).prepare(data["train"]), data)
        assert record.outcome == outcome and finite(network)
    assert record.blame == "first in the state norm/var" and np.isfinite(record.history["train/loss"]).all()


def test_no_later_phase_runs_after_a_diverged_one(seed):
    prepare = lambda *phases: sd.Plan(phases).prepare(digits()["train"])
    whole, records = execute(net(), prepare(phase(at=23), phase()), digits(), seed)
    assert [r.outcome for r in records] == [Outcome.DIVERGED]
    alone, _ = execute(net(), prepare(phase(at=23)), digits(), seed)
    assert whole == alone
    _, records = execute(net(), prepare(phase(), phase()), digits(), seed)
    assert [r.outcome for r in records] == [Outcome.FINISHED] * 2


def test_an_interrupt_ends_the_run_and_keeps_the_best_network(seed):
    usual = signal.getsignal(signal.SIGINT)
    told = []

    def observer(dispatch: Any) -> None:
        told.append(dispatch)
        if dispatch.step >= 40 > told[-2].step:
            os.kill(os.getpid(), signal.SIGINT)

    plan = sd.Plan((phase(0.1, epochs=200, every=4), phase())).prepare(digits()["train"])
    handed_on, records = execute(net(), plan, digits(), seed, observer=observer, dispatch_seconds=AT_ONCE)
    (record,) = records
    assert record.outcome == Outcome.INTERRUPTED == told[-1].outcome and 40 <= record.steps < 100
    assert [d.step for d in told] == sorted({d.step for d in told}) and told[-1].step == record.steps
    best = int(np.argmin(record.history["valid/loss"]))
    walk = Walk(net(), sd.Plan(plan.phases[0]), digits(), seed)
    assert same_network(handed_on, walk.to((best + 1) * 4).state.vars)
    assert signal.getsignal(signal.SIGINT) is usual


# ---------------------------------------------------------------------- controllers, against plain Python

SCRIPT = 200
"""Steps that a script tells of."""


def told(script: Any) -> dict:
    """Data whose validation split says, of every step, what its controllers shall hear."""
    rows = {"x": jnp.zeros((12, 1)), "script": jnp.zeros(12)}
    return {"train": rows, "valid": {"x": jnp.zeros((SCRIPT, 1)), "script": jnp.asarray(script, jnp.float32)}}


def climb(rate: Any, every: Any, patience: sd.Patience, plateau: sd.Plateau, target: float) -> sd.Plan:
    control = (patience, plateau, sd.Target(target, watch="valid/told"))
    return sd.Plan(sd.Phase(sd.Turn(Climb(), sd.SGD(rate)), InOrder(4), steps=120, every=every, control=control))


def reference(script: np.ndarray, plan: sd.Plan) -> dict:
    """What the three controllers of `climb` should do, in plain Python and float32."""
    (p,) = plan.phases
    patience, plateau, target = p.control
    per_epoch, one = 3, np.float32
    allowed = patience.steps or patience.epochs * per_epoch
    best, best_step, level, since, scale = one(np.inf), 0, one(np.inf), 0, one(1)
    w, kept_w, step, out = one(0), one(0), 0, {"kept": [], "rate": [], "step": []}
    while True:
        for _ in range(min(p.every, 120 - step)):
            w, step = one(w + scale * one(p.turns[0].optimizer.rate)), step + 1
        heard = one(script[step])
        out["rate"].append(scale * one(p.turns[0].optimizer.rate))
        if keep := bool(heard < one(best - one(patience.least))):
            best, best_step, kept_w = heard, step, w
        out["kept"].append(keep)
        out["step"].append(step)
        if heard < level:
            level, since = heard, step
        if step - since >= plateau.epochs * per_epoch - 0.5:
            scale, since = one(scale * one(plateau.factor)), step
        if step - best_step >= allowed - 0.5:
            return out | {"outcome": Outcome.STOPPED_EARLY, "w": kept_w}
        if heard <= one(target.value):
            return out | {"outcome": Outcome.REACHED_TARGET, "w": kept_w}
        if step >= 120:
            return out | {"outcome": Outcome.FINISHED, "w": kept_w}


def test_controllers_do_in_every_slicing_what_plain_python_does_with_random_losses(rng):
    seen = []
    for trial in range(40):
        noise = rng.normal(size=SCRIPT) * rng.choice([0.03, 0.3])
        script = (np.exp(-np.arange(SCRIPT) / rng.uniform(5, 60)) + noise).round(rng.integers(1, 6))
        script = np.where(rng.random(SCRIPT) < rng.choice([0, 0.2]), np.nan, script).astype(np.float32)
        script[rng.random(SCRIPT) < 0.05] = np.inf
        by_steps = rng.random() < 0.5
        watch = "valid/told"
        epochs, goal = float(rng.integers(1, 12)), rng.choice([-0.2, -50.0])
        if trial < 4:  # so that every way to end occurs
            epochs, by_steps, goal = NEVER, False, (0.3, -50.0)[trial % 2]
        patience = sd.Patience(epochs, int(rng.integers(4, 40)) * by_steps, watch, rng.choice([0.0, 0.05]))
        plateau = sd.Plateau(rng.choice([0.5, 0.3]), float(rng.integers(1, 8)), watch)
        plan = climb(0.7, int(rng.choice([1, 2, 3, 5, 7])), patience, plateau, goal)
        expected = reference(script, plan)
        seconds = AT_ONCE if trial % 4 == 0 else 10.0
        network, (record,) = execute(Network(Point()), plan, told(script), dispatch_seconds=seconds)
        assert record.outcome == expected["outcome"]
        for name in ("step", "kept"):
            assert record.history[name].tolist() == expected[name], name
        np.testing.assert_allclose(record.history["rate"], expected["rate"], rtol=1e-6)
        np.testing.assert_allclose(network.params["w"], expected["w"], rtol=1e-5)
        assert np.isfinite(record.history["valid/told"][record.history["kept"]]).all()
        seen.append((record.outcome, len(set(expected["rate"])) > 1))
    assert {o for o, _ in seen} == {Outcome.STOPPED_EARLY, Outcome.REACHED_TARGET, Outcome.FINISHED}
    assert any(dropped for _, dropped in seen)


def test_patience_waits_for_epochs_or_for_steps_however_long_a_round_is():
    script = np.concatenate([np.linspace(1, 0, 31), np.ones(SCRIPT - 31)])  # gets better until step 30
    patient = lambda every, **wait: climb(
        0.1, every, sd.Patience(watch="valid/told", **wait), sd.Plateau(0.5, NEVER, "valid/told"), -1.0
    )
    for every in (1, 2, 5):
        for wait, until in (({"epochs": 10.0}, 60), ({"steps": 50}, 80), ({"epochs": 30.0}, 120)):
            _, (record,) = execute(Network(Point()), patient(every, **{"epochs": 5.0, **wait}), told(script))
            assert (record.outcome, record.steps) == (Outcome.STOPPED_EARLY, until)


def test_a_controller_that_keeps_the_best_does_not_end_the_phase(rng):
    script = rng.normal(size=SCRIPT)
    plan = sd.Plan(
        sd.Phase(sd.Turn(Climb(), sd.SGD(1.0)), InOrder(4), steps=90, every=3, control=sd.KeepBest("valid/told"))
    )
    network, (record,) = execute(Network(Point()), plan, told(script))
    heard = script[3:91:3].astype(np.float32)
    assert record.outcome == Outcome.FINISHED and record.best == heard.argmin()
    assert network.params["w"] == 3 * (heard.argmin() + 1)


def test_watching_what_is_not_there_names_what_there_is():
    watching = lambda watch: job().replace(phases=(phase().replace(control=(sd.Target(0.1, watch=watch),)),))
    with pytest.raises(PathError, match="'valid/eror'.*'valid/error'"):
        execute(net(), watching("valid/eror"), digits())
    with pytest.raises(PathError, match="'valid/error'.*validation split.*'train/error'"):
        execute(net(), watching("valid/error"), {"train": digits()["train"]})


# ---------------------------------------------------------------------- rates and histories


def test_the_engine_owns_the_rate_so_repeats_do_not_hasten_a_schedule():
    rate = sd.Exponential(0.5, factor=0.5, steps=4.0)
    plan = sd.Plan(sd.Phase(sd.Turn(Climb(), sd.SGD(rate), repeats=3), InOrder(4), steps=12, every=2))
    network, (record,) = execute(Network(Point()), plan, {"train": told(np.zeros(SCRIPT))["train"]})
    at = lambda step: 0.5 * 0.5 ** (np.asarray(step) / 4)
    assert record.steps == 12 and record.history["step"].tolist() == [2, 4, 6, 8, 10, 12]
    np.testing.assert_allclose(record.history["rate"], at(record.history["step"]), rtol=1e-6)
    assert float(network.params["w"]) == pytest.approx(3 * at(np.arange(12)).sum(), rel=1e-5)
    assert record.per_epoch == 1  # three minibatches a step


def test_more_rounds_than_the_buffer_holds_come_out_whole(seed):
    _, record = ends(job(steps=2 * CAPACITY + 101, every=1), seed)
    assert record.rounds == 2 * CAPACITY + 101 > CAPACITY
    assert record.history["step"].tolist() == list(range(1, record.rounds + 1))
    assert {len(v) for v in record.history.values()} == {record.rounds}
    np.testing.assert_allclose(record.history["epoch"], record.history["step"] / 10)
    assert record.history["train/loss"][-50:].mean() < record.history["train/loss"][:50].mean()


def test_a_round_is_an_epoch_unless_said_and_the_last_one_may_be_short(seed):
    assert ends(job(epochs=3), seed)[1].history["step"].tolist() == [10, 20, 30]
    assert ends(job(steps=17, every=6), seed)[1].history["step"].tolist() == [6, 12, 17]
    assert not any(name.startswith("probe/") for name in ends(job(epochs=3), seed)[1].history)


def test_the_gradient_norm_is_that_of_the_state_and_the_minibatch_that_follow(rows, seed):
    plan = two_phases(sd.SGD(0.2), (12, 3), (1, 1))
    walk = Walk(LINEAR, plan.prepare(rows["train"]), rows, seed)
    states = rounds(walk, 3)
    following = batches(rows, seed, 0, 13)
    for i, variables in enumerate(states):
        p = [np.asarray(variables.params[f"head/{n}"], np.float64) for n in ("kernel", "bias")]
        x, y = following[3 * (i + 1)]
        _, gw, gb = softmax_gradient(*p, x.astype(np.float64), y)
        history = {k: float(v[i]) for k, v in walk.now.history.items()}
        assert history["probe/gradient_norm"] == pytest.approx(math.hypot(*gw.ravel(), *gb), rel=1e-4)
        ratio = 0.2 * np.linalg.norm(gw) / np.linalg.norm(p[0])
        assert history["probe/update_ratio/head/kernel"] == pytest.approx(ratio, rel=1e-4)


# ---------------------------------------------------------------------- what works and what rests


class Twice(sd.Objective):
    """Classification, and how far apart the body's features are when it is called twice."""

    def __call__(self, net: Any, batch: Batch) -> Any:
        head, one = net.at("head", batch.x)
        _, two = net.at("head", batch.x)
        return batch.mean(cross_entropy(head(one), batch.y)), {"apart": batch.mean(abs(one - two).max(-1))}


def bodied() -> nn.Sequential:
    body = nn.Sequential(hidden=nn.Dense(12, nn.relu), norm=nn.BatchNorm(), drop=nn.Dropout(0.5))
    return nn.Sequential(body=body, head=nn.Dense(10))


def training(trains: str | tuple, objective: sd.Objective | None = None) -> sd.Plan:
    objective = (objective or Twice()) + sd.L2(0.1)
    plan = sd.Plan(sd.Phase(sd.Turn(objective, sd.SGD(0.01), trains), InOrder(32), epochs=2))
    return plan.prepare(digits()["train"])


def test_a_resting_body_gives_the_same_features_twice_and_does_not_move(seed):
    begun = grown(Network(bodied()), training("head/**"), digits(), seed)
    trained, (record,) = execute(begun, training("head/**"), digits(), seed, look_up=False)
    assert (record.history["train/apart"] == 0).all()
    moved = {k for k in begun.params if not same_bits(begun.params[k], trained.params[k])}
    assert moved == {"head/kernel", "head/bias"}  # though L2 pulls at every kernel
    assert same_bits(begun.state, trained.state)
    trained, (record,) = execute(begun, training("**"), digits(), seed)
    assert (record.history["train/apart"] > 0.1).all()  # dropout that works
    assert (record.history["valid/apart"] == 0).all()  # and at inference does not
    assert all(not same_bits(v, trained.params[k]) for k, v in begun.params.items())
    assert all(not same_bits(v, trained.state[k]) for k, v in begun.state.items())


def test_only_what_trains_has_optimizer_state(seed):
    kernels = {"body/hidden/kernel", "head/kernel"}
    for trains, names in (("head/**", {"head/kernel", "head/bias"}), ("**/kernel", kernels)):
        turn = sd.Turn(sd.Classify(), sd.Adam(), trains)
        plan = sd.Plan(sd.Phase(turn, Shuffled(32), epochs=2)).prepare(digits()["train"])
        built = grown(Network(bodied()), plan, digits(), seed)
        variables = Vars(built.params, built.state)
        engine = Engine(built.spec, plan.phases[0], digits(), variables)
        progress = jax.eval_shape(lambda key, e=engine, v=variables: e.start(v, key, 1), jax.random.key(0))
        (moments, *_) = jax.tree.leaves(progress.state.opt, is_leaf=lambda leaf: hasattr(leaf, "mu"))
        assert set(moments.mu) == set(moments.nu) == names


def test_training_what_the_objective_does_not_use_is_an_error_that_lists_what_it_uses():
    for trains in ("tail/**", ("head/**", "tail/**")):
        with pytest.raises(PathError) as caught:
            execute(Network(bodied()), training(trains), digits())
        for said in ("tail/**", "'body/hidden/kernel'", "'body/norm/scale'", "'head/bias'"):
            assert said in str(caught.value)
        assert not getattr(caught.value, "__notes__", [])  # nothing of JAX


# ---------------------------------------------------------------------- several turns


class Says(sd.Objective):
    """What the critic says of data, whatever else is going on; for a turn of either side."""

    def __call__(self, net: Any, batch: Batch) -> Any:
        said = net.judge(batch.x)
        return {"said": batch.mean(said**2), "drawn": batch.mean(net.sample(len(batch))[:, 0])}


def gan(drop: float) -> Gan:
    critic = nn.Sequential(hidden=nn.Dense(8, nn.relu), norm=nn.BatchNorm(), drop=nn.Dropout(drop), out=nn.Dense(1))
    return Gan(nn.Sequential(hidden=nn.Dense(8, nn.relu), out=nn.Dense(2)), critic)


def opponents(critic: sd.Objective, generator: sd.Objective, rate: float) -> sd.Plan:
    turn = lambda objective, name: sd.Turn(objective, sd.SGD(rate), f"{name}/**", name=name)
    return sd.Plan(sd.Phase((turn(critic, "critic"), turn(generator, "generator")), Shuffled(64), steps=6, every=2))


@pytest.fixture
def points(rng: np.random.Generator) -> dict:
    """64 points in the plane, so that every minibatch is all of them; and the same for validation."""
    columns = {"x": jnp.asarray(rng.normal(size=(64, 2)).astype(np.float32) + 3)}
    return {"train": columns, "valid": columns}


def test_a_critic_judges_alike_in_its_own_turn_and_as_the_opponent_and_learns_statistics_once(points, seed):
    plan = opponents(Says(), Says(), 0.0)  # nothing moves, so both turns see the same critic
    trained, (record,) = execute(Network(gan(0.0)), plan, points, seed)
    h = record.history
    assert same_bits(h["train/critic/said"], h["train/generator/said"])
    assert same_bits(h["valid/critic/said"], h["valid/generator/said"])
    assert not np.allclose(h["train/critic/said"], h["valid/critic/said"], rtol=1e-3)
    critic = {k: np.asarray(v, np.float64) for k, v in trained.weights("critic/hidden/*").items()}
    hidden = np.asarray(points["train"]["x"]) @ critic["critic/hidden/kernel"] + critic["critic/hidden/bias"]
    mean = (1 - 0.9**6) * np.maximum(hidden, 0).mean(0)  # six steps, six updates: none as the opponent
    np.testing.assert_allclose(trained.state["critic/norm/mean"], mean, rtol=1e-4, atol=1e-6)


def test_every_turn_and_step_draws_anew_but_validation_draws_the_same_in_every_round(points, seed):
    _, (record,) = execute(Network(gan(0.0)), opponents(Says(), Says(), 0.0), points, seed)
    for split, different in (("train", 2 * 3), ("valid", 1)):
        said = [record.history[f"{split}/{name}/drawn"].tolist() for name in ("critic", "generator")]
        assert len(set(said[0] + said[1])) == different


def test_with_the_same_draws_a_critic_with_dropout_has_the_same_bits_in_both_turns(points, seed):
    plan = opponents(Discriminate(), Generate(), 0.1)
    built = grown(Network(gan(0.5)), plan, points, seed)
    variables = Vars(built.params, built.state)
    engine = Engine(built.spec, plan.phases[0], points, variables)
    batch = engine.draw(jax.random.key(seed), jnp.int32(0))

    @functools.partial(jax.jit, static_argnums=(0, 1))
    def judged(turn: int, train: bool) -> tuple:
        bound, rows = engine._net(turn, variables, batch, jax.random.key(seed), train)
        said = bound.judge(rows.x)
        return said, bound.outputs("critic/drop")["critic/drop"], bound._frame.state["critic/norm/mean"]

    own, opponent, resting = judged(0, True), judged(1, True), judged(0, False)
    assert same_bits(own[:2], opponent[:2]) and not np.allclose(own[0], resting[0])
    assert 0.25 < float((own[1] == 0).mean()) and not same_bits(own[1], resting[1])
    before = built.state["critic/norm/mean"]
    assert not same_bits(own[2], before) and same_bits(opponent[2], before) and same_bits(resting[2], before)


def test_several_turns_are_named_in_reports_and_move_only_what_is_theirs(points, seed):
    _, (record,) = execute(Network(gan(0.5)), opponents(Discriminate(), Generate(), 0.1), points, seed)
    names = ("critic/real", "critic/fake", "critic/loss", "generator/loss")
    expected = {f"{split}/{name}" for split in ("train", "valid") for name in names}
    assert set(record.history) == expected | {"step", "epoch", "kept", "rate/critic", "rate/generator"}
    h = record.history
    np.testing.assert_allclose(h["train/critic/loss"], h["train/critic/real"] + h["train/critic/fake"], rtol=1e-5)
    begun = grown(Network(gan(0.5)), opponents(Discriminate(), Generate(), 0.1), points, seed)
    still = opponents(Discriminate(), Generate(), 0.1)
    turns = still.phases[0].turns
    for i, name in enumerate(("critic", "generator")):
        only = sd.Plan(still.phases[0].replace(turns=tuple(
            t if j == i else t.replace(optimizer=sd.SGD(0.0)) for j, t in enumerate(turns)
        )))  # fmt: skip
        trained, _ = execute(begun, only, points, seed)
        moved = {k for k in begun.params if not same_bits(begun.params[k], trained.params[k])}
        assert moved == {k for k in begun.params if k.startswith(name)}


# ---------------------------------------------------------------------- many runs as one program


def lane(tree: Any, i: int) -> Any:
    return jax.tree.map(lambda a: a[i], tree)


def test_lanes_by_map_have_the_bits_of_the_run_alone_each_with_its_own_end(seed):
    numbers = [
        {"rate": 0.03, "patience": 2.0, "least": 0.05},
        {"rate": 0.01},
        {"rate": 0.01, "at": 23},
        {"rate": 0.01, "target": 1.2, "epochs": 20},
    ]
    seeds = [seed, seed + 1, seed, seed + 2]
    plans = [job(**{"epochs": 12} | n) for n in numbers]
    networks, (progress,) = execute_many(net(), plans, digits(), seeds)
    outcomes = [Outcome(int(o)) for o in progress.outcome]
    assert outcomes == [Outcome.STOPPED_EARLY, Outcome.FINISHED, Outcome.DIVERGED, Outcome.REACHED_TARGET]
    for i, plan in enumerate(plans):
        alone, record = ends(plan, seeds[i])
        assert record.outcome == outcomes[i] and record.steps == int(progress.state.step[i])
        assert same_network(alone, Vars(*lane((networks.params, networks.state), i)))
        for name, values in lane(progress.history, i).items():
            assert same_bits(np.asarray(values)[: record.rounds], record.history[name]), name


def test_lanes_by_vmap_equal_the_run_alone_to_rounding_each_with_its_own_end(rows, seed):
    rates = np.asarray([0.01, 0.1, 0.5, 3e38], np.float32)

    def plan(rate: Any) -> sd.Plan:
        turn, control = sd.Turn(sd.Classify(), sd.SGD(rate)), (sd.Patience(2.0, watch="train/loss", least=0.01),)
        return sd.Plan(sd.Phase(turn, InOrder(10), epochs=6, control=control)).prepare(rows["train"])

    networks, (progress,) = execute_many(LINEAR, [plan(float(r)) for r in rates], rows, [seed] * 4, how="vmap")
    assert Outcome(int(progress.outcome[3])) == Outcome.DIVERGED and len(set(progress.state.step.tolist())) > 1
    for i, rate in enumerate(rates):
        alone, (record,) = execute(LINEAR, plan(float(rate)), rows, seed)
        assert (record.outcome, record.steps) == (int(progress.outcome[i]), int(progress.state.step[i]))
        for k, v in alone.params.items():
            np.testing.assert_allclose(networks.params[k][i], v, rtol=1e-4, atol=1e-5)


@jax.jit
def held_out(fold: Any, columns: dict) -> Batch:
    return Folds(9, 5, fold).held_out(columns)(jax.random.key(0), 0)


def test_the_folds_of_a_cross_validation_are_lanes_and_each_is_the_run_alone(rows, seed):
    def plan(fold: Any) -> sd.Plan:  # in batches of 9 a minibatch may be a single row that fills up
        turn = sd.Turn(sd.Classify(), sd.SGD(0.1))
        return sd.Plan(sd.Phase(turn, Folds(9, 5, fold), epochs=6, control=(sd.KeepBest(),))).prepare(rows["train"])

    networks, (progress,) = execute_many(LINEAR, [plan(fold) for fold in range(5)], rows, [seed] * 5)
    assert (np.asarray(progress.outcome) == Outcome.FINISHED).all()
    held = [held_out(i, rows["train"]) for i in range(5)]
    for i in range(5):
        alone, (record,) = execute(LINEAR, plan(i), rows, seed)
        assert same_network(alone, Vars(*lane((networks.params, networks.state), i)))
        p = [np.asarray(networks.params[f"head/{n}"][i], np.float64) for n in ("kernel", "bias")]
        real = np.asarray(held[i].weight) > 0
        loss, *_ = softmax_gradient(*p, np.asarray(held[i].x, np.float64)[real], np.asarray(held[i].y)[real])
        assert record.at_best("valid/loss") == pytest.approx(loss / real.sum(), rel=1e-4)
    assert len({np.asarray(networks.params["head/kernel"][i]).tobytes() for i in range(5)}) == 5


def test_lanes_may_differ_in_length_and_a_diverged_one_goes_no_further(seed):
    data = told(np.zeros(SCRIPT))
    turn = lambda rate: sd.Turn(Climb(), sd.SGD(rate))
    lasting = lambda rate, epochs: sd.Phase(turn(rate), InOrder(4), epochs=epochs)
    lanes = [(1.0, 2), (3e38, 3), (1.0, 5)]
    plans = [sd.Plan((lasting(rate, epochs), lasting(1.0, 1))) for rate, epochs in lanes]
    networks, (first, second) = execute_many(Network(Point()), plans, data, [seed] * 3)
    assert first.outcome.tolist() == [Outcome.FINISHED, Outcome.DIVERGED, Outcome.FINISHED]
    assert first.state.step.tolist()[::2] == [6, 15]
    assert second.outcome.tolist() == [Outcome.FINISHED, Outcome.DIVERGED, Outcome.FINISHED]
    assert second.state.step.tolist() == [3, 0, 3]
    assert networks.params["w"].tolist() == [9.0, 0.0, 18.0]


# ---------------------------------------------------------------------- rows are an argument


def blobs(n: int, rng: np.random.Generator) -> sd.data.Dataset:
    x = rng.normal(size=(n, 5)).astype(np.float32)
    y = (x.sum(1) > 0).astype(np.int32)
    held = n // 5
    return sd.data.Dataset(train={"x": x[held:], "y": y[held:]}, valid={"x": x[:held], "y": y[:held]})


def test_a_fit_of_another_number_of_rows_compiles_nothing_and_is_the_run_on_its_rows_alone(rng, seed):
    plan = sd.Plan(sd.Phase(sd.Turn(sd.Classify(), sd.Adam(0.02)), Shuffled(16), epochs=3, control=sd.KeepBest()))
    sd.fit(LINEAR, blobs(121, rng), plan=plan, seed=seed, progress=False)  # 97 rows to train on
    before, data = (advance._cache_size(), start._cache_size()), blobs(137, rng)  # 110
    run = sd.fit(LINEAR, data, plan=plan, seed=seed, progress=False)
    assert (advance._cache_size(), start._cache_size()) == before
    columns = {split: {k: jnp.asarray(v) for k, v in data.splits[split].items()} for split in ("train", "valid")}
    network, (alone,) = execute(LINEAR, plan.prepare(columns["train"]), columns, seed)
    (record,) = run.records
    assert (record.per_epoch, record.steps, record.total) == (7, 21, 21)
    assert (alone.per_epoch, alone.steps, alone.total) == (7, 21, 21)
    assert advance._cache_size() == before[0] + 1, "the columns alone are no other program, so it shows nothing"
    for name, values in alone.history.items():
        np.testing.assert_allclose(record.history[name], values, rtol=1e-6, err_msg=name)
    for path, values in network.params.items():
        np.testing.assert_allclose(run.network.params[path], values, rtol=1e-5, atol=1e-6, err_msg=path)
