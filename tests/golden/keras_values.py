"""Golden values from Keras: ``python -m tests.golden.keras_values``, in an environment of its own.

    python3 -m venv peers && peers/bin/pip install numpy safetensors torch keras
    peers/bin/python -m tests.golden.keras_values

Keras runs on PyTorch here, not on JAX, so that it shares no code with Sonde. Neither the package nor a test imports
this.
"""

from __future__ import annotations

import os

os.environ["KERAS_BACKEND"] = "torch"

from typing import Any

import keras
import numpy as np
import torch

from .cases import Case, cotangent
from .files import write

keras.config.set_floatx("float64")
torch.set_default_dtype(torch.float64)
L = keras.layers


def called(layer: Any, weights: list[Any], *xs: Any, **options: Any) -> Any:
    """A layer's output with these weights in the place of its own, so that gradients reach ours."""
    with torch.no_grad():
        layer(*(x.detach() for x in xs), **options)
    assert len(layer.weights) >= len(weights), [v.path for v in layer.weights]
    for variable, weight in zip(layer.weights, weights, strict=False):
        assert tuple(variable.shape) == tuple(weight.shape), (variable.path, variable.shape, weight.shape)
        variable._value = weight
    return layer(*xs, **options)


def activation(x: Any, function: str, slope: float = 0.01) -> Any:
    if function == "LeakyReLU":
        return keras.activations.leaky_relu(x, negative_slope=slope)
    if function == "leaky_relu":
        return keras.activations.leaky_relu(x, negative_slope=0.01)
    return getattr(keras.activations, function)(x)


def loss(p: Any, t: Any, function: str, smoothing: float = 0.0, delta: float = 1.0, classes: bool = False) -> Any:
    """Keras takes the mean over the last axis of most; its own numbers of each entry come back by a last axis of 1."""
    each = lambda f, **o: f(t[..., None], p[..., None], **o)
    K = keras.losses
    onehot = lambda: torch.nn.functional.one_hot(t.long(), p.shape[-1]).double()
    match function:
        case "cross_entropy" if t.ndim == 1 and not smoothing:
            return K.sparse_categorical_crossentropy(t.long(), p, from_logits=True)
        case "cross_entropy":
            target = onehot() if t.ndim == 1 else t
            return K.categorical_crossentropy(target, p, from_logits=True, label_smoothing=smoothing)
        case "binary_cross_entropy":
            return each(K.binary_crossentropy, from_logits=True)
        case "kl_divergence":
            return K.kl_divergence(t, torch.softmax(p, -1))
        case "poisson":
            return each(lambda t, p: K.poisson(t, torch.exp(p)))
        case "half_squared_error":
            return each(K.mean_squared_error) / 2
        case "squared_error":
            return each(K.mean_squared_error)
        case "absolute_error":
            return each(K.mean_absolute_error)
        case "absolute_percentage_error":
            return each(K.mean_absolute_percentage_error)
        case "huber":
            return each(K.huber, delta=delta)
        case "cosine_distance":
            return 1 + K.cosine_similarity(t, p)
        case "hinge":
            return K.categorical_hinge(onehot(), p) if classes else each(K.hinge)
        case "squared_hinge":
            return each(K.squared_hinge)
    return None


def windows(kind: str, x: Any, size: tuple, channels: int = 0, padding: Any = "valid", kernel: Any = None,
            bias: Any = None, stride: Any = None, dilation: int = 1, groups: int = 1) -> Any:  # fmt: skip
    n = len(size)
    if not isinstance(padding, str):
        return None
    if kind == "Conv":
        made = getattr(L, f"Conv{n}D")(channels, size, stride or 1, padding, dilation_rate=dilation, groups=groups)
        return called(made, [kernel, bias], x)
    if kind == "ConvTranspose":  # the kernel's last two axes stand the other way round
        made = getattr(L, f"Conv{n}DTranspose")(channels, size, stride or 1, padding)
        return called(made, [kernel.transpose(-1, -2), bias], x)
    made = getattr(L, f"{kind.replace('Pool', 'Pooling')}{n}D")(size, stride or size, padding)
    return made(x)


def recurrent(kind: str, x: Any, units: int, kernel: Any, recurrent_kernel: Any, bias: Any, recurrent_bias: Any = None,
              reverse: bool = False) -> Any:  # fmt: skip
    """The gates of Keras: i, f, c, o as ours; of the GRU u, r, n where ours are r, u, n."""
    made = getattr(L, {"RNN": "SimpleRNN"}.get(kind, kind))(units, return_sequences=True)
    weights = [kernel, recurrent_kernel, bias]
    if kind == "GRU":
        other = torch.cat([torch.zeros(2 * units).double(), recurrent_bias])
        swap = lambda w: torch.cat([w[..., units : 2 * units], w[..., :units], w[..., 2 * units :]], -1)
        weights = [swap(kernel), swap(recurrent_kernel), torch.stack([swap(bias), other])]
    y = called(made, weights, x.flip(1) if reverse else x)
    return y.flip(1) if reverse else y


def attention(x: Any, heads: int, context: Any = None, causal: bool = False, **w: Any) -> Any:
    """The heads stand on an axis of their own: [inputs, heads, size], and [heads, size, outputs] at the end."""
    units = x.shape[-1]
    made = L.MultiHeadAttention(heads, units // heads, flash_attention=False)
    weights = []
    for part in ("query", "key", "value"):
        weights += [w[f"{part}/kernel"].reshape(units, heads, -1), w[f"{part}/bias"].reshape(heads, -1)]
    weights += [w["out/kernel"].reshape(heads, -1, units), w["out/bias"]]
    context = x if context is None else context
    with torch.no_grad():
        made(x.detach(), context.detach())
    order = {"query": 0, "key": 2, "value": 4, "attention_output": 6}
    for variable in made.weights:
        part, name = variable.path.split("/")[-2:]
        variable._value = weights[order[part] + (name == "bias")]
    return made(x, context, use_causal_mask=causal)


def layer(kind: str, options: dict, arrays: dict) -> Any:
    """The output of a layer, or outputs by name."""
    x = arrays["x"]
    w = {name: value for name, value in arrays.items() if name != "x"}
    match kind:
        case "activation":
            return activation(x, **options)
        case "PReLU":
            return called(L.PReLU(shared_axes=[1]), [w["slope"][None]], x)
        case "Dense":
            return called(L.Dense(options["units"]), [w["kernel"], w["bias"]], x)
        case "Embedding":
            return called(L.Embedding(options["count"], options["units"]), [w["kernel"]], x.long())
        case "BatchNorm":
            made = L.BatchNormalization(momentum=options["momentum"], epsilon=options["epsilon"])
            made.build(x.shape)
            for variable, weight in zip((made.gamma, made.beta), (w["scale"], w["offset"]), strict=True):
                variable._value = weight
            y = made(x, training=True)
            return {"y": y, "mean": made.moving_mean.value, "var": made.moving_variance.value}
        case "LayerNorm":
            return called(L.LayerNormalization(epsilon=options["epsilon"]), [w["scale"], w["offset"]], x)
        case "GroupNorm":
            made = L.GroupNormalization(options["groups"], epsilon=options["epsilon"])
            return called(made, [w["scale"], w["offset"]], x)
        case "Conv" | "ConvTranspose" | "MaxPool" | "AveragePool":
            return windows(kind, x, **options, **w)
        case "GlobalMaxPool":
            return L.GlobalMaxPooling2D()(x)
        case "GlobalAveragePool":
            return L.GlobalAveragePooling2D()(x)
        case "RNN" | "LSTM" | "GRU":
            return recurrent(kind, x, **options, **w)
        case "Attention":
            return attention(x, **options, **w)
    return None


def optimizer(options: dict, start: Any, gradients: Any) -> Any:
    """Where ten steps lead."""
    options = dict(options)
    kind, rate = options.pop("optimizer"), options.pop("rate")
    p = keras.Variable(start.numpy())
    epsilon = {"epsilon": options["epsilon"]} if "epsilon" in options else {}
    means = {"beta_1": options.get("b1"), "beta_2": options.get("b2")}
    match kind:
        case "Adam" | "Adamax":
            stepper: Any = getattr(keras.optimizers, kind)(rate, **means, **epsilon)
        case "AdamW":
            stepper = keras.optimizers.AdamW(rate, options["decay"], **means, **epsilon)
        case "LAMB":
            stepper = keras.optimizers.Lamb(rate, **means, **epsilon)
        case "Lion":
            stepper = keras.optimizers.Lion(rate, **means, weight_decay=options.get("decay"))
        case "AdaGrad":
            stepper = keras.optimizers.Adagrad(rate, options["initial"], **epsilon)
        case "AdaDelta":
            stepper = keras.optimizers.Adadelta(rate, options["decay"], **epsilon)
        case "RMSProp":
            more = {"momentum": options.get("momentum", 0.0), "centered": options.get("centered", False)}
            stepper = keras.optimizers.RMSprop(rate, options["decay"], **more, **epsilon)
        case "SGD":
            stepper = keras.optimizers.SGD(rate, **options)
        case _:  # Nadam, whose b1 grows in the first steps; RAdam, which it has not
            return None
    path = []
    for gradient in gradients:
        stepper.apply([gradient], [p])
        path.append(keras.ops.convert_to_numpy(p))
    return np.stack(path)


def initializer(function: str, shape: tuple) -> Any:
    """The spread and the extremes of a draw."""
    name = {"Orthogonal": "OrthogonalInitializer"}.get(function, function)
    w = keras.ops.convert_to_numpy(keras.initializers.get(name)(shape, "float32")).astype("float64")
    return np.array([w.std(), w.min(), w.max()])


def answer(case: Case, given: dict[str, np.ndarray]) -> dict[str, np.ndarray] | None:
    """Outputs and gradients of a case."""
    keras.utils.set_random_seed(0)
    if case.kind == "initializer":
        return {"-> y": initializer(**case.options)}
    arrays = {name: torch.tensor(value, dtype=torch.float64) for name, value in given.items()}
    if case.kind == "optimizer":
        path = optimizer(case.options, **arrays)
        return None if path is None else {"-> y": path}
    floats = {name: v.requires_grad_() for name, v in arrays.items() if given[name].dtype.kind == "f" and name != "t"}
    if case.kind == "loss" and ("t" not in arrays or "mean" in arrays):
        return None  # of games and bounds Keras has none
    y = loss(**arrays, **case.options) if case.kind == "loss" else layer(case.kind, case.options, arrays)
    if y is None:
        return None
    outputs = y if isinstance(y, dict) else {"y": y}
    (outputs["y"] * torch.tensor(cotangent(tuple(outputs["y"].shape)))).sum().backward()
    found = {f"-> {name}": value.detach().numpy() for name, value in outputs.items()}
    return found | {f"d {name}": v.grad.numpy() for name, v in floats.items()}


if __name__ == "__main__":
    write("keras", {"keras": keras.__version__, "torch": torch.__version__, "numpy": np.__version__}, answer)
