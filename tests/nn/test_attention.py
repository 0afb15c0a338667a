"""Attention is a mean by likeness, sees what it may see and nothing else, and knows no order."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st

from sonde import Padded, nn
from sonde._errors import ArgumentError, ShapeError

close = dict(rtol=1e-4, atol=1e-5)
ROWS, TIME, STEPS, CHANNELS, OTHERS = 3, 5, 4, 6, 2


def rows(rng, *shape):
    return jnp.asarray(rng.normal(size=shape), jnp.float32)


def made(rng, layer, *xs):
    return nn.build(layer.replace(bias_init=nn.Normal(0.5)), *xs, seed=int(rng.integers(2**31)))


def by_hand(net, x, context, causal=False):
    """[time, units] of one sequence [time, channels] that looks at another, step by step and head by head."""
    p = {path: np.asarray(value, np.float64) for path, value in net.params.items()}
    x, context = np.asarray(x, np.float64), np.asarray(context, np.float64)
    q, k, v = (g @ p[f"{n}/kernel"] + p[f"{n}/bias"] for n, g in (("query", x), ("key", context), ("value", context)))
    d = q.shape[-1] // net.spec.heads
    out = np.zeros_like(q)
    for t in range(len(x)):
        upto = t + 1 if causal else len(context)
        for head in range(net.spec.heads):
            part = slice(head * d, (head + 1) * d)
            a = scipy.special.softmax([q[t, part] @ k[s, part] / np.sqrt(d) for s in range(upto)])
            out[t, part] = sum(a[s] * v[s, part] for s in range(upto))
    return out @ p["out/kernel"] + p["out/bias"]


@pytest.mark.parametrize("heads", [1, 2, 6])
@pytest.mark.parametrize("causal", [False, True])
def test_a_sequence_that_looks_at_itself(rng, heads, causal):
    x = rows(rng, ROWS, TIME, CHANNELS)
    net = made(rng, nn.Attention(heads, causal=causal), x)
    np.testing.assert_allclose(net(x), [by_hand(net, row, row, causal) for row in x], **close)


def test_a_sequence_that_looks_at_another(rng):
    x, context = rows(rng, ROWS, TIME, CHANNELS), rows(rng, ROWS, STEPS, OTHERS)
    net = made(rng, nn.Attention(2, units=8), x, context)
    assert net(x, context).shape == (ROWS, TIME, 8)
    np.testing.assert_allclose(net(x, context), [by_hand(net, a, b) for a, b in zip(x, context, strict=True)], **close)


def test_where_all_keys_are_equal_it_is_the_mean(rng):
    x = rows(rng, ROWS, TIME, CHANNELS)
    net = made(rng, nn.Attention(2, kernel_init=nn.Normal(1.0)), x)
    net = net.replace(params=net.params | {"key/kernel": jnp.zeros((CHANNELS, CHANNELS))})
    value, out = ({n: net.params[f"{part}/{n}"] for n in ("kernel", "bias")} for part in ("value", "out"))
    mean = (x.mean(1) @ value["kernel"] + value["bias"][None]) @ out["kernel"] + out["bias"][None]
    np.testing.assert_allclose(net(x), np.broadcast_to(mean[:, None], x.shape), **close)


def test_a_key_that_suits_much_better_is_all_that_is_seen():
    """One head, all four dense layers the identity: the query (50, 0) finds the step (50, 0)."""
    steps = jnp.array([[[50.0, 0.0], [0.0, 50.0], [0.0, 3.0]]])
    params = {f"{n}/kernel": jnp.eye(2) for n in ("query", "key", "value", "out")}
    net = nn.Network(nn.Attention(1, bias_init=None), params)
    np.testing.assert_allclose(net(steps[:, :2], steps), steps[:, :2], atol=1e-5)


def test_it_knows_no_order(rng):
    x, turn = rows(rng, ROWS, TIME, CHANNELS), rng.permutation(TIME)
    net = made(rng, nn.Attention(2), x)
    np.testing.assert_allclose(net(x[:, turn]), net(x)[:, turn], **close)
    context, turn = rows(rng, ROWS, STEPS, OTHERS), rng.permutation(STEPS)
    net = made(rng, nn.Attention(2), x, context)
    np.testing.assert_allclose(net(x, context[:, turn]), net(x, context), **close)


@pytest.mark.parametrize("step", range(TIME))
def test_a_causal_step_does_not_see_the_future_but_sees_the_past(rng, step):
    x = rows(rng, ROWS, TIME, CHANNELS)
    net = made(rng, nn.Attention(2, causal=True), x)
    changed = np.abs(np.asarray(net(x.at[:, step].add(1.0)) - net(x))).max((0, 2))
    assert (changed[:step] == 0).all() and (changed[step:] > 0).all()


# ------------------------------------------------------------------------------------ sequences of different lengths


@settings(max_examples=15, deadline=None)
@given(
    lengths=st.lists(st.integers(0, TIME), min_size=ROWS, max_size=ROWS),
    causal=st.booleans(),
    draw=st.integers(0, 2**31 - 1),
)
def test_a_padded_row_gives_what_it_gives_alone(lengths, causal, draw):
    rng = np.random.default_rng(draw)
    x = Padded(rng.normal(size=(ROWS, TIME, CHANNELS)).astype(np.float32), np.array(lengths, np.int32))
    net = made(rng, nn.Attention(2, causal=causal), x)
    y = net(x)
    np.testing.assert_array_equal(y.lengths, lengths)
    for row, n in enumerate(lengths):
        alone = by_hand(net, x.values[row, :n], x.values[row, :n], causal)
        np.testing.assert_allclose(y.values[row, :n], alone, **close)
        np.testing.assert_array_equal(y.values[row, n:], 0)


def test_only_real_steps_of_a_context_are_seen(rng):
    x, lengths = rows(rng, ROWS, TIME, CHANNELS), np.array([4, 1, 2], np.int32)
    context = Padded(rng.normal(size=(ROWS, STEPS, OTHERS)).astype(np.float32), lengths)
    net = made(rng, nn.Attention(3), x, context)
    y = net(x, context)
    for row, n in enumerate(lengths):
        np.testing.assert_allclose(y[row], by_hand(net, x[row], context.values[row, :n]), **close)


def test_an_empty_context_gives_0_and_gradients_that_are_finite(rng):
    x = rows(rng, 2, TIME, CHANNELS)
    context = Padded(rng.normal(size=(2, STEPS, OTHERS)).astype(np.float32), np.array([0, 2], np.int32))
    net = made(rng, nn.Attention(2), x, context)
    height = lambda params, x: (nn.Network(net.spec, params)(x, context) ** 2).sum()
    y, slopes = net(x, context), jax.grad(height, (0, 1))(net.params, x)
    np.testing.assert_array_equal(y[0], 0)  # though there are biases
    assert (y[1] != 0).all() and all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slopes))
    np.testing.assert_array_equal(slopes[1][0], 0)


@pytest.mark.parametrize("filling", [1e6, np.nan], ids=str)
def test_what_stands_behind_a_length_changes_neither_outputs_nor_gradients(rng, filling):
    values, lengths = rng.normal(size=(ROWS, TIME, CHANNELS)).astype(np.float32), np.array([2, 5, 0], np.int32)
    other = np.where(np.arange(TIME)[None, :, None] < lengths[:, None, None], values, np.float32(filling))
    net = made(rng, nn.Attention(2), Padded(values, lengths))
    height = lambda params, values: (nn.Network(net.spec, params)(Padded(values, lengths)).values ** 2).sum()
    one, two = (jax.value_and_grad(height, (0, 1))(net.params, v) for v in (values, other))
    jax.tree.map(np.testing.assert_array_equal, one, two)


# ------------------------------------------------------------------------------------ what it shows, and refuses


def test_what_it_looks_at_is_shown(rng):
    x = Padded(rng.normal(size=(ROWS, TIME, CHANNELS)).astype(np.float32), np.array([5, 2, 0], np.int32))
    net = nn.build(nn.Sequential(look=nn.Attention(2)), x).bind()
    net(x)
    a = np.asarray(net.outputs("look/weights")["look/weights"])
    assert a.shape == (ROWS, 2, TIME, TIME)
    np.testing.assert_allclose(a[:2].sum(-1), 1, rtol=1e-5)
    assert (a[1, :, :, 2:] == 0).all() and (a[2] == 0).all()


def test_large_scores_do_not_overflow(rng):
    x = 1e4 * rows(rng, ROWS, TIME, CHANNELS)
    net = made(rng, nn.Attention(2), x)
    slope = jax.grad(lambda x: net(x).sum())(x)
    assert np.isfinite(net(x)).all() and np.isfinite(slope).all()


def test_halves_of_a_number_are_weighed_in_float32():
    x = jnp.ones((1, 3, 4), jnp.bfloat16)
    net = nn.build(nn.Attention(2), x)
    halved = net.replace(params={path: value.astype(jnp.bfloat16) for path, value in net.params.items()}).bind()
    assert halved(x).dtype == jnp.bfloat16
    assert halved.outputs("weights")["weights"].dtype == jnp.float32


@pytest.mark.parametrize(("heads", "units"), [(0, None), (2.0, None), (2, 0), (True, None)], ids=str)
def test_counts_must_be_whole_numbers(heads, units):
    with pytest.raises(ArgumentError, match=r"(heads|units) of Attention must be a whole number of at least 1; got"):
        nn.Attention(heads, units)


def test_heads_must_share_the_units_evenly(rng):
    with pytest.raises(ArgumentError, match="units of Attention must be a multiple of its 4 heads; got 6"):
        nn.Attention(4, 6)
    with pytest.raises(ShapeError, match="shares 6 channels among 4 heads"):
        nn.build(nn.Attention(4), rows(rng, ROWS, TIME, CHANNELS))


@pytest.mark.parametrize("shapes", [((4, 3),), ((4, 5, 6), (3, 5, 6)), ((4, 5, 6), (4, 6))], ids=str)
def test_inputs_must_be_sequences_of_as_many_rows(shapes):
    with pytest.raises(ShapeError, match=r"Attention takes sequences \[rows, time, channels\], .*got float32"):
        nn.build(nn.Attention(2), *map(jnp.ones, shapes))


def test_causal_attention_has_no_context(rng):
    x = rows(rng, ROWS, TIME, CHANNELS)
    with pytest.raises(ArgumentError, match="causal=True is for a sequence that looks at itself"):
        nn.build(nn.Attention(2, causal=True), x, x)
