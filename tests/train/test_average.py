"""Averaged weights are the mean that they say, and they are what is judged, kept and handed on."""

import jax.numpy as jnp
import numpy as np
import pytest

import sonde as sd
from sonde import nn
from sonde._errors import ArgumentError
from sonde.nn.network import Network
from sonde.train import execute, execute_many
from sonde.train.step import grown

NET = Network(nn.Sequential(hidden=nn.Dense(6, nn.tanh), norm=nn.BatchNorm(), head=nn.Dense(3)))


@pytest.fixture
def rows(rng):
    """60 rows to train on, 20 to validate."""
    x = rng.normal(size=(80, 4)).astype(np.float32)
    y = x[:, :3].argmax(1).astype(np.int32)
    part = lambda at: {"x": jnp.asarray(x[at]), "y": jnp.asarray(y[at])}
    return {"train": part(slice(60)), "valid": part(slice(60, 80))}


def plan(rows, average=None, steps=24, control=(), rate=0.3, every=0):
    turn = sd.Turn(sd.Classify(), sd.SGD(rate))
    phase = sd.Phase(turn, sd.data.Shuffled(10), steps=steps, every=every, control=control, average=average)
    return sd.Plan(phase).prepare(rows["train"])


def weights(network):
    return {k: np.asarray(v, np.float64) for k, v in {**network.params, **network.state}.items()}


def along(rows, seed, steps=24):
    """The network after every step of the plain run: how it is averaged does not change how it trains."""
    return [weights(execute(NET, plan(rows, steps=n), rows, seed)[0]) for n in range(1, steps + 1)]


def close(network, expected):
    found = weights(network)
    assert found.keys() == expected.keys()
    for path, value in expected.items():
        np.testing.assert_allclose(found[path], value, rtol=2e-4, atol=1e-5, err_msg=path)


def test_a_moving_average_is_that_of_the_weights_after_every_step(rows, seed):
    mean = weights(grown(NET, plan(rows), rows, seed))
    for t, network in enumerate(along(rows, seed), start=1):
        decay = min(0.8, (1 + t) / (10 + t))
        mean = {path: decay * m + (1 - decay) * network[path] for path, m in mean.items()}
    averaged, _ = execute(NET, plan(rows, sd.EMA(0.8)), rows, seed)
    close(averaged, mean)


def test_stochastic_weight_averaging_is_the_mean_of_the_ends_of_later_epochs(rows, seed):
    path = along(rows, seed)
    ends = [path[step - 1] for step in (12, 18, 24)]  # six steps an epoch, from half of the phase on
    mean = {name: np.mean([end[name] for end in ends], axis=0) for name in ends[0]}
    averaged, _ = execute(NET, plan(rows, sd.SWA(0.5)), rows, seed)
    close(averaged, mean)


def test_before_it_begins_stochastic_weight_averaging_is_the_network_itself(rows, seed):
    averaged, _ = execute(NET, plan(rows, sd.SWA(0.99), steps=23), rows, seed)
    plain, _ = execute(NET, plan(rows, steps=23), rows, seed)
    for path, value in plain.params.items():
        assert np.array_equal(averaged.params[path], value), path


def test_what_is_judged_and_kept_is_the_averaged_network(rows, seed):
    data = sd.data.Dataset(rows["train"], rows["valid"], rows["valid"])
    run = sd.fit(
        NET, data, sd.Classify(), sd.SGD(1.0), steps=60, every=3, average=sd.EMA(0.9), batch=10, seed=seed,
        control=sd.KeepBest(), progress=False,
    )  # fmt: skip
    best = run.records[0].best
    losses = run.records[0].history["valid/loss"]
    assert best == losses.argmin()
    logits = np.asarray(run.network(rows["valid"]["x"]), np.float64)
    log_likelihood = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    assert losses[best] == pytest.approx(-log_likelihood[np.arange(20), rows["valid"]["y"]].mean(), rel=1e-4)


@pytest.mark.parametrize("average", [sd.EMA(0.9), sd.SWA(0.25)])
def test_lanes_and_small_dispatches_average_alike(average, rows, seed):
    whole, _ = execute(NET, plan(rows, average), rows, seed)
    sliced, _ = execute(NET, plan(rows, average), rows, seed, dispatch_seconds=0.0)
    lanes, _ = execute_many(NET, plan(rows, average), rows, [seed, seed], how="map")
    for path, value in whole.params.items():
        assert np.array_equal(sliced.params[path], value), path
        np.testing.assert_allclose(lanes.params[path][1], value, rtol=1e-5, atol=1e-6)


def test_an_interrupted_run_remembers_its_average(rows, seed, tmp_path):
    data = sd.data.Dataset(rows["train"], rows["valid"], rows["valid"])
    options = dict(epochs=4, average=sd.SWA(0.25), batch=10, seed=seed, progress=False)

    def stop(dispatch):
        if dispatch.step >= 16:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sd.fit(NET, data, sd.Classify(), sd.SGD(0.1), out=tmp_path, observer=stop, checkpoint_seconds=0, **options)
    resumed = sd.resume(tmp_path, data, progress=False)
    whole = sd.fit(NET, data, sd.Classify(), sd.SGD(0.1), **options)
    for path, value in whole.network.params.items():
        assert np.array_equal(resumed.network.params[path], value), path


def test_what_is_no_average_is_refused():
    with pytest.raises(ArgumentError, match=r"decay of EMA must be a number in \[0, 1\); got 1"):
        sd.EMA(1.0)
    with pytest.raises(ArgumentError, match=r"begin of SWA must be a number in \[0, 1\); got 1"):
        sd.SWA(1)
    with pytest.raises(ArgumentError, match=r"average of a phase must be one, such as EMA\(0.999\); got 0.999"):
        sd.Phase(sd.Turn(sd.Classify(), sd.SGD()), sd.data.Shuffled(8), epochs=1, average=0.999)
