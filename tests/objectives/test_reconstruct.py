"""What came in, given back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

import sonde as sd
from sonde import nn
from sonde._errors import ArgumentError, DataError, MemberError, PathError, ShapeError
from sonde.objectives import Reconstruct, absolute_error, binary_cross_entropy, half_squared_error
from sonde.train import execute, step


class Autoencoder(nn.Layer):
    """There, and back."""

    there: nn.Dense
    way_back: nn.Dense

    def encode(self, scope, x):
        """The code."""
        return scope("there", self.there, x)

    def decode(self, scope, h):
        """Back."""
        return scope("way_back", self.way_back, h)

    def __call__(self, scope, x):
        """There and back."""
        return self.decode(scope, self.encode(scope, x))


def rows(x, weight=None):
    """A batch of rows."""
    return sd.Batch.of({"x": x} | ({} if weight is None else {"weight": weight}))


@pytest.mark.parametrize("loss", [half_squared_error, absolute_error])
def test_it_is_the_mean_loss_of_the_networks_output_against_its_input(loss, rng):
    x, weight = jnp.asarray(rng.normal(size=(6, 4)), jnp.float32), jnp.asarray(rng.uniform(0.5, 2, 6), jnp.float32)
    net = nn.build(Autoencoder(nn.Dense(2, nn.tanh), nn.Dense(4)), x)
    found, metrics = Reconstruct(loss)(net.bind(), rows(x, weight))
    error = np.asarray(net(x), np.float64) - np.asarray(x)
    each = {"half_squared_error": error**2 / 2, "absolute_error": abs(error)}[loss.__name__].mean(1)
    np.testing.assert_allclose(found.value, np.average(each, weights=weight), rtol=1e-5)
    np.testing.assert_allclose(metrics["mse"].value, np.average((error**2).mean(1), weights=weight), rtol=1e-5)


def test_whether_in_one_method_or_two_or_by_the_transpose_it_is_the_same(rng):
    x = jnp.asarray(rng.normal(size=(6, 4)), jnp.float32)
    net = nn.build(Autoencoder(nn.Dense(2, nn.tanh), nn.Dense(4)), x)
    one, two = (o(net.bind(), rows(x))[0].value for o in (Reconstruct(), Reconstruct(method="encode", back="decode")))
    assert float(one) == float(two)
    code = nn.TiedDense(2, nn.tanh, visible_activation=nn.identity)
    w, b, c = net.params["there/kernel"], net.params["there/bias"], net.params["way_back/bias"]
    tied = nn.Network(code, {"kernel": w, "bias": b, "visible_bias": c})
    transposed = net.replace(params=net.params | {"way_back/kernel": w.T})
    found = Reconstruct(back="reconstruct")(tied.bind(), rows(x))[0].value
    np.testing.assert_allclose(found, Reconstruct()(transposed.bind(), rows(x))[0].value, rtol=1e-5)


def test_of_inputs_from_0_to_1_it_is_the_cross_entropy_of_the_denoising_autoencoder_of_the_source(rng):
    """L = -sum_k (x_k log z_k + (1 - x_k) log(1 - z_k)), which the source sums over a row's entries."""
    x = jnp.asarray(rng.uniform(size=(5, 4)), jnp.float32)
    tied = nn.TiedDense(3, visible_activation=nn.identity, bias_init=nn.Normal(0.5))
    net = nn.build(_Both(tied), x)
    w, b, c = (np.asarray(net.params[f"code/{n}"], np.float64) for n in ("kernel", "bias", "visible_bias"))
    z = scipy.special.expit(scipy.special.expit(np.asarray(x) @ w + b) @ w.T + c)
    cost = -(x * np.log(z) + (1 - x) * np.log(1 - z)).sum(1).mean()
    found, metrics = Reconstruct(binary_cross_entropy)(net.bind(), rows(x))
    np.testing.assert_allclose(4 * float(found.value), cost, rtol=1e-5)
    np.testing.assert_allclose(metrics["mse"].value, ((z - np.asarray(x)) ** 2).mean(), rtol=1e-4)


class _Both(nn.Layer):
    """A tied layer there and back."""

    code: nn.TiedDense

    def __call__(self, scope, x):
        """There and back."""
        return scope("code", self.code.reconstruct, scope("code", self.code, x))


def test_an_autoencoder_of_tied_weights_learns_digits_and_validation_judges_it(seed):
    digits = sd.data.load("digits")
    part = lambda p: {"x": p.x.reshape(len(p.x), -1) / np.float32(16)}
    data = sd.data.Dataset(part(digits.train), part(digits.valid))
    tied = nn.TiedDense(32, visible_activation=nn.identity)
    objective = Reconstruct(binary_cross_entropy, back="reconstruct")
    run = sd.fit(tied, data, objective, sd.Adam(1e-2), epochs=20, batch=64, seed=seed, progress=False)
    mean = data.train.x.mean(0)
    always = ((data.valid.x - mean) ** 2).mean()  # of saying the mean digit
    assert run.history["valid/mse"][run.records[-1].best] < 0.4 * always
    assert run.network.params.keys() == {"kernel", "bias", "visible_bias"}
    assert run.evaluate("valid") == {}  # it is no predictor


def test_whole_numbers_are_given_back_as_they_are(rng):
    x = rng.integers(0, 256, (20, 6)).astype(np.uint8)
    spec = nn.Sequential(scaled=nn.Scale(1 / 255), code=nn.Dense(6), pixels=nn.Scale(255.0))
    net = nn.build(spec, x)
    net = net.replace(params={"code/kernel": jnp.eye(6), "code/bias": jnp.zeros(6)})
    assert float(Reconstruct()(net.bind(), rows(jnp.asarray(x)))[0].value) < 1e-6


def test_of_sequences_the_real_steps_are_given_back(rng):
    x = sd.Padded(rng.normal(size=(4, 5, 2)).astype(np.float32), np.array([5, 3, 1, 4], np.int32))
    net = nn.build(nn.Dense(2, kernel_init=nn.zeros), x)
    found = Reconstruct()(net.bind(), rows(x))[0]
    assert float(found.count) == 13
    np.testing.assert_allclose(found.value, (x.steps**2).mean() / 2, rtol=1e-5)


# ---------------------------------------------------------------------- of spoiled inputs, and of one layer of a stack


@pytest.mark.parametrize("noise", [nn.MaskNoise(0.4), nn.SaltPepper(0.4, 0.0, 0.0), nn.GaussianNoise(0.5)])
def test_spoiled_inputs_are_to_become_the_whole_ones_and_validation_spoils_them_too(noise, rng):
    x = jnp.asarray(rng.uniform(size=(500, 4)), jnp.float32)
    square = np.asarray(x, np.float64) ** 2
    mean, var = {
        "MaskNoise": (0.4 * square.mean(), 0.4 * (square**2).mean()),
        "SaltPepper": (0.4 * square.mean(), 0.4 * (square**2).mean()),
        "GaussianNoise": (0.25, 2 * 0.25**2),
    }[type(noise).__name__]
    same = nn.Network(nn.Function(nn.identity))  # gives back what it sees, so its error is the noise
    for train in (True, False):
        net = same.bind(jax.random.key(int(rng.integers(2**31))), train=train)
        loss, metrics = Reconstruct(noise=noise)(net, rows(x))
        assert abs(float(metrics["mse"].value) - mean) < 5 * np.sqrt(var / x.size)
        assert float(loss.value) == pytest.approx(float(metrics["mse"].value) / 2)
        assert float(Reconstruct()(net, rows(x))[0].value) == 0


STACK = nn.Sequential(
    pixels=nn.Flatten(),
    scaled=nn.Scale(1 / 16),
    below=nn.TiedDense(20, visible_activation=nn.identity),
    above=nn.TiedDense(10, visible_activation=nn.identity),
)


def greedy(at, noise=None, epochs=8, rate=1e-2):
    """A phase that trains one layer of the stack."""
    objective = Reconstruct(binary_cross_entropy, back="reconstruct", at=at, noise=noise)
    return sd.Phase(sd.Turn(objective, sd.Adam(rate), f"{at}/**"), sd.data.Shuffled(50), epochs=epochs)


def test_one_layer_of_a_stack_gives_back_what_reaches_it_and_is_what_it_would_be_alone(seed):
    data = sd.data.Dataset({"x": sd.data.load("digits").train.x[:400]})
    run = sd.fit(STACK, data, plan=sd.Plan((greedy("below"), greedy("above"))), seed=seed, progress=False)
    codes = np.asarray(run.network.outputs(data.train.x)["below"])
    alone = nn.Network(STACK.layers[3], {k[6:]: v for k, v in run.network.weights("above/*").items()})
    by_path = Reconstruct(binary_cross_entropy, back="reconstruct", at="above")
    alone_loss = Reconstruct(binary_cross_entropy, back="reconstruct")(alone.bind(), rows(jnp.asarray(codes)))[0].value
    loss = by_path(run.network.bind(), rows(jnp.asarray(data.train.x)))[0].value
    np.testing.assert_allclose(loss, alone_loss, rtol=1e-5)
    for record in run.records:  # both learned
        assert record.history["train/mse"][-1] < 0.8 * record.history["train/mse"][0]


def test_what_lies_below_rests_and_is_looked_up_once_a_phase_with_the_results_of_computing_it(seed):
    x = jnp.asarray(sd.data.load("digits").train.x[:200])
    plan = sd.Plan((greedy("below", epochs=2), greedy("above", nn.MaskNoise(0.3), epochs=4))).prepare({"x": x})
    columns = {"train": {"x": x}}
    looked, records = execute(nn.Network(STACK), plan, columns, seed)
    computed, others = execute(nn.Network(STACK), plan, columns, seed, look_up=False)
    assert records[1].trained == ("above/bias", "above/kernel", "above/visible_bias")
    for path, value in looked.params.items():
        np.testing.assert_allclose(value, computed.params[path], rtol=1e-4, atol=1e-5, err_msg=path)
    np.testing.assert_allclose(records[1].history["train/loss"], others[1].history["train/loss"], rtol=1e-5)
    known = step.known(STACK, plan.phases[1], columns, step.Vars(looked.params, {}), columns["train"])
    np.testing.assert_allclose(known["@0/0/below"], looked.outputs(x)["below"], rtol=1e-5, atol=1e-6)
    assert list(known) == ["@0/0/below"]  # and the layer that learns is computed, behind its noise


def test_another_corruption_or_rate_compiles_nothing(seed):
    data = sd.data.Dataset({"x": sd.data.load("digits").train.x[:100]})
    fit = lambda noise, rate: sd.fit(
        STACK, data, plan=sd.Plan(greedy("below", nn.MaskNoise(noise), 2, rate)), seed=seed, progress=False
    )
    first = fit(0.1, 0.01)
    before = step.advance._cache_size()
    second = fit(0.3, 0.02)
    assert step.advance._cache_size() == before
    assert not np.allclose(first.history["train/loss"], second.history["train/loss"], rtol=1e-4)


def test_noise_that_is_no_layer_and_layers_that_are_not_there_are_refused(rng):
    with pytest.raises(ArgumentError, match=r"must be a layer such as nn.MaskNoise\(0.3\); got 0.3"):
        Reconstruct(noise=0.3)
    with pytest.raises(ArgumentError, match="must be a layer"):
        Reconstruct(noise=nn.MaskNoise)
    with pytest.raises(PathError, match="no layer is called at 'belov'; did you mean 'below'"):
        fit(STACK, rng.uniform(size=(8, 8, 8)).astype(np.float32), Reconstruct(at="belov"))


# ---------------------------------------------------------------------- what does not fit


def fit(spec, x, objective, **splits):
    """One step."""
    data = sd.data.Dataset({"x": x}, **{name: {"x": v} for name, v in splits.items()})
    return sd.fit(spec, data, objective, sd.SGD(0.1), steps=1, batch=4, progress=False)


def test_another_shape_is_refused_and_never_broadcast(rng):
    x = rng.normal(size=(8, 3, 2)).astype(np.float32)
    with pytest.raises(ShapeError, match=r"reconstruction float32\[4, 6\].*differ in shape; end the network with "
                                         r"nn.Reshape\(3, 2\)"):  # fmt: skip
        fit(nn.Sequential(flat=nn.Flatten(), head=nn.Dense(6)), x, Reconstruct())
    with pytest.raises(ShapeError, match=r'nn.Dense\(2\), or say which method leads back, as in Recon.*"reconstruct"'):
        fit(nn.Dense(1), x, Reconstruct())
    with pytest.raises(ShapeError, match=r"float32\[4, 1\]"):  # which would compare each entry with all
        fit(nn.Dense(1), x[:, 0], Reconstruct())


def test_inputs_outside_the_losss_domain_are_refused_in_every_split(rng):
    x = rng.uniform(size=(8, 3)).astype(np.float32)
    bad = x.copy()
    bad[2, 1] = 16
    for splits, name in (((bad, {}), "train"), ((x, {"valid": bad}), "valid"), ((x, {"test": bad}), "test")):
        with pytest.raises(DataError, match=rf"column 'x' \(of the {name} split\).*must be from 0 to 1; got 16. at"):
            fit(nn.Dense(3), splits[0], Reconstruct(binary_cross_entropy), **splits[1])
    fit(nn.Dense(3), bad, Reconstruct())  # whose domain is all numbers


def test_a_sigmoid_before_a_loss_that_applies_it_is_refused_with_what_to_write(rng):
    x = rng.uniform(size=(8, 3)).astype(np.float32)
    with pytest.raises(ArgumentError, match="already ends in a sigmoid.*visible_activation=nn.identity"):
        fit(nn.TiedDense(2), x, Reconstruct(binary_cross_entropy, back="reconstruct"))


def test_methods_and_columns_that_are_not_there_are_named(rng):
    x = rng.uniform(size=(8, 3)).astype(np.float32)
    with pytest.raises(MemberError, match="no method 'recontruct'; did you mean 'reconstruct'"):
        fit(nn.TiedDense(2), x, Reconstruct(back="recontruct"))
    with pytest.raises(DataError, match="needs inputs in a column 'x'; there is a"):
        sd.fit(nn.Dense(3), sd.data.Dataset({"a": x}), Reconstruct(), sd.SGD(0.1), steps=1, progress=False)
