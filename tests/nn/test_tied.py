"""One kernel that runs both ways."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from sonde import nn
from sonde._errors import LayerError, ShapeError

close = dict(rtol=1e-5, atol=1e-6)


class Autoencoder(nn.Layer):
    """There and back."""

    code: nn.TiedDense

    def __call__(self, scope, x):
        return scope("code", self.code.reconstruct, scope("code", self.code, x))


@pytest.fixture
def built(rng):
    x = jnp.asarray(rng.uniform(size=(4, 5)), jnp.float32)
    net = nn.build(Autoencoder(nn.TiedDense(3, bias_init=nn.Normal(1.0))), x)
    return net, x


def test_a_tied_layer_has_one_kernel_and_a_bias_for_each_direction(built):
    net, x = built
    shapes = {path: value.shape for path, value in net.params.items()}
    assert shapes == {"code/kernel": (5, 3), "code/bias": (3,), "code/visible_bias": (5,)}
    w, b, c = (np.asarray(net.params[f"code/{name}"], np.float64) for name in ("kernel", "bias", "visible_bias"))
    h = scipy.special.expit(np.asarray(x) @ w + b)
    np.testing.assert_allclose(net(x), scipy.special.expit(h @ w.T + c), **close)


def test_the_gradient_of_the_tied_kernel_is_the_sum_of_both_uses(built):
    net, x = built
    b, c = (jnp.broadcast_to(net.params[f"code/{n}"], (4, k)) for n, k in (("bias", 3), ("visible_bias", 5)))
    apart = lambda there, back: ((nn.sigmoid(nn.sigmoid(x @ there + b) @ back.T + c) - x) ** 2).sum()
    w = net.params["code/kernel"]
    there, back = jax.grad(apart, (0, 1))(w, w)
    tied = jax.grad(lambda p: ((nn.Network(net.spec, p)(x) - x) ** 2).sum())(net.params)["code/kernel"]
    np.testing.assert_allclose(tied, there + back, rtol=1e-4, atol=1e-6)
    assert float(abs(there).min()) > 0 and float(abs(back).min()) > 0


def test_forwards_it_is_a_dense_layer_without_a_visible_bias(rng):
    x = jnp.asarray(rng.normal(size=(4, 5)), jnp.float32)
    tied, plain = nn.build(nn.TiedDense(3), x), nn.build(nn.Dense(3, nn.sigmoid), x)
    assert tied.params.keys() == plain.params.keys() == {"bias", "kernel"}
    np.testing.assert_array_equal(tied(x), plain(x))


def test_without_biases_there_is_a_kernel_alone(rng):
    x = jnp.asarray(rng.normal(size=(4, 5)), jnp.float32)
    net = nn.build(Autoencoder(nn.TiedDense(3, nn.identity, bias_init=None)), x)
    assert list(net.params) == ["code/kernel"]
    w = np.asarray(net.params["code/kernel"], np.float64)
    np.testing.assert_allclose(net(x), np.asarray(x) @ w @ w.T, rtol=1e-4, atol=1e-5)


def test_what_was_encoded_by_hand_can_be_taken_back(built):
    net, x = built
    code, reaching = net.at("code", x)
    np.testing.assert_allclose(code.reconstruct(code(reaching)), net(x), **close)


def test_hidden_units_of_another_number_are_refused(built):
    net, _ = built
    code = net.bind().at("code", jnp.ones((1, 5)))[0]
    with pytest.raises(ShapeError, match=r"reconstruct takes hidden units \[rows, 3\]; got float32\[2, 4\]"):
        code.reconstruct(jnp.ones((2, 4)))


def test_taking_back_what_was_never_encoded_is_an_error_that_says_so():
    with pytest.raises(LayerError, match="kernel is not there yet: call the layer first"):
        nn.build(nn.TiedDense(3), jnp.ones((1, 3)), method="reconstruct")
