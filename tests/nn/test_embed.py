"""Embeddings look rows up, refuse tokens that they do not have, and lead back by the same matrix."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sonde import Padded, nn
from sonde._errors import ArgumentError, ShapeError

COUNT, UNITS = 7, 3


class Tied(nn.Layer):
    """A score for each token after each step, by the matrix that the tokens came in with."""

    embed: nn.Embedding

    def __call__(self, scope, x):
        return scope("embed", self.embed.logits, scope("embed", self.embed, x))


@pytest.mark.parametrize("dtype", ["int32", "uint8", "int16", "uint32"])
@pytest.mark.parametrize("shape", [(4,), (4, 5), (2, 3, 2)], ids=str)
def test_a_token_is_a_dense_layer_of_its_one_hot_code(rng, shape, dtype):
    tokens = jnp.asarray(rng.integers(0, COUNT, shape), dtype)
    net = nn.build(nn.Embedding(COUNT, UNITS), tokens)
    np.testing.assert_allclose(net(tokens), jax.nn.one_hot(tokens, COUNT) @ net.params["kernel"], rtol=1e-6)


def test_more_tokens_than_the_type_of_the_numbers_can_hold(rng):
    tokens = jnp.asarray(rng.integers(0, 256, (2, 3)), "uint8")
    net = nn.build(nn.Embedding(1000, UNITS), tokens)
    np.testing.assert_array_equal(net(tokens), net.params["kernel"][tokens.astype(int)])


def test_the_gradient_reaches_the_rows_that_were_looked_up_as_often_as_they_were():
    tokens = jnp.array([[0, 2], [2, 2]])
    net = nn.build(nn.Embedding(4, UNITS), tokens)
    slope = jax.grad(lambda params: nn.Network(net.spec, params)(tokens).sum())(net.params)["kernel"]
    np.testing.assert_array_equal(slope, np.array([[1.0], [0.0], [3.0], [0.0]]) * np.ones((4, UNITS)))


@pytest.mark.parametrize("token", [-1, COUNT, 10**6])
def test_a_token_that_is_none_gives_nan_in_compiled_code_and_no_gradient(token):
    tokens = jnp.array([[1, token]])
    net = nn.build(nn.Embedding(COUNT, UNITS), tokens)
    y = net(tokens)
    assert np.isfinite(y[0, 0]).all() and np.isnan(y[0, 1]).all()
    slope = jax.grad(lambda params: jnp.nansum(nn.Network(net.spec, params)(tokens)))(net.params)["kernel"]
    np.testing.assert_array_equal(np.asarray(slope).sum(1), [0, UNITS, 0, 0, 0, 0, 0])


@pytest.mark.parametrize("token", [-1, COUNT])
def test_a_token_that_is_none_is_an_error_outside_of_it(token):
    net = nn.build(nn.Embedding(COUNT, UNITS), jnp.array([[0, 1]])).bind()
    with pytest.raises(ArgumentError, match=f"Embedding has 7 tokens, 0 to 6; got {token}. Give it a larger count"):
        net(jnp.array([[1, token]]))


def test_what_fills_a_sequence_up_is_no_token(rng):
    x = Padded(np.array([[3, 1, -5], [2, 99, 99]], np.int32), np.array([2, 1], np.int32))
    net = nn.build(nn.Embedding(COUNT, UNITS), x)
    for y in (net(x), net.bind()(x)):
        np.testing.assert_array_equal(y.values[0, :2], net.params["kernel"][np.array([3, 1])])
        np.testing.assert_array_equal(y.values[0, 2:], 0)
        np.testing.assert_array_equal(y.values[1, 1:], 0)
        np.testing.assert_array_equal(y.lengths, [2, 1])


def test_logits_are_the_products_with_every_tokens_vector_and_share_its_weights(rng):
    tokens = jnp.asarray(rng.integers(0, COUNT, (4, 5)))
    net = nn.build(Tied(nn.Embedding(COUNT, UNITS)), tokens)
    assert set(net.params) == {"embed/kernel"}
    kernel = np.asarray(net.params["embed/kernel"], np.float64)
    np.testing.assert_allclose(net(tokens), kernel[tokens] @ kernel.T, rtol=1e-5, atol=1e-5)


def test_the_gradient_of_tied_weights_is_the_sum_of_both_uses(rng):
    tokens, c = jnp.asarray(rng.integers(0, COUNT, (4, 5))), jnp.asarray(rng.normal(size=(4, 5, COUNT)), jnp.float32)
    net = nn.build(Tied(nn.Embedding(COUNT, UNITS)), tokens)
    e = net.params["embed/kernel"]
    tied = jax.grad(lambda params: (c * nn.Network(net.spec, params)(tokens)).sum())(net.params)["embed/kernel"]
    apart = jax.grad(lambda there, back: (c * (there[tokens] @ back.T)).sum(), (0, 1))(e, e)
    np.testing.assert_allclose(tied, apart[0] + apart[1], rtol=1e-4, atol=1e-4)


def test_logits_honor_lengths(rng):
    x = Padded(rng.integers(0, COUNT, (2, 4)).astype(np.int32), np.array([4, 1], np.int32))
    net = nn.build(Tied(nn.Embedding(COUNT, UNITS)), x)
    y = net(x)
    np.testing.assert_allclose(y.values[1, 0], net(jnp.asarray(x.values))[1, 0], rtol=1e-6)
    np.testing.assert_array_equal(y.values[1, 1:], 0)


def test_vectors_start_with_the_variance_that_layers_expect():
    kernel = np.asarray(nn.build(nn.Embedding(500, 200), jnp.zeros((1, 1), int)).params["kernel"])
    assert abs(kernel.var() - 1) < 5.5 * np.sqrt(2 / kernel.size)  # the standard error of a variance


@pytest.mark.parametrize("x", [jnp.ones((2, 3)), jnp.ones((2, 3), bool)], ids=["floats", "truths"])
def test_only_whole_numbers_are_tokens(x):
    with pytest.raises(ShapeError, match=r"Embedding takes tokens, whole numbers from 0 to 6; got (float32|bool)"):
        nn.build(nn.Embedding(COUNT, UNITS), x)


@pytest.mark.parametrize("given", [(0, 3), (7, 0), (7, 2.0), (True, 3), ("7", 3)], ids=str)
def test_counts_must_be_whole_numbers(given):
    with pytest.raises(ArgumentError, match=r"(count|units) of Embedding must be a whole number of at least 1; got"):
        nn.Embedding(*given)


def test_the_initializer_must_be_one():
    with pytest.raises(ArgumentError, match="kernel_init of Embedding must be an initializer.*got 0.1"):
        nn.Embedding(7, 3, 0.1)


def test_logits_take_vectors_of_its_size_only():
    with pytest.raises(ShapeError, match=r"logits of Embedding takes vectors of its 3 units; got float32\[2, 4\]"):
        nn.build(nn.Embedding(7, 3), jnp.ones((2, 4)), method="logits")
