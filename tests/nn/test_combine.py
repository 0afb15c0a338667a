"""Layers made of layers: beside each other, past each other, the same one twice; and specs written anew."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sonde as sd
from sonde import nn
from sonde._errors import ArgumentError, ShapeError

close = dict(rtol=1e-5, atol=1e-5)


def rows(rng, *shape):
    return jnp.asarray(rng.normal(size=shape), jnp.float32)


# ---------------------------------------------------------------------- Sequential


def test_a_layer_that_gives_a_tuple_gives_the_next_one_several_inputs(rng):
    x = rows(rng, 5, 3)
    both = nn.Parallel(nn.Scale(2.0), nn.identity, join="tuple")
    joined = nn.build(nn.Sequential(both, nn.Parallel(nn.Scale(1.0), nn.Scale(10.0), join="add")), x)
    np.testing.assert_allclose(joined(x), 12 * np.asarray(x), **close)
    handed_out = nn.build(nn.Sequential(nn.Scale(1.0), both), x)(x)
    assert type(handed_out) is tuple and len(handed_out) == 2


# ---------------------------------------------------------------------- Residual


def test_a_residual_of_a_layer_that_gives_0_is_the_identity(rng):
    x = rows(rng, 4, 3)
    block = nn.Residual(nn.Sequential(hidden=nn.Dense(8, nn.relu), out=nn.Dense(3, kernel_init=nn.zeros)))
    np.testing.assert_array_equal(nn.build(block, x)(x), x)


def test_a_residual_is_its_layer_plus_what_passes_it_by(rng):
    x = rows(rng, 4, 3)
    net = nn.build(nn.Residual(nn.Dense(3, nn.tanh)), x)
    assert set(net.params) == {"layer/kernel", "layer/bias"}
    np.testing.assert_allclose(net(x), x + np.tanh(x @ net.params["layer/kernel"]), **close)
    wide = nn.build(nn.Residual(nn.Dense(5, nn.tanh), shortcut=nn.Dense(5, bias_init=None)), x)
    assert set(wide.params) == {"layer/kernel", "layer/bias", "shortcut/kernel"}
    expected = np.tanh(x @ wide.params["layer/kernel"]) + x @ wide.params["shortcut/kernel"]
    np.testing.assert_allclose(wide(x), expected, **close)


@pytest.mark.parametrize("units", [1, 5])  # one unit would broadcast
def test_a_residual_refuses_shapes_that_differ_and_names_the_shortcut(units):
    with pytest.raises(ShapeError, match=rf"float32\[2, {units}\], to what passes it by, float32\[2, 3\].*shortcut="):
        nn.build(nn.Residual(nn.Dense(units)), jnp.ones((2, 3)))


def test_a_stack_of_residuals_passes_gradients_on_where_a_plain_one_does_not(rng):
    x, layer = rows(rng, 6, 10), nn.Dense(10, nn.tanh, kernel_init=nn.Normal(0.05))
    slope = lambda spec: np.linalg.norm(jax.grad(lambda v: nn.build(spec, x)(v).sum())(x))
    plain = slope(nn.Sequential(*[layer] * 20))
    assert plain < 1e-8 < 1 < slope(nn.Sequential(*[nn.Residual(layer)] * 20))


# ---------------------------------------------------------------------- Parallel


NUMPY = {
    "concat": lambda a, b: np.concatenate([a, b], -1),
    "add": np.add,
    "multiply": np.multiply,
    "tuple": lambda a, b: (a, b),
}


@pytest.mark.parametrize("join", NUMPY)
@pytest.mark.parametrize("shape", [(4, 3), (4, 2, 5, 3)], ids=str)
def test_parallel_layers_are_joined_as_numpy_does(rng, join, shape):
    x = rows(rng, *shape)
    net = nn.build(nn.Parallel(one=nn.Dense(6), other=nn.Dense(6, nn.tanh), join=join), x)
    a, b = x @ net.params["one/kernel"], np.tanh(x @ net.params["other/kernel"])
    for mine, theirs in zip(jax.tree.leaves(net(x)), jax.tree.leaves(NUMPY[join](a, b)), strict=True):
        np.testing.assert_allclose(mine, theirs, **close)


def test_parallel_layers_share_one_input_or_have_one_each(rng):
    x, y = rows(rng, 4, 3), rows(rng, 4, 7)
    spec = nn.Parallel(left=nn.Dense(2), right=nn.Dense(5))
    both = nn.build(spec, x, y)
    assert both.params["left/kernel"].shape == (3, 2) and both.params["right/kernel"].shape == (7, 5)
    np.testing.assert_allclose(both(x, y)[:, 2:], y @ both.params["right/kernel"], **close)
    assert nn.build(spec, x).params["right/kernel"].shape == (3, 5)
    with pytest.raises(ShapeError, match="one input for all of its 2 layers or one for each; got 3"):
        nn.build(spec, x, x, x)


@pytest.mark.parametrize("join", ["concat", "add", "multiply"])
def test_outputs_that_do_not_fit_are_refused(rng, join):
    spec = nn.Parallel(nn.Dense(2), nn.Sequential(nn.Flatten(), nn.Dense(1)), join=join)
    with pytest.raises(ShapeError, match=rf"join='{join}' needs outputs.*float32\[4, 3, 2\], float32\[4, 1\]"):
        nn.build(spec, rows(rng, 4, 3, 3))


def test_one_number_a_row_is_not_concatenated_row_after_row():
    with pytest.raises(ShapeError, match="channels"):
        nn.build(nn.Parallel(nn.identity, nn.identity), jnp.ones(3))


@pytest.mark.parametrize("make", [lambda join: nn.Parallel(nn.identity, join=join), lambda j: nn.Shared(nn.tanh, j)])
def test_ways_of_joining_that_do_not_exist_are_refused(make):
    with pytest.raises(ArgumentError, match="join of .* must be one of .*'concat'.*; got 'sum'"):
        make("sum")


def test_parallel_needs_a_layer():
    with pytest.raises(ArgumentError, match="at least one layer"):
        nn.Parallel()


def test_padded_sequences_are_joined_and_stay_padded(rng):
    seen = sd.Padded(rows(rng, 2, 3, 4), jnp.array([3, 1]))

    class Doubled(nn.Layer):
        def __call__(self, scope, x):
            return sd.Padded(2 * x.values, x.lengths)

    for spec, times in ((nn.Residual(Doubled()), 3), (nn.Parallel(Doubled(), Doubled(), join="add"), 4)):
        out = nn.Network(spec)(seen)
        counts = np.arange(3)[None, :, None] < np.array([3, 1])[:, None, None]
        np.testing.assert_allclose(out.values, np.where(counts, times * np.asarray(seen.values), 0), **close)
        np.testing.assert_array_equal(out.lengths, seen.lengths)


def test_of_joined_sequences_the_steps_stay_that_all_of_them_have():
    one, other = sd.Padded(jnp.ones((2, 3, 1)), jnp.array([3, 1])), sd.Padded(jnp.ones((2, 3, 1)), jnp.array([2, 2]))
    out = nn.Network(nn.Parallel(nn.identity, nn.Scale(2.0)))(one, other)
    assert out.lengths.tolist() == [2, 1]
    np.testing.assert_array_equal(out.values, [[[1, 2], [1, 2], [0, 0]], [[1, 2], [0, 0], [0, 0]]])


# ---------------------------------------------------------------------- Shared


def test_shared_towers_have_one_set_of_weights_and_its_gradient_is_the_sum_of_both_uses(rng):
    a, b = rows(rng, 5, 3), rows(rng, 5, 3)
    net = nn.build(nn.Shared(nn.Dense(4, nn.tanh)), a, b)
    assert set(net.params) == {"layer/kernel", "layer/bias"}
    one = lambda w, bias, x: jnp.tanh(x @ w + jnp.broadcast_to(bias, (5, 4)))
    w, bias = net.params["layer/kernel"], net.params["layer/bias"]
    np.testing.assert_allclose(net(a, b), np.concatenate([one(w, bias, a), one(w, bias, b)], -1), **close)
    c = rows(rng, 5, 8)
    shared = jax.grad(lambda p: (c * nn.Network(net.spec, p)(a, b)).sum())(net.params)["layer/kernel"]
    left = jax.grad(lambda w: (c[:, :4] * one(w, bias, a)).sum())(w)
    right = jax.grad(lambda w: (c[:, 4:] * one(w, bias, b)).sum())(w)
    np.testing.assert_allclose(shared, left + right, **close)


def test_shared_towers_that_change_places_give_the_same_parts_changed_round(rng):
    a, b = rows(rng, 5, 3), rows(rng, 5, 3)
    net = nn.build(nn.Shared(nn.Dense(4, nn.tanh), join="tuple"), a, b)
    for first, second in zip(net(a, b), reversed(net(b, a)), strict=True):
        np.testing.assert_array_equal(first, second)


def test_a_siamese_network_learns_whether_two_rows_are_alike(seed):
    rng = np.random.default_rng(seed)
    centers = np.array([[2.0, 0.0], [-1.0, 1.7], [-1.0, -1.7]], np.float32)
    kinds = rng.integers(0, 3, (400, 2))
    a, b = (jnp.asarray(centers[k] + 0.2 * rng.normal(size=(400, 2)), jnp.float32) for k in kinds.T)
    same = jnp.asarray(kinds[:, 0] == kinds[:, 1])
    tower = nn.Sequential(hidden=nn.Dense(8, nn.tanh), code=nn.Dense(4, nn.tanh))
    net = nn.build(nn.Sequential(towers=nn.Shared(tower), mix=nn.Dense(16, nn.tanh), head=nn.Dense(1)), a, b, seed=seed)

    def loss(params):
        logit = nn.Network(net.spec, params)(a, b)[:, 0]
        return (jnp.logaddexp(0.0, logit) - jnp.where(same, logit, 0)).mean()

    step = jax.jit(lambda p: jax.tree.map(lambda v, g: v - g, p, jax.grad(loss)(p)))
    params = net.params
    for _ in range(800):
        params = step(params)
    right = (nn.Network(net.spec, params)(a, b)[:, 0] > 0) == same
    assert right.mean() > 0.9  # always saying no is right for two thirds


# ---------------------------------------------------------------------- names and tables


def test_the_layers_within_have_names_and_lines_in_the_summary():
    spec = nn.Sequential(
        block=nn.Residual(nn.Sequential(nn.Dense(4)), shortcut=nn.Dense(4, bias_init=None)),
        fork=nn.Parallel(nn.identity, tower=nn.Dense(2)),
        pair=nn.Shared(nn.Dense(3)),
    )
    net = nn.build(spec, jnp.ones((1, 3)))
    assert net.summary(jnp.ones((2, 3))) == (
        "layer                kind        gives          parameters\n"
        "----------------------------------------------------------\n"
        "block                Residual    float32[2, 4]\n"
        "block/layer          Sequential  float32[2, 4]\n"
        "block/layer/dense_1  Dense       float32[2, 4]          16\n"
        "block/shortcut       Dense       float32[2, 4]          12\n"
        "fork                 Parallel    float32[2, 6]\n"
        "fork/identity_1      identity    float32[2, 4]\n"
        "fork/tower           Dense       float32[2, 2]          10\n"
        "pair                 Shared      float32[2, 3]\n"
        "pair/layer           Dense       float32[2, 3]          21\n"
        "----------------------------------------------------------\n"
        "total                                                   59"
    )
    assert list(nn.default_names(spec)) == ["block/layer/dense_1", "fork/identity_1"]
    assert list(nn.default_names(nn.Residual(nn.Dense(3)))) == []


def test_what_combines_layers_reads_as_it_is_written():
    assert str(nn.Parallel(nn.tanh, a=nn.Dense(2), join="add")) == "Parallel(tanh, a=Dense(units=2), join='add')"
    assert str(nn.Shared(nn.Dense(2))) == "Shared(layer=Dense(units=2))"


@pytest.mark.parametrize(
    "make", [nn.Residual, nn.Shared, lambda f: nn.Parallel(a=f), lambda f: nn.Residual(nn.tanh, f)]
)
def test_a_function_may_stand_for_a_layer_and_a_class_may_not(make):
    assert make(nn.tanh) == make(nn.Function(nn.tanh))
    with pytest.raises(ArgumentError, match=r"the class Flatten: did you forget \(\)\?"):
        make(nn.Flatten)


# ---------------------------------------------------------------------- settings for many layers


def test_one_setting_for_every_layer_that_has_it_at_any_depth():
    spec = nn.Sequential(
        nn.Flatten(),
        block=nn.Residual(nn.Sequential(nn.Dense(4, nn.relu), drop=nn.Dropout(0.5)), shortcut=nn.Dense(4)),
        head=nn.Shared(nn.Dense(2, bias_init=None)),
    )
    new = nn.replace_all(spec, kernel_init=nn.Normal(0.01), rate=0.2)
    small = functools.partial(nn.Dense, kernel_init=nn.Normal(0.01))
    assert new == nn.Sequential(
        nn.Flatten(),
        block=nn.Residual(nn.Sequential(small(4, nn.relu), drop=nn.Dropout(0.2)), shortcut=small(4)),
        head=nn.Shared(small(2, bias_init=None)),
    )
    assert list(nn.build(new, jnp.ones((1, 4))).params) == list(nn.build(spec, jnp.ones((1, 4))).params)


def test_one_initializer_for_a_whole_network_draws_every_kernel(key):
    spec = nn.Sequential(hidden=nn.Dense(200, nn.relu), head=nn.Dense(100))
    net = nn.build(nn.replace_all(spec, kernel_init=nn.Normal(0.01)), jnp.ones((1, 300)), seed=key)
    for kernel in net.weights("**kernel").values():
        assert abs(float(kernel.std()) / 0.01 - 1) < 5.5 / np.sqrt(2 * kernel.size)


def test_settings_of_initializers_are_not_those_of_layers():
    with pytest.raises(ArgumentError, match="no layer of Sequential has a field 'sigma'"):
        nn.replace_all(nn.Sequential(nn.Dense(3, kernel_init=nn.Normal(0.1))), sigma=0.2)


def test_a_setting_that_no_layer_has_is_an_error_with_the_nearest():
    with pytest.raises(
        ArgumentError, match="no layer of Residual has a field 'activations'; did you mean 'activation'"
    ):
        nn.replace_all(nn.Residual(nn.Dense(3)), activations=nn.relu)


def test_a_setting_that_cannot_be_is_refused_as_ever():
    with pytest.raises(ArgumentError, match="kernel_init of Dense must be an initializer.*got 'normal'"):
        nn.replace_all(nn.Sequential(nn.Dense(3)), kernel_init="normal")


def test_a_built_network_is_told_how_its_spec_is_replaced():
    with pytest.raises(ArgumentError, match="takes a spec.*network.replace"):
        nn.replace_all(nn.build(nn.Dense(2), jnp.ones((1, 2))), activation=nn.tanh)  # pyright: ignore


def test_layers_share_settings_by_functools_partial(rng):
    x = rows(rng, 5, 3)
    hidden = functools.partial(nn.Dense, activation=nn.elu, kernel_init=nn.he_normal)
    spec = nn.Sequential(a=hidden(30), b=hidden(20), head=hidden(2, activation=nn.identity))
    told = nn.Sequential(
        a=nn.Dense(30, nn.elu, nn.he_normal),
        b=nn.Dense(20, nn.elu, nn.he_normal),
        head=nn.Dense(2, nn.identity, nn.he_normal),
    )
    assert spec == told and nn.build(spec, x) == nn.build(told, x)
