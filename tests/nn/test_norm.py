"""What is normalized over which axes, and normalization folded into the weights before it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sonde import nn
from sonde._errors import ArgumentError, ShapeError

close = dict(rtol=1e-4, atol=1e-5)
SHAPES = [(5, 6), (4, 7, 6), (3, 4, 5, 6)]


def rows(rng, *shape):
    return jnp.asarray(3 * rng.normal(size=shape) + 1, jnp.float32)


def standardized(x, axes, epsilon=1e-5):
    """NumPy's answer, in float64."""
    x = np.asarray(x, np.float64)
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + epsilon)


def off(net, rng):
    """The network with every parameter moved, so that nothing is 0 or 1."""
    draw = lambda v: jnp.asarray(rng.normal(size=v.shape) + 0.5, v.dtype)
    return net.replace(params=jax.tree.map(draw, net.params))


# ---------------------------------------------------------------------- which axes


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_layernorm_standardizes_the_channels_of_every_place(rng, shape):
    x = rows(rng, *shape)
    net = off(nn.build(nn.LayerNorm(), x), rng)
    scale, offset = np.asarray(net.params["scale"]), np.asarray(net.params["offset"])
    expected = standardized(x, (-1,)) * scale + offset
    np.testing.assert_allclose(net(x), expected, **close)
    np.testing.assert_allclose(net.bind(train=True)(x), expected, **close)  # there is no training mode


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_groupnorm_standardizes_each_row_over_space_and_a_group_of_neighboring_channels(rng, shape, groups):
    x = rows(rng, *shape)
    net = off(nn.build(nn.GroupNorm(groups), x), rng)
    scale, offset = np.asarray(net.params["scale"]), np.asarray(net.params["offset"])
    expected = np.empty(shape)
    size = 6 // groups
    for g in range(groups):
        part = slice(g * size, (g + 1) * size)
        expected[..., part] = standardized(x[..., part], tuple(range(1, len(shape))))
    np.testing.assert_allclose(net(x), expected * scale + offset, **close)


def test_one_group_is_layernorm_of_the_whole_row_and_a_group_a_channel_is_instance_normalization(rng):
    x = rows(rng, 3, 4, 5, 6)
    whole = nn.build(nn.Sequential(nn.Flatten(), nn.LayerNorm()), x)(x).reshape(x.shape)
    np.testing.assert_allclose(nn.build(nn.GroupNorm(1), x)(x), whole, **close)
    np.testing.assert_allclose(nn.build(nn.GroupNorm(6), x)(x), standardized(x, (1, 2)), **close)


def test_what_normalizes_rows_does_not_look_at_other_rows(rng):
    x = rows(rng, 5, 4, 6)
    for spec in (nn.LayerNorm(), nn.GroupNorm(3)):
        net = nn.build(spec, x)
        np.testing.assert_allclose(net(x)[2:3], net(x[2:3]), **close)
    batch = nn.build(nn.BatchNorm(), x).bind(train=True)
    assert float(abs(batch(x)[2:3] - batch(x[2:3])).max()) > 0.01


def test_batchnorm_layernorm_and_groupnorm_take_other_means(rng):
    x = rows(rng, 8, 4, 6)
    batch = nn.build(nn.BatchNorm(), x).bind(train=True)(x)
    np.testing.assert_allclose(batch, standardized(x, (0, 1)), **close)
    layer, group = (nn.build(spec, x)(x) for spec in (nn.LayerNorm(), nn.GroupNorm(2)))
    means = lambda y, axes: float(abs(np.asarray(y).mean(axes)).max())
    assert means(batch, (0, 1)) < 1e-5 < 0.01 < min(means(layer, (0, 1)), means(group, (0, 1)))
    assert means(layer, 2) < 1e-5 < 0.01 < means(group, 2)


@pytest.mark.parametrize("spec", [nn.LayerNorm(), nn.GroupNorm(2)], ids=str)
def test_statistics_of_short_floats_are_taken_in_long_ones(rng, spec):
    x = jnp.asarray(rng.normal(size=(4, 256)) + 100, jnp.bfloat16)  # neighbors are 0.5 apart here
    y = nn.build(spec, x)(x)
    assert y.dtype == jnp.float32
    np.testing.assert_allclose(y, nn.build(spec, x)(x.astype(jnp.float32)), **close)


def test_groups_that_do_not_divide_the_channels_are_refused():
    with pytest.raises(ShapeError, match=r"4 groups do not divide the 6 channels.*choose a divisor of 6"):
        nn.build(nn.GroupNorm(4), jnp.ones((2, 6)))


@pytest.mark.parametrize("groups", [0, 2.0, True, None])
def test_groupnorm_refuses_groups_that_cannot_be(groups):
    with pytest.raises(ArgumentError, match="groups of GroupNorm must be a whole number of at least 1; got"):
        nn.GroupNorm(groups)


# ---------------------------------------------------------------------- folded


def trained(spec, rng, *xs):
    """A network whose every variable is moved, as training would."""
    net = off(nn.build(spec, *xs), rng)
    return net.replace(state={p: jnp.asarray(rng.uniform(0.2, 3, v.shape), v.dtype) for p, v in net.state.items()})


def norms(spec):
    """How many normalizations are in a spec."""
    return str(spec).count("BatchNorm")


DEEP = nn.Sequential(
    nn.Dense(7),
    nn.BatchNorm(),
    nn.relu,
    block=nn.Residual(nn.Sequential(nn.Dense(7, bias_init=None), norm=nn.BatchNorm(epsilon=0.1), act=nn.tanh)),
    fork=nn.Parallel(nn.identity, tower=nn.Sequential(nn.Dense(3), nn.BatchNorm())),
    head=nn.Sequential(nn.Dense(4), nn.BatchNorm(), nn.BatchNorm()),
)


@pytest.mark.parametrize("shape", [(6, 5), (6, 3, 5)], ids=str)
def test_a_folded_network_gives_the_same_without_any_normalization(rng, shape):
    x = rows(rng, *shape)
    net = trained(DEEP, rng, x)
    fast = nn.fold(net)
    assert norms(DEEP) == 5 and norms(fast.spec) == 0
    assert not fast.state and {path.rpartition("/")[2] for path in fast.params} == {"kernel", "bias"}
    y = np.asarray(net(x))
    np.testing.assert_allclose(fast(x), y, rtol=1e-4, atol=1e-5 * abs(y).max())
    assert nn.fold(fast) == fast and nn.build(fast.spec, x).params.keys() == fast.params.keys()


@pytest.mark.parametrize(
    "layer", [nn.Conv(4, 3, groups=2), nn.ConvTranspose(3, 2, stride=2), nn.LocallyConnected(3, 2)]
)
@pytest.mark.parametrize("bias", [True, False])
def test_whatever_has_a_kernel_with_channels_last_takes_the_normalization_behind_it(rng, layer, bias):
    x = rows(rng, 2, 5, 6, 2)
    spec = nn.Sequential(layer if bias else layer.replace(bias_init=None), nn.BatchNorm(), nn.relu)
    net = trained(spec, rng, x)
    fast, y = nn.fold(net), np.asarray(net(x))
    np.testing.assert_allclose(fast(x), y, rtol=1e-4, atol=1e-5 * abs(y).max())
    assert norms(fast.spec) == (isinstance(layer, nn.LocallyConnected) and not bias)


def test_what_is_left_keeps_its_names():
    spec = nn.Sequential(nn.Dense(3), nn.BatchNorm(), nn.relu, nn.Dense(3), norm=nn.BatchNorm(), head=nn.Dense(2))
    fast = nn.fold(nn.build(spec, jnp.ones((1, 3))))
    assert fast.spec.names == ("dense_1", "relu_1", "dense_2", "head")
    assert list(nn.default_names(fast.spec)) == ["dense_1", "relu_1", "dense_2"]
    assert str(fast.spec) == "Sequential(Dense(units=3), relu, Dense(units=3), head=Dense(units=2))"


@pytest.mark.parametrize(
    "spec",
    [
        nn.Sequential(nn.BatchNorm(), nn.Dense(3)),
        nn.Sequential(nn.Dense(3, nn.relu), nn.BatchNorm()),
        nn.Sequential(nn.Dense(3), nn.tanh, nn.BatchNorm()),
        nn.Sequential(nn.Dense(3), nn.Flatten(), nn.BatchNorm()),
        nn.Sequential(nn.DropConnect(nn.Dense(3)), nn.BatchNorm()),
        nn.BatchNorm(),
    ],
    ids=str,
)
def test_a_normalization_that_has_no_linear_layer_before_it_stays_untouched(rng, spec):
    net = trained(spec, rng, rows(rng, 4, 5))
    assert nn.fold(net) == net


def test_a_normalization_inside_a_layer_of_ones_own_is_found_where_its_variables_are(rng):
    class Coder(nn.Layer):
        encoder: nn.Layer

        def __call__(self, scope, x):
            return scope("encoder", self.encoder, x)

    x = rows(rng, 4, 5)
    net = trained(Coder(nn.Sequential(nn.Dense(3), nn.BatchNorm())), rng, x)
    assert norms(nn.fold(net).spec) == 0
    np.testing.assert_allclose(nn.fold(net)(x), net(x), rtol=1e-4, atol=1e-4)


def test_shared_towers_are_folded_once(rng):
    a, b = rows(rng, 4, 5), rows(rng, 4, 5)
    net = trained(nn.Shared(nn.Sequential(nn.Dense(3), nn.BatchNorm())), rng, a, b)
    np.testing.assert_allclose(nn.fold(net)(a, b), net(a, b), rtol=1e-4, atol=1e-4)


def test_fold_takes_a_network():
    with pytest.raises(ArgumentError, match="fold takes a built network"):
        nn.fold(nn.Dense(3))  # pyright: ignore
