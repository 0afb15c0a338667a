"""One descriptor for each public part: how to make one, what to give it, and what then must hold.

A part is a value (or a registered function) and a `run`, a pure function of the part and of arrays. Everything
in `test_conformance.py` follows from that. To enroll a part, add a `Case` to the list of its kind.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import sonde as sd
from sonde import data, nn, objectives, optim, train

ROWS = 6
Inputs = Callable[[np.random.Generator], tuple]


@dataclasses.dataclass(frozen=True)
class Case:
    """A public part and an example of its use.

    Attributes:
        name: its public name, ``nn.Dense``; with a note, ``optim.SGD momentum``, where there are several cases.
        part: a value, or a registered function.
        run: ``run(part, *inputs)`` gives a tree of arrays.
        inputs: draws an example of the inputs: arrays, trees of them, or values.
        gives: the shapes and dtypes that come out, like ``("float32", (6, 3))``, in a tree like the output.
        smooth: which inputs there is a gradient for; none where it makes no sense.
    """

    name: str
    part: Any
    run: Callable[..., Any]
    inputs: Inputs
    gives: Any
    smooth: tuple[int, ...] = ()

    @property
    def public(self) -> str:
        """The public name without the note."""
        return self.name.split(" ")[0]


def f32(*shape: int) -> tuple:
    """A float32 array of a shape, as `Case.gives` writes it."""
    return ("float32", shape)


def normal(*shape: int) -> Callable[[np.random.Generator], jax.Array]:
    """Draws standard normal float32 arrays."""
    return lambda rng: jnp.asarray(rng.normal(size=shape), jnp.float32)


def key(rng: np.random.Generator) -> jax.Array:
    """Draws a key."""
    return jax.random.key(int(rng.integers(2**31)))


# ------------------------------------------------------------------------------------ layers


def call_layer(layer: nn.Layer, params: dict, state: dict, x: Any, key: Any) -> dict:
    """What a layer gives at inference and in training, and the state that training leaves behind."""
    network = nn.Network(layer, params, state)
    trained = network.bind(key, train=True)
    rested = network.bind(key)
    return {"rests": rested(x), "trains": trained(x), "leaves": dict(trained._frame.state)}


def layer(name: str, part: nn.Layer, x: Inputs, y: Any, leaves: dict | None = None, smooth: bool = True) -> Case:
    """A layer that takes arrays like ``x`` and gives arrays like ``y``."""

    def inputs(rng: np.random.Generator) -> tuple:
        given = x(rng)
        network = nn.build(part, given, seed=int(rng.integers(2**31)))
        off = lambda v: v + 0.1 * jnp.asarray(rng.normal(size=v.shape), v.dtype)  # so that nothing is 0 or 1
        return jax.tree.map(off, network.params), network.state, given, key(rng)

    gives = {"rests": y, "trains": y, "leaves": leaves or {}}
    return Case(f"nn.{name}", part, call_layer, inputs, gives, (0, 2) if smooth else ())


LAYERS = [
    layer("Dense", nn.Dense(3, nn.tanh), normal(ROWS, 4), f32(ROWS, 3)),
    layer("Dense without bias", nn.Dense(3, bias_init=None), normal(ROWS, 4), f32(ROWS, 3)),
    layer("Flatten", nn.Flatten(), normal(ROWS, 2, 3), f32(ROWS, 6)),
    layer("Scale", nn.Scale(0.5, 0.1), normal(ROWS, 4), f32(ROWS, 4)),
    layer("Dropout", nn.Dropout(0.5), normal(ROWS, 4), f32(ROWS, 4)),
    layer("BatchNorm", nn.BatchNorm(), normal(ROWS, 4), f32(ROWS, 4), {"mean": f32(4), "var": f32(4)}),
    layer(
        "Sequential",
        nn.Sequential(nn.Flatten(), hidden=nn.Dense(5, nn.tanh), drop=nn.Dropout(0.3), head=nn.Dense(2)),
        normal(ROWS, 2, 2),
        f32(ROWS, 2),
    ),
    layer("Function", nn.Function(nn.tanh), normal(ROWS, 4), f32(ROWS, 4)),
]

COMBINED = [
    layer("Residual", nn.Residual(nn.Dense(4, nn.tanh)), normal(ROWS, 4), f32(ROWS, 4)),
    layer("Residual with a shortcut", nn.Residual(nn.Dense(3), nn.Dense(3)), normal(ROWS, 4), f32(ROWS, 3)),
    layer("Parallel", nn.Parallel(nn.identity, a=nn.Dense(3, nn.tanh)), normal(ROWS, 4), f32(ROWS, 7)),
    layer("Parallel by product", nn.Parallel(nn.Dense(3), nn.Dense(3), join="multiply"), normal(ROWS, 4), f32(ROWS, 3)),
    layer("DropConnect", nn.DropConnect(nn.Dense(3, nn.tanh), 0.3), normal(ROWS, 4), f32(ROWS, 3)),
    layer("WeightNoise", nn.WeightNoise(nn.Dense(3, nn.tanh), 0.3), normal(ROWS, 4), f32(ROWS, 3)),
    layer("Dropout not inverted", nn.Dropout(0.3, inverted=False), normal(ROWS, 4), f32(ROWS, 4)),
    layer("GaussianNoise", nn.GaussianNoise(0.3), normal(ROWS, 4), f32(ROWS, 4)),
    layer("MaskNoise", nn.MaskNoise(0.3), normal(ROWS, 4), f32(ROWS, 4)),
    layer("SaltPepper", nn.SaltPepper(0.3, -1.0, 2.0), normal(ROWS, 4), f32(ROWS, 4)),
    layer("LayerNorm", nn.LayerNorm(), normal(ROWS, 2, 4), f32(ROWS, 2, 4)),
    layer("GroupNorm", nn.GroupNorm(2), normal(ROWS, 2, 4), f32(ROWS, 2, 4)),
    layer("TiedDense", nn.TiedDense(3), normal(ROWS, 4), f32(ROWS, 3)),
    layer(
        "VariationalAutoencoder",
        nn.VariationalAutoencoder(encoder=nn.Dense(4, nn.tanh), decoder=nn.Dense(5)),
        normal(ROWS, 5),
        f32(ROWS, 5),
    ),
    layer("Autoencoder", nn.Autoencoder(nn.Dense(2, nn.tanh), nn.Dense(4)), normal(ROWS, 4), f32(ROWS, 4)),
    layer("Autoencoder with tied weights", nn.Autoencoder(nn.TiedDense(2)), normal(ROWS, 4), f32(ROWS, 4)),
    layer("PReLU", nn.PReLU(), normal(ROWS, 2, 3), f32(ROWS, 2, 3)),
    layer("Shared", nn.Shared(nn.Dense(3, nn.tanh)), normal(ROWS, 4), f32(ROWS, 3)),
]


ENSEMBLES = [
    layer("Ensemble", nn.Ensemble(nn.Dense(3, nn.tanh), nn.Dense(3)), normal(ROWS, 4), f32(ROWS, 3)),
    layer("Ensemble of single logits", nn.Ensemble(nn.Dense(1), nn.Dense(1)), normal(ROWS, 4), f32(ROWS, 1)),
    layer("Ensemble of numbers", nn.Ensemble(*[nn.Dense(3)] * 3, combine="mean"), normal(ROWS, 4), f32(ROWS, 3)),
    layer("Ensemble by vote", nn.Ensemble(*[nn.Dense(3)] * 3, combine="vote"), normal(ROWS, 4), f32(ROWS, 3)),
]


def labels(rng: np.random.Generator) -> jax.Array:
    """Draws labels of three classes."""
    return jnp.asarray(rng.integers(0, 3, ROWS), jnp.int32)


def lengths(x: Inputs) -> Inputs:
    """Draws sequences of other lengths than their arrays."""
    return lambda rng: sd.Padded(values := x(rng), jnp.asarray(rng.integers(0, values.shape[1] + 1, ROWS), jnp.int32))


def of_sequences(name: str, part: nn.Layer, x: Inputs, y: tuple) -> Case:
    """A layer that takes sequences of different lengths, which are no numbers to differentiate by, and gives rows."""
    return dataclasses.replace(layer(name, part, lengths(x), y), smooth=(0,))


SEQUENCES = [
    layer("RNN", nn.RNN(3), normal(ROWS, 4, 2), f32(ROWS, 4, 3)),
    layer("LSTM", nn.LSTM(3), normal(ROWS, 4, 2), f32(ROWS, 4, 3)),
    layer("LSTM plain", nn.LSTM(3, plain_gradient=True), normal(ROWS, 4, 2), f32(ROWS, 4, 3)),
    of_sequences("LSTM of lengths", nn.LSTM(3, last=True), normal(ROWS, 4, 2), f32(ROWS, 3)),
    layer("GRU", nn.GRU(3, reverse=True), normal(ROWS, 4, 2), f32(ROWS, 4, 3)),
    layer("Bidirectional", nn.Bidirectional(nn.GRU(3)), normal(ROWS, 4, 2), f32(ROWS, 4, 6)),
    dataclasses.replace(layer("Embedding", nn.Embedding(3, 4), labels, f32(ROWS, 4)), smooth=(0,)),
    layer("Attention", nn.Attention(2), normal(ROWS, 3, 4), f32(ROWS, 3, 4)),
    layer("Attention of the past", nn.Attention(2, 6, causal=True), normal(ROWS, 3, 4), f32(ROWS, 3, 6)),
]

WINDOWS = [
    layer("Conv", nn.Conv(3, 3, activation=nn.tanh), normal(ROWS, 5, 4, 2), f32(ROWS, 5, 4, 3)),
    layer(
        "Conv of series in groups",
        nn.Conv(4, 2, stride=2, padding=((1, 0),), dilation=2, groups=2),
        normal(ROWS, 7, 6),
        f32(ROWS, 3, 4),
    ),
    layer("ConvTranspose", nn.ConvTranspose(2, 3, stride=2), normal(ROWS, 3, 2, 2), f32(ROWS, 6, 4, 2)),
    layer("LocallyConnected", nn.LocallyConnected(2, (2, 1)), normal(ROWS, 3, 2, 2), f32(ROWS, 2, 2, 2)),
    layer("MaxPool", nn.MaxPool(2), normal(ROWS, 4, 5, 2), f32(ROWS, 2, 2, 2)),
    layer("MaxPool overlapping", nn.MaxPool(3, 2, "same"), normal(ROWS, 5, 2), f32(ROWS, 3, 2)),
    layer("AveragePool", nn.AveragePool(3, 2, "same"), normal(ROWS, 4, 5, 2), f32(ROWS, 2, 3, 2)),
    layer("GlobalMaxPool", nn.GlobalMaxPool(), normal(ROWS, 4, 5, 2), f32(ROWS, 2)),
    layer("GlobalAveragePool", nn.GlobalAveragePool(), normal(ROWS, 4, 5, 2), f32(ROWS, 2)),
    of_sequences("GlobalMaxPool of lengths", nn.GlobalMaxPool(), normal(ROWS, 5, 2), f32(ROWS, 2)),
    of_sequences("GlobalAveragePool of lengths", nn.GlobalAveragePool(), normal(ROWS, 5, 2), f32(ROWS, 2)),
    layer("Upsample", nn.Upsample((1, 3)), normal(ROWS, 2, 2, 2), f32(ROWS, 2, 6, 2)),
    layer("Upsample linear", nn.Upsample(2, "linear"), normal(ROWS, 3, 2), f32(ROWS, 6, 2)),
    layer("Reshape", nn.Reshape(3, -1), normal(ROWS, 2, 6), f32(ROWS, 3, 4)),
]

# ------------------------------------------------------------------------------------ functions


def activation(name: str) -> Case:
    """An activation: an array in, an array of its shape out."""
    apart = lambda rng: (jnp.asarray(rng.choice([-1, 1], (ROWS, 3)) * rng.uniform(0.1, 3, (ROWS, 3)), jnp.float32),)
    return Case(f"nn.{name}", getattr(nn, name), lambda f, x: f(x), apart, f32(ROWS, 3), (0,))


ACTIVATIONS = [
    *(activation(n) for n in ("identity", "relu", "elu", "sigmoid", "tanh", "softmax", "softplus", "log_softmax")),
    *(activation(n) for n in ("leaky_relu", "selu", "gelu", "silu", "softsign", "arctan", "sqnl")),
    Case("nn.LeakyReLU", nn.LeakyReLU(0.2), lambda f, x: f(x), lambda rng: (normal(ROWS, 3)(rng),), f32(ROWS, 3), (0,)),
]


def loss(name: str, prediction: Inputs, target: Inputs, **numbers: float) -> Case:
    """An elementwise loss of predictions and targets, and its numbers as arrays."""
    run = lambda f, p, t, numbers: f(p, t, **numbers)
    draw = lambda rng: (prediction(rng), target(rng), {k: jnp.float32(v) for k, v in numbers.items()})
    note = " with " + " and ".join(numbers) if numbers else ""
    return Case(f"objectives.{name}{note}", getattr(objectives, name), run, draw, f32(ROWS), (0,))


def fractions(rng: np.random.Generator) -> jax.Array:
    """Draws numbers between 0 and 1."""
    return jnp.asarray(rng.uniform(size=ROWS), jnp.float32)


LOSSES = [
    loss("cross_entropy", normal(ROWS, 3), labels),
    loss("cross_entropy", normal(ROWS, 3), labels, smoothing=0.1),
    loss("binary_cross_entropy", normal(ROWS), fractions),
    loss("half_squared_error", normal(ROWS), normal(ROWS)),
    loss("squared_error", normal(ROWS), normal(ROWS)),
    loss("absolute_error", normal(ROWS), normal(ROWS)),
    loss("huber", normal(ROWS), normal(ROWS), delta=0.7),
    loss("absolute_percentage_error", normal(ROWS), lambda rng: 1 + fractions(rng)),
    loss("kl_divergence", normal(ROWS, 3), lambda rng: jnp.asarray(rng.dirichlet([1.0, 2.0, 3.0], ROWS), jnp.float32)),
    loss("poisson", normal(ROWS), lambda rng: jnp.asarray(rng.poisson(3.0, ROWS), jnp.float32)),
    loss("cosine_distance", normal(ROWS, 3), normal(ROWS, 3)),
    loss("hinge", normal(ROWS), lambda rng: jnp.asarray(rng.choice([-1, 1], ROWS), jnp.int32)),
    loss("hinge", normal(ROWS, 3), labels),
    loss("squared_hinge", normal(ROWS), lambda rng: jnp.asarray(rng.random(ROWS) < 0.5)),
    loss("squared_hinge", normal(ROWS, 3), labels),
]


def by_row(name: str, *given: tuple, **options: Any) -> Case:
    """A loss of several arrays of normal numbers, none of which is a target."""
    draw = lambda rng: tuple(normal(*like)(rng) for like in given)
    run = lambda f, *given: f(*given, **options)
    return Case(f"objectives.{name}", getattr(objectives, name), run, draw, f32(ROWS), tuple(range(len(given))))


GAMES = [
    by_row("discriminator_loss", (ROWS,), (ROWS,)),
    by_row("generator_loss", (ROWS,)),
    by_row("saturating_generator_loss", (ROWS,)),
    by_row("gaussian_kl", (ROWS, 3), (ROWS, 3)),
    by_row("variational_loss", (ROWS, 4), (ROWS, 4), (ROWS, 2), (ROWS, 2), loss=objectives.half_squared_error),
]


def measured(part: Any, outputs: Any, target: Any, weight: Any) -> Any:
    """A measure of a batch."""
    metrics = sd.Classify(metrics=(part,)).metrics
    return objectives.measures.measured(metrics, sd.Batch({}, weight), outputs, target)


def measure(name: str, part: Any, target: Inputs, classes: int = 3) -> Case:
    """What is measured batch by batch."""
    weight = lambda rng: jnp.asarray(rng.uniform(0.5, 2, ROWS), jnp.float32).at[-1].set(0)
    draw = lambda rng: (normal(ROWS, classes)(rng), target(rng), weight(rng))
    run = lambda part, *given: {k: m.value for k, m in measured(part, *given).items()}
    called = objectives.measures.as_measures(part, (part,))[0].name
    return Case(f"objectives.{name}", part, run, draw, {called: f32()})


MEASURES = [
    measure("accuracy", objectives.accuracy, labels),
    measure("TopK", objectives.TopK(2), labels),
    measure("R2", objectives.R2(0.5), normal(ROWS, 3)),
    measure("Each", objectives.Each(objectives.absolute_error), normal(ROWS, 3)),
]

# ------------------------------------------------------------------------------------ objectives


def call_objective(part: sd.Objective, params: dict, columns: dict, weight: Any, key: Any) -> Any:
    """The parts of the loss and the metrics, of a small network in training."""
    net = nn.Network(SMALL, params, {}).bind(key, train=True)
    loss, metrics = given if isinstance(given := part(net, sd.Batch(columns, weight)), tuple) else (given, {})
    parts = loss if isinstance(loss, dict) else {"loss": loss}
    return {name: getattr(each, "value", each) for name, each in {**parts, **metrics}.items()}


SMALL = nn.Sequential(hidden=nn.Dense(4, nn.sigmoid), head=nn.Dense(3))


def objective(name: str, part: sd.Objective, y: Inputs, *gives: str, note: str = "", smooth: bool = True) -> Case:
    """An objective or penalty on a small network of three outputs; ``gives`` names its losses and metrics."""

    def inputs(rng: np.random.Generator) -> tuple:
        x = normal(ROWS, 5)(rng)
        params = nn.build(SMALL, x, seed=int(rng.integers(2**31))).params
        weight = jnp.asarray(rng.uniform(0.5, 2, ROWS), jnp.float32).at[-1].set(0)
        return params, {"x": x, "y": y(rng)}, weight, key(rng)

    return Case(f"objectives.{name}{note}", part, call_objective, inputs, dict.fromkeys(gives, f32()), (0,) * smooth)


OBJECTIVES = [
    objective("Classify", sd.Classify(), labels, "loss", "error"),
    objective("Classify", sd.Classify(0.1, (1.0, 2.0, 3.0)), labels, "loss", "error", note=" weighted"),
    objective("Classify", sd.Classify(loss=objectives.squared_hinge), labels, "loss", "error", note=" margins"),
    objective(
        "Classify",
        sd.Classify(metrics=(objectives.accuracy, objectives.TopK(2))),
        labels,
        *("loss", "error", "accuracy", "top_2_accuracy"),
        note=" metrics",
    ),
    objective("Regress", sd.Regress(unit=2.0), normal(ROWS, 3), "loss", "mse", "mae"),
    objective(
        "Regress", sd.Regress(metrics=(objectives.R2(),)), normal(ROWS, 3), "loss", "mse", "mae", "r2", note=" R2"
    ),
    objective(
        "Regress",
        sd.Regress(objectives.poisson),
        lambda rng: abs(normal(ROWS, 3)(rng)),
        "loss",
        "mse",
        "mae",
        note=" counts",
    ),
    objective("Sum", sd.Classify() + sd.L2(0.1), labels, "classify", "l2", "error", smooth=False),  # its terms are
]


def call_autoencoder(part: sd.Objective, params: dict, x: Any, weight: Any) -> Any:
    """The loss and the metric of a tied layer that gives back what came in."""
    net = nn.Network(nn.TiedDense(3, visible_activation=nn.identity), params).bind(jax.random.key(0))
    loss, metrics = part(net, sd.Batch({"x": x}, weight))
    return {"loss": loss.value} | {name: mean.value for name, mean in metrics.items()}


def tied(rng: np.random.Generator) -> tuple:
    """Draws what `call_autoencoder` takes."""
    params = {"kernel": normal(4, 3)(rng), "bias": normal(3)(rng), "visible_bias": normal(4)(rng)}
    return params, normal(ROWS, 4)(rng), jnp.asarray(rng.uniform(0.5, 2, ROWS), jnp.float32).at[-1].set(0)


VAE = nn.VariationalAutoencoder(encoder=nn.Dense(4), decoder=nn.Dense(5))


def call_variational(part: sd.Objective, params: dict, x: Any, weight: Any, key: Any) -> Any:
    """The loss and the metrics of a variational autoencoder."""
    loss, metrics = part(nn.Network(VAE, params).bind(key), sd.Batch({"x": x}, weight))
    return {"loss": loss.value} | {name: mean.value for name, mean in metrics.items()}


def of_codes(rng: np.random.Generator) -> tuple:
    """Draws what `call_variational` takes."""
    x = jnp.asarray(rng.uniform(size=(ROWS, 5)), jnp.float32)
    params = nn.build(VAE, x, seed=int(rng.integers(2**31))).params
    return params, x, jnp.asarray(rng.uniform(0.5, 2, ROWS), jnp.float32).at[-1].set(0), key(rng)


def variational(part: sd.Objective, note: str = "") -> Case:
    """A variational objective."""
    gives = dict.fromkeys(("loss", "bound", "kl", "reconstruction"), f32())
    return Case(f"objectives.Variational{note}", part, call_variational, of_codes, gives, (0, 1))


AUTOENCODERS = [
    variational(objectives.Variational(beta=0.5, loss=objectives.half_squared_error, spread=0.7)),
    variational(objectives.Variational(samples=3), " several draws"),
    Case(
        "objectives.Reconstruct",
        objectives.Reconstruct(back="reconstruct"),
        call_autoencoder,
        tied,
        dict.fromkeys(("loss", "mse"), f32()),
        (0, 1),
    ),
    Case(
        "objectives.Reconstruct of spoiled inputs",
        objectives.Reconstruct(back="reconstruct", noise=nn.MaskNoise(0.3)),
        call_autoencoder,
        tied,
        dict.fromkeys(("loss", "mse"), f32()),
        (0, 1),
    ),
]
PENALTIES = [
    objective("L1", sd.L1(0.1), labels, "loss"),
    objective("L2", sd.L2(0.1), labels, "loss"),
    objective("L1L2", sd.L1L2(0.1, 0.2), labels, "loss"),
    objective("ActivityL1", objectives.ActivityL1(0.1, "hidden"), labels, "loss", "activity"),
    objective("ActivityKL", objectives.ActivityKL(0.1, 0.2, "hidden"), labels, "loss", "activity"),
    objective("Contractive", objectives.Contractive(0.1, "hidden"), labels, "loss", "slopes"),
    objective("Contractive", objectives.Contractive(0.1, "head", probes=2), labels, "loss", "slopes", note=" probes"),
]

# ------------------------------------------------------------------------------------ optimizers


@dataclasses.dataclass(frozen=True)
class OptimizerCase(Case):
    """An optimizer, and the rate and the number of steps with which it solves each task; None where it does not."""

    parabola: tuple[float, int] | None = (0.1, 200)
    rosenbrock: tuple[float, int] | None = (1e-3, 20_000)


def a_few_steps(part: sd.optim.Optimizer, params: dict, gradients: dict) -> tuple:
    """Where three steps along given gradients lead, and what the optimizer remembers."""
    memory = part.init(params)
    for gradient in ({k: g[i] for k, g in gradients.items()} for i in range(3)):
        params, memory = move(part, params, memory, gradient)
    return params, [leaf for leaf in jax.tree.leaves(memory) if leaf.ndim]


def bowl(params: Any) -> Any:
    """A loss for optimizers that look along a line."""
    return sum((leaf.astype(jnp.float32) ** 2).sum() for leaf in jax.tree.leaves(params))


def along_lines(part: sd.optim.Optimizer, params: dict, gradients: dict) -> dict:
    """Where two steps lead whose gradients are those of the loss: what remembers curvature takes no others."""
    height = lambda params: sum(jnp.cosh(leaf).sum() for leaf in params.values())
    memory = part.init(params)
    for _ in range(2):
        params, memory = move(part, params, memory, jax.grad(height)(params), height)
    return params


def move(part: Any, params: Any, memory: Any, gradient: Any, loss: Any = bowl) -> tuple:
    """One step, as the engine takes it."""
    rate = part.rate(sd.Clock(0, 1, 1)) if callable(part.rate) else part.rate
    return part.update(params, gradient, memory, rate, loss)


def optimizer(name: str, part: Any, slots: int = 0, note: str = "", **tasks: Any) -> OptimizerCase:
    """An optimizer that remembers ``slots`` arrays for each array of parameters."""

    def inputs(rng: np.random.Generator) -> tuple:
        draw = lambda *lead: {"kernel": normal(*lead, 2, 3)(rng), "bias": normal(*lead, 3)(rng)}
        return draw(), draw(3)

    params = {"bias": f32(3), "kernel": f32(2, 3)}
    gives = (params, [params[k] for k in sorted(params)] * slots)
    return OptimizerCase(f"optim.{name}{note}", part, a_few_steps, inputs, gives, **tasks)


OPTIMIZERS = [
    optimizer("SGD", sd.SGD(0.1), 0),
    optimizer("SGD", sd.SGD(0.1, 0.9), 1, " momentum", rosenbrock=(3e-4, 20_000)),
    optimizer("SGD", sd.SGD(0.1, 0.9, nesterov=True), 1, " nesterov", rosenbrock=(3e-4, 20_000)),
    optimizer("SGD", sd.SGD(sd.Exponential(0.1)), 0, " schedule"),
    optimizer("Adam", sd.Adam(0.1), 2, parabola=(0.05, 500), rosenbrock=(0.02, 5000)),
]

ADAPTIVE = [
    optimizer("AdaGrad", optim.AdaGrad(0.1), 1, parabola=(1.0, 500), rosenbrock=(0.5, 40_000)),
    optimizer("AdaDelta", optim.AdaDelta(), 2, parabola=(1.0, 20_000), rosenbrock=None),  # half way after 40,000 steps
    optimizer("RMSProp", optim.RMSProp(0.1), 1, parabola=(1e-3, 5000), rosenbrock=(1e-4, 60_000)),
    optimizer(
        "RMSProp", optim.RMSProp(0.1, momentum=0.9), 2, " momentum", parabola=(1e-4, 5000), rosenbrock=(1e-5, 60_000)
    ),
    optimizer(
        "RMSProp", optim.RMSProp(0.1, centered=True), 2, " centered", parabola=(1e-3, 5000), rosenbrock=(1e-4, 60_000)
    ),
    optimizer("AdamW", optim.AdamW(0.1, decay=1e-5), 2, parabola=(0.05, 500), rosenbrock=(0.02, 5000)),
    optimizer("Nadam", optim.Nadam(0.1), 2, parabola=(0.05, 500), rosenbrock=(0.02, 5000)),
    optimizer("RAdam", optim.RAdam(0.1), 2, parabola=(0.05, 1000), rosenbrock=(5e-3, 10_000)),
    optimizer("Adamax", optim.Adamax(0.1), 2, parabola=(0.05, 1000), rosenbrock=(0.02, 10_000)),
    optimizer("Lion", optim.Lion(0.1), 1, parabola=(5e-4, 10_000), rosenbrock=(1e-4, 60_000)),
    optimizer("Lion", optim.Lion(0.1, decay=1e-5), 1, " decay", parabola=(5e-4, 10_000), rosenbrock=(1e-4, 60_000)),
    optimizer("LAMB", optim.LAMB(0.1, decay=1e-5), 2, parabola=None, rosenbrock=None),  # no step leads across 0
    dataclasses.replace(
        optimizer("LBFGS", optim.LBFGS(memory=3), parabola=(1.0, 30), rosenbrock=(1.0, 80)),
        run=along_lines,
        gives={"bias": f32(3), "kernel": f32(2, 3)},
    ),
]

DUAL = [
    optimizer("FTRL", optim.FTRL(0.1, l1=1e-6, l2=1e-6), 3, parabola=(2.0, 2000), rosenbrock=(0.5, 60_000)),
    optimizer("DualAveraging", optim.DualAveraging(0.1, 1e-6, power=0.0), 2),
    optimizer("ProximalL1", optim.ProximalL1(sd.SGD(0.1), 1e-5)),
]

WRAPPED = [  # far from their bounds, each solves what the optimizer inside solves
    optimizer("Clip", optim.Clip(sd.SGD(0.1), value=1.1, norm=1.2, global_norm=1.3)),
    optimizer("CurvatureLimit", optim.CurvatureLimit(sd.SGD(0.1))),
    optimizer("PerPath", optim.PerPath(sd.SGD(0.1), {"kernel": 0.5, "**": 0.3}), rosenbrock=(2e-3, 20_000)),
    optimizer("Constrained", optim.Constrained(sd.SGD(0.1), optim.MaxNorm(3.0))),
]

# ------------------------------------------------------------------------------------ constraints


def constraint(name: str, part: optim.Constraint) -> Case:
    """A constraint on a kernel of four inputs and three neurons."""
    inputs = lambda rng: (normal(4, 3)(rng), normal(4, 3)(rng))
    return Case(f"optim.{name}", part, lambda part, new, old: part.project(new, old), inputs, f32(4, 3))


CONSTRAINTS = [
    constraint("MaxNorm", optim.MaxNorm(0.7)),
    constraint("UnitNorm", optim.UnitNorm()),
    constraint("NonNegative", optim.NonNegative()),
    constraint("ZeroSum", optim.ZeroSum()),
    constraint("LinearConstraint", optim.LinearConstraint(((1.0, -1.0, 0.0, 0.0), (0.0, 0.5, 0.5, 1.0)), 0.3)),
    constraint("KeepZeros", optim.KeepZeros()),
]

# ------------------------------------------------------------------------------------ schedules


def along(part: sd.optim.Schedule, steps: Any) -> Any:
    """The rate at steps of a phase of 100, ten an epoch."""
    return part(sd.Clock(steps, 10, 100))


def schedule(name: str, part: sd.optim.Schedule, note: str = "") -> Case:
    """A schedule, along a whole phase."""
    inputs = lambda rng: (jnp.sort(jnp.asarray(rng.uniform(0, 100, 50), jnp.float32)),)
    return Case(f"optim.{name}{note}", part, along, inputs, f32(50), (0,))


SCHEDULES = [
    schedule("Exponential", sd.Exponential(0.1, 0.5, 20)),
    schedule("Linear", optim.Linear(0.1, 0.02, 0.7)),
    schedule("Power", optim.Power(0.1, 0.8, 20)),
    schedule("Cosine", optim.Cosine(0.1, 0.02, 60)),
    schedule("WarmUp", optim.WarmUp(0.1, 20)),
    schedule("WarmUp", optim.WarmUp(optim.Cosine(0.1), 0.2), " schedule"),
    schedule("OneCycle", optim.OneCycle(0.1)),
]
JUMPING = [
    schedule("Piecewise", optim.Piecewise((0.2, 0.6), (0.1, 0.05, 0.01))),
    schedule("Exponential", sd.Exponential(0.1, 0.5, 20, staircase=True), " staircase"),
    schedule("Cosine", optim.Cosine(0.1, 0.02, 30, restarts=True), " restarts"),
]

# ------------------------------------------------------------------------------------ initializers


def initializer(name: str, part: nn.Initializer) -> Case:
    """An initializer, or a named one such as ``he_normal``."""
    inputs = lambda rng: (key(rng),)
    return Case(f"nn.{name}", part, lambda init, key: init(key, (4, 3)), inputs, f32(4, 3))


INITIALIZERS = [
    initializer("Constant", nn.Constant(0.3)),
    initializer("Normal", nn.Normal(0.1)),
    initializer("VarianceScaling", nn.VarianceScaling(1.5, "out", "normal")),
    *(initializer(name, getattr(nn, name)) for name in ("zeros", "ones", "glorot_uniform", "glorot_normal")),
    *(initializer(name, getattr(nn, name)) for name in ("he_uniform", "he_normal", "lecun_uniform", "lecun_normal")),
    initializer("fan_in_uniform", nn.fan_in_uniform),
    initializer("Uniform", nn.Uniform(-0.5, 0.3)),
    initializer("Sparse", nn.Sparse(2, 0.5)),
    initializer("Orthogonal", nn.Orthogonal(1.4)),
    initializer("Identity", nn.Identity(0.5)),
]

# ------------------------------------------------------------------------------------ controllers


def judged(part: sd.Controller, losses: Any) -> dict:
    """What a controller says of a row of rounds, ten steps each; and what it remembers, round by round."""
    said, memory = [], part.init()
    for i in range(losses.shape[0]):
        report = {"valid/loss": losses[i], "train/loss": losses[i]}
        memory, signal = part.observe(memory, report, sd.Clock(jnp.int32(10 * (i + 1)), 10, 10 * losses.shape[0]))
        said.append(jax.tree.map(lambda v: jnp.asarray(v, jnp.float32), dict(signal._asdict())))
    return jax.tree.map(lambda *each: jnp.stack(each), *said)


def controller(name: str, part: sd.Controller, note: str = "") -> Case:
    """A controller over eight rounds."""
    gives = dict.fromkeys(("outcome", "scale", "keep"), f32(8))
    return Case(f"train.{name}{note}", part, judged, lambda rng: (jnp.abs(normal(8)(rng)),), gives)


CONTROLLERS = [
    controller("KeepBest", sd.KeepBest(least=0.01)),
    controller("KeepBest", sd.KeepBest(best="largest"), " largest"),
    controller("Patience", sd.Patience(2)),
    controller("Patience", sd.Patience(steps=20, best="largest"), " largest"),
    controller("Plateau", sd.Plateau(0.5, 2)),
    controller("Plateau", sd.Plateau(0.5, steps=20, least=0.1, lowest=0.2, best="largest"), " largest"),
    controller("Target", sd.Target(0.3)),
    controller("Target", sd.Target(2.0, best="largest"), " largest"),
    controller("TimeBudget", sd.TimeBudget(60.0)),
]

# ------------------------------------------------------------------------------------ samplers


def drawn(part: sd.data.Sampler, columns: dict, key: Any, u: Any) -> dict:
    """A minibatch."""
    batch = part.over(columns)(key, u)
    return {**batch.columns, "weight of rows": batch.weight}


def sampler(name: str, part: sd.data.Sampler, rows: int, pairs: bool = False) -> Case:
    """A sampler of eleven rows of three classes, in minibatches of ``rows`` rows."""

    def inputs(rng: np.random.Generator) -> tuple:
        y = jnp.asarray(rng.permutation(np.arange(11) % 3), jnp.int32)
        columns = {"x": normal(11, 2)(rng), "y": y, "row": jnp.arange(11, dtype=jnp.int32)}
        return columns, key(rng), jnp.int32(rng.integers(100))

    kinds = {"x": f32(rows, 2), "y": ("int32", (rows,)), "row": ("int32", (rows,))}
    if pairs:
        kinds = {f"{side}_{k}": v for side in "ab" for k, v in kinds.items()} | {"same": ("int32", (rows,))}
    example = {"x": jnp.zeros((11, 2)), "y": jnp.arange(11, dtype=jnp.int32) % 3}
    return Case(f"data.{name}", part.prepare(example), drawn, inputs, kinds | {"weight of rows": f32(rows)})


SAMPLERS = [
    sampler("Shuffled", data.Shuffled(4), 4),
    sampler("InOrder", data.InOrder(4), 4),
    sampler("Balanced", data.Balanced(4), 4),
    sampler("Bootstrap", data.Bootstrap(4, member=2), 4),
    sampler("Pairs", data.Pairs(4), 4, pairs=True),
    sampler("Folds", data.Folds(4, folds=3, fold=1), 4),
    sampler("Streamed", data.Streamed(11, rows=29, chunk=11), 11),
]

# ------------------------------------------------------------------------------------ augmentation


def image(*shape: int) -> Inputs:
    """Draws images of floats from 0 to 1."""
    return lambda rng: jnp.asarray(rng.uniform(size=shape), jnp.float32)


def augmentation(name: str, part: data.Augmentation, row: Inputs, gives: tuple) -> Case:
    """A change of rows, drawn for each of four."""
    inputs = lambda rng: (key(rng), jnp.stack([row(rng) for _ in range(4)]))
    change = lambda op, key, x: op.change(key, sd.Batch.of({"x": x}), "x").x
    return Case(f"data.{name}", part, change, inputs, ("float32", (4, *gives)), (1,))


def mixed(part: data.Mixup, key: Any, x: Any, y: Any) -> dict:
    """Rows and labels that lie between others."""
    return part.change(key, sd.Batch.of({"x": x, "y": y}), "x").columns


GRAY, COLORED, SERIES = image(7, 6), image(5, 6, 3), normal(9, 2)

AUGMENTATIONS = [
    augmentation("Shift", data.Shift(2.0), GRAY, (7, 6)),
    augmentation("Shift between pixels", data.Shift((0.5, 2.0), False, "edge"), COLORED, (5, 6, 3)),
    augmentation("Rotate", data.Rotate(30.0), GRAY, (7, 6)),
    augmentation("Rotate of videos", data.Rotate(30.0), image(2, 5, 6, 1), (2, 5, 6, 1)),
    augmentation("Zoom", data.Zoom(0.3, "edge"), COLORED, (5, 6, 3)),
    augmentation("Shear", data.Shear(20.0), GRAY, (7, 6)),
    augmentation("Flip", data.Flip(0.5), COLORED, (5, 6, 3)),
    augmentation("Flip up and down", data.Flip(0.5, vertical=True), GRAY, (7, 6)),
    augmentation("Crop", data.Crop(2), COLORED, (5, 6, 3)),
    augmentation("Crop smaller", data.Crop(0, (3, 4), "edge"), GRAY, (3, 4)),
    augmentation("Cutout", data.Cutout(3.0, 0.5), COLORED, (5, 6, 3)),
    Case(
        "data.Binarize",
        data.Binarize(),
        lambda op, key, x: op.change(key, sd.Batch.of({"x": x}), "x").x,
        lambda rng: (key(rng), image(4, 7, 6)(rng)),
        ("float32", (4, 7, 6)),
    ),
    augmentation("Brightness", data.Brightness(0.3), GRAY, (7, 6)),
    augmentation("Contrast", data.Contrast(0.3), COLORED, (5, 6, 3)),
    augmentation("Saturation", data.Saturation(0.3), COLORED, (5, 6, 3)),
    augmentation("Hue", data.Hue(0.1), COLORED, (5, 6, 3)),
    augmentation("TimeShift", data.TimeShift(2.0), SERIES, (9, 2)),
    augmentation("Amplify", data.Amplify(0.3), SERIES, (9, 2)),
    augmentation("Noise", data.Noise(0.3), SERIES, (9, 2)),
    augmentation("TimeMask", data.TimeMask(4.0), SERIES, (9, 2)),
    Case(
        "data.Mixup",
        data.Mixup(0.4, classes=3),
        mixed,
        lambda rng: (key(rng), normal(ROWS, 4)(rng), labels(rng)),
        {"x": f32(ROWS, 4), "y": f32(ROWS, 3)},
        (1,),
    ),
    sampler("Augmented", data.Augmented(data.Shuffled(4), (data.Amplify(0.2), data.Noise(0.1))), 4),
]

# ------------------------------------------------------------------------------------ probes


def probe(name: str, part: sd.Probe, *gives: str) -> Case:
    """A probe of a small network; ``gives`` names its numbers."""

    def inputs(rng: np.random.Generator) -> tuple:
        tree = lambda: {"head/kernel": normal(4, 3)(rng), "head/bias": normal(3)(rng)}
        outputs = {"hidden": jnp.maximum(normal(ROWS, 4)(rng), 0), "head": normal(ROWS, 3)(rng)}
        return (train.Probed(tree(), tree(), tree(), outputs),)

    run = lambda probe, seen: probe(seen._replace(loss=bowl))
    return Case(f"train.{name}", part, run, inputs, dict.fromkeys(gives, f32()))


PROBES = [
    probe("Curvature", sd.Curvature(), "curvature", "squared_gradient"),
    probe("GradientNorm", sd.GradientNorm(), "gradient_norm"),
    probe("UpdateRatio", sd.UpdateRatio(), "update_ratio/head/kernel"),
    probe("DeadUnits", sd.DeadUnits(), "dead_units/head", "dead_units/hidden"),
]

# ------------------------------------------------------------------------------------ averages


def averaged(part: train.Average, networks: Any) -> Any:
    """What stands for the network after three steps, each of which led to one of these."""
    at = lambda i: jax.tree.map(lambda leaf: leaf[i], networks)
    memory = part.init(at(0))
    for i in (1, 2):
        memory = part.observe(memory, at(i), sd.Clock(jnp.int32(i), 1, 2))
    return part.view(memory, at(2))


def average(name: str, part: train.Average) -> Case:
    """An average of a layer's parameters."""
    inputs = lambda rng: ({"kernel": normal(3, 2, 3)(rng), "bias": normal(3, 3)(rng)},)
    return Case(f"train.{name}", part, averaged, inputs, {"bias": f32(3), "kernel": f32(2, 3)})


AVERAGES = [average("EMA", sd.EMA(0.9)), average("SWA", sd.SWA(0.5))]

CASES: list[Case] = [
    *LAYERS,
    *COMBINED,
    *ENSEMBLES,
    *SEQUENCES,
    *WINDOWS,
    *ACTIVATIONS,
    *LOSSES,
    *GAMES,
    *MEASURES,
    *OBJECTIVES,
    *AUTOENCODERS,
    *PENALTIES,
    *OPTIMIZERS,
    *ADAPTIVE,
    *DUAL,
    *WRAPPED,
    *CONSTRAINTS,
    *SCHEDULES,
    *JUMPING,
    *INITIALIZERS,
    *CONTROLLERS,
    *SAMPLERS,
    *AUGMENTATIONS,
    *PROBES,
    *AVERAGES,
]

BASES = (
    nn.Layer,
    nn.Activation,
    nn.Initializer,
    objectives.Measure,
    objectives.Objective,
    optim.Constraint,
    optim.Optimizer,
    optim.Schedule,
    optim.Wrapped,
    train.Average,
    train.Controller,
    train.Probe,
    data.Augmentation,
    data.Geometric,
    data.Sampler,
)
"""What a part is one of; the bases themselves are enrolled through their subclasses."""
