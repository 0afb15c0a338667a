"""What every public part keeps to, whatever it computes: the properties below run over all descriptors.

A descriptor is compiled once: one program runs the part alone and, beside it, three lanes of it with other
numbers and other inputs, and is then called with each lane's numbers and inputs in turn.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import json
import pickle
import secrets
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from descriptors import BASES, CASES, SCHEDULES, Case, OptimizerCase, move

import sonde as sd
from sonde import nn
from sonde._errors import ShapeError
from sonde._value import FUNCTIONS, KINDS, Value
from sonde.diagnose import backprop_trace

LANES = 3


@dataclasses.dataclass(frozen=True)
class Trial:
    """What came of running a descriptor's program."""

    parts: list
    """The part, and the same with other numbers."""
    eager: Any
    """What the part gives without compiling."""
    alone: list
    """What each part gives, compiled."""
    beside: list
    """What each part gives as a lane of one program."""
    traces: int
    """How often the program was traced."""


def others(part: Any) -> list:
    """The part, and the same with other numbers: moved a little if they are floats, counted up if not."""
    if not isinstance(part, Value):
        return [part] * LANES
    other = lambda v, i: v * 0.8**i + 0.012 * i if isinstance(v, float) else v + i
    return [jax.tree.map(functools.partial(other, i=i), part) for i in range(LANES)]


@functools.cache
def trial(index: int) -> Trial:
    """The trial of a descriptor, from a fresh seed."""
    case, seed = CASES[index], secrets.randbits(31)
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    parts, inputs = others(case.part), [case.inputs(rng) for _ in range(LANES)]
    lanes = [(p if isinstance(case.part, Value) else (), *i) for p, i in zip(parts, inputs, strict=True)]
    run = case.run if isinstance(case.part, Value) else lambda _, *xs: case.run(case.part, *xs)
    traces = 0

    @jax.jit
    def program(one: tuple, many: tuple) -> tuple:
        nonlocal traces
        traces += 1
        return run(*one), jax.vmap(run)(*many)

    stacked = jax.tree.map(lambda *each: jnp.stack([jnp.asarray(e) for e in each]), *lanes)
    alone, beside = zip(*(program(lane, stacked) for lane in lanes), strict=True)
    return Trial(
        parts,
        eager=case.run(case.part, *inputs[0]),
        alone=list(alone),
        beside=[jax.tree.map(lambda a, i=i: a[i], beside[0]) for i in range(LANES)],
        traces=traces,
    )


def same(a: Any, b: Any) -> None:
    """Assert that two trees hold the same numbers, up to rounding."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for (path, i), j in zip(jax.tree.leaves_with_path(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(i, j, rtol=2e-5, atol=2e-6, err_msg=jax.tree_util.keystr(path))


every = pytest.mark.parametrize("index", range(len(CASES)), ids=[case.name for case in CASES])
values = pytest.mark.parametrize("case", [c for c in CASES if isinstance(c.part, Value)], ids=lambda c: c.name)
smooth = pytest.mark.parametrize("case", [c for c in CASES if c.smooth], ids=lambda c: c.name)


@every
def test_compiled_as_not_compiled(index: int):
    same(trial(index).alone[0], trial(index).eager)


@every
def test_a_lane_of_many_as_alone(index: int):
    for alone, beside in zip(trial(index).alone, trial(index).beside, strict=True):
        same(alone, beside)


@every
def test_another_number_compiles_nothing(index: int):
    found = trial(index)
    if isinstance(CASES[index].part, Value) and jax.tree.leaves(found.parts[0]):
        assert found.parts[0] != found.parts[1], "the trial must try another number"
    assert found.traces == 1


@every
def test_shapes_and_types(index: int):
    case, like = CASES[index], lambda a: (a.dtype.name, a.shape)
    gives = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), trial(index).alone[0])
    assert jax.tree.map(like, gives) == case.gives
    assert jax.tree.all(jax.tree.map(lambda a: bool(jnp.isfinite(a).all()), trial(index).alone[0]))


@values
def test_written_as_json_and_back(case: Case):
    part = case.part
    back = sd.from_json(json.loads(json.dumps(sd.to_json(part))))
    assert back == part and hash(back) == hash(part) and repr(back) == repr(part)
    assert jax.tree.structure(back) == jax.tree.structure(part)


@every
def test_copied_and_pickled(index: int):
    part = CASES[index].part
    for back in (copy.deepcopy(part), pickle.loads(pickle.dumps(part))):
        assert back == part and hash(back) == hash(part)


def test_functions_are_known_by_name():
    for case in CASES:
        if not isinstance(case.part, Value):
            assert sd.from_json(json.loads(json.dumps(sd.to_json(case.part)))) is case.part


@smooth
def test_gradients_are_the_slopes(case: Case, rng: np.random.Generator):
    with jax.enable_x64(True):
        wide = lambda a: jnp.asarray(a, jnp.float64) if jnp.issubdtype(a.dtype, jnp.floating) else a
        inputs = jax.tree.map(wide, case.inputs(rng))
        moved = [inputs[i] for i in case.smooth]
        direction = jax.tree.map(lambda a: jnp.asarray(rng.normal(size=a.shape)), moved)

        def height(moved: list) -> Any:
            given = list(inputs)
            for i, v in zip(case.smooth, moved, strict=True):
                given[i] = v
            outputs = jax.tree.leaves(case.run(case.part, *given))
            uneven = lambda a: (a * jnp.cos(jnp.arange(a.size, dtype=a.dtype)).reshape(a.shape)).sum()
            return sum(uneven(a) for a in outputs if jnp.issubdtype(a.dtype, jnp.floating))

        both = jax.jit(jax.value_and_grad(height))
        step = 1e-6
        walk = lambda by: jax.tree.map(lambda p, d: p + by * d, moved, direction)
        slope = (both(walk(step))[0] - both(walk(-step))[0]) / (2 * step)
        along = sum(jax.tree.leaves(jax.tree.map(lambda g, d: (g * d).sum(), both(moved)[1], direction)))
        np.testing.assert_allclose(along, slope, rtol=1e-6, atol=1e-7)


# ------------------------------------------------------------------------------------ layers


def kind_of(padded: str) -> Any:
    """The layers that say so of how they take sequences of different lengths."""
    cases = [c for c in CASES if isinstance(c.part, sd.nn.Layer) and c.part.padded == padded]
    return pytest.mark.parametrize("case", cases, ids=lambda c: c.name)


def sequences_for(case: Case, rng: np.random.Generator) -> tuple[Any, sd.Padded]:
    """The layer bound to parameters, and sequences of up to three steps of what it takes."""
    params, state, x, key = case.inputs(rng)
    steps = [x, *(case.inputs(rng)[2] for _ in range(2))]
    lengths = jnp.asarray(rng.integers(0, 4, x.shape[0]), jnp.int32)
    return sd.nn.Network(case.part, params, state).bind(key), sd.Padded(jnp.stack(steps, 1), lengths)


@kind_of("steps")
def test_a_layer_that_says_it_treats_every_step_alone_does(case: Case, rng: np.random.Generator):
    net, x = sequences_for(case, rng)
    y = net(x)
    np.testing.assert_array_equal(y.lengths, x.lengths)
    for t in range(3):
        alone = np.asarray(net(x.values[:, t]))
        there = (t < np.asarray(x.lengths)).reshape(-1, *[1] * (alone.ndim - 1))
        np.testing.assert_allclose(y.values[:, t], np.where(there, alone, 0), rtol=2e-5, atol=2e-6)


@kind_of("refused")
def test_a_layer_that_says_it_refuses_sequences_does(case: Case, rng: np.random.Generator):
    net, x = sequences_for(case, rng)
    with pytest.raises(ShapeError, match=f"{type(case.part).__name__} mixes the steps of a sequence"):
        net(x)


# ------------------------------------------------------------------------------------ optimizers


def parabola(p: Any) -> Any:
    """Flat along one axis, ten times steeper along the other; lowest at (1, -1)."""
    return 0.5 * ((p[0] - 1) ** 2 + 10 * (p[1] + 1) ** 2)


def rosenbrock(p: Any) -> Any:
    """A bent valley; lowest at (1, 1)."""
    return (1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2


class Energy(sd.Objective):
    """Half the sum of squares of what a network gives: its derivative with respect to an output is the output."""

    def __call__(self, net, batch):
        """Half the sum of squares."""
        outputs = [y for y in jax.tree.leaves(net(batch.x)) if jnp.issubdtype(y.dtype, jnp.floating)]
        return sum(jnp.square(y).sum() / 2 for y in outputs)


@pytest.mark.parametrize("case", [c for c in CASES if isinstance(c.part, nn.Layer)], ids=lambda c: c.name)
def test_back_propagation_can_be_laid_open(case: Case, rng: np.random.Generator):
    params, state, x, key = case.inputs(rng)
    below = lambda tree: {f"part/{path}": value for path, value in tree.items()}
    network = nn.Network(nn.Sequential(part=case.part), below(params), below(state))
    trace = backprop_trace(network, {"x": x}, Energy(), key)
    rows = sd.Batch.of({"x": x})
    energy = lambda params: Energy()(network.replace(params=params).bind(key), rows)
    value, gradients = jax.jit(jax.value_and_grad(energy))(network.params)
    close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
    close(trace.loss, value)
    for path, gradient in gradients.items():
        close(trace.gradients[path], gradient)
    jax.tree.map(close, trace["part"].output_gradient, trace["part"].output)


@functools.partial(jax.jit, static_argnames=("task", "steps"))
def descend(part: sd.optim.Optimizer, task: Any, start: Any, steps: int) -> Any:
    """Where an optimizer gets from a start."""

    height = lambda params: task(params["kernel"])

    def one(_: Any, here: tuple) -> tuple:
        return move(part, *here, jax.grad(height)(here[0]), height)

    params = {"kernel": start}
    return jax.lax.fori_loop(0, steps, one, (params, part.init(params)))[0]["kernel"]


def at_rate(part: Any, rate: float) -> Any:
    """The optimizer, or the one that it is around, with another rate."""
    inner = getattr(part, "optimizer", None)
    return part.replace(rate=rate) if inner is None else part.replace(optimizer=at_rate(inner, rate))


optimizers = pytest.mark.parametrize("case", [c for c in CASES if isinstance(c, OptimizerCase)], ids=lambda c: c.name)


def solvers(task: str) -> Any:
    """The optimizers that solve a task."""
    cases = [c for c in CASES if isinstance(c, OptimizerCase) and getattr(c, task)]
    return pytest.mark.parametrize("case", cases, ids=lambda c: c.name)


@solvers("parabola")
def test_finds_the_bottom_of_a_parabola(case: OptimizerCase):
    rate, steps = case.parabola
    found = descend(at_rate(case.part, rate), parabola, jnp.array([-2.0, 2.0]), steps)
    np.testing.assert_allclose(found, [1, -1], atol=1e-3)


@solvers("rosenbrock")
def test_follows_rosenbrocks_valley(case: OptimizerCase):
    rate, steps = case.rosenbrock
    found = descend(at_rate(case.part, rate), rosenbrock, jnp.array([-1.2, 1.0]), steps)
    np.testing.assert_allclose(found, [1, 1], atol=0.01)


@optimizers
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "float64"])
def test_types_stay_what_they_are(case: OptimizerCase, dtype: str):
    with jax.enable_x64(dtype == "float64"):
        params = {"kernel": jnp.ones((2, 3), dtype)}
        memory = jax.eval_shape(case.part.init, params)
        after, remembered = jax.eval_shape(lambda p, m: move(case.part, p, m, p), params, memory)
        like = lambda tree: jax.tree.map(lambda a: (a.shape, a.dtype.name), tree)
        assert like(after) == like(params)
        assert like(remembered) == like(memory)


# ------------------------------------------------------------------------------------ schedules


@pytest.mark.parametrize("case", SCHEDULES, ids=lambda c: c.name)
def test_rates_are_finite_and_without_jumps(case: Case):
    coarse, fine = (np.asarray(case.run(case.part, np.linspace(0, 100, n + 1))) for n in (1000, 10_000))
    assert np.isfinite(fine).all() and (fine >= 0).all()
    assert abs(np.diff(fine)).max() < 0.5 * abs(np.diff(coarse)).max()


# ------------------------------------------------------------------------------------ controllers


@pytest.mark.parametrize("case", [c for c in CASES if isinstance(c.part, sd.Controller)], ids=lambda c: c.name)
def test_what_a_controller_remembers_can_be_carried(case: Case):
    report = dict.fromkeys(("valid/loss", "train/loss"), jnp.float32(1))
    memory = case.part.init()
    after, _ = jax.eval_shape(lambda m: case.part.observe(m, report, sd.Clock(jnp.int32(1), 1, 9)), memory)
    like = lambda tree: jax.tree.map(lambda a: (a.shape, a.dtype), tree)
    assert like(after) == like(memory)


# ------------------------------------------------------------------------------------ all of them


def public() -> dict[str, Any]:
    """Every public part that must be enrolled, by name: values, their kinds, and functions with a name in files."""
    found = {}
    for package in (sd.data, sd.nn, sd.objectives, sd.optim, sd.train):
        for name in package.__all__:
            thing = getattr(package, name)
            kind = isinstance(thing, type) and issubclass(thing, BASES) and thing not in BASES
            if kind or isinstance(thing, BASES) or FUNCTIONS.get(name) is thing:
                found[f"{package.__name__.removeprefix('sonde.')}.{name}"] = thing
    return found


def test_every_public_part_is_enrolled():
    missing = public().keys() - {case.public for case in CASES}
    assert not missing, f"write a descriptor (tests/conformance/descriptors.py) for {', '.join(sorted(missing))}"


def test_every_descriptor_is_of_the_part_that_it_names():
    parts = public()
    for case in CASES:
        thing = parts[case.public]
        assert thing is type(case.part) or thing is case.part, case.name


def test_every_kind_that_files_can_hold_is_public():
    exported = {getattr(p, name) for p in (sd.data, sd.nn, sd.objectives, sd.optim, sd.train) for name in p.__all__
                if isinstance(getattr(p, name), type)}  # fmt: skip
    hidden = {
        name
        for name, kind in KINDS.items()
        if kind.__module__.startswith("sonde.") and not name.startswith("_") and issubclass(kind, BASES)
        if kind not in exported
    }
    assert not hidden, f"export {', '.join(sorted(hidden))}"
