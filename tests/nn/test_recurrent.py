"""Recurrent layers are their equations, step by step, whatever the direction, the length and the gradient taken."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sonde import Padded, nn
from sonde._errors import ArgumentError, LayerError, ShapeError

close = dict(rtol=1e-5, atol=1e-5)
ROWS, TIME, INPUTS, UNITS = 4, 5, 2, 3


def sigma(a):
    return 1 / (1 + np.exp(-a))


def rnn(params, x):
    """[time, units] of one sequence [time, inputs]."""
    h, hs = np.zeros(UNITS), []
    for step in x:
        h = np.tanh(step @ params["kernel"] + h @ params["recurrent_kernel"] + params["bias"])
        hs.append(h)
    return np.array(hs).reshape(-1, UNITS)


def lstm(params, x):
    h, s, hs = np.zeros(UNITS), np.zeros(UNITS), []
    for step in x:
        i, f, g, o = np.split(step @ params["kernel"] + h @ params["recurrent_kernel"] + params["bias"], 4)
        s = sigma(f) * s + sigma(i) * np.tanh(g)
        h = sigma(o) * np.tanh(s)
        hs.append(h)
    return np.array(hs).reshape(-1, UNITS)


def gru(params, x):
    h, hs = np.zeros(UNITS), []
    for step in x:
        a_r, a_u, a_n = np.split(step @ params["kernel"] + params["bias"], 3)
        q_r, q_u, q_n = np.split(h @ params["recurrent_kernel"], 3)
        r, u = sigma(a_r + q_r), sigma(a_u + q_u)
        n = np.tanh(a_n + r * (q_n + params["recurrent_bias"]))
        h = (1 - u) * n + u * h
        hs.append(h)
    return np.array(hs).reshape(-1, UNITS)


KINDS = {"RNN": (nn.RNN, rnn), "LSTM": (nn.LSTM, lstm), "GRU": (nn.GRU, gru)}
kinds = pytest.mark.parametrize("kind", KINDS)
fast = pytest.mark.parametrize("kind", ["LSTM", "GRU"])


def rows(rng, *shape):
    return jnp.asarray(rng.normal(size=shape), jnp.float32)


def made(kind, rng, **fields):
    """A network of one layer, its biases not 0, and its parameters for NumPy."""
    layer = KINDS[kind][0](UNITS, bias_init=nn.Normal(0.5), **fields)
    net = nn.build(layer, jnp.ones((1, TIME, INPUTS)), seed=int(rng.integers(2**31)))
    return net, {path: np.asarray(value, np.float64) for path, value in net.params.items()}


@kinds
def test_every_step_is_its_equation(rng, kind):
    net, params = made(kind, rng)
    x = rows(rng, ROWS, TIME, INPUTS)
    np.testing.assert_allclose(net(x), [KINDS[kind][1](params, row) for row in np.asarray(x, np.float64)], **close)


@kinds
def test_last_is_the_state_after_the_last_step(rng, kind):
    net, params = made(kind, rng, last=True)
    x = rows(rng, ROWS, TIME, INPUTS)
    wanted = [KINDS[kind][1](params, row)[-1] for row in np.asarray(x, np.float64)]
    np.testing.assert_allclose(net(x), wanted, **close)


@kinds
def test_reversed_is_the_layer_on_the_sequence_turned_round(rng, kind):
    net, _ = made(kind, rng)
    x = rows(rng, ROWS, TIME, INPUTS)
    there = nn.Network(net.spec.replace(reverse=True), net.params)
    np.testing.assert_allclose(there(x), net(x[:, ::-1])[:, ::-1], **close)
    at_end = nn.Network(net.spec.replace(reverse=True, last=True), net.params)
    np.testing.assert_allclose(at_end(x), net(x[:, ::-1])[:, -1], **close)


def test_a_reversed_layer_knows_the_future_only(rng):
    net, _ = made("LSTM", rng, reverse=True)
    x = rows(rng, ROWS, TIME, INPUTS)
    changed = np.abs(np.asarray(net(x.at[:, 2].add(1.0)) - net(x))).max((0, 2)) > 0
    assert changed.tolist() == [True, True, True, False, False]


def test_two_steps_of_an_lstm_by_hand():
    """sigma(0) = 1/2, sigma(log 3) = 3/4, tanh(log 2) = 3/5.

    Step 1 (x = 1): i = o = 1/2, f = 3/4, g = 3/5, so s = 1/2 3/5 = 0.3 and h = tanh(0.3) / 2 = 0.145656.
    Step 2 (x = -1): g = -3/5, so s = 3/4 0.3 - 0.3 = -0.075 and h = tanh(-0.075) / 2 = -0.037430.
    """
    log2, log3 = np.log([2, 3])
    params = {"kernel": [[0.0, 0.0, log2, 0.0]], "recurrent_kernel": [[0.0] * 4], "bias": [0.0, log3, 0.0, 0.0]}
    net = nn.Network(nn.LSTM(1), {path: jnp.asarray(value, jnp.float32) for path, value in params.items()})
    np.testing.assert_allclose(net(jnp.array([[[1.0], [-1.0]]]))[0, :, 0], [0.145656, -0.037430], atol=1e-6)


def test_an_rnn_may_have_another_activation(rng):
    x = rows(rng, ROWS, TIME, INPUTS)
    net = nn.build(nn.RNN(UNITS, nn.identity, recurrent_init=nn.zeros), x)
    np.testing.assert_allclose(net(x), x @ net.params["kernel"], **close)


def test_an_lstm_keeps_what_an_rnn_forgets():
    """With f = 1 the slope of the end with respect to the first input is that to the last one, at any distance."""
    x = jnp.full((1, 20, 1), 0.01)
    slope = lambda net: jax.grad(lambda x: net(x)[0, -1, 0])(x)[0, :, 0]
    gates = {"kernel": jnp.array([[0.0, 0.0, 1.0, 0.0]]), "recurrent_kernel": jnp.zeros((1, 4))}
    kept = slope(nn.Network(nn.LSTM(1), gates | {"bias": jnp.array([50.0, 50.0, 0.0, 50.0])}))
    np.testing.assert_allclose(kept[0] / kept[-1], 1, rtol=1e-5)
    plain = {"kernel": jnp.ones((1, 1)), "recurrent_kernel": jnp.full((1, 1), 0.5), "bias": jnp.zeros(1)}
    lost = slope(nn.Network(nn.RNN(1, nn.identity), plain))
    np.testing.assert_allclose(lost[0] / lost[-1], 0.5**19, rtol=1e-5)


# ------------------------------------------------------------------------------------ how they start


def test_an_lstm_begins_by_remembering():
    x = jnp.ones((1, TIME, INPUTS))
    np.testing.assert_array_equal(nn.build(nn.LSTM(2), x).params["bias"], [0, 0, 1, 1, 0, 0, 0, 0])
    other = nn.LSTM(2, bias_init=nn.Constant(0.5), forget_bias=2.0)
    np.testing.assert_array_equal(nn.build(other, x).params["bias"], [0.5, 0.5, 2.5, 2.5, 0.5, 0.5, 0.5, 0.5])


@pytest.mark.parametrize(("kind", "gates"), [("RNN", 1), ("LSTM", 4), ("GRU", 3)])
def test_each_gate_starts_as_a_dense_layer_would(kind, gates):
    net = nn.build(KINDS[kind][0](200), jnp.ones((1, 2, 100)))
    parts = {name: np.split(np.asarray(net.params[name]), gates, -1) for name in ("kernel", "recurrent_kernel")}
    limit = np.sqrt(6 / (100 + 200))  # Glorot's of one gate, not of all side by side
    for i, part in enumerate(parts["kernel"]):
        assert 0.99 * limit < np.abs(part).max() <= limit
        assert not any((part == other).any() for other in parts["kernel"][:i])
    for part in parts["recurrent_kernel"]:
        np.testing.assert_allclose(part.T @ part, np.eye(200), atol=1e-5)


# ------------------------------------------------------------------------------------ sequences of different lengths


lengths = st.lists(st.integers(0, TIME), min_size=ROWS, max_size=ROWS)


@kinds
@pytest.mark.parametrize("reverse", [False, True])
@settings(max_examples=15, deadline=None)
@given(lengths=lengths, draw=st.integers(0, 2**31 - 1))
def test_a_padded_row_gives_what_it_gives_alone(kind, reverse, lengths, draw):
    rng = np.random.default_rng(draw)
    net, params = made(kind, rng, reverse=reverse)
    x = Padded(1e3 * rng.normal(size=(ROWS, TIME, INPUTS)).astype(np.float32), np.array(lengths, np.int32))
    for row, n in enumerate(lengths):
        x.values[row, :n] = rng.normal(size=(n, INPUTS))
    y, at_end = net(x), nn.Network(net.spec.replace(last=True), net.params)(x)
    np.testing.assert_array_equal(y.lengths, lengths)
    for row, n in enumerate(lengths):
        turn = slice(None, None, -1 if reverse else 1)
        alone = KINDS[kind][1](params, x.values[row, :n].astype(np.float64)[turn])
        np.testing.assert_allclose(y.values[row, :n], alone[turn], **close)
        np.testing.assert_array_equal(y.values[row, n:], 0)
        np.testing.assert_allclose(at_end[row], alone[-1] if n else np.zeros(UNITS), **close)


@pytest.mark.parametrize("layer", [nn.RNN(3), nn.LSTM(3, reverse=True), nn.Bidirectional(nn.GRU(3))], ids=str)
@pytest.mark.parametrize("filling", [1e6, np.nan], ids=str)
def test_what_stands_behind_a_length_changes_neither_outputs_nor_gradients(rng, layer, filling):
    values, lengths = rng.normal(size=(ROWS, TIME, INPUTS)).astype(np.float32), np.array([2, 5, 0, 1], np.int32)
    other = np.where(np.arange(TIME)[None, :, None] < lengths[:, None, None], values, np.float32(filling))
    net = nn.build(layer, Padded(values, lengths))

    def both(params, values):
        y = nn.Network(layer, params)(Padded(values, lengths)).values
        return (y**2).sum(), y

    slopes = jax.value_and_grad(both, argnums=(0, 1), has_aux=True)
    (_, ys), (to_params, to_x) = slopes(net.params, values)
    (_, others), (other_params, other_x) = slopes(net.params, other)
    np.testing.assert_array_equal(ys, others)
    np.testing.assert_array_equal(to_x, other_x)
    jax.tree.map(np.testing.assert_array_equal, to_params, other_params)


def test_lengths_that_are_all_full_are_no_lengths(rng):
    net, _ = made("GRU", rng, reverse=True)
    x = rows(rng, ROWS, TIME, INPUTS)
    np.testing.assert_allclose(net(Padded(x, np.full(ROWS, TIME))).values, net(x), **close)


# ------------------------------------------------------------------------------------ gradients


def heights(kind, rng, **fields):
    """A function of (parameters, x) for each way to take its gradient, and where to take it, in float64."""
    net, params = made(kind, rng, **fields)
    x, c = rng.normal(size=(ROWS, TIME, INPUTS)), rng.normal(size=(ROWS, TIME, UNITS))
    lengths = np.array([3, 5, 0, 1], np.int32)

    def height(spec):
        return lambda params, x: (c * nn.Network(spec, params).bind().still(Padded(x, lengths)).values ** 2).sum()

    return height(net.spec), height(net.spec.replace(plain_gradient=True)), (jax.tree.map(jnp.asarray, params), x)


@fast
@pytest.mark.parametrize("reverse", [False, True])
def test_the_fast_gradient_is_the_plain_one(rng, kind, reverse):
    with jax.enable_x64(True):
        fast, plain, at = heights(kind, rng, reverse=reverse)
        one, other = jax.jit(jax.grad(fast, (0, 1)))(*at), jax.jit(jax.grad(plain, (0, 1)))(*at)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12), one, other)


@fast
def test_second_derivatives_are_the_plain_ones_and_the_slopes_of_the_gradient(rng, kind):
    with jax.enable_x64(True):
        fast, plain, at = heights(kind, rng)
        v = jax.tree.map(lambda a: jnp.asarray(rng.normal(size=np.shape(a))), at)
        dot = lambda a, b: sum(jax.tree.leaves(jax.tree.map(lambda i, j: (i * j).sum(), a, b)))
        slope = lambda f: lambda *at: dot(jax.grad(f, (0, 1))(*at), v)
        one, other = (jax.jit(jax.grad(slope(f), (0, 1)))(*at) for f in (fast, plain))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11), one, other)
        step, gradient = 1e-5, jax.jit(jax.grad(fast, (0, 1)))
        walked = [gradient(*jax.tree.map(lambda a, b, s=s: a + s * step * b, at, v)) for s in (1, -1)]
        moved = jax.tree.map(lambda a, b: (a - b) / (2 * step), *walked)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), one, moved)


@fast
def test_forward_mode_goes_through_the_plain_gradient_and_says_so_at_the_other(rng, kind):
    net, _ = made(kind, rng)
    x = rows(rng, ROWS, TIME, INPUTS)
    for run in (net, net.bind().still):  # compiled, and not
        with pytest.raises(LayerError, match=r"fast gradient.*nn.replace_all\(spec, plain_gradient=True\)"):
            jax.jvp(run, (x,), (x,))
    plain = nn.Network(nn.replace_all(net.spec, plain_gradient=True), net.params)
    y, along = jax.jvp(plain, (x,), (x,))
    back = jax.vjp(net, x)[1](y)[0]
    np.testing.assert_allclose((along * y).sum(), (back * x).sum(), rtol=1e-4)


def carries(jaxpr):
    """The shapes that the loops of a program carry."""
    for eqn in jaxpr.eqns:
        if eqn.primitive.name == "scan":
            first, many = eqn.params["num_consts"], eqn.params["num_carry"]
            yield from (v.aval.shape for v in eqn.invars[first : first + many])
        for inner in jax.tree.leaves(eqn.params, is_leaf=lambda p: hasattr(p, "eqns") or hasattr(p, "jaxpr")):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                yield from carries(inner)


@fast
def test_the_loop_of_the_gradient_carries_states_and_no_matrix_of_weights(rng, kind):
    net, _ = made(kind, rng)
    x = rows(rng, ROWS, TIME, INPUTS)
    weights = {value.shape for path, value in net.params.items() if path.endswith("kernel")}

    def carried(spec):
        height = lambda params: (nn.Network(spec, params).bind().still(x) ** 2).sum()
        return set(carries(jax.make_jaxpr(jax.grad(height))(net.params).jaxpr))

    assert carried(net.spec) == {(ROWS, UNITS)}
    assert carried(net.spec.replace(plain_gradient=True)) & weights  # the test can see one


# ------------------------------------------------------------------------------------ both directions, several layers


def test_both_directions_are_two_layers_side_by_side(rng):
    x = rows(rng, ROWS, TIME, INPUTS)
    for layer, axes in ((nn.LSTM(UNITS), 3), (nn.LSTM(UNITS, last=True), 2)):
        net = nn.build(nn.Bidirectional(layer), x)
        part = lambda name, net=net: {p.split("/")[1]: v for p, v in net.params.items() if p.startswith(name)}
        there = nn.Network(layer, part("forward"))(x)
        back = nn.Network(layer.replace(reverse=True), part("backward"))(x)
        assert net(x).ndim == axes and not np.array_equal(part("forward")["kernel"], part("backward")["kernel"])
        np.testing.assert_allclose(net(x), np.concatenate([there, back], -1), **close)
    assert "forward" in net.summary() and "backward" in net.summary()


def test_layers_are_stacked_by_a_sequence_of_them(rng):
    x = Padded(rng.normal(size=(ROWS, TIME, INPUTS)).astype(np.float32), np.array([1, 5, 3, 2], np.int32))
    net = nn.build(nn.Sequential(low=nn.GRU(4), high=nn.LSTM(3), end=nn.RNN(2, last=True), head=nn.Dense(1)), x)
    shapes = {path: y.shape for path, y in net.outputs(x).items()}
    assert shapes == {"low": (4, 5, 4), "high": (4, 5, 3), "end": (4, 2), "head": (4, 1)}


# ------------------------------------------------------------------------------------ what is refused


@kinds
@pytest.mark.parametrize("units", [0, -1, 2.0, True, "3"])
def test_units_must_be_a_whole_number(kind, units):
    with pytest.raises(ArgumentError, match=f"units of {kind} must be a whole number of at least 1; got"):
        KINDS[kind][0](units)


@kinds
def test_initializers_must_be_functions(kind):
    with pytest.raises(ArgumentError, match=f"recurrent_init of {kind} must be an initializer.*got 'orthogonal'"):
        KINDS[kind][0](3, recurrent_init="orthogonal")


def test_an_activation_must_be_a_function():
    with pytest.raises(ArgumentError, match="activation of RNN must be a function such as nn.tanh; got 'tanh'"):
        nn.RNN(3, "tanh")


@kinds
@pytest.mark.parametrize("shape", [(4, 3), (4, 5, 3, 2), (4, 0, 3)], ids=str)
def test_only_sequences_of_at_least_a_step_are_read(kind, shape):
    with pytest.raises(ShapeError, match=rf"{kind} takes sequences \[rows, time, inputs\].*got float32"):
        nn.build(KINDS[kind][0](3), jnp.ones(shape))


@kinds
def test_tokens_are_not_quantities(kind):
    with pytest.raises(ShapeError, match=rf"{kind} takes floating-point numbers, got int32.*nn.Embedding"):
        nn.build(KINDS[kind][0](3), jnp.ones((4, 5, 1), jnp.int32))


def test_what_has_no_direction_is_refused():
    with pytest.raises(ArgumentError, match=r"can be reversed, as nn.LSTM can; got Dense\(units=3\)"):
        nn.Bidirectional(nn.Dense(3))
