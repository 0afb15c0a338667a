"""Schedules: where they begin and end, what lies between, against Optax and by hand; and what is refused."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sonde as sd
from sonde import optim
from sonde._errors import ArgumentError
from sonde.data import InOrder
from sonde.nn import Dense, Network, Sequential
from sonde.train import execute, execute_many
from sonde.train.step import advance

rates = st.floats(1e-5, 10.0)
totals = st.integers(10, 20_000)
few = settings(deadline=None, max_examples=25)
close = functools.partial(np.testing.assert_allclose, rtol=2e-5)


@jax.jit
def _asked(schedule: sd.optim.Schedule, steps: jax.Array, total: jax.Array) -> jax.Array:
    return jax.vmap(lambda step: schedule(sd.Clock(step, 10, total)))(steps)


def along(schedule: sd.optim.Schedule, steps, total: int) -> np.ndarray:
    """The rate at some steps of a phase, as the engine asks for it: compiled, with whole steps."""
    steps = np.asarray(steps)
    padded = np.zeros(256, np.int32)  # of one shape, so that one program does
    padded[: len(steps)] = steps
    return np.asarray(_asked(schedule, jnp.asarray(padded), jnp.int32(total)))[: len(steps)]


def some_steps(total: int) -> np.ndarray:
    """Steps from the first to the one behind the last."""
    return np.unique(np.linspace(0, total, min(total, 200) + 1).astype(int))


# ---------------------------------------------------------------------- endpoints


@few
@given(rates, rates, totals)
def test_a_line_and_a_cosine_begin_at_the_first_rate_and_end_at_the_last(first, last, total):
    for kind in (optim.Linear, optim.Cosine):
        begun, middle, ended = along(kind(first, last), [0, total // 2, total], total)
        close([begun, ended], [first, last], atol=1e-6 * max(first, last))
        part = (total // 2) / total
        bent = (1 - math.cos(math.pi * part)) / 2 if kind is optim.Cosine else part
        close(middle, first + (last - first) * bent, rtol=1e-4)


@few
@given(rates, rates, totals)
def test_the_last_update_is_one_step_short_of_the_end(first, last, total):
    rate = along(optim.Linear(first, last), [total - 1], total)
    close(rate, [last + (first - last) / total], atol=1e-6 * max(first, last))


@few
@given(rates, st.floats(0.01, 0.99), totals)
def test_a_length_of_at_most_1_is_a_fraction_of_the_phase(first, fraction, total):
    steps = some_steps(total)
    for kind in (optim.Linear, optim.Cosine, optim.WarmUp, optim.OneCycle):
        made = lambda length, kind=kind: (kind(first, length) if kind in (optim.WarmUp, optim.OneCycle)
                                          else kind(first, 0.0, length))  # fmt: skip
        if (length := round(fraction * total)) > 1 and abs(fraction * total % 1 - 0.5) > 0.01:  # else either way
            close(along(made(fraction), steps, total), along(made(length), steps, total), atol=1e-6 * first)


@few
@given(rates, st.floats(0.05, 0.9), totals)
def test_an_exponential_over_the_whole_phase_falls_by_its_factor_in_all(first, factor, total):
    close(along(sd.Exponential(first, factor, 1), [0, total], total), [first, first * factor], rtol=1e-4)


@few
@given(rates, st.integers(2, 500))
def test_a_staircase_is_level_between_its_steps_and_meets_the_smooth_curve_there(first, steps):
    smooth, stairs = (sd.Exponential(first, 0.5, steps, staircase=s) for s in (False, True))
    total = 4 * steps
    at = np.arange(4) * steps
    close(along(stairs, at, total), first * 0.5 ** np.arange(4))
    close(along(stairs, at, total), along(smooth, at, total))
    close(along(stairs, at + steps - 1, total), along(stairs, at, total))


@few
@given(rates, st.floats(0.5, 2.0), st.integers(2, 10_000))
def test_a_power_is_divided_by_2_and_3_to_the_power_after_one_and_two_lengths(first, power, steps):
    expected = [first / k**power for k in (1, 2, 3)]
    close(along(optim.Power(first, power, steps), [0, steps, 2 * steps], 3 * steps), expected, rtol=1e-4)


@few
@given(st.lists(st.integers(2, 1000), min_size=0, max_size=4, unique=True), st.data())
def test_a_rate_in_pieces_changes_exactly_at_its_boundaries(boundaries, data):
    boundaries = sorted(boundaries)
    values = data.draw(st.lists(rates, min_size=len(boundaries) + 1, max_size=len(boundaries) + 1))
    piecewise = optim.Piecewise(tuple(boundaries), tuple(values))
    close(along(piecewise, [0], 1000), [values[0]])
    for k, boundary in enumerate(boundaries):
        close(along(piecewise, [boundary - 1, boundary], 1000), [values[k], values[k + 1]])


def test_boundaries_may_be_fractions_of_the_phase():
    piecewise = optim.Piecewise((0.5, 0.75), (0.1, 0.01, 0.001))
    close(along(piecewise, [0, 49, 50, 74, 75, 100], 100), [0.1, 0.1, 0.01, 0.01, 0.001, 0.001])


def test_a_cosine_with_restarts_begins_anew_every_so_many_steps():
    waves = along(optim.Cosine(0.3, 0.1, steps=20, restarts=True), np.arange(80), 80)
    assert waves.reshape(4, 20)[:, 0].tolist() == [np.float32(0.3)] * 4
    close(waves.reshape(4, 20), np.tile(along(optim.Cosine(0.3, 0.1, steps=20), np.arange(20), 80), (4, 1)), rtol=1e-4)


@few
@given(rates, st.integers(2, 400), st.integers(500, 5000))
def test_a_warm_up_rises_by_the_same_each_update_and_then_the_phase_begins(rate, steps, total):
    expected = rate * np.arange(1, min(steps, 200) + 1) / steps
    close(along(optim.WarmUp(rate, steps), np.arange(min(steps, 200)), total), expected)
    close(along(optim.WarmUp(rate, steps), [steps - 1, steps, total], total), [rate] * 3)
    inner = optim.Cosine(rate)
    after = steps + np.linspace(0, total - steps, 50).astype(int)
    warm = along(optim.WarmUp(inner, steps), after, total)
    close(warm, along(inner, after - steps, total - steps), atol=1e-4 * rate)


def test_a_warm_up_longer_than_its_phase_only_rises():
    found = along(optim.WarmUp(optim.Cosine(1.0), 100), np.arange(50), 50)
    close(found, np.arange(1, 51) / 100)


@few
@given(rates, st.floats(0.1, 0.9), totals)
def test_one_cycle_begins_low_peaks_once_and_ends_lower(peak, up, total):
    top = round(up * total)
    cycle = optim.OneCycle(peak, up=top) if top > 1 else optim.OneCycle(peak, up=0.5)
    top = top if top > 1 else total / 2
    if float(top).is_integer():
        begun, highest, ended = along(cycle, [0, int(top), total], total)
        close([begun, highest], [peak / 25, peak])
        assert ended <= 1e-5 * peak
    shape = along(cycle, some_steps(total), total)
    turn = int(np.argmax(shape))
    slack = 1e-6 * peak
    assert (np.diff(shape[: turn + 1]) >= -slack).all() and (np.diff(shape[turn:]) <= slack).all()


CONTINUOUS = {
    "linear": optim.Linear(0.3, 0.01),
    "exponential": sd.Exponential(0.3, 0.01, 1),
    "power": optim.Power(0.3, steps=0.1),
    "cosine": optim.Cosine(0.3, 0.01, steps=0.8),
    "warm-up": optim.WarmUp(optim.Cosine(0.3), steps=0.2),
    "one cycle": optim.OneCycle(0.3),
}


@pytest.mark.parametrize("name", CONTINUOUS)
def test_a_continuous_schedule_changes_by_less_the_longer_its_phase(name):
    changes = [abs(np.diff(along(CONTINUOUS[name], np.arange(256) + at, total))).max()
               for total, at in ((256, 0), *((2560, k * 256) for k in range(10)))]  # fmt: skip
    assert 0 < max(changes[1:]) < 0.15 * changes[0]


@pytest.mark.parametrize("name", CONTINUOUS)
def test_a_schedule_of_steps_stays_finite_and_positive_long_after_its_end(name):
    late = along(CONTINUOUS[name], [1000, 100_000], 1000)
    assert np.isfinite(late).all() and (late >= 0).all()


# ---------------------------------------------------------------------- Optax, which others wrote


@pytest.mark.parametrize("total", [100, 1000])
def test_schedules_equal_those_of_optax(total):
    steps = some_steps(total)
    length = 0.6 * total
    same = {
        optim.Linear(0.3, 0.02, length): optax.linear_schedule(0.3, 0.02, int(length)),
        optim.Cosine(0.3, 0.03, length): optax.cosine_decay_schedule(0.3, int(length), alpha=0.1),
        sd.Exponential(0.3, 0.4, length): optax.exponential_decay(0.3, int(length), 0.4),
        sd.Exponential(0.3, 0.4, length, True): optax.exponential_decay(0.3, int(length), 0.4, staircase=True),
        optim.Piecewise((0.2 * total, 0.7 * total), (0.3, 0.1, 0.05)): optax.piecewise_constant_schedule(
            0.3, {int(0.2 * total): 1 / 3, int(0.7 * total): 0.5}
        ),
        optim.OneCycle(0.3): optax.cosine_onecycle_schedule(total, 0.3, 0.3, 25, 1e4 * 25 / 25),
    }
    for ours, theirs in same.items():
        expected = np.asarray(jax.vmap(theirs)(jnp.asarray(steps)))
        np.testing.assert_allclose(along(ours, steps, total), expected, rtol=2e-4, atol=1e-6, err_msg=repr(ours))
    warm = optax.warmup_cosine_decay_schedule(0.0, 0.3, total // 10, total, 0.0)
    later = steps[steps >= total // 10]
    ours = along(optim.WarmUp(optim.Cosine(0.3), total // 10), later, total)
    np.testing.assert_allclose(ours, jax.vmap(warm)(jnp.asarray(later)), rtol=2e-4, atol=1e-6)
    rising = np.arange(total // 10)  # theirs counts updates from 0, ours from 1
    ours = along(optim.WarmUp(optim.Cosine(0.3), total // 10), rising, total)
    np.testing.assert_allclose(ours, jax.vmap(warm)(jnp.asarray(rising + 1)), rtol=2e-4)


# ---------------------------------------------------------------------- in the engine

ROWS = {"train": {"x": jnp.ones((8, 2)), "y": jnp.arange(8) % 2}}
NET = Network(Sequential(head=Dense(2)))


def plan(schedule: object, steps: int = 20) -> sd.Plan:
    turn = sd.Turn(sd.Classify(), sd.SGD(schedule))
    return sd.Plan(sd.Phase(turn, InOrder(4), steps=steps, every=1)).prepare(ROWS["train"])


ALL = [*CONTINUOUS.values(), optim.Piecewise((5, 12), (0.3, 0.1, 0.01)), optim.Cosine(0.3, 0.1, 7, restarts=True)]


@pytest.mark.parametrize("schedule", ALL, ids=repr)
def test_other_numbers_compile_nothing_and_the_history_has_the_rates(schedule):
    _, (record,) = execute(NET, plan(schedule), ROWS)
    close(record.history["rate"], along(schedule, np.arange(1, 21), 20), atol=1e-6)
    before = advance._cache_size()
    other = jax.tree.map(lambda v: 0.9 * v if isinstance(v, float) else v + 1, schedule)
    execute(NET, plan(other, steps=30), ROWS)
    assert advance._cache_size() == before


@pytest.mark.parametrize("how", ["map", "vmap"])
def test_lanes_with_schedules_of_their_own_are_the_runs_alone(how):
    schedules = [optim.WarmUp(optim.Cosine(r), steps=s) for r, s in ((0.3, 0.5), (0.1, 5), (1.0, 0.1))]
    networks, _ = execute_many(NET, [plan(s) for s in schedules], ROWS, [0] * 3, how)
    for i, schedule in enumerate(schedules):
        alone, _ = execute(NET, plan(schedule), ROWS, 0)
        for path, value in alone.params.items():
            close(networks.params[path][i], value, rtol=1e-5, atol=1e-6)


# ---------------------------------------------------------------------- what is refused

BAD = (-0.1, math.nan, math.inf, "0.1", True, None, jnp.float32(math.nan), np.asarray([0.1, -0.1]))


@pytest.mark.parametrize("bad", BAD, ids=repr)
@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda v: sd.SGD(v), "rate of SGD"),
        (lambda v: sd.Adam(v), "rate of Adam"),
        (lambda v: sd.Exponential(v), "first of Exponential"),
        (lambda v: sd.Exponential(0.1, v), "factor of Exponential"),
        (lambda v: sd.Exponential(0.1, 0.5, v), "steps of Exponential"),
        (lambda v: optim.Power(v), "first of Power"),
        (lambda v: optim.Power(0.1, v), "power of Power"),
        (lambda v: optim.Power(0.1, 1.0, v), "steps of Power"),
        (lambda v: optim.Linear(v), "first of Linear"),
        (lambda v: optim.Linear(0.1, v), "last of Linear"),
        (lambda v: optim.Linear(0.1, 0.0, v), "steps of Linear"),
        (lambda v: optim.Cosine(v), "first of Cosine"),
        (lambda v: optim.Cosine(0.1, v), "last of Cosine"),
        (lambda v: optim.Cosine(0.1, 0.0, v), "steps of Cosine"),
        (lambda v: optim.WarmUp(v), "then of WarmUp"),
        (lambda v: optim.WarmUp(0.1, v), "steps of WarmUp"),
        (lambda v: optim.OneCycle(v), "peak of OneCycle"),
        (lambda v: optim.OneCycle(0.1, v), "up of OneCycle"),
        (lambda v: optim.OneCycle(0.1, 0.3, v), "first of OneCycle"),
        (lambda v: optim.OneCycle(0.1, 0.3, 0.1, v), "last of OneCycle"),
        (lambda v: optim.Piecewise((1, v), (0.1, 0.1, 0.1)), "boundaries of Piecewise"),
        (lambda v: optim.Piecewise((5,), (0.1, v)), "rates of Piecewise"),
    ],
)
def test_what_is_no_rate_or_length_is_refused_at_once(make, field, bad):
    with pytest.raises(ArgumentError, match=f"^{field} must be") as caught:
        make(bad)
    assert "[0, " in str(caught.value) or "(0, inf)" in str(caught.value)


@pytest.mark.parametrize("make", [
    lambda: sd.Exponential(0.1, 0.5, 0),
    lambda: optim.Power(0.1, 1.0, 0),
    lambda: optim.Linear(0.1, 0.0, 0),
    lambda: optim.Cosine(0.1, 0.0, 0),
    lambda: optim.WarmUp(0.1, 0),
    lambda: optim.OneCycle(0.1, 0),
    lambda: optim.Piecewise((0,), (0.1, 0.2)),
])  # fmt: skip
def test_a_length_of_zero_is_refused(make):
    with pytest.raises(ArgumentError, match=r"in \(0, inf\)"):
        make()


def test_pieces_that_do_not_fit_are_refused():
    with pytest.raises(ArgumentError, match="one rate more than boundaries; got 2 boundaries and 2 rates"):
        optim.Piecewise((5, 10), (0.1, 0.01))
    for boundaries in ((10, 5), (5, 5), (0.5, 20)):
        with pytest.raises(ArgumentError, match="must rise"):
            optim.Piecewise(boundaries, (0.1, 0.1, 0.1))
    with pytest.raises(ArgumentError, match="boundaries of Piecewise must be a tuple of numbers"):
        optim.Piecewise(5, (0.1, 0.1))


def test_a_function_or_a_class_is_no_rate_and_the_remedy_is_said():
    with pytest.raises(ArgumentError, match="must be a number or a schedule.*write a class of optim.Schedule"):
        sd.SGD(lambda clock: 0.1)
    with pytest.raises(ArgumentError, match=r"not a class: write Exponential\(...\)"):
        sd.Adam(sd.Exponential)
    with pytest.raises(ArgumentError, match="must be a number or a schedule"):
        optim.WarmUp(optax.constant_schedule(0.1))


def test_a_rate_of_zero_and_lanes_of_rates_are_rates():
    assert sd.SGD(0.0).rate == 0 and sd.SGD(jnp.asarray([0.1, 0.2])).rate.shape == (2,)
    assert along(optim.Linear(0.0, 0.0), [0, 5], 10).tolist() == [0, 0]
