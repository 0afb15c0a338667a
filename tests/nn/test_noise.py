"""What layers that draw at random do on average, and what they do to connections, units and entries."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

import sonde as sd
from sonde import nn
from sonde._errors import ArgumentError, ShapeError

CERTAIN = 1e-6
"""How often a test of distributions may be wrong about a right one."""

close = dict(rtol=1e-5, atol=1e-5)


def trains(spec, x, key):
    """What a layer gives while training."""
    return np.asarray(nn.build(spec, x).bind(key, train=True)(x))


# ---------------------------------------------------------------------- dropout in its two forms


@pytest.mark.parametrize("inverted", [True, False])
@pytest.mark.parametrize("rate", [0.2, 0.5])
def test_on_average_dropout_gives_while_training_what_it_gives_at_inference(rng, key, inverted, rate):
    x = np.repeat(rng.uniform(1, 2, size=(1, 50)), 4000, 0).astype(np.float32)
    layer = nn.Dropout(rate, inverted=inverted)
    rests = np.asarray(nn.build(layer, x)(jnp.asarray(x)))
    np.testing.assert_allclose(rests, x if inverted else x * (1 - rate), rtol=1e-6)
    y = trains(layer, jnp.asarray(x), key)
    z = (y.mean(0) - rests[0]) / (rests[0] * np.sqrt(rate / (1 - rate) / len(x)))  # in standard errors
    assert np.abs(z).max() < 5.5
    low, high = scipy.stats.chi2.ppf([CERTAIN, 1 - CERTAIN], 50)
    assert low < (z**2).sum() < high


def test_the_two_forms_of_dropout_differ_by_a_factor_only(key):
    x = jnp.ones((20, 30))
    np.testing.assert_allclose(trains(nn.Dropout(0.3), x, key) * 0.7, trains(nn.Dropout(0.3, False), x, key), rtol=1e-6)


@pytest.mark.parametrize("inverted", [True, False])
@pytest.mark.parametrize("rate", [0.3, 0.5])
def test_the_average_of_all_2_to_the_n_subnetworks_is_the_network_at_inference(rng, inverted, rate):
    """Every mask of N = 6 inputs of a linear layer, weighed by its probability: exact, not a sample."""
    x, w = rng.normal(size=(3, 6)), rng.normal(size=(6, 2))
    scale = 1 / (1 - rate) if inverted else 1.0
    average = np.zeros((3, 2))
    for mask in itertools.product([0, 1], repeat=6):
        kept = sum(mask)
        average += (1 - rate) ** kept * rate ** (6 - kept) * ((x * mask * scale) @ w)
    spec = nn.Sequential(drop=nn.Dropout(rate, inverted=inverted), linear=nn.Dense(2, bias_init=None))
    net = nn.Network(spec, {"linear/kernel": jnp.asarray(w, jnp.float32)})
    np.testing.assert_allclose(net(jnp.asarray(x, jnp.float32)), average, **close)


def test_the_geometric_mean_of_all_subnetworks_is_softmax_at_inference(rng):
    """For rate 1/2 and one layer before softmax (I. Goodfellow et al., 2013), again over every mask."""
    x, w = rng.normal(size=(3, 6)), rng.normal(size=(6, 4))
    logs = [scipy.special.log_softmax((2 * x * mask) @ w, -1) for mask in itertools.product([0, 1], repeat=6)]
    spec = nn.Sequential(drop=nn.Dropout(0.5), linear=nn.Dense(4, nn.softmax, bias_init=None))
    net = nn.Network(spec, {"linear/kernel": jnp.asarray(w, jnp.float32)})
    np.testing.assert_allclose(net(jnp.asarray(x, jnp.float32)), scipy.special.softmax(np.mean(logs, 0), -1), **close)


def test_every_step_trains_another_subnetwork(key):
    x = jnp.ones((1, 40))
    net = nn.build(nn.Dropout(0.5), x)
    masks = {tuple((net.bind(k, train=True)(x) > 0)[0].tolist()) for k in jax.random.split(key, 50)}
    assert len(masks) == 50  # of 2^40


def test_dropout_costs_nothing_at_inference():
    """The compiled programs with and without it are the same."""
    x = jnp.ones((4, 5))
    with_it = nn.build(nn.Sequential(hidden=nn.Dense(3, nn.relu), drop=nn.Dropout(0.5), head=nn.Dense(2)), x)
    without = nn.build(nn.Sequential(hidden=nn.Dense(3, nn.relu), head=nn.Dense(2)), x)
    assert with_it.params.keys() == without.params.keys()
    text = lambda net: jax.jit(lambda p, x: nn.Network(net.spec, p)(x)).lower(net.params, x).compile().as_text()
    body = lambda net: [line.partition(", metadata=")[0] for line in text(net).splitlines() if " = " in line]
    assert body(with_it) == body(without)


def test_dropout_slows_training_down(rng, key):
    """After as many steps the rows trained on are fitted less well, dropout off, than without it."""
    x = jnp.asarray(rng.normal(size=(64, 5)), jnp.float32)
    y = jnp.sin(2 * x.sum(1, keepdims=True))
    hidden, head = nn.Dense(50, nn.tanh), nn.Dense(1)
    loss = lambda bound: ((bound.still(x) - y) ** 2).mean()

    def after(rate):
        spec = nn.Sequential(hidden=hidden, drop=nn.Dropout(rate), head=head)

        def step(params, key):
            slope = jax.grad(lambda p: loss(nn.Network(spec, p).bind(key, train=True)))(params)
            return jax.tree.map(lambda p, g: p - 0.1 * g, params, slope), None

        params = jax.lax.scan(step, nn.build(spec, x, seed=key).params, jax.random.split(key, 500))[0]
        return float(loss(nn.Network(spec, params).bind()))

    assert after(0.0) < 0.8 * after(0.5)


def test_dropout_is_inverted_or_not():
    with pytest.raises(ArgumentError, match="inverted of Dropout must be True or False; got 'no'"):
        nn.Dropout(0.5, "no")  # pyright: ignore


# ---------------------------------------------------------------------- noise on entries


def test_gaussian_noise_is_normal_around_what_comes_in(rng, key):
    x = jnp.asarray(rng.normal(size=(50, 60)), jnp.float32)
    noise = trains(nn.GaussianNoise(0.3), x, key) - np.asarray(x)
    assert scipy.stats.kstest(noise.ravel(), scipy.stats.norm(0, 0.3).cdf).pvalue > CERTAIN
    assert scipy.stats.kstest(noise.ravel(), scipy.stats.norm(0, 0.45).cdf).pvalue < CERTAIN


def test_masking_sets_some_entries_to_0_and_leaves_the_others_as_they_are(rng, key):
    x = np.asarray(rng.uniform(1, 2, size=(50, 60)), np.float32)
    y = trains(nn.MaskNoise(0.3), jnp.asarray(x), key)
    np.testing.assert_array_equal(y[y != 0], x[y != 0])
    assert abs((y == 0).mean() - 0.3) < 5.5 * np.sqrt(0.3 * 0.7 / x.size)


def test_salt_and_pepper_are_equally_many_and_the_rest_is_as_it_was(rng, key):
    x = np.asarray(rng.uniform(-1, 1, size=(50, 60)), np.float32)
    y = trains(nn.SaltPepper(0.4, low=-5.0, high=7.0), jnp.asarray(x), key)
    for value in (-5.0, 7.0):
        assert abs((y == value).mean() - 0.2) < 5.5 * np.sqrt(0.2 * 0.8 / x.size)
    rest = (y != -5) & (y != 7)
    np.testing.assert_array_equal(y[rest], x[rest])


NOISES = [nn.GaussianNoise(0.5), nn.MaskNoise(0.5), nn.SaltPepper(0.5, -1.0, 2.0)]


@pytest.mark.parametrize("layer", NOISES, ids=str)
def test_noise_is_for_training_only_and_fresh_each_time(rng, key, layer):
    x = jnp.asarray(rng.normal(size=(8, 9)), jnp.float32)
    net = nn.build(layer, x)
    np.testing.assert_array_equal(net(x), x)
    working = net.bind(key, train=True)
    assert (working(x) != working(x)).any()
    np.testing.assert_array_equal(net.bind(key, train=True)(x), net.bind(key, train=True)(x))
    assert nn.build(layer, x).bind(key, train=True)(x.astype(jnp.bfloat16)).dtype == jnp.bfloat16


@pytest.mark.parametrize("layer", NOISES, ids=str)
def test_noise_leaves_what_only_fills_sequences_up_0(layer, key):
    x = sd.Padded(jnp.ones((2, 5, 30)), jnp.array([5, 2]))
    y = nn.build(layer, x).bind(key, train=True)(x)
    assert (y.values[1, 2:] == 0).all() and (y.values[:, :2] != 1).any()
    assert y.lengths.tolist() == [5, 2]


def test_pixels_as_whole_numbers_can_be_masked_but_take_no_gaussian_noise(key):
    x = jnp.full((20, 30), 200, jnp.uint8)
    assert set(np.unique(trains(nn.MaskNoise(0.5), x, key))) == {0, 200}
    assert set(np.unique(trains(nn.SaltPepper(0.5, 0, 255), x, key))) == {0, 200, 255}
    with pytest.raises(ShapeError, match=r"GaussianNoise takes floating-point numbers, got uint8.*nn\.Scale"):
        nn.build(nn.GaussianNoise(0.1), x)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.GaussianNoise(-0.1), r"sigma of GaussianNoise must be a number in \[0, inf\)"),
        (lambda: nn.MaskNoise(1.1), r"rate of MaskNoise must be a number in \[0, 1\]"),
        (lambda: nn.SaltPepper(-0.1), r"rate of SaltPepper must be a number in \[0, 1\]"),
        (lambda: nn.SaltPepper(0.1, "0"), "low of SaltPepper must be a number"),  # pyright: ignore
        (lambda: nn.WeightNoise(nn.Dense(2), -1.0), r"sigma of WeightNoise must be a number in \[0, inf\)"),
        (lambda: nn.DropConnect(nn.Dense(2), 1.0), r"rate of DropConnect must be a number in \[0, 1\).*not the fract"),
    ],
)
def test_noise_refuses_what_cannot_be(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


# ---------------------------------------------------------------------- DropConnect


def test_dropconnect_drops_connections_not_units(key):
    x = jnp.eye(40)  # of the identity a linear layer gives its kernel
    w = trains(nn.DropConnect(nn.Dense(60, kernel_init=nn.ones), 0.3), x, key)
    np.testing.assert_allclose(np.unique(w), [0, 1 / 0.7], rtol=1e-6)
    dropped = w == 0
    assert abs(dropped.mean() - 0.3) < 5.5 * np.sqrt(0.3 * 0.7 / w.size)
    for axis in (0, 1):  # neither an input nor a unit is dropped as a whole: counts spread as independent draws do
        n = dropped.shape[axis]
        counts = dropped.sum(axis)
        z = ((counts - 0.3 * n) ** 2).sum() / (n * 0.3 * 0.7)
        low, high = scipy.stats.chi2.ppf([CERTAIN, 1 - CERTAIN], len(counts))
        assert low < z < high


def test_on_average_dropconnect_has_the_kernels_of_inference(rng, key):
    x = jnp.eye(5)
    net = nn.build(nn.DropConnect(nn.Dense(4), 0.4), x)
    w = np.asarray(net.params["layer/kernel"])
    np.testing.assert_array_equal(net(x), w)
    many = jax.jit(jax.vmap(lambda k: net.bind(k, train=True)(x)))(jax.random.split(key, 5000))
    z = (np.asarray(many).mean(0) - w) / (abs(w) * np.sqrt(0.4 / 0.6 / 5000))
    assert np.abs(z).max() < 5.5


def test_dropconnect_thins_every_kernel_within_and_spares_biases(key):
    inner = nn.Sequential(a=nn.Dense(50, kernel_init=nn.ones, bias_init=nn.ones), b=nn.Dense(50, kernel_init=nn.ones))
    x = jnp.eye(50)
    bound = nn.build(nn.DropConnect(inner, 0.5), x).bind(key, train=True)
    bound(x)
    a, b = (np.asarray(bound.outputs()[f"layer/{name}"], np.float64) for name in "ab")
    assert set(np.unique(a)) == {1.0, 3.0}
    second = np.linalg.solve(a, b)  # the second kernel
    assert set(np.unique(second.round(2))) == {0.0, 2.0}
    assert ((second > 1) != (a > 2)).any()  # masks of their own


def test_gradients_reach_the_connections_that_were_kept_only(key):
    x = jnp.ones((3, 6))
    spec = nn.DropConnect(nn.Dense(5), 0.5)
    params = nn.build(spec, x).params
    slope = jax.grad(lambda p: nn.Network(spec, p).bind(key, train=True).still(x).sum())(params)["layer/kernel"]
    kept = trains(nn.DropConnect(nn.Dense(5, kernel_init=nn.ones), 0.5), jnp.eye(6), key) > 0
    np.testing.assert_allclose(slope, np.where(kept, 3 * 2.0, 0), rtol=1e-6)


def test_penalties_and_the_rest_see_the_kernels_themselves(key):
    x = jnp.ones((3, 6))
    net = nn.build(nn.DropConnect(nn.Dense(5), 0.5), x)
    bound = net.bind(key, train=True)
    bound(x)
    np.testing.assert_array_equal(bound.weights("**kernel")["layer/kernel"], net.params["layer/kernel"])


def test_dropconnect_around_a_layer_that_keeps_state_loses_none_of_it(rng, key):
    x = jnp.asarray(rng.normal(size=(8, 3)) + 5, jnp.float32)
    net = nn.build(nn.DropConnect(nn.Sequential(nn.Dense(40), norm=nn.BatchNorm())), x)
    bound = net.bind(key, train=True)
    bound(x)
    assert (bound._frame.state["layer/norm/mean"] != 0).any()


def test_dropconnect_needs_a_kernel(key):
    with pytest.raises(ArgumentError, match="DropConnect is for the weights of kernels, and .*Flatten.* has none"):
        trains(nn.DropConnect(nn.Flatten()), jnp.ones((2, 3)), key)


# ---------------------------------------------------------------------- where dropout belongs


def told_of(spec, objective=None):
    """What a run of a step says of dropout."""
    x = np.zeros((8, 3), np.float32)
    y = np.arange(8, dtype=np.int32) % 2 if objective is None else np.zeros(8, np.float32)
    data = sd.data.Dataset({"x": x, "y": y})
    run = sd.fit(spec, data, objective or sd.Classify(), sd.SGD(0.1), steps=1, batch=8, progress=False)
    return [line for line in run.decisions if "Dropout" in line]


LAST = {
    "last of a row": nn.Sequential(head=nn.Dense(2), drop=nn.Dropout(0.5)),
    "last of the last": nn.Sequential(body=nn.Dense(4), end=nn.Sequential(head=nn.Dense(2), drop=nn.Dropout(0.5))),
    "scaled at rest": nn.Sequential(head=nn.Dense(2), drop=nn.Dropout(0.5, inverted=False)),
    "before what changes nothing": nn.Sequential(nn.Dense(2), nn.Dropout(0.5), nn.Function(nn.identity)),
}
ELSEWHERE = {
    "on inputs and hidden units": nn.Sequential(nn.Dropout(0.2), nn.Dense(4, nn.relu), nn.Dropout(0.5), nn.Dense(2)),
    "nowhere": nn.Sequential(nn.Dense(2)),
    "at rate 0": nn.Sequential(nn.Dense(2), nn.Dropout(0.0)),
}


@pytest.mark.parametrize("spec", LAST.values(), ids=LAST)
def test_who_puts_dropout_on_outputs_is_told(spec):
    (line,) = told_of(spec)
    assert line.startswith("look: the network ends with") and "for inputs and hidden layers" in line


def test_who_drops_numbers_is_told_by_the_name_of_the_layer():
    (line,) = told_of(nn.Sequential(head=nn.Dense(1), last=nn.Dropout(0.1)), sd.Regress())
    assert "ends with last, Dropout(rate=0.1)" in line


@pytest.mark.parametrize("spec", ELSEWHERE.values(), ids=ELSEWHERE)
def test_dropout_where_it_belongs_goes_without_saying(spec):
    assert told_of(spec) == []


# ---------------------------------------------------------------------- noise on weights


def test_weight_noise_is_normal_around_each_weight_of_every_kernel_and_spares_biases(rng, key):
    x = jnp.eye(60)  # of it a linear layer gives its kernel
    inner = nn.Parallel(a=nn.Dense(60, bias_init=nn.ones), b=nn.Dense(60))
    net = nn.build(nn.WeightNoise(inner, 0.3), x)
    first, second = np.split(trains(net.spec, x, key) - np.asarray(net(x)), 2, 1)
    for noise in (first, second):
        assert scipy.stats.kstest(noise.ravel(), scipy.stats.norm(0, 0.3).cdf).pvalue > CERTAIN
        assert scipy.stats.kstest(noise.ravel(), scipy.stats.norm(0, 0.4).cdf).pvalue < CERTAIN
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 5.5 / 60  # noise of their own
    np.testing.assert_array_equal(net(x)[:, :60], np.asarray(net.params["layer/a/kernel"]) + 1)


def test_weight_noise_is_off_at_inference_and_fresh_each_time(rng, key):
    x = jnp.asarray(rng.normal(size=(8, 9)), jnp.float32)
    noisy, plain = nn.build(nn.WeightNoise(nn.Dense(4), 0.5), x), nn.build(nn.Dense(4), x)
    same = plain.replace(params={"kernel": noisy.params["layer/kernel"], "bias": noisy.params["layer/bias"]})
    np.testing.assert_array_equal(noisy(x), same(x))
    working = noisy.bind(key, train=True)
    one, other = np.asarray(working(x)), np.asarray(working(x))
    assert (one != other).all() and (one != np.asarray(noisy(x))).all()


def test_a_slope_is_taken_where_the_noise_leads_to_and_moves_the_weight_itself(rng, key):
    """For y = x (W + sigma z) the gradient of the mean of y^2 is 2 x y / n: that of the noisy output."""
    x = jnp.asarray(rng.normal(size=(7, 1)), jnp.float32)
    spec = nn.WeightNoise(nn.Dense(1, bias_init=None), 0.5)
    params = nn.build(spec, x).params
    output = lambda p: nn.Network(spec, p).bind(key, train=True).still(x)
    slope = jax.grad(lambda p: (output(p) ** 2).mean())(params)["layer/kernel"]
    np.testing.assert_allclose(slope, (2 * x * output(params)).mean(0, keepdims=True), rtol=1e-5)


def test_weight_noise_on_a_linear_layer_is_a_penalty_on_its_inputs_size(rng):
    """E (x (W + sigma z) - y)^2 = (x W - y)^2 + sigma^2 |x|^2, over draws."""
    x = jnp.asarray(rng.normal(size=(1, 5)), jnp.float32)
    net = nn.build(nn.WeightNoise(nn.Dense(1), 0.4), x)
    many = jax.jit(jax.vmap(lambda k: net.bind(k, train=True)(x)))(jax.random.split(jax.random.key(1), 20_000))
    spread = np.asarray(many, np.float64).ravel() - float(net(x)[0, 0])
    variance = 0.4**2 * float((x**2).sum())
    assert abs(spread.mean()) < 5.5 * np.sqrt(variance / 20_000)
    assert abs((spread**2).mean() / variance - 1) < 5.5 * np.sqrt(2 / 20_000)
