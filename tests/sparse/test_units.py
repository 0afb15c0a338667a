"""A compacted network is a smaller one that gives the same."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sonde as sd
from sonde import nn
from sonde._errors import ArgumentError

BETWEEN = {
    "nothing": (),
    "dropout": (nn.Dropout(0.3), nn.Dropout(0.3, inverted=False)),
    "norm": (nn.BatchNorm(), nn.tanh),
    "slopes": (nn.PReLU(), nn.Scale(0.5, 0.25)),
}


def filled(net: nn.Network, rng: np.random.Generator) -> nn.Network:
    """The network with random numbers everywhere, running variances above 0."""
    of = lambda path, v: np.abs(rng.normal(size=v.shape)) + 0.5 if path.endswith("var") else rng.normal(size=v.shape)
    each = lambda held: {path: jnp.asarray(of(path, v), v.dtype) for path, v in held.items()}
    return net.replace(params=each(net.params), state=each(net.state))


def holed(net: nn.Network, path: str, into: list[int], out: list[int], taker: str) -> nn.Network:
    """The network with some units of a layer that read nothing, and some that nobody reads."""
    kernel, reader = np.array(net.params[f"{path}/kernel"]), np.array(net.params[f"{taker}/kernel"])
    kernel[..., into] = 0
    rows = np.arange(reader.shape[-2]) % kernel.shape[-1]
    reader[..., np.isin(rows, out), :] = 0
    both = {f"{path}/kernel": jnp.asarray(kernel), f"{taker}/kernel": jnp.asarray(reader)}
    return net.replace(params=net.params | both)


def same(small: nn.Network, net: nn.Network, x: Any) -> None:
    a, b = np.asarray(small(x)), np.asarray(net(x))
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * np.abs(b).max())


units = st.sets(st.integers(0, 5), max_size=6).map(sorted)


@settings(max_examples=8, deadline=None)
@given(
    st.sampled_from(sorted(BETWEEN)), st.sampled_from([nn.relu, nn.sigmoid, nn.elu]), st.booleans(), units, units,
    units, st.integers(0, 10**6),
)  # fmt: skip
def test_what_is_left_of_dense_layers_gives_the_same(between, activation, bias, a, b, c, seed):
    rng = np.random.default_rng(seed)
    start = nn.zeros if bias else None
    spec = nn.Sequential(
        one=nn.Dense(6, activation, bias_init=start),
        between=nn.Sequential(*BETWEEN[between]),
        two=nn.Dense(6, activation, bias_init=start),
        head=nn.Dense(3, nn.softmax, bias_init=start),
    )
    net = filled(nn.build(spec, jnp.ones((1, 4))), rng)
    net = holed(holed(net, "one", a, b, "two"), "two", c, a, "head")
    small = sd.sparse.compact(net)
    same(small, net, jnp.asarray(rng.normal(size=(9, 4)), jnp.float32))
    widths = {p: w.shape[-1] for p, w in small.weights("**kernel").items()}
    assert widths["one/kernel"] <= max(1, 6 - len({*a, *b})) and widths["head/kernel"] == 3
    assert nn.build(small.spec, jnp.ones((1, 4))).params.keys() == small.params.keys()


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("pool", [nn.MaxPool(2), nn.AveragePool(2, padding="same"), nn.Upsample(2)])
def test_what_is_left_of_convolutions_gives_the_same(padding, pool, rng):
    spec = nn.Sequential(
        one=nn.Conv(5, 3, padding=padding), norm=nn.BatchNorm(), act=nn.relu, pool=pool,
        two=nn.Conv(4, 3, padding=padding, activation=nn.relu), flat=nn.Flatten(), slopes=nn.PReLU(),
        three=nn.Dense(6, nn.tanh), head=nn.Dense(2),
    )  # fmt: skip
    net = filled(nn.build(spec, jnp.ones((1, 8, 8, 2))), rng)
    net = holed(holed(holed(net, "one", [0, 3], [1], "two"), "two", [2], [0], "three"), "three", [5], [], "head")
    small = sd.sparse.compact(net)
    same(small, net, jnp.asarray(rng.normal(size=(3, 8, 8, 2)), jnp.float32))
    assert small.spec.layers[4].channels == 2 and small.spec.layers[7].units == 5
    seen = np.asarray(net.outputs(jnp.zeros((1, 8, 8, 2)))["act"])[0, 0, 0]
    stay = 0 if padding == "valid" else int((seen[[0, 3]] > 0).sum())  # zeros around would not be the constant
    assert small.spec.layers[0].channels == 2 + stay


def test_layers_inside_others_are_made_smaller_and_what_they_give_to_others_is_not(rng):
    block = nn.Residual(nn.Sequential(up=nn.Dense(8, nn.relu), down=nn.Dense(4)))
    spec = nn.Sequential(first=nn.Dense(4, nn.relu), block=block, head=nn.Dense(2))
    net = filled(nn.build(spec, jnp.ones((1, 3))), rng)
    net = holed(net, "block/layer/up", [0, 1], [2], "block/layer/down")
    net = net.replace(params=net.params | {"first/kernel": net.params["first/kernel"].at[:, 0].set(0)})
    small = sd.sparse.compact(net)
    same(small, net, jnp.asarray(rng.normal(size=(5, 3)), jnp.float32))
    assert small.params["block/layer/up/kernel"].shape == (4, 5)  # the sum reads all four units of the first layer
    assert small.params["first/kernel"].shape == (3, 4)


def test_units_that_share_a_softmax_stay(rng):
    net = filled(nn.build(nn.Sequential(gate=nn.Dense(4, nn.softmax), head=nn.Dense(2)), jnp.ones((1, 3))), rng)
    net = holed(net, "gate", [0], [1], "head")
    assert sd.sparse.compact(net) == net


def test_steps_of_sequences_are_made_smaller_too(rng):
    spec = nn.Sequential(each=nn.Dense(6, nn.elu), two=nn.Dense(5, nn.relu), all=nn.GRU(4, last=True), head=nn.Dense(2))
    x = sd.Padded(jnp.asarray(rng.normal(size=(3, 7, 2)), jnp.float32), jnp.array([7, 2, 4]))
    net = holed(filled(nn.build(spec, x), rng), "each", [0, 1], [2], "two")
    net = net.replace(params=net.params | {"two/kernel": net.params["two/kernel"].at[:, 0].set(0)})
    small = sd.sparse.compact(net)
    same(small, net, x)
    assert small.params["each/kernel"].shape == (2, 3) and small.params["two/kernel"].shape == (3, 5)


def test_of_a_layer_that_is_constant_one_unit_is_left(rng):
    net = filled(nn.build(nn.Sequential(hidden=nn.Dense(4, nn.sigmoid), head=nn.Dense(2)), jnp.ones((1, 3))), rng)
    small = sd.sparse.compact(sd.sparse.prune(net, 1.0, on="hidden/kernel"))
    assert small.params["hidden/kernel"].shape == (3, 1)
    same(small, sd.sparse.prune(net, 1.0, on="hidden/kernel"), jnp.ones((2, 3)))


def test_the_units_that_go_are_those_of_the_smallest_product_of_norms(rng):
    net = filled(nn.build(nn.Sequential(hidden=nn.Dense(10, nn.relu), head=nn.Dense(4)), jnp.ones((1, 6))), rng)
    w, v = (np.asarray(net.params[f"{layer}/kernel"]) for layer in ("hidden", "head"))
    score = [np.linalg.norm(w[:, i]) * np.linalg.norm(v[i]) for i in range(10)]
    done = sd.sparse.prune_units(net, 0.7)
    gone = ~np.any(done.params["hidden/kernel"], axis=0)
    assert set(np.flatnonzero(gone)) == set(np.argsort(score)[:7])
    np.testing.assert_array_equal(gone, ~np.any(done.params["head/kernel"], axis=1))
    np.testing.assert_array_equal(gone, np.asarray(done.params["hidden/bias"]) == 0)
    np.testing.assert_array_equal(np.asarray(done.params["hidden/kernel"])[:, ~gone], w[:, ~gone])
    small = sd.sparse.compact(done)
    assert small.params["hidden/kernel"].shape == (6, 3) and small.params["head/kernel"].shape == (3, 4)
    x = jnp.asarray(rng.normal(size=(5, 6)), jnp.float32)
    same(small, done, x)


def test_channels_go_with_all_their_places(rng):
    spec = nn.Sequential(one=nn.Conv(8, 3, activation=nn.relu), pool=nn.MaxPool(2), flat=nn.Flatten(), head=nn.Dense(3))
    net = filled(nn.build(spec, jnp.ones((1, 6, 6, 1))), rng)
    done = sd.sparse.prune_units(net, 0.5)
    small = sd.sparse.compact(done)
    assert small.spec.layers[0].channels == 4 and small.params["head/kernel"].shape == (9 * 4, 3)
    same(small, done, jnp.asarray(rng.normal(size=(4, 6, 6, 1)), jnp.float32))


@pytest.fixture(scope="module")
def trained():
    data = sd.data.load("digits")
    spec = nn.Sequential(
        pixels=nn.Flatten(), scaled=nn.Scale(1 / 16), hidden=nn.Dense(64, nn.relu, nn.he_normal), drop=nn.Dropout(0.1),
        more=nn.Dense(32, nn.relu, nn.he_normal), head=nn.Dense(10),
    )  # fmt: skip
    return sd.fit(spec, data, sd.Classify(), sd.Adam(3e-3), epochs=8, batch=64, progress=False)


def test_a_compacted_network_is_saved_and_predicts_the_same(trained, tmp_path):
    test = trained.data.test
    pruned = sd.sparse.prune_units(trained.network, 0.5)
    small = sd.sparse.compact(pruned)
    assert small.params["hidden/kernel"].shape == (64, 32)
    told = (trained.artifact.inputs, "classes", trained.artifact.labels)
    nets = {"pruned.safetensors": pruned, "small.safetensors": small}
    paths = [sd.Artifact(net, *told).save(tmp_path / name) for name, net in nets.items()]
    before, after = map(sd.load, paths)
    np.testing.assert_array_equal(after.predict(test.x), before.predict(test.x))
    np.testing.assert_allclose(after.probabilities(test.x), before.probabilities(test.x), atol=1e-5)
    assert paths[1].stat().st_size < 0.6 * paths[0].stat().st_size


def test_a_compacted_network_trains_on(trained):
    small = sd.sparse.compact(sd.sparse.prune_units(trained.network, 0.75))
    again = sd.fit(small, trained.data, sd.Classify(), sd.Adam(3e-3), epochs=5, batch=64, progress=False)
    x, y = trained.data.valid.x, trained.data.valid.y
    right = [float((np.asarray(net(x)).argmax(1) == y).mean()) for net in (small, again.network)]
    assert right[1] > 0.85 and right[1] > right[0]


def test_what_has_no_units_to_give_is_refused():
    with pytest.raises(ArgumentError, match="found no layer whose units only a Dense or Conv reads"):
        sd.sparse.prune_units(nn.build(nn.Dense(3), jnp.ones((1, 2))), 0.5)
    with pytest.raises(ArgumentError, match=r"fraction of prune_units must be a number in \[0, 1\]; got 50"):
        sd.sparse.prune_units(nn.build(nn.Dense(3), jnp.ones((1, 2))), 50)
    spec: Any = nn.Dense(3)
    for function in (sd.sparse.compact, sd.sparse.sparsity_of, sd.sparse.csr):
        with pytest.raises(ArgumentError, match="expected a built network"):
            function(spec)
