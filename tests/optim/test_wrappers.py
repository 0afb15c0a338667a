"""What is put around an optimizer does to its gradient, rate and result what it says, alone and in a run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

import sonde as sd
from sonde import nn, optim
from sonde._errors import ArgumentError, PathError, ShapeError
from sonde.nn.network import Network
from sonde.train import execute, execute_many
from sonde.train.step import grown

NET = Network(nn.Sequential(body=nn.Dense(6, nn.tanh), norm=nn.BatchNorm(), head=nn.Dense(3)))


def step(part, params, gradient, rate=1.0):
    """Where one step leads."""
    arrays = lambda tree: {path: jnp.asarray(a, jnp.float32) for path, a in tree.items()}
    params = arrays(params)
    return part.update(params, arrays(gradient), part.init(params), rate, lambda p: jnp.zeros(()))[0]


@pytest.fixture
def rows(rng):
    """60 rows to train on."""
    x = rng.normal(size=(60, 4)).astype(np.float32)
    return {"train": {"x": jnp.asarray(x), "y": jnp.asarray(x[:, :3].argmax(1).astype(np.int32))}}


def plan(rows, optimizer, trains="**", steps=12):
    turn = sd.Turn(sd.Classify(), optimizer, trains)
    return sd.Plan(sd.Phase(turn, sd.data.Shuffled(10), steps=steps)).prepare(rows["train"])


# ---------------------------------------------------------------------- clipping

ZERO = {"kernel": [[0.0, 0.0]], "bias": [0.0, 0.0]}
STEEP = {"kernel": [[3.0, -4.0]], "bias": [0.0, 12.0]}  # norms 5 and 12, 13 together


@pytest.mark.parametrize(
    ("bound", "kernel", "bias"),
    [
        ({"value": 3.5}, [[-3, 3.5]], [0, -3.5]),
        ({"norm": 6}, [[-3, 4]], [0, -6]),  # the kernel is within the bound
        ({"norm": 1.0}, [[-0.6, 0.8]], [0, -1]),
        ({"global_norm": 6.5}, [[-1.5, 2]], [0, -6]),  # half of everything
        ({"global_norm": 13.0}, [[-3, 4]], [0, -12]),
        ({"value": 4.0, "norm": 2.5}, [[-1.5, 2]], [0, -2.5]),  # one after the other
        ({"norm": 5.0, "global_norm": np.sqrt(12.5)}, [[-1.5, 2]], [0, -2.5]),
    ],
    ids=str,
)
def test_a_bounded_gradient_is_what_is_worked_out_by_hand(bound, kernel, bias):
    after = step(optim.Clip(sd.SGD(1.0), **bound), ZERO, STEEP)
    np.testing.assert_allclose(after["kernel"], kernel, rtol=1e-6)
    np.testing.assert_allclose(after["bias"], bias, rtol=1e-6)


def test_a_gradient_of_zeros_stays_so_and_one_that_is_not_finite_is_not_hidden():
    for bound in ({"value": 1.0}, {"norm": 1.0}, {"global_norm": 1.0}):
        clip = optim.Clip(sd.SGD(1.0), **bound)
        assert all((a == 0).all() for a in step(clip, ZERO, ZERO).values())
        assert np.isnan(step(clip, ZERO, {**STEEP, "bias": [np.nan, 1.0]})["bias"]).any()


def test_small_numbers_of_few_bits_are_clipped_by_their_true_norm():
    g = {"w": jnp.full(1000, 300.0, jnp.float16)}  # a square is over the largest number of 16 bits
    w = {"w": jnp.zeros(1000, jnp.float16)}
    clip = optim.Clip(sd.SGD(1.0), global_norm=10.0)
    after = clip.update(w, g, clip.init(w), 1.0, None)[0]["w"]
    assert after.dtype == jnp.float16
    np.testing.assert_allclose(after, -10 / np.sqrt(1000), rtol=2e-3)


# ---------------------------------------------------------------------- rates by path


def test_the_first_pattern_that_meets_gives_the_factor_of_the_rate():
    part = optim.PerPath(sd.SGD(0.5), {"head/bias": 0.0, "**bias": 4.0, "body/**": 0.5})
    params = {path: np.zeros(2) for path in ("body/kernel", "body/bias", "head/kernel", "head/bias")}
    after = step(part, params, {path: np.ones(2) for path in params}, rate=0.5)
    moved = {path: float(p[0]) for path, p in after.items()}
    assert moved == {"body/kernel": -0.25, "body/bias": -2.0, "head/kernel": -0.5, "head/bias": 0.0}


def test_a_factor_is_as_good_as_that_rate(rng):
    array = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)
    start, *gradients = [{"body/kernel": array(3, 2), "head/kernel": array(2, 2)} for _ in range(11)]

    def after(part, rate):
        params, memory = start, part.init(start)
        for gradient in gradients:
            params, memory = part.update(params, gradient, memory, rate, None)
        return params

    both = after(optim.PerPath(sd.Adam(0.1), {"body/**": 0.3}), 0.1)
    np.testing.assert_allclose(both["head/kernel"], after(sd.Adam(), 0.1)["head/kernel"], rtol=1e-6)
    np.testing.assert_allclose(both["body/kernel"], after(sd.Adam(), 0.03)["body/kernel"], rtol=1e-5, atol=1e-6)


def test_in_a_run_factors_hold_and_other_factors_are_lanes_of_one_program(rows, seed):
    factors = [0.0, 0.5, 1.0]
    plans = [plan(rows, optim.PerPath(sd.SGD(0.3), {"body/**": f})) for f in factors]
    lanes, _ = execute_many(NET, plans, rows, [seed] * 3)
    first = grown(NET, plans[0], rows, seed)
    plain, _ = execute(NET, plan(rows, sd.SGD(0.3)), rows, seed)
    for path, start in first.params.items():
        if path.startswith("body/"):
            assert np.array_equal(lanes.params[path][0], start), path
        np.testing.assert_allclose(lanes.params[path][2], plain.params[path], rtol=1e-4, atol=1e-5)
    assert not np.allclose(lanes.params["body/kernel"][1], plain.params["body/kernel"], rtol=1e-3)


@pytest.mark.parametrize(
    "optimizer",
    [optim.PerPath(sd.SGD(0.1), {"bdoy/**": 0.1}), optim.Constrained(sd.SGD(0.1), optim.MaxNorm(1.0), on="bdoy/**")],
    ids=["PerPath", "Constrained"],
)
def test_a_pattern_that_meets_nothing_is_an_error_that_names_what_there_is(optimizer, rows, seed):
    with pytest.raises(PathError, match=r"'bdoy/\*\*' meets nothing; there is 'body/bias', 'body/kernel'"):
        execute(NET, plan(rows, optimizer), rows, seed)


def test_a_pattern_that_meets_only_what_rests_is_an_error(rows, seed):
    optimizer = optim.PerPath(sd.SGD(0.1), {"body/**": 0.1})
    with pytest.raises(PathError, match=r"'body/\*\*' meets nothing.*'head/kernel'"):
        execute(NET, plan(rows, optimizer, trains="head/**"), rows, seed)


# ---------------------------------------------------------------------- curvature


@pytest.fixture
def quadratic(rng):
    """p'Hp / 2 - b'p of five weights in two parameters, H and b; its curvatures are 0.1 to 30."""
    turned = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    hessian, b = turned @ np.diag(np.geomspace(0.1, 30, 5)) @ turned.T, rng.normal(size=5)
    vector = lambda p: jnp.concatenate([p["kernel"].ravel(), p["bias"]])
    loss = lambda p: (
        vector(p) @ jnp.asarray(hessian, jnp.float32) @ vector(p) / 2 - jnp.asarray(b, jnp.float32) @ vector(p)
    )
    return loss, hessian, b


def parted(vector):
    vector = jnp.asarray(vector, jnp.float32)
    return {"kernel": vector[:4].reshape(2, 2), "bias": vector[4:]}


def whole(params):
    return np.concatenate([np.ravel(params["kernel"]), params["bias"]]).astype(np.float64)


def test_a_step_ends_where_the_loss_is_least_along_it_and_is_left_alone_before(quadratic, rng):
    loss, hessian, b = quadratic
    start = rng.normal(size=5)
    g = hessian @ start - b
    best = (g @ g) / (g @ hessian @ g)
    after = {}
    for rate in (0.3 * best, best, 50 * best):
        limited = optim.CurvatureLimit(sd.SGD(rate))
        p = parted(start)
        after[rate] = whole(limited.update(p, jax.grad(loss)(p), limited.init(p), rate, loss)[0])
        np.testing.assert_allclose(after[rate], start - min(rate, best) * g, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(
        after[0.3 * best], whole(step(sd.SGD(1.0), parted(start), jax.grad(loss)(parted(start)), 0.3 * best))
    )


def test_it_shortens_the_step_that_an_optimizer_takes_not_the_gradient(quadratic, rng):
    loss, hessian, b = quadratic
    p = parted(start := rng.normal(size=5))
    adam = sd.Adam(3.0)
    u = start - whole(step(adam, p, jax.grad(loss)(p), 3.0))
    g = hessian @ start - b
    limited = optim.CurvatureLimit(adam)
    after = whole(limited.update(p, jax.grad(loss)(p), limited.init(p), 3.0, loss)[0])
    np.testing.assert_allclose(after, start - min(1, (g @ u) / (u @ hessian @ u)) * u, rtol=1e-3, atol=1e-3)


class Uphill(optim.Wrapped):
    """Goes where its gradient points."""

    def update(self, params, gradient, memory, rate, loss):
        return super().update(params, jax.tree.map(jnp.negative, gradient), memory, rate, loss)


def test_a_step_uphill_and_one_along_which_the_loss_curves_down_stay_as_they_are(quadratic):
    valley = quadratic[0]
    p = parted(np.ones(5))
    for loss, inner in ((valley, Uphill(sd.SGD(10.0))), (lambda p: -valley(p), sd.SGD(10.0))):
        gradient, limited = jax.grad(loss)(p), optim.CurvatureLimit(inner)
        after = limited.update(p, gradient, limited.init(p), 10.0, loss)[0]
        np.testing.assert_allclose(whole(after), whole(step(inner, p, gradient, 10.0)), rtol=1e-5, atol=1e-4)


def test_at_a_rate_far_too_high_descent_diverges_and_within_the_limit_it_arrives(rng, seed):
    x = rng.normal(size=(60, 3)).astype(np.float32) * np.float32([1, 3, 10])
    data = {"train": {"x": jnp.asarray(x), "y": jnp.asarray(x @ np.float32([1, -2, 0.5]))}}
    line = Network(nn.Sequential(head=nn.Dense(1)))
    ends = {}
    for optimizer in (sd.SGD(1.0), optim.CurvatureLimit(sd.SGD(1.0))):
        phase = sd.Phase(sd.Turn(sd.Regress(), optimizer), sd.data.InOrder(60), steps=1000, every=1000)
        network, (record,) = execute(line, sd.Plan(phase).prepare(data["train"]), data, seed)
        ends[type(optimizer).__name__] = record.outcome, np.ravel(network.params["head/kernel"])
    assert ends["SGD"][0] == sd.Outcome.DIVERGED and ends["CurvatureLimit"][0] == sd.Outcome.FINISHED
    np.testing.assert_allclose(ends["CurvatureLimit"][1], [1, -2, 0.5], atol=0.02)


# ---------------------------------------------------------------------- constraints


def nearest_allowed(new, **allowed):
    """The allowed point nearest to one neuron's weights, by SciPy."""
    start = new / np.linalg.norm(new) / 2 + 0.05
    return minimize(lambda w: ((w - new) ** 2).sum(), start, method="SLSQP", tol=1e-9, **allowed).x


A, B = np.array([[1.0, -1.0, 0.0, 0.0], [1.0, 1.0, 2.0, 1.0]]), np.array([0.0, 3.0])


@pytest.mark.parametrize(
    ("constraint", "allowed"),
    [
        (optim.MaxNorm(1.0), {"constraints": {"type": "ineq", "fun": lambda w: 1 - w @ w}}),
        (optim.UnitNorm(), {"constraints": {"type": "eq", "fun": lambda w: 1 - w @ w}}),
        (optim.NonNegative(), {"bounds": [(0, None)] * 4}),
        (optim.ZeroSum(), {"constraints": {"type": "eq", "fun": np.sum}}),
        (
            optim.LinearConstraint(tuple(map(tuple, A.tolist())), tuple(B.tolist())),
            {"constraints": {"type": "eq", "fun": lambda w: A @ w - B}},
        ),
    ],
    ids=lambda v: type(v).__name__,
)
def test_each_neuron_is_moved_to_the_nearest_allowed_weights(constraint, allowed, rng):
    new = rng.normal(size=(2, 2, 3)).astype(np.float32)  # a kernel of two by two inputs and three neurons
    found = np.asarray(constraint.project(jnp.asarray(new), None))
    for neuron in range(3):
        expected = nearest_allowed(new[..., neuron].ravel().astype(float), **allowed)
        np.testing.assert_allclose(found[..., neuron].ravel(), expected, atol=1e-3)
    np.testing.assert_allclose(constraint.project(jnp.asarray(found), None), found, atol=1e-5)  # there it stays


@pytest.mark.parametrize("shape", [(5, 3), (3, 3, 2, 4), (2, 4)], ids=str)
def test_max_norm_bounds_the_weights_that_come_into_each_neuron(shape, rng):
    new = jnp.asarray(rng.normal(size=shape) * rng.uniform(0.1, 3, shape[-1]), jnp.float32)
    norms = lambda w: np.sqrt((np.asarray(w) ** 2).reshape(-1, shape[-1]).sum(0))
    found = optim.MaxNorm(1.0).project(new, new)
    np.testing.assert_allclose(norms(found), np.minimum(norms(new), 1), rtol=1e-5)


def test_after_every_step_of_a_run_norms_are_bounded_and_biases_are_free(rows, seed):
    bounded = optim.Constrained(sd.SGD(1.0), optim.MaxNorm(0.5), on="body/kernel")
    for steps in (1, 12):
        network, _ = execute(NET, plan(rows, bounded, steps=steps), rows, seed)
        assert (np.linalg.norm(network.params["body/kernel"], axis=0) < 0.5001).all()
    assert (np.linalg.norm(network.params["head/kernel"], axis=0) > 0.5).any()
    assert (np.asarray(network.params["body/bias"]) != 0).all()


@pytest.mark.parametrize("inside", [sd.SGD(0.1, 0.9), sd.Adam(0.1)], ids=lambda v: type(v).__name__)
def test_masks_are_kept_while_the_others_are_tuned(inside, rows, seed):
    dense = grown(NET, plan(rows, inside), rows, seed)
    kernel = np.array(dense.params["body/kernel"])
    zero = np.random.default_rng(seed).random(kernel.shape) < 0.5
    pruned = dense.replace(params={**dense.params, "body/kernel": jnp.asarray(np.where(zero, 0, kernel))})
    tuned, _ = execute(pruned, plan(rows, optim.Constrained(inside, optim.KeepZeros()), steps=60), rows, seed)
    after = np.asarray(tuned.params["body/kernel"])
    assert np.array_equal(after == 0, zero)
    assert abs(after).max() < 30  # what moves where it may not leaves no trace: nothing blows up
    assert (np.asarray(tuned.params["body/bias"]) != 0).all()  # began at 0, and is not on the mask's paths


def test_a_constraint_may_be_a_users_own(rows, seed):
    class Rounded(sd.Value):
        step: sd.Number = 0.25

        def project(self, new, old):
            return jnp.round(new / self.step) * self.step

    network, _ = execute(NET, plan(rows, optim.Constrained(sd.SGD(0.5), Rounded())), rows, seed)
    kernel = np.asarray(network.params["head/kernel"])
    assert np.array_equal(kernel, np.round(kernel * 4) / 4)


def test_wrappers_may_be_nested_and_a_schedule_goes_through(rows, seed):
    rate = sd.Exponential(0.3, 0.5, 5)
    clipped = optim.Clip(optim.PerPath(sd.SGD(rate), {"body/**": 1.0}), global_norm=1e9)
    nested = optim.Constrained(clipped, optim.MaxNorm(99.0))
    assert nested.rate == rate
    found, _ = execute(NET, plan(rows, nested), rows, seed)
    plain, _ = execute(NET, plan(rows, sd.SGD(rate)), rows, seed)
    for path, value in plain.params.items():
        np.testing.assert_allclose(found.params[path], value, rtol=1e-4, atol=1e-5)


def test_wrappers_are_read_from_files():
    text = {
        "is": "Constrained",
        "optimizer": {
            "is": "PerPath",
            "optimizer": {"is": "Clip", "optimizer": {"is": "SGD"}, "norm": 1.0},
            "patterns": ["body/**"],
            "factors": [0.1],
        },
        "constraint": {"is": "MaxNorm", "limit": 2.0},
    }
    made = optim.Constrained(optim.PerPath(optim.Clip(sd.SGD(), norm=1.0), {"body/**": 0.1}), optim.MaxNorm(2.0))
    assert sd.from_json(text) == made
    assert sd.from_json(sd.to_json(made)) == made
    assert jax.tree.leaves(made) == [0.01, 1.0, 0.1, 2.0]


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ArgumentError, match="Clip needs a bound"):
        optim.Clip(sd.SGD())
    for bound in (0, -1.0, float("nan"), "1"):
        with pytest.raises(ArgumentError, match=r"norm of Clip must be a number in \(0, inf\)"):
            optim.Clip(sd.SGD(), norm=bound)
    with pytest.raises(ArgumentError, match=r"the factor of 'a' must be a number in \[0, inf\); got -1"):
        optim.PerPath(sd.SGD(), {"a": -1})
    with pytest.raises(ArgumentError, match="factors of PerPath go by pattern"):
        optim.PerPath(sd.SGD(), 0.1)
    with pytest.raises(ArgumentError, match="needs a factor for each of at least one pattern"):
        optim.PerPath(sd.SGD(), {})
    with pytest.raises(ArgumentError, match="optimizer must be an optimizer"):
        optim.Clip(0.1, norm=1.0)
    with pytest.raises(ArgumentError, match=r"limit of MaxNorm must be a number in \(0, inf\); got 0"):
        optim.MaxNorm(0)
    with pytest.raises(ArgumentError, match="constraint of Constrained must be one"):
        optim.Constrained(sd.SGD(), 1.0)
    with pytest.raises(ArgumentError, match="rows of LinearConstraint are tuples of one length"):
        optim.LinearConstraint(((1.0, 2.0), (1.0,)))
    with pytest.raises(ShapeError, match=r"each neuron of a kernel float32\[2, 2\] has 2 incoming weights"):
        optim.LinearConstraint(((1.0, -1.0, 0.0),)).project(jnp.ones((2, 2)), None)
