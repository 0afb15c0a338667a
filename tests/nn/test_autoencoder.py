"""There and back, and each way alone."""

import jax.numpy as jnp
import numpy as np
import pytest

import sonde as sd
from sonde import nn
from sonde._errors import ArgumentError
from sonde.objectives import Reconstruct


def test_called_it_decodes_what_it_encodes_and_each_way_can_be_called_alone(rng):
    x = jnp.asarray(rng.normal(size=(4, 6)), jnp.float32)
    net = nn.build(nn.Autoencoder(nn.Sequential(wide=nn.Dense(5, nn.tanh), code=nn.Dense(2)), nn.Dense(6)), x)
    assert {path.rpartition("/")[0] for path in net.params} == {"encoder/wide", "encoder/code", "decoder"}
    code = net.encode(x)
    np.testing.assert_allclose(code, net.outputs(x)["encoder/code"], rtol=1e-5, atol=1e-6)
    w, b = np.asarray(net.params["decoder/kernel"]), np.asarray(net.params["decoder/bias"])
    np.testing.assert_allclose(net.decode(code), np.asarray(code) @ w + b, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(net(x), net.decode(code))


def test_images_go_through_a_convolutional_code_and_come_back_in_their_shape(rng):
    x = rng.normal(size=(3, 8, 8, 1)).astype(np.float32)
    there = nn.Sequential(shrunk=nn.Conv(4, 3, stride=2, activation=nn.relu), code=nn.Conv(2, 3, stride=2))
    grown = nn.ConvTranspose(4, 3, stride=2, activation=nn.relu)
    for decoder in (
        nn.Sequential(grown=grown, out=nn.ConvTranspose(1, 3, stride=2)),
        nn.Sequential(larger=nn.Upsample(4), out=nn.Conv(1, 3)),
    ):
        net = nn.build(nn.Autoencoder(there, decoder), x)
        assert net.encode(x).shape == (3, 2, 2, 2) and net(x).shape == x.shape


def test_with_tied_weights_it_is_what_the_tied_layer_reconstructs(rng):
    x = rng.uniform(size=(4, 6)).astype(np.float32)
    code = nn.TiedDense(3)
    tied = nn.build(nn.Autoencoder(code), x)
    bound, reaching = tied.at("encoder", x)
    np.testing.assert_allclose(tied(x), bound.reconstruct(bound(reaching)), rtol=1e-5, atol=1e-6)
    one, other = (
        o(net.bind(), sd.Batch.of({"x": jnp.asarray(x)}))[0].value
        for o, net in (
            (Reconstruct(), tied),
            (Reconstruct(back="reconstruct"), nn.Network(code, {k[8:]: v for k, v in tied.params.items()})),
        )
    )
    np.testing.assert_allclose(one, other, rtol=1e-5)


def test_after_training_the_runs_network_gives_codes_and_decodes_any(rng, seed):
    x = rng.normal(size=(64, 2)).astype(np.float32) @ rng.normal(size=(2, 6)).astype(np.float32)
    spec = nn.Autoencoder(nn.Dense(2), nn.Dense(6))
    run = sd.fit(spec, sd.data.Dataset({"x": x}), Reconstruct(), sd.Adam(0.02), steps=500, seed=seed, progress=False)
    back = run.network.decode(run.network.encode(x))
    assert float(((back - x) ** 2).mean()) < 0.01 * x.var()  # two numbers suffice for these
    assert run.network.decode(np.zeros((1, 2), np.float32)).shape == (1, 6)


def test_an_encoder_from_which_nothing_leads_back_is_refused():
    with pytest.raises(ArgumentError, match=r"needs a decoder, or an encoder that leads back itself.*nn.TiedDense"):
        nn.Autoencoder(nn.Dense(3))
