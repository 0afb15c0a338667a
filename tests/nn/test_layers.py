"""Layers do what their equations say, in training, at inference and at rest."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

import sonde._random
from sonde import nn
from sonde._batch import Batch
from sonde._errors import ArgumentError, ShapeError
from sonde._value import FUNCTIONS
from sonde.nn.scope import Frame, nowhere

CERTAIN = 1e-6
"""How often a test of distributions may be wrong about a right one."""


def rows(rng, *shape):
    return jnp.asarray(rng.normal(size=shape), jnp.float32)


def weighing(network, weight, train=True):
    """The network bound to a batch whose rows have these weights, and its frame."""
    net = network.bind(train=train).over(Batch({}, jnp.asarray(weight, jnp.float32)))
    return net, net._frame


close = dict(rtol=1e-5, atol=1e-5)

# ---------------------------------------------------------------------- Dense


@pytest.mark.parametrize("shape", [(5, 3), (2, 4, 3)], ids=str)
@pytest.mark.parametrize("bias", [True, False])
def test_dense_is_a_product_a_sum_and_an_activation(rng, shape, bias):
    x = rows(rng, *shape)
    net = nn.build(nn.Dense(4, nn.tanh, bias_init=nn.Normal(1.0) if bias else None), x)
    assert set(net.params) == ({"kernel", "bias"} if bias else {"kernel"})
    kernel, b = np.asarray(net.params["kernel"], np.float64), np.asarray(net.params.get("bias", 0.0), np.float64)
    assert kernel.shape == (3, 4)
    np.testing.assert_allclose(net(x), np.tanh(np.asarray(x, np.float64) @ kernel + b), **close)


def test_dense_starts_as_it_is_told():
    net = nn.build(nn.Dense(2, kernel_init=nn.Constant(3.0), bias_init=nn.Constant(-1.0)), jnp.ones((1, 4)))
    np.testing.assert_array_equal(net(jnp.ones((1, 4))), [[11.0, 11.0]])


@pytest.mark.parametrize("units", [0, -3, 2.5, "3", True, None])
def test_dense_refuses_units_that_cannot_be(units):
    with pytest.raises(ArgumentError, match="units of Dense must be a whole number of at least 1; got"):
        nn.Dense(units)


@pytest.mark.parametrize("field", ["activation", "kernel_init", "bias_init"])
def test_dense_refuses_names_where_functions_belong(field):
    with pytest.raises(ArgumentError, match=f"{field} of Dense must be .*; got 'relu'"):
        nn.Dense(3, **{field: "relu"})


# ---------------------------------------------------------------------- Flatten, Scale


@pytest.mark.parametrize("shape", [(3, 2), (3,), (3, 2, 4, 5), (1, 1, 1)], ids=str)
def test_flatten_keeps_rows_and_joins_the_rest(rng, shape):
    x = rows(rng, *shape)
    flat = nn.build(nn.Flatten(), x)(x)
    np.testing.assert_array_equal(flat, np.asarray(x).reshape(shape[0], -1))


def test_scale_turns_whole_numbers_of_any_size_into_floats():
    x = np.arange(256, dtype=np.uint8).reshape(1, 256)
    net = nn.build(nn.Scale(1 / 255, -0.5), x)
    y = net(x)
    assert y.dtype == jnp.float32
    np.testing.assert_allclose(y, x.astype(np.float64) / 255 - 0.5, rtol=1e-6, atol=1e-7)
    big = nn.build(nn.Scale(2.0), x)(x)  # 255 * 2 does not fit uint8
    assert float(big.max()) == 510


def test_scale_keeps_the_type_of_floats():
    x = jnp.ones((1, 2), jnp.bfloat16)
    assert nn.build(nn.Scale(2.0), x)(x).dtype == jnp.bfloat16


# ---------------------------------------------------------------------- Dropout


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_the_expectation_of_dropout_is_the_identity(rng, key, rate):
    x = rng.uniform(1, 2, size=(1, 50)).astype(np.float32)
    many = jnp.asarray(np.repeat(x, 4000, 0))
    y = np.asarray(nn.build(nn.Dropout(rate), many).bind(key, train=True)(many))
    error = x * np.sqrt(rate / (1 - rate) / len(many))  # the standard error of each column's mean
    z = (y.mean(0) - x[0]) / error[0]
    assert np.abs(z).max() < 5.5
    low, high = scipy.stats.chi2.ppf([CERTAIN, 1 - CERTAIN], 50)
    assert low < (z**2).sum() < high
    dropped = y == 0
    assert abs(dropped.mean() - rate) < 5.5 * np.sqrt(rate * (1 - rate) / y.size)
    np.testing.assert_allclose(y[~dropped], np.broadcast_to(x / (1 - rate), y.shape)[~dropped], rtol=1e-5)


def test_dropout_is_the_identity_at_inference_and_at_rate_0(rng, key):
    x = rows(rng, 5, 7)
    net = nn.build(nn.Dropout(0.9), x)
    np.testing.assert_array_equal(net(x), x)
    np.testing.assert_array_equal(net.bind(key)(x), x)
    np.testing.assert_array_equal(nn.build(nn.Dropout(0.0), x).bind(key, train=True)(x), x)


def test_dropout_masks_are_fresh_for_each_call_layer_and_key(key):
    x = jnp.ones((1, 200))
    net = nn.build(nn.Sequential(a=nn.Dropout(0.5), b=nn.Dropout(0.5)), x)

    def masks(key):
        bound = net.bind(key, train=True)
        out = []
        for _ in range(2):
            bound(x)
            seen = bound.outputs()
            out += [seen["a"] > 0, seen["b"] > 0]
        return [np.asarray(m) for m in out]

    first, again, other = masks(key), masks(key), masks(jax.random.fold_in(key, 1))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    a1, b1, a2, _ = first
    assert (a1 != a2).any()
    assert (b1 & ~a1).sum() == 0 and (a1 & ~b1).any()  # what a drops stays dropped; b drops others
    assert (a1 != other[0]).any()


@pytest.mark.parametrize("rate", [1.0, -0.1, 2, float("nan"), "0.5", None, True])
def test_dropout_refuses_rates_that_cannot_be(rate):
    with pytest.raises(ArgumentError, match=r"rate of Dropout must be a number in \[0, 1\).*the fraction dropped"):
        nn.Dropout(rate)


# ---------------------------------------------------------------------- BatchNorm


def normed(x, momentum=0.9, epsilon=1e-5):
    return nn.build(nn.BatchNorm(momentum, epsilon), x)


@pytest.mark.parametrize("shape", [(64, 5), (8, 3, 4, 5)], ids=str)
def test_batchnorm_in_training_standardizes_each_channel(rng, shape):
    x = rows(rng, *shape) * 30 + 7
    net = normed(x)
    y = np.asarray(net.bind(train=True)(x), np.float64)
    axes = tuple(range(len(shape) - 1))
    np.testing.assert_allclose(y.mean(axes), 0, atol=1e-5)
    np.testing.assert_allclose(y.std(axes), 1, atol=1e-4)


def test_batchnorm_scales_and_shifts_by_its_parameters(rng):
    x = rows(rng, 16, 3)
    net = normed(x).replace(params={"scale": jnp.array([1.0, 2.0, 3.0]), "offset": jnp.array([0.0, -1.0, 5.0])})
    wide = np.asarray(x, np.float64)
    expected = (wide - wide.mean(0)) / np.sqrt(wide.var(0) + 1e-5) * [1, 2, 3] + [0, -1, 5]
    np.testing.assert_allclose(net.bind(train=True)(x), expected, rtol=1e-4, atol=1e-4)


def test_running_averages_follow_and_inference_uses_them(rng):
    batches = [rows(rng, 16, 3) * 3 + 2 for _ in range(3)]
    net, a = normed(batches[0], momentum=0.75), 0.75
    bound = net.bind(train=True)
    mean, var = np.zeros(3), np.ones(3)
    for x in batches:
        bound(x)
        wide = np.asarray(x, np.float64)
        mean, var = a * mean + (1 - a) * wide.mean(0), a * var + (1 - a) * wide.var(0)
    state = bound._frame.state
    np.testing.assert_allclose(state["mean"], mean, **close)
    np.testing.assert_allclose(state["var"], var, **close)
    x = rows(rng, 5, 3)
    trained = net.replace(state=state)
    expected = (np.asarray(x) - mean) / np.sqrt(var + 1e-5)
    np.testing.assert_allclose(trained(x), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(trained(x[:1]), trained(x)[:1], **close)  # a row's output is its own


@jax.jit
def normed_parts(x, weight):
    """Output, state and gradients (of a function of the real rows alone) under these weights."""
    net = normed(x).replace(params={"scale": jnp.array([1.5, -0.5]), "offset": jnp.array([0.25, 1.0])})
    w = jnp.asarray(weight, jnp.float32)

    def loss(params, x):
        bound, frame = weighing(net.replace(params=params), w)
        y = bound(x)
        return jnp.where(w[:, None] > 0, w[:, None] * jnp.sin(y) * y, 0).sum(), (y, frame.state)

    return jax.grad(loss, (0, 1), has_aux=True)(net.params, x)


def test_filling_rows_change_neither_statistics_nor_gradients(rng):
    real = rows(rng, 5, 2)
    ones = np.ones(5)
    (g_params, g_x), (y, state) = normed_parts(real, ones)
    results = []
    for rubbish in (real[:3], rows(rng, 3, 2) * 1e6):
        filled = jnp.concatenate([real, rubbish])
        results.append(normed_parts(filled, np.concatenate([ones, np.zeros(3)])))
    for (f_params, f_x), (f_y, f_state) in results:
        np.testing.assert_allclose(f_y[:5], y, **close)
        np.testing.assert_allclose(f_x[:5], g_x, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(f_x[5:], 0)
        for path in g_params:
            np.testing.assert_allclose(f_params[path], g_params[path], rtol=1e-4, atol=1e-5)
        for path in state:
            np.testing.assert_allclose(f_state[path], state[path], **close)
    one, other = results  # what the filling rows hold does not change a bit
    np.testing.assert_array_equal(one[1][0][:5], other[1][0][:5])
    for path in state:
        np.testing.assert_array_equal(one[1][1][path], other[1][1][path])


def test_a_weight_of_two_is_the_row_standing_there_twice(rng):
    x = rows(rng, 4, 2)
    count = np.array([1, 2, 1, 3])
    (g_params, g_x), (y, state) = normed_parts(x, count)
    (r_params, r_x), (r_y, r_state) = normed_parts(jnp.repeat(x, count, 0), np.ones(7))
    first = np.cumsum(count) - count
    np.testing.assert_allclose(y, r_y[first], **close)
    np.testing.assert_allclose(g_x, np.add.reduceat(np.asarray(r_x), first, 0), rtol=1e-3, atol=1e-4)
    for path in state:
        np.testing.assert_allclose(state[path], r_state[path], **close)
    for path in g_params:
        np.testing.assert_allclose(g_params[path], r_params[path], rtol=1e-3, atol=1e-4)


def test_weights_count_rows_of_images_too(rng):
    x, w = rows(rng, 4, 3, 3, 2), np.array([1.0, 0.0, 2.0, 0.5])
    bound, frame = weighing(normed(x, momentum=0.0), w)
    bound(x)
    flat = np.asarray(x, np.float64).reshape(4, 9, 2).transpose(1, 0, 2).reshape(36, 2)
    weights = np.tile(w, 9)
    mean = np.average(flat, axis=0, weights=weights)
    np.testing.assert_allclose(frame.state["mean"], mean, **close)
    np.testing.assert_allclose(frame.state["var"], np.average((flat - mean) ** 2, axis=0, weights=weights), **close)


def test_statistics_of_other_rows_than_the_batchs_are_refused(rng):
    x = rows(rng, 4, 2)
    bound, _ = weighing(normed(x), np.ones(3))
    with pytest.raises(ShapeError, match=r"statistics of 4 rows in a batch of 3; .*call net\.over\(None\)"):
        bound(x)
    np.testing.assert_allclose(bound.over(None)(x), normed(x).bind(train=True)(x), **close)


def test_what_rests_gives_the_same_features_twice(rng, key):
    x = rows(rng, 8, 6)
    net = nn.build(nn.Sequential(norm=nn.BatchNorm(), drop=nn.Dropout(0.5), head=nn.Dense(2)), x)
    frame = Frame(net.params, net.state, key=key, live=nowhere)
    resting = nn.Bound(net.spec, frame)
    first, second = resting(x), resting(x)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first, net(x), **close)
    for path, value in net.state.items():
        np.testing.assert_array_equal(frame.state[path], value)
    working = net.bind(key, train=True)
    assert (working(x) != working(x)).any()


@pytest.mark.parametrize(("field", "value"), [("momentum", 1.0), ("momentum", -0.1), ("epsilon", -1e-9)])
def test_batchnorm_refuses_numbers_that_cannot_be(field, value):
    with pytest.raises(ArgumentError, match=f"{field} of BatchNorm must be a number in"):
        nn.BatchNorm(**{field: value})


# ---------------------------------------------------------------------- Sequential


def test_sequential_is_its_layers_one_after_the_other(rng):
    x = rows(rng, 5, 2, 3)
    net = nn.build(nn.Sequential(nn.Flatten(), nn.Scale(2.0), hidden=nn.Dense(4), act=nn.relu), x)
    h = 2 * np.asarray(x).reshape(5, 6) @ net.params["hidden/kernel"]
    np.testing.assert_allclose(net(x), np.maximum(h, 0), **close)


def test_an_empty_sequential_is_the_identity(rng):
    x = rows(rng, 2, 2)
    np.testing.assert_array_equal(nn.build(nn.Sequential(), x)(x), x)


@pytest.mark.parametrize("given", [nn.Dense, nn.Flatten, "relu", 3, None])
def test_sequential_refuses_what_is_no_layer(given):
    with pytest.raises(ArgumentError, match="expected a layer"):
        nn.Sequential(nn.Dense(3), given)
    if isinstance(given, type):
        with pytest.raises(ArgumentError, match=rf"the class {given.__name__}: did you forget \(\)\?"):
            nn.Sequential(layer=given)


# ---------------------------------------------------------------------- activations

REFERENCES = {
    "identity": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "sigmoid": scipy.special.expit,
    "tanh": np.tanh,
    "softmax": lambda x: scipy.special.softmax(x, -1),
    "softplus": lambda x: np.logaddexp(0, x),
    "log_softmax": lambda x: scipy.special.log_softmax(x, -1),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
    "selu": lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0))),
    "gelu": lambda x: x * scipy.stats.norm.cdf(x),
    "silu": lambda x: x * scipy.special.expit(x),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "arctan": np.arctan,
    "sqnl": lambda x: np.select([x > 2, x >= 0, x >= -2], [1, x - x**2 / 4, x + x**2 / 4], -1),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_activations_are_their_formulas_and_have_finite_slopes_everywhere(name, rng):
    activation = getattr(nn, name)
    assert FUNCTIONS[name] is activation
    x = np.concatenate([rng.normal(size=(4, 8)) * 5, [[0, 1e-6, -1e-6, 80, -80, 1e4, -1e4, 3]]]).astype(np.float32)
    # the logarithm of a sum between 1 and 8 is rounded before what it is subtracted from nearly cancels it
    atol = 1e-6 if name == "log_softmax" else 1e-7
    np.testing.assert_allclose(activation(jnp.asarray(x)), REFERENCES[name](x.astype(np.float64)), rtol=2e-6, atol=atol)
    slope = jax.grad(lambda x: (activation(x) * jnp.arange(8.0)[None]).sum())(jnp.asarray(x))
    assert np.isfinite(slope).all()


@pytest.mark.parametrize("name", [name for name in REFERENCES if "softmax" not in name])
def test_the_slopes_of_activations_are_differences_of_their_formulas(name, rng):
    x = rng.uniform(0.1, 3, size=16) * rng.choice([-1, 1], 16)
    slope = jax.vmap(jax.grad(getattr(nn, name)))(jnp.asarray(x, jnp.float32))
    step = 1e-5
    expected = (REFERENCES[name](x + step) - REFERENCES[name](x - step)) / (2 * step)
    np.testing.assert_allclose(slope, expected, rtol=1e-4, atol=1e-5)


def test_relu_has_no_slope_at_0():
    assert float(jax.grad(nn.relu)(0.0)) == 0


def test_a_leaky_rectifier_has_the_slope_it_is_told_and_is_a_value(rng):
    x = rows(rng, 5, 4)
    np.testing.assert_allclose(nn.LeakyReLU(0.3)(x), np.where(x > 0, x, 0.3 * np.asarray(x)), **close)
    np.testing.assert_array_equal(nn.LeakyReLU(0.0)(x), nn.relu(x))
    np.testing.assert_array_equal(nn.LeakyReLU()(x), nn.leaky_relu(x))
    assert nn.LeakyReLU(0.3) == nn.LeakyReLU(0.3) != nn.LeakyReLU(0.2)
    assert nn.Sequential(nn.LeakyReLU(0.3)).names == ("leakyrelu_1",)
    with pytest.raises(ArgumentError, match=r"slope of LeakyReLU must be a number in \[0, inf\); got -1"):
        nn.LeakyReLU(-1)


def test_a_learned_slope_belongs_to_its_channel_and_learns_from_what_is_below_0(rng):
    x = rows(rng, 6, 2, 3)
    net = nn.build(nn.PReLU(), x)
    assert net.params["slope"].tolist() == [0.25] * 3
    slope = np.array([0.0, 0.5, -1.0], np.float32)
    wide = np.asarray(x, np.float64)
    told = net.replace(params={"slope": jnp.asarray(slope)})
    np.testing.assert_allclose(told(x), np.where(x > 0, wide, slope * wide), **close)
    learns = jax.grad(lambda params: nn.Network(net.spec, params)(x).sum())(net.params)["slope"]
    np.testing.assert_allclose(learns, np.minimum(wide, 0).sum((0, 1)), **close)
    with pytest.raises(ArgumentError, match="slope_init of PReLU must be an initializer.*got 0.25"):
        nn.PReLU(0.25)  # pyright: ignore


def test_a_bias_is_a_firing_threshold_with_the_sign_changed():
    votes = jnp.array([[4.0, 5.0], [5.0, 4.999], [5.0, 5.001], [20.0, -3.0]])
    unit = nn.Dense(1, nn.sigmoid, kernel_init=nn.ones, bias_init=nn.Constant(-10.0))
    fires = nn.build(unit, votes)(votes)[:, 0] > 0.5
    assert fires.tolist() == [False, False, True, True]


# ---------------------------------------------------------------------- initializers

VARIANCES = {
    "glorot_uniform": lambda m, n: 2 / (m + n),
    "glorot_normal": lambda m, n: 2 / (m + n),
    "he_uniform": lambda m, n: 2 / m,
    "he_normal": lambda m, n: 2 / m,
    "lecun_uniform": lambda m, n: 1 / m,
    "lecun_normal": lambda m, n: 1 / m,
    "fan_in_uniform": lambda m, n: 1 / (3 * m),  # which is uniform on +-1 / sqrt(m)
}


@pytest.mark.parametrize("name", VARIANCES)
@pytest.mark.parametrize("shape", [(100, 120), (3, 3, 30, 40)], ids=str)
def test_initializers_draw_from_their_distribution(name, shape, key):
    receptive = int(np.prod(shape[:-2]))
    sigma = np.sqrt(VARIANCES[name](receptive * shape[-2], receptive * shape[-1]))
    if "uniform" in name:
        distribution = scipy.stats.uniform(-sigma * np.sqrt(3), 2 * sigma * np.sqrt(3))
    else:
        distribution = scipy.stats.norm(0, sigma)
    w = np.asarray(getattr(nn, name)(key, shape)).ravel()
    assert scipy.stats.kstest(w, distribution.cdf).pvalue > CERTAIN
    wrong = scipy.stats.kstest(w, lambda x: distribution.cdf(x / 1.2)).pvalue  # the test would see a wrong scale
    assert wrong < CERTAIN


def test_a_fan_may_be_out_and_a_scale_any_number(key):
    w = np.asarray(nn.VarianceScaling(0.5, "out", "normal")(key, (60, 90))).ravel()
    assert scipy.stats.kstest(w, scipy.stats.norm(0, np.sqrt(0.5 / 90)).cdf).pvalue > CERTAIN


def test_normal_and_constant(key):
    w = np.asarray(nn.Normal(0.3)(key, (3000,)))
    assert scipy.stats.kstest(w, scipy.stats.norm(0, 0.3).cdf).pvalue > CERTAIN
    np.testing.assert_array_equal(nn.Constant(0.25)(key, (2, 3)), np.full((2, 3), 0.25))
    np.testing.assert_array_equal(nn.zeros(key, (2,)), [0, 0])
    np.testing.assert_array_equal(nn.ones(key, (2,)), [1, 1])
    for init in (nn.Constant(1.0), nn.Normal(1.0), nn.he_normal, nn.glorot_uniform):
        assert init(key, (4, 4), jnp.bfloat16).dtype == jnp.bfloat16


@pytest.mark.parametrize("bits", [0, 255, 256, 2**31 - 1, 2**31, 2**32 - 257, 2**32 - 256, 2**32 - 1])
def test_a_normal_draw_is_finite_whatever_the_bits_and_as_often_above_0_as_below(bits, key, monkeypatch):
    def drawn(word):
        monkeypatch.setattr(sonde._random, "bits", lambda key, shape: jnp.full(shape, word, jnp.uint32))
        return float(nn.Normal(1.0)(key, (1,))[0])

    z = drawn(bits)
    assert z == -drawn(2**32 - 1 - bits)
    assert z == pytest.approx(scipy.stats.norm.ppf(((bits >> 8) + 0.5) / 2**24), rel=1e-3, abs=1e-6)
    assert 0 < abs(z) < 6


DEPTH, WIDTH = 30, 300


def sizes_through_layers(activation, init, x, seed):
    """The mean square of the outputs of each of 30 layers."""
    frame = Frame({}, {}, key=jax.random.key(seed), building=True)
    layer, sizes = nn.Dense(WIDTH, activation, init), []
    for i in range(DEPTH):
        x = nn.Scope(frame)(f"layer_{i}", layer, x)
        sizes.append(float((x**2).mean()))
    return np.array(sizes)


def test_he_keeps_the_size_of_signals_through_30_rectified_layers(rng, seed):
    x = rows(rng, 64, WIDTH)
    sizes = sizes_through_layers(nn.relu, nn.he_normal, x, seed)
    # the size of one network wanders: the logarithm's variance grows by about 5 / width a layer
    wander = 5 * np.sqrt(5 / WIDTH * DEPTH)
    assert abs(np.log(sizes[-1])) < wander
    assert np.log(sizes_through_layers(nn.relu, nn.glorot_normal, x, seed)[-1]) < -wander


def test_glorot_keeps_tanh_alive_through_30_layers_as_theory_says(rng, seed):
    x = rows(rng, 64, WIDTH)
    sizes = sizes_through_layers(nn.tanh, nn.glorot_uniform, x, seed)
    # the mean field: q <- E[tanh(sqrt(q) z)^2], z normal, by quadrature (B. Poole et al., 2016)
    z, weights = np.polynomial.hermite_e.hermegauss(101)
    q, expected = 1.0, []
    for _ in range(DEPTH):
        q = float((np.tanh(np.sqrt(q) * z) ** 2 * weights).sum() / np.sqrt(2 * np.pi))
        expected.append(q)
    np.testing.assert_allclose(sizes[:5], expected[:5], rtol=0.1)
    np.testing.assert_allclose(sizes, expected, rtol=0.45)
    assert sizes_through_layers(nn.tanh, nn.Normal(0.01), x, seed)[-1] < 1e-10


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Normal(-1.0), "sigma of Normal must be a number in"),
        (lambda: nn.VarianceScaling(0.0), "scale of VarianceScaling must be a number in"),
        (lambda: nn.VarianceScaling(fan="sideways"), "fan of VarianceScaling must be one of"),
        (lambda: nn.VarianceScaling(distribution="cauchy"), "distribution of VarianceScaling must be one of"),
        (
            lambda: nn.he_normal(jax.random.key(0), (3,)),
            r"needs an axis of inputs and one of outputs; got shape \(3,\)",
        ),
    ],
)
def test_initializers_refuse_what_cannot_be(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()
