"""Sparse matrices give what the arrays give, in less memory."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sonde as sd
from sonde import nn
from sonde._errors import ArgumentError, ShapeError

SPECS = (
    nn.Sequential(one=nn.Dense(40, nn.relu), drop=nn.Dropout(0.5), two=nn.Dense(20, nn.tanh), head=nn.Dense(3)),
    nn.Sequential(nn.BatchNorm(), nn.Dense(30), nn.BatchNorm(), nn.elu, nn.Dense(20), nn.PReLU(), nn.Dense(1)),
    nn.Sequential(
        nn.Scale(2.0, 0.5), nn.Sequential(nn.Dense(30, nn.LeakyReLU(0.1), bias_init=None), nn.Dropout(0.2, False)),
        nn.Dense(30, nn.sigmoid), nn.BatchNorm(), nn.GaussianNoise(), nn.Dense(4),
    ),
    nn.Dense(5),
)  # fmt: skip


def random(spec: nn.Layer, rng: np.random.Generator) -> nn.Network:
    net = nn.build(spec, jnp.ones((1, 12)))
    of = lambda path, v: np.abs(rng.normal(size=v.shape)) + 0.5 if path.endswith("var") else rng.normal(size=v.shape)
    each = lambda held: {path: jnp.asarray(of(path, v), v.dtype) for path, v in held.items()}
    return net.replace(params=each(net.params), state=each(net.state))


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(SPECS), st.floats(0, 1), st.sampled_from([1, 9, 600]), st.integers(0, 10**6))
def test_it_gives_what_the_arrays_give(spec, sparsity, rows, seed):
    rng = np.random.default_rng(seed)
    net = sd.sparse.prune(random(spec, rng), sparsity)
    x = rng.normal(size=(rows, 12)).astype(np.float32)
    wanted = np.asarray(net(x))
    given = sd.sparse.csr(net)(x)
    assert given.shape == wanted.shape and given.dtype == np.float32
    np.testing.assert_allclose(given, wanted, rtol=1e-4, atol=1e-5 * max(1, np.abs(wanted).max()))


def test_images_of_whole_numbers_are_flattened_and_scaled(rng):
    spec = nn.Sequential(nn.Flatten(), nn.Scale(1 / 255), nn.Dense(30, nn.relu), nn.Dense(10))
    net = sd.sparse.prune(nn.build(spec, jnp.zeros((1, 8, 8), "uint8")), 0.9)
    x = rng.integers(0, 256, (5, 8, 8)).astype(np.uint8)
    np.testing.assert_allclose(sd.sparse.csr(net)(x), net(x), atol=1e-5)
    assert sd.sparse.csr(net)(x[:0]).shape == (0, 10)


def test_it_holds_a_number_and_its_place_for_each_weight_that_is_not_zero(rng):
    net = sd.sparse.prune(random(nn.Sequential(one=nn.Dense(40), head=nn.Dense(10)), rng), 0.75, by="layer")
    sparse = sd.sparse.csr(net)
    kept = (12 * 40 + 40 * 10) // 4
    assert sparse.nonzero == kept
    assert sparse.nbytes == kept * (4 + 4) + (41 + 11) * 4 + (40 + 10) * 4  # weights and places, rows, biases
    assert sparse.dense_nbytes == (12 * 40 + 40 * 10 + 50) * 4
    assert "220 weights" in repr(sparse)


def test_a_kernel_that_is_mostly_there_stays_an_array(rng):
    net = random(nn.Sequential(one=nn.Dense(40), head=nn.Dense(10)), rng)
    assert sd.sparse.csr(net).nbytes == sd.sparse.csr(net).dense_nbytes
    half = sd.sparse.csr(sd.sparse.prune(net, 0.9, on="one/kernel"))
    assert half.nbytes == 48 * 8 + 41 * 4 + 40 * 4 + (400 + 10) * 4


def test_what_it_cannot_do_is_refused_by_name():
    net = nn.build(nn.Sequential(picture=nn.Conv(2, 3), flat=nn.Flatten(), head=nn.Dense(2)), jnp.ones((1, 4, 4, 1)))
    with pytest.raises(ArgumentError, match=r"does not know picture, Conv\(.*sd\.sparse\.compact"):
        sd.sparse.csr(net)
    net = nn.build(nn.Sequential(gate=nn.Dense(2, nn.softmax), head=nn.Dense(2)), jnp.ones((1, 4)))
    with pytest.raises(ArgumentError, match="does not know gate"):
        sd.sparse.csr(net)


def test_rows_of_another_kind_are_refused_in_words():
    sparse = sd.sparse.csr(nn.build(nn.Sequential(one=nn.Dense(3), head=nn.Dense(2)), jnp.ones((1, 4))))
    with pytest.raises(ShapeError, match=r"one: csr takes rows of 4 numbers here; got float32\[2, 5\]"):
        sparse(np.ones((2, 5), "float32"))
    with pytest.raises(ShapeError, match=r"one row is x\[None\]"):
        sparse(np.ones(4, "float32"))
    with pytest.raises(ShapeError, match=r"floating-point numbers, got int64\[2, 4\]; put nn.Scale"):
        sparse(np.ones((2, 4), "int64"))
