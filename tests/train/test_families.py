"""Every family is an ordinary plan: each reaches what a broken method misses, and a broken one is shown to miss it."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from families import (
    R1,
    RBM,
    Coder,
    ContrastiveDivergence,
    Denoise,
    Discriminate,
    Fool,
    Gan,
    Generate,
    MixedUp,
    Same,
    Siamese,
    Wasserstein,
)

import sonde as sd
from sonde import nn
from sonde._random import derive, root
from sonde.data import InOrder, Pairs, Shuffled
from sonde.nn import Network
from sonde.train import Outcome, execute
from sonde.train.execute import _looked_up
from sonde.train.step import Vars, grown, known


def run(spec: Any, plan: sd.Plan, data: dict, seed: int, **options: Any) -> tuple[Network, list]:
    """Everything of a plan, from a spec or a network."""
    network = spec if isinstance(spec, Network) else Network(spec)
    return execute(network, plan.prepare(data["train"]), data, seed, **options)


@functools.cache
def digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    d = load_digits()
    return (d.data / 16).astype(np.float32), d.target.astype(np.int32)


def split(rng: np.random.Generator, *sizes: int) -> list[dict]:
    """Disjoint random rows of the digits."""
    x, y = digits()
    order, ends = rng.permutation(len(x)), np.cumsum(sizes)
    parts = np.split(order[: ends[-1]], ends[:-1])
    return [{"x": jnp.asarray(x[p]), "y": jnp.asarray(y[p])} for p in parts]


# ---------------------------------------------------------------------- rates by plateau


def test_a_plateau_driven_rate_gets_to_the_least_squares_where_a_constant_one_only_circles_it(rng, seed):
    x, w = rng.normal(size=(1000, 8)), rng.normal(size=8)
    y = x @ w + rng.normal(size=1000)
    data = {"train": {"x": jnp.asarray(x, jnp.float32), "y": jnp.asarray(y, jnp.float32)}}
    ones = np.c_[x, np.ones(1000)]
    least = ((y - ones @ np.linalg.lstsq(ones, y, rcond=None)[0]) ** 2).mean()

    def excess(factor: float) -> float:
        control = (sd.Plateau(factor, 2, watch="train/loss"),)
        phase = sd.Phase(sd.Turn(sd.Regress(), sd.SGD(0.1)), Shuffled(8), epochs=40, control=control)
        network, (record,) = run(nn.Sequential(head=nn.Dense(1)), sd.Plan(phase), data, seed)
        assert (record.history["rate"][-1] < record.history["rate"][0]) == (factor < 1)
        return float(((y - np.asarray(network(data["train"]["x"]))[:, 0]) ** 2).mean() - least)

    assert excess(0.5) < 1e-3 < excess(1.0)


# ---------------------------------------------------------------------- adversaries

MODES = np.stack([np.cos(np.arange(8) * np.pi / 4), np.sin(np.arange(8) * np.pi / 4)], 1)


@pytest.fixture
def ring(rng: np.random.Generator) -> dict:
    """Eight Gaussians on a circle."""
    x = MODES[rng.integers(0, 8, 4096)] + 0.05 * rng.normal(size=(4096, 2))
    return {"train": {"x": jnp.asarray(x.astype(np.float32))}}


def duel(critic: sd.Objective, generator: sd.Objective, rates: tuple[float, float], b2: float, k: int) -> sd.Plan:
    """One phase of two turns: k updates of the critic, then one of the generator."""
    turn = lambda objective, rate, name, **more: sd.Turn(
        objective, sd.Adam(rate, b1=0.5, b2=b2), f"{name}/**", name=name, **more
    )
    turns = (turn(critic, rates[0], "critic", repeats=k), turn(generator, rates[1], "generator"))
    return sd.Plan(sd.Phase(turns, Shuffled(128), steps=2000, every=500))


def players() -> Gan:
    layers = lambda outputs: nn.Sequential(a=nn.Dense(64, nn.relu), b=nn.Dense(64, nn.relu), out=nn.Dense(outputs))
    return Gan(layers(2), layers(1))


def coverage(network: Network) -> tuple[int, float]:
    """How many modes have 2 % of the samples, and how many samples are within four sigma of a mode."""
    samples = np.asarray(network.sample(2000, key=jax.random.key(0)))
    away = np.linalg.norm(samples[:, None] - MODES, axis=-1)
    near = away.min(1) < 0.2
    return int((np.bincount(away.argmin(1)[near], minlength=8) > 40).sum()), float(near.mean())


def test_two_adversarial_turns_find_all_eight_modes_and_neither_does_so_alone(ring, seed):
    def found(rates: tuple[float, float]) -> tuple[int, float]:
        network, (record,) = run(players(), duel(Discriminate() + R1(0.1), Generate(), rates, 0.999, 2), ring, seed)
        assert record.outcome == Outcome.FINISHED and record.steps == 2000
        return coverage(network)

    modes, near = found((1e-3, 1e-3))
    assert modes == 8 and near > 0.6
    for rates in ((0.0, 1e-3), (1e-3, 0.0)):
        modes, near = found(rates)
        assert modes < 8 and near < 0.3


def test_a_wasserstein_critic_under_its_penalty_finds_all_modes_at_slope_one_and_without_it_is_steep(ring, seed):
    def found(penalty: float) -> tuple[int, float, float]:
        plan = duel(Wasserstein(penalty), Fool(), (2e-3, 2e-3), 0.9, 3)
        network, _ = run(players(), plan, ring, seed)
        between = (ring["train"]["x"][:500] + network.sample(500, key=jax.random.key(1))) / 2
        slopes = jax.grad(lambda x: network.judge(x).sum())(between)
        return *coverage(network), float(jnp.linalg.norm(slopes, axis=-1).mean())

    modes, near, slope = found(0.1)
    assert modes == 8 and near > 0.6 and 0.6 < slope < 1.6
    _, _, slope = found(0.0)
    assert slope > 5


# ---------------------------------------------------------------------- greedy pretraining


def test_layers_pretrained_one_by_one_to_denoise_halve_the_error_on_few_labels(rng, seed):
    unlabeled, labeled, test = split(rng, 1000, 100, 600)
    spec = nn.Sequential(first=Coder(64), second=Coder(48), head=nn.Dense(10))

    def layer(name: str, rate: float) -> sd.Phase:
        return sd.Phase(sd.Turn(Denoise(name, 0.3), sd.Adam(rate), f"{name}/**"), Shuffled(32), epochs=15)

    def error(rate: float) -> tuple[float, list]:
        greedy = sd.Plan((layer("first", rate), layer("second", rate)))
        begun, records = run(spec, greedy, {"train": unlabeled}, seed)
        assert {path.split("/")[0] for path in begun.params} == {"first", "second"}
        fine = sd.Plan(sd.Phase(sd.Turn(sd.Classify(), sd.Adam(3e-3)), Shuffled(20), epochs=25))
        tuned, _ = run(begun, fine, {"train": labeled}, seed)
        return float((tuned(test["x"]).argmax(-1) != test["y"]).mean()), records

    pretrained, records = error(3e-3)
    from_scratch, _ = error(0.0)
    assert pretrained < 0.75 * from_scratch
    for record in records:
        assert record.history["train/loss"][-1] < 0.95 * record.history["train/loss"][0]


# ---------------------------------------------------------------------- contrastive divergence

BARS = list(itertools.product((0.0, 1.0), repeat=3))
IMAGES = np.unique([np.stack([b] * 3, axis).ravel() for b in BARS for axis in (0, 1)], axis=0).astype(np.float32)
"""All 14 bars and stripes of 3 x 3 pixels, equally likely."""

STATES = np.array(list(itertools.product((0.0, 1.0), repeat=9)), np.float32)


def surprise(network: Network) -> float:
    """The mean negative log-likelihood of the images in nats, exact: over all 2^9 states of the visible units."""
    p = {k: np.asarray(v, np.float64) for k, v in network.weights("rbm/*").items()}
    energy = lambda v: -v @ p["rbm/visible"] - np.logaddexp(0, v @ p["rbm/kernel"] + p["rbm/bias"]).sum(1)
    return float(energy(IMAGES).mean() + scipy.special.logsumexp(-energy(STATES)))


def test_contrastive_divergence_with_persistent_chains_learns_bars_and_stripes(seed):
    assert len(IMAGES) == 14

    def learned(rate: float) -> tuple[float, Network]:
        rates = sd.Exponential(rate, factor=0.1, steps=3000.0)
        turn = sd.Turn(ContrastiveDivergence("rbm", persistent=True), sd.SGD(rates))
        plan = sd.Plan(sd.Phase(turn, InOrder(14), steps=4000, every=4000))
        network, _ = run(nn.Sequential(rbm=RBM(16)), plan, {"train": {"x": jnp.asarray(IMAGES)}}, seed)
        return surprise(network), network

    before, _ = learned(1e-9)
    after, network = learned(0.2)
    assert before == pytest.approx(9 * np.log(2), abs=0.02)
    assert np.log(14) < after < 3.5
    chains = np.asarray(network.state["rbm/chain"])  # the chains dream of bars and stripes
    dreamed = (chains[:, None] == IMAGES).all(-1).any(1).mean()
    assert chains.shape == (100, 9) and dreamed > 0.3 > 3 * 14 / 512


# ---------------------------------------------------------------------- pairs


def test_a_siamese_network_tells_pairs_of_one_class_from_pairs_of_two(rng, seed):
    train, valid = split(rng, 1000, 500)
    plan = sd.Plan(sd.Phase(sd.Turn(Same(), sd.Adam(3e-3)), Pairs(32), steps=800, every=200))
    spec = Siamese(nn.Sequential(hidden=nn.Dense(64, nn.relu), out=nn.Dense(16)))

    def error(labels: Any) -> float:
        _, (record,) = run(spec, plan, {"train": {**train, "y": labels}, "valid": valid}, seed)
        return float(record.history["valid/error"][-1])

    assert error(train["y"]) < 0.2
    assert error(jnp.asarray(rng.permutation(train["y"]))) > 0.25


# ---------------------------------------------------------------------- what rests is looked up

BODIED = nn.Sequential(
    body=nn.Sequential(hidden=nn.Dense(24, nn.relu), norm=nn.BatchNorm(), drop=nn.Dropout(0.3)), head=nn.Dense(10)
)


def transfer(objective: sd.Objective, rate: float = 0.01) -> sd.Phase:
    """The head alone is trained."""
    return sd.Phase(sd.Turn(objective, sd.Adam(rate), "head/**"), Shuffled(32), epochs=4)


def begun(plan: sd.Plan, data: dict, seed: int) -> Network:
    """A network whose running statistics are not those it was built with."""
    network = grown(Network(BODIED), plan.prepare(data["train"]), data, seed)
    wild = jax.random.uniform(jax.random.key(seed), (24,), minval=0.5, maxval=2.0)
    return network.replace(state={"body/norm/mean": wild, "body/norm/var": wild})


def widened(network: Network, plan: sd.Plan, data: dict) -> dict:
    (phase,) = plan.prepare(data["train"]).phases
    return _looked_up(network.spec, phase, data, Vars(network.params, network.state))


def test_outputs_of_a_resting_body_are_looked_up_and_equal_to_computing_them(rng, seed):
    train, valid = split(rng, 300, 200)
    data, plan = {"train": train, "valid": valid}, sd.Plan(transfer(sd.Classify()))
    network = begun(plan, data, seed)
    wide = widened(network, plan, data)
    for name, columns in data.items():
        assert set(wide[name]) == {"x", "y", "@0/0/body"}
        np.testing.assert_allclose(
            wide[name]["@0/0/body"], network.outputs(columns["x"])["body"], rtol=1e-5, atol=1e-6
        )
    looked, (one,) = run(network, plan, data, seed)
    computed, (two,) = run(network, plan, data, seed, look_up=False)
    assert one.history.keys() == two.history.keys() and one.history["train/loss"][-1] < one.history["train/loss"][0]
    for name, values in one.history.items():
        np.testing.assert_allclose(values, two.history[name], rtol=1e-4, atol=1e-6, err_msg=name)
    for path, value in looked.params.items():
        np.testing.assert_allclose(value, computed.params[path], rtol=1e-4, atol=1e-5, err_msg=path)
    # and they were not computed: another body under the same columns changes nothing
    phase = plan.prepare(train).phases[0]
    other = Vars({k: v + 1 if k.startswith("body") else v for k, v in network.params.items()}, network.state)
    trained = lambda v, d: final(network.spec, phase, d, v, seed)
    assert (trained(other, wide) == trained(Vars(network.params, network.state), wide)).all()


def final(spec: Any, phase: sd.Phase, data: dict, variables: Vars, seed: int) -> np.ndarray:
    """The head's kernel at the end of a phase on columns as they are."""
    from sonde.train.execute import CAPACITY
    from sonde.train.step import ENDLESS, advance, start

    key = derive(root(seed), 0)
    progress = start(spec, phase, data, variables, key, CAPACITY)
    return np.asarray(advance(spec, phase, data, progress, jnp.int32(ENDLESS)).kept.params["head/kernel"])


def looked_up(spec: Any, turn: sd.Turn, batch: sd.data.Sampler, columns: dict, seed: int) -> tuple[Network, dict]:
    """A network for a turn, and what of it is looked up."""
    plan = sd.Plan(sd.Phase(turn, batch, epochs=1)).prepare(columns)
    network = grown(Network(spec), plan, {"train": columns}, seed)
    variables = Vars(network.params, network.state)
    return network, known(spec, plan.phases[0], {"train": columns}, variables, columns)


def test_a_greedy_phase_looks_up_the_layers_below_but_not_where_rows_are_recombined(rng, seed):
    (train,) = split(rng, 100)
    spec = nn.Sequential(first=Coder(8), second=Coder(6), third=Coder(4))
    turn = sd.Turn(Denoise("third"), sd.SGD(0.1), "third/**")
    network, columns = looked_up(spec, turn, Shuffled(10), train, seed)
    assert set(columns) == {"@0/0/second"}
    paired = sd.Turn(Same(), sd.SGD(0.1), "logit/**")
    assert looked_up(Siamese(nn.Dense(4)), paired, Pairs(10), train, seed)[1] == {}
    np.testing.assert_allclose(columns["@0/0/second"], network.outputs(train["x"])["second"], rtol=1e-5, atol=1e-6)


def test_an_objective_that_mixes_rows_before_a_resting_body_is_not_looked_up(rng, seed):
    (train,) = split(rng, 200)
    data, plan = {"train": train}, sd.Plan(transfer(MixedUp()))
    network = begun(plan, data, seed)
    assert widened(network, plan, data) == data
    assert "@0/0/body" in widened(network, sd.Plan(transfer(sd.Classify())), data)["train"]
