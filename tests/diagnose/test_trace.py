"""A trace of back-propagation says what happened on one batch, to the last digit, in any network."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sonde as sd
from sonde import nn
from sonde._batch import loss_of, scored
from sonde._errors import ArgumentError, DataError, PathError
from sonde.diagnose import backprop_trace
from sonde.objectives import losses


class Twice(nn.Layer):
    """The same layer on what it gave."""

    layer: nn.Layer

    def __call__(self, scope, x):
        return scope("same", self.layer, scope("same", self.layer, x))


class Steps(nn.Layer):
    """A layer that is called inside a scan, where nothing can be noted."""

    layer: nn.Layer

    def __call__(self, scope, x):
        scope("cell", self.layer, x)  # makes its parameters
        return jax.lax.scan(lambda h, _: (scope("cell", self.layer, h), None), x, None, 3)[0]


class Gate(nn.Layer):
    """A layer that applies its activation twice, so that it has no one pre-activation."""

    activation: object = nn.tanh

    def __call__(self, scope, x):
        w = scope.param("kernel", (x.shape[-1],) * 2, nn.glorot_uniform)
        return self.activation(x @ w) * self.activation(x)


NETWORKS = {
    "one layer": nn.Dense(3, nn.tanh),
    "deep": nn.Sequential(nn.Dense(4, nn.tanh), nn.Dense(5, nn.sigmoid), nn.Dense(2, nn.elu), nn.Dense(3)),
    "nested": nn.Sequential(
        body=nn.Sequential(nn.Dense(4), nn.BatchNorm(), nn.softplus), drop=nn.Dropout(0.3), head=nn.Dense(3)
    ),
    "shared": nn.Sequential(Twice(nn.Dense(2, nn.tanh)), nn.Dense(3)),
    "scanned": nn.Sequential(Steps(nn.Dense(2, nn.tanh)), nn.Dense(3)),
    "gated": nn.Sequential(Gate(), nn.Dense(3)),
}


def double(network):
    """A network in float64."""
    return jax.tree.map(lambda a: a.astype(jnp.float64) if jnp.issubdtype(a.dtype, jnp.floating) else a, network)


@pytest.fixture
def in_float64():
    with jax.enable_x64(True):
        yield


@pytest.fixture
def batch(rng):
    return {"x": rng.normal(size=(6, 2)).astype(np.float32), "y": rng.integers(3, size=6)}


def built(spec, batch, seed):
    return nn.build(spec, jnp.asarray(batch["x"]), seed=seed)


def loss(params, network, batch, objective, key, train):
    """The loss as an objective gives it, by hand."""
    net = network.replace(params=params).bind(key, train).over(batch)
    return loss_of(scored(objective(net, batch))[0])


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_parameter_gradients_are_those_of_jax(name, train, batch, seed, key):
    network, objective = built(NETWORKS[name], batch, seed), sd.Classify(smoothing=0.1) + sd.L2(0.01)
    trace = backprop_trace(network, batch, objective, key, train)
    columns = sd.Batch.of({k: jnp.asarray(v) for k, v in batch.items()})
    expected = functools.partial(loss, network=network, batch=columns, objective=objective, key=key, train=train)
    value, gradients = jax.value_and_grad(expected)(network.params)
    assert trace.loss == pytest.approx(float(value), rel=1e-5)
    assert sum(trace.parts.values()) == pytest.approx(trace.loss, rel=1e-5)
    assert trace.gradients.keys() == gradients.keys()
    for path, gradient in gradients.items():
        np.testing.assert_allclose(trace.gradients[path], gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "objective", [sd.Classify(), sd.Regress(losses.huber, method="numbers")], ids=["classify", "regress"]
)
def test_deltas_and_gradients_are_finite_differences(objective, batch, rng, seed, in_float64):
    """A network of two layers in NumPy, whose every z, y and weight is pushed a little."""

    class Both(nn.Layer):
        hidden: nn.Layer = nn.Dense(4, nn.tanh)
        head: nn.Layer = nn.Dense(3, nn.sigmoid)

        def __call__(self, scope, x):
            return scope("head", self.head, scope("hidden", self.hidden, x))

        def numbers(self, scope, x):
            return self(scope, x)[:, 0]

    batch = {"x": batch["x"].astype(np.float64), "y": batch["y"] * (1.0 if objective.predicts == "numbers" else 1)}
    network = double(built(Both(), batch, seed))
    trace = backprop_trace(network, batch, objective)
    pushes = {
        "hidden z": np.zeros((6, 4)), "hidden y": np.zeros((6, 4)), "head z": np.zeros((6, 3)),
        "head y": np.zeros((6, 3)),
    } | {path: np.asarray(value) for path, value in network.params.items()}  # fmt: skip

    def numpy_loss(p):
        x, y = batch["x"], batch["y"]
        h = np.tanh(x @ p["hidden/kernel"] + p["hidden/bias"][None] + p["hidden z"]) + p["hidden y"]
        out = 1 / (1 + np.exp(-(h @ p["head/kernel"] + p["head/bias"][None] + p["head z"]))) + p["head y"]
        if objective.predicts == "classes":
            return -np.mean(np.log(np.exp(out) / np.exp(out).sum(1, keepdims=True))[np.arange(6), y])
        r = np.abs(out[:, 0] - y)
        return np.mean(np.where(r <= 1, r**2 / 2, r - 1 / 2))

    def slope(name):
        found = np.zeros_like(pushes[name])
        for i in np.ndindex(found.shape):
            ends = []
            for step in (1e-5, -1e-5):
                moved = pushes[name].copy()
                moved[i] += step
                ends.append(numpy_loss(pushes | {name: moved}))
            found[i] = (ends[0] - ends[1]) / 2e-5
        return found

    assert trace.loss == pytest.approx(numpy_loss(pushes), rel=1e-12)
    close = functools.partial(np.testing.assert_allclose, rtol=1e-6, atol=1e-9)  # central differences err by 1e-10
    for name in ("hidden", "head"):
        assert trace[name].delta.dtype == np.float64
        close(trace[name].delta, slope(f"{name} z"))
        close(trace[name].output_gradient, slope(f"{name} y"))
        close(trace[name].gradients["kernel"], slope(f"{name}/kernel"))
        close(trace[name].gradients["bias"], slope(f"{name}/bias"))


def test_deltas_are_passed_back_layer_by_layer(batch, seed):
    """delta_l = (delta_(l+1) W^T) f'(z_l), and the gradient of W is x^T delta."""
    network = built(NETWORKS["deep"], batch, seed)
    trace = backprop_trace(network, batch, sd.Classify())
    slopes = {nn.tanh: lambda z: 1 - np.tanh(z) ** 2, nn.sigmoid: lambda z: np.exp(-z) / (1 + np.exp(-z)) ** 2,
              nn.elu: lambda z: np.where(z > 0, 1, np.exp(z)), nn.identity: np.ones_like}  # fmt: skip
    specs = dict(network.spec.named_layers())
    close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6)
    for layer in trace.layers:
        close(layer.delta, layer.output_gradient * slopes[specs[layer.path].activation](layer.preactivation))
        close(layer.gradients["kernel"], layer.inputs[0].T @ layer.delta)
        close(layer.gradients["bias"], layer.delta.sum(0))
    for layer, behind in zip(trace.layers, trace.layers[1:], strict=False):
        close(layer.output_gradient, behind.delta @ np.asarray(network.params[f"{behind.path}/kernel"]).T)


def test_three_inputs_one_hidden_unit_by_hand():
    spec = nn.Sequential(hidden=nn.Dense(1, nn.sigmoid), head=nn.Dense(1))
    params = {"hidden/kernel": jnp.array([[0.0], [1.0], [-2.0]]), "hidden/bias": jnp.zeros(1),
              "head/kernel": jnp.array([[0.6]]), "head/bias": jnp.zeros(1)}  # fmt: skip
    network = nn.Network(spec, params)
    trace = backprop_trace(network, {"x": [[0.6, 0.4, 0.2]], "y": [1.0]}, sd.Regress(losses.absolute_error))
    hidden, head = trace["hidden"], trace["head"]
    by_hand = {
        0.0: hidden.preactivation,  # 0 * 0.6 + 1 * 0.4 - 2 * 0.2
        0.5: hidden.output,
        0.3: head.output,  # 0.6 * 0.5
        0.7: trace.loss,  # |0.3 - 1|
        -1.0: head.delta,
        -0.6: hidden.output_gradient,  # -1 * 0.6
        -0.15: hidden.delta,  # -0.6 * sigmoid'(0) = -0.6 / 4
    }
    for expected, found in by_hand.items():
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(head.gradients["kernel"], [[-0.5]], rtol=1e-6)
    np.testing.assert_allclose(hidden.gradients["kernel"][:, 0], [-0.09, -0.06, -0.03], rtol=1e-6)


def test_layers_come_in_the_order_of_the_forward_pass_a_container_before_what_it_holds(batch, seed):
    trace = backprop_trace(built(NETWORKS["nested"], batch, seed), batch, sd.Classify())
    inside = ["body/dense_1", "body/batchnorm_1", "body/softplus_1"]
    assert [layer.path for layer in trace.layers] == ["body", *inside, "drop", "head"]
    kinds = ["Sequential", "Dense", "BatchNorm", "softplus", "Dropout", "Dense"]
    assert [layer.kind for layer in trace.layers] == kinds
    assert trace["body/batchnorm_1"].preactivation is None
    np.testing.assert_array_equal(trace["body"].delta, trace["body/softplus_1"].delta)


def test_a_layer_that_is_called_twice_has_two_entries_and_one_gradient(batch, seed):
    network = built(NETWORKS["shared"], batch, seed)
    trace = backprop_trace(network, batch, sd.Classify())
    first, second = (layer for layer in trace.layers if layer.path == "twice_1/same")
    assert (first.call, second.call) == (0, 1)
    np.testing.assert_array_equal(first.output, second.inputs[0])
    total = first.inputs[0].T @ first.delta + second.inputs[0].T @ second.delta
    for layer in (first, second):
        np.testing.assert_allclose(layer.gradients["kernel"], total, rtol=1e-4, atol=1e-6)


def test_an_activation_that_is_applied_twice_has_no_preactivation(batch, seed):
    gate = backprop_trace(built(NETWORKS["gated"], batch, seed), batch, sd.Classify())["gate_1"]
    assert gate.preactivation is None
    np.testing.assert_array_equal(gate.delta, gate.output_gradient)


def test_what_happens_inside_a_scan_has_no_entry(batch, seed):
    trace = backprop_trace(built(NETWORKS["scanned"], batch, seed), batch, sd.Classify())
    assert [layer.path for layer in trace.layers] == ["steps_1", "steps_1/cell", "dense_1"]
    assert not trace["steps_1/cell"].delta.any()  # only the call before the scan, whose output nobody uses
    assert trace.gradients["steps_1/cell/kernel"].any()


def test_the_trace_shows_what_the_network_computes(batch, seed):
    network = built(NETWORKS["nested"], batch, seed)
    trace = backprop_trace(network, batch, sd.Classify())
    shown = {layer.path: layer.output for layer in trace.layers}
    expected = network.outputs(jnp.asarray(batch["x"]))
    assert shown.keys() == expected.keys()
    for path, output in expected.items():
        np.testing.assert_allclose(shown[path], output, rtol=1e-5, atol=1e-6)


def test_a_traced_network_computes_afterwards_what_it_did_before(batch, seed):
    network = built(NETWORKS["nested"], batch, seed)
    x = jnp.asarray(batch["x"])
    program = lambda: str(jax.make_jaxpr(lambda n: n.bind()(x))(network))
    before = program()
    backprop_trace(network, batch, sd.Classify())
    assert program() == before


def test_in_training_what_is_dropped_gets_no_blame(batch, seed, key):
    trace = backprop_trace(built(NETWORKS["nested"], batch, seed), batch, sd.Classify(), key, train=True)
    dropped = trace["drop"].output == 0
    assert dropped.any()
    np.testing.assert_array_equal(trace["body"].output_gradient[dropped], 0)
    assert trace["body"].output_gradient[~dropped].all()
    normal = trace["body/batchnorm_1"]
    np.testing.assert_allclose(normal.output.mean(0), 0, atol=1e-5)


def test_a_row_that_does_not_count_gets_no_blame(batch, seed):
    network = built(NETWORKS["deep"], batch, seed)
    real = np.arange(6) < 4
    trace = backprop_trace(network, batch | {"weight": real.astype(np.float32)}, sd.Classify())
    part = backprop_trace(network, {name: column[real] for name, column in batch.items()}, sd.Classify())
    for layer, same in zip(trace.layers, part.layers, strict=True):
        assert not layer.delta[~real].any()
        np.testing.assert_allclose(layer.delta[real], same.delta, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(layer.gradients["kernel"], same.gradients["kernel"], rtol=1e-4, atol=1e-6)


def test_it_prints_as_a_table_and_so_it_does_in_a_notebook(batch, seed):
    network = built(nn.Sequential(hidden=nn.Dense(1, nn.relu), head=nn.Dense(3)), batch, seed)
    trace = backprop_trace(network, batch, sd.Classify())
    head, header, rule, *rows = str(trace).splitlines()
    assert head == f"loss {trace.loss:.4g}"
    assert header.split() == ["layer", "input", "pre-activation", "output", "delta", "d", "bias", "d", "kernel"]
    assert set(rule) == {"-"} and [row.split()[0] for row in rows] == ["hidden", "head"]
    assert "rms " in rows[0]  # of six numbers
    few = trace["head"].gradients["bias"]
    assert " ".join(f"{v:.4g}" for v in few) in rows[1]
    assert repr(trace) == str(trace)
    html = trace._repr_html_()
    assert html.count("<tr>") == 3 and "<table" in html and f"loss {trace.loss:.4g}" in html


def test_what_it_refuses(batch, seed):
    network = built(NETWORKS["deep"], batch, seed)
    for given, said in [
        ((NETWORKS["deep"], batch, sd.Classify()), "as nn.build makes"),
        ((network, [1, 2], sd.Classify()), "columns by name"),
        ((network, {}, sd.Classify()), "columns by name"),
        ((network, batch, "classify"), "an objective such as"),
        ((network, batch, lambda net, rows: 0.0), "an objective such as"),
        ((network, batch, sd.Classify(class_weight="balanced")), "not prepared"),
    ]:
        with pytest.raises(ArgumentError, match=said):
            backprop_trace(*given)
    with pytest.raises(PathError, match="Build it with nn.build"):
        backprop_trace(nn.Network(NETWORKS["deep"]), batch, sd.Classify())
    with pytest.raises(sd.SondeError, match="no column 'y'"):
        backprop_trace(network, {"x": batch["x"]}, sd.Classify())
    with pytest.raises(PathError, match="did you mean 'dense_1'"):
        backprop_trace(network, batch, sd.Classify())["dense1"]


def test_sequences_of_different_lengths_are_traced_step_by_step(rng, seed):
    """A layer that treats steps alone shows its values; what stands behind a length gets no blame."""

    class Last(nn.Layer):
        def __call__(self, scope, x):
            return x.values[jnp.arange(len(x)), x.lengths - 1]

    spec = nn.Sequential(steps=nn.Dense(4, nn.tanh), last=Last(), head=nn.Dense(3))
    x = sd.Padded(jnp.asarray(rng.normal(size=(3, 5, 2)), jnp.float32), jnp.array([5, 2, 3]))
    trace = backprop_trace(nn.build(spec, x, seed=seed), {"x": x, "y": np.arange(3)}, sd.Classify())
    delta, final = trace["steps"].delta, np.array([4, 1, 2])
    assert delta.shape == (3, 5, 4)
    assert delta[np.arange(3), final].all()
    assert np.count_nonzero(delta) == 12
    values = np.asarray(x.values)
    np.testing.assert_allclose(
        trace["steps"].gradients["kernel"],
        values[np.arange(3), final].T @ delta[np.arange(3), final],
        rtol=1e-4,
        atol=1e-6,
    )


def test_a_label_without_an_output_is_refused_and_no_loss_of_nan():
    network = nn.build(nn.Dense(2), jnp.ones((1, 3)))
    x = np.ones((4, 3), np.float32)
    with pytest.raises(DataError, match="labels go up to 5, but the network has only 2 outputs"):
        backprop_trace(network, {"x": x, "y": [0, 1, 0, 5]}, sd.Classify())
    with pytest.raises(DataError, match="row 1 has -1"):
        backprop_trace(network, {"x": x, "y": [0, -1, 0, 1]}, sd.Classify() + sd.L2(0.1))
