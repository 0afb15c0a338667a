"""Optimizers with sums of gradients are those of their papers; decay spares what it says; what rests never moves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

import sonde as sd
from sonde import nn, optim
from sonde._errors import ArgumentError, PathError
from sonde.nn.network import Network
from sonde.train import execute, execute_many
from sonde.train.step import grown

NET = Network(nn.Sequential(body=nn.Dense(6, nn.tanh), norm=nn.BatchNorm(), head=nn.Dense(3)))
DECAYING = [optim.AdamW(0.1, decay=0.5), optim.Lion(0.1, decay=0.5), optim.LAMB(0.1, decay=0.5)]
OTHERS = [optim.AdaGrad(0.1), optim.RMSProp(0.1), optim.FTRL(0.1, l1=0.1), optim.DualAveraging(0.1, 0.01)]
named = lambda part: type(part).__name__


@pytest.fixture
def rows(rng):
    """60 rows to train on."""
    x = rng.normal(size=(60, 4)).astype(np.float32)
    return {"train": {"x": jnp.asarray(x), "y": jnp.asarray(x[:, :3].argmax(1).astype(np.int32))}}


def plan(rows, optimizer, trains="**", steps=12, size=10):
    turn = sd.Turn(sd.Classify(), optimizer, trains)
    return sd.Plan(sd.Phase(turn, sd.data.Shuffled(size), steps=steps)).prepare(rows["train"])


def along(part, start, gradients, rate):
    """The kernel after each step along given gradients, in float64; ``rate`` is one, or one a step."""
    rates = np.broadcast_to(rate, len(gradients))
    with jax.enable_x64(True):
        params = {"kernel": jnp.asarray(start, jnp.float64)}
        memory, path = part.init(params), []
        for gradient, now in zip(gradients, rates, strict=True):
            params, memory = part.update(params, {"kernel": jnp.asarray(gradient)}, memory, float(now), None)
            path.append(np.asarray(params["kernel"]))
    return np.stack(path)


def soft(w, by):
    return np.sign(w) * np.maximum(abs(w) - by, 0)


def ftrl(gradients, alpha, beta, l1, l2):
    """Algorithm 1 of McMahan et al. (2013), line by line: the weights after each step, from 0."""
    z, n, path = np.zeros(gradients.shape[1]), np.zeros(gradients.shape[1]), []
    solve = lambda: np.where(abs(z) <= l1, 0, -(z - np.sign(z) * l1) / ((beta + np.sqrt(n)) / alpha + l2))
    for g in gradients:
        w = solve()
        sigma = (np.sqrt(n + g**2) - np.sqrt(n)) / alpha
        z, n = z + g - sigma * w, n + g**2
        path.append(solve())
    return np.stack(path)


def nadam(gradients, rate, b1, b2, epsilon):
    """Algorithm 2 of Dozat (2016), line by line, from 0; b1[t] is that of step t + 1, one more than there are steps."""
    w, m, n, path = np.zeros(gradients.shape[1]), 0.0, 0.0, []
    for t, g in enumerate(gradients):
        to_now, to_next = np.prod(b1[: t + 1]), np.prod(b1[: t + 2])
        m, n = b1[-1] * m + (1 - b1[-1]) * g, b2 * n + (1 - b2) * g**2
        ahead = (1 - b1[t]) * g / (1 - to_now) + b1[t + 1] * m / (1 - to_next)
        w = w - rate * ahead / (np.sqrt(n / (1 - b2 ** (t + 1))) + epsilon)
        path.append(w)
    return np.stack(path)


def test_nadam_is_that_of_the_paper_with_a_constant_b1_and_near_that_of_its_experiments_later(rng):
    gradients = rng.normal(size=(200, 4)) + 0.3
    found = along(optim.Nadam(b1=0.9, b2=0.99, epsilon=1e-8), np.zeros(4), gradients, 0.1)
    constant = np.full(201, 0.9)
    np.testing.assert_allclose(found, nadam(gradients, 0.1, constant, 0.99, 1e-8), rtol=1e-10, atol=1e-12)
    growing = np.append(0.9 * (1 - 0.5 * 0.96 ** np.arange(1, 201)), 0.9)  # as in Keras and PyTorch, whose m has 0.9
    apart = np.diff(found, axis=0) - np.diff(nadam(gradients, 0.1, growing, 0.99, 1e-8), axis=0)
    assert abs(apart[:5]).max() > 0.01 > 1e-3 > abs(apart[130:]).max()


def test_ftrl_is_that_of_the_paper(rng):
    gradients = rng.normal(size=(30, 8)) + 0.3
    found = along(optim.FTRL(beta=0.7, l1=2.0, l2=0.4), np.zeros(8), gradients, 0.3)
    expected = ftrl(gradients, 0.3, 0.7, 2.0, 0.4)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)
    assert np.array_equal(found == 0, expected == 0) and 0 < (found == 0).mean() < 1


def test_ftrl_minimizes_the_sum_that_it_says_from_any_start_and_at_any_rate(rng):
    start, gradients, rates = rng.normal(size=2), rng.normal(size=(12, 2)), rng.uniform(0.1, 1.0, 12)
    found = along(optim.FTRL(beta=1.0, l1=0.3, l2=0.2), start, gradients, rates)
    points = np.vstack([start, found])[:-1]
    q = (1 + np.sqrt(np.cumsum(gradients**2, 0))) / rates[:, None]
    stiffness = np.diff(q, axis=0, prepend=0)

    def total(w):
        near = (stiffness * (w - points) ** 2).sum() / 2
        return gradients.sum(0) @ w + near + 0.3 * abs(w).sum() + 0.1 * (w**2).sum()

    best = minimize(total, found[-1] + 0.05, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13}).x
    np.testing.assert_allclose(found[-1], best, atol=1e-4)


def test_dual_averaging_is_that_of_the_papers(rng):
    gradients = rng.normal(size=(30, 8)) + 0.2
    t = np.arange(1, 31)[:, None]
    mean, gamma = np.cumsum(gradients, 0) / t, 2.5
    expected = np.where(abs(mean) <= 0.2, 0, -np.sqrt(t) / gamma * (mean - 0.2 * np.sign(mean)))  # Xiao (2010), (10)
    found = along(optim.DualAveraging(l1=0.2), np.zeros(8), gradients, 1 / gamma)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)
    assert np.array_equal(found == 0, expected == 0) and 0 < (found == 0).mean() < 1


def test_dual_averaging_weighs_each_gradient_by_the_rate_of_its_step(rng):
    start, gradients, rates = rng.normal(size=5), rng.normal(size=(10, 5)), rng.uniform(0.1, 1.0, 10)
    found = along(optim.DualAveraging(), start, gradients, rates)
    t = np.arange(1, 11)[:, None]
    np.testing.assert_allclose(found, start - np.cumsum(rates[:, None] * gradients, 0) / np.sqrt(t), rtol=1e-10)


def test_a_proximal_step_lands_on_the_minimum_of_the_loss_with_its_penalty():
    c, l1 = np.array([[2.0, 0.3, -1.0, -0.1]]), 0.5  # the minimum of (w - c)^2 / 2 + l1 |w| is soft(c, l1)
    part = optim.ProximalL1(sd.SGD(), l1)
    params = {"kernel": jnp.asarray(c * 0 + 3, jnp.float32), "bias": jnp.float32(3)}
    for _ in range(100):
        gradient = {"kernel": params["kernel"] - jnp.asarray(c, jnp.float32), "bias": params["bias"] - 0.1}
        params, _ = part.update(params, gradient, part.init(params), 0.3, None)
    np.testing.assert_allclose(params["kernel"], soft(c, l1), atol=1e-6)
    assert (np.asarray(params["kernel"])[0, [1, 3]] == 0).all()
    assert float(params["bias"]) == pytest.approx(0.1, abs=1e-6)


@pytest.mark.parametrize("part", DECAYING, ids=named)
def test_decay_spares_biases_and_normalization(part):
    params = {"body/kernel": jnp.full((2, 3), 2.0), "body/bias": jnp.full(3, 2.0), "norm/scale": jnp.ones(3)}
    after, _ = part.update(params, jax.tree.map(jnp.zeros_like, params), part.init(params), 0.1, None)
    shrunk = 2 * (1 - 0.1) if named(part) == "LAMB" else 2 * (1 - 0.1 * 0.5)  # LAMB: by the rate, whatever the step
    np.testing.assert_allclose(after["body/kernel"], shrunk, rtol=1e-6)
    assert np.array_equal(after["body/bias"], params["body/bias"])
    assert np.array_equal(after["norm/scale"], params["norm/scale"])


@pytest.mark.parametrize("part", DECAYING + OTHERS, ids=named)
def test_what_a_turn_does_not_train_never_moves(part, rows, seed):
    first = grown(NET, plan(rows, part), rows, seed)
    after, _ = execute(NET, plan(rows, part, trains="head/**"), rows, seed)
    for path, start in first.params.items():
        assert np.array_equal(after.params[path], start) == (not path.startswith("head/")), path


def test_l_bfgs_gets_to_the_bottom_on_whole_data_where_descent_is_on_its_way(rows, seed):
    ridge = sd.Classify() + sd.L2(0.01)

    def reached(optimizer):
        turn = sd.Turn(ridge, optimizer)
        phase = sd.Phase(turn, sd.data.InOrder(60), steps=40)
        network = Network(nn.Sequential(head=nn.Dense(3)))
        after, records = execute(network, sd.Plan(phase).prepare(rows["train"]), rows, seed)
        batch = sd.Batch.of(rows["train"])
        slope = jax.grad(lambda params: _loss(ridge, after.replace(params=params), batch))(after.params)
        return max(float(abs(g).max()) for g in slope.values())

    assert reached(optim.LBFGS()) < 1e-4 < 1e-3 < reached(sd.SGD(0.1))


@pytest.mark.parametrize("size", [10, 59])
def test_l_bfgs_refuses_minibatches_and_rows_that_change_before_a_step_is_taken(rows, size):
    bounded = optim.Clip(optim.LBFGS(), global_norm=1.0)
    for part in (optim.LBFGS(), bounded):
        with pytest.raises(ArgumentError, match=rf"same rows each step, and Shuffled\(size={size}\) makes .* batch=60"):
            plan(rows, part, size=size)
    changed = sd.data.Augmented(60, sd.data.Noise(0.1))
    for sampler in (changed, sd.data.Balanced(60)):
        with pytest.raises(ArgumentError, match="draws other rows each step: give all 60 at once"):
            sd.Phase(sd.Turn(sd.Classify(), optim.LBFGS()), sampler, steps=3).prepare(rows["train"])
    for whole in (sd.data.Shuffled(60), sd.data.InOrder(1000), sd.data.Bootstrap(60)):
        sd.Phase(sd.Turn(sd.Classify(), optim.LBFGS()), whole, steps=3).prepare(rows["train"])


def _loss(objective, network, batch):
    loss, _ = objective(network.bind(), batch)
    return sum(getattr(part, "value", part) for part in loss.values())


def test_numbers_of_an_optimizer_are_lanes_of_one_program(rows, seed):
    plans = [plan(rows, optim.AdamW(rate, decay=decay)) for rate, decay in ((0.1, 0.0), (0.01, 0.5))]
    lanes, _ = execute_many(NET, plans, rows, [seed, seed])
    for i, each in enumerate(plans):
        alone, _ = execute(NET, each, rows, seed)
        for path, value in alone.params.items():
            np.testing.assert_allclose(lanes.params[path][i], value, rtol=1e-4, atol=1e-5)


def test_a_decay_that_meets_nothing_names_what_there_is(rows, seed):
    for part in (optim.AdamW(decays="kernl"), optim.FTRL(on="kernl"), optim.ProximalL1(sd.SGD(), on="kernl")):
        with pytest.raises(PathError, match="the pattern 'kernl' meets nothing; did you mean 'head/kernel'"):
            execute(NET, plan(rows, part), rows, seed)


@pytest.mark.parametrize(
    "kind",
    [
        *("AdaDelta", "AdaGrad", "AdamW", "Adamax", "DualAveraging", "FTRL"),
        *("LAMB", "LBFGS", "Lion", "Nadam", "RAdam", "RMSProp"),
    ],
)
@pytest.mark.parametrize("rate", [-0.1, float("nan"), float("inf"), "1"], ids=str)
def test_what_is_no_rate_is_refused(kind, rate):
    with pytest.raises(ArgumentError, match=f"rate of {kind} must be a number in"):
        getattr(optim, kind)(rate)


def test_other_numbers_that_make_no_sense_are_refused():
    for make in (
        lambda: optim.AdamW(decay=-0.1),
        lambda: optim.Lion(decay=-0.1),
        lambda: optim.RMSProp(decay=1.0),
        lambda: optim.RMSProp(momentum=1.0),
        lambda: optim.AdaDelta(epsilon=0),
        lambda: optim.AdaGrad(initial=-1),
        lambda: optim.FTRL(0.0),
        lambda: optim.FTRL(l1=-1.0),
        lambda: optim.DualAveraging(power=2.0),
        lambda: optim.ProximalL1(sd.SGD(), -1.0),
    ):
        with pytest.raises(ArgumentError, match="must be a number in"):
            make()
    with pytest.raises(ArgumentError, match="memory of LBFGS must be a whole number of at least 1; got 0"):
        optim.LBFGS(memory=0)
