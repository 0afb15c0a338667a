"""Golden values from PyTorch: ``python -m tests.golden.torch_values``, in an environment of its own.

    python3 -m venv peers && peers/bin/pip install numpy safetensors torch keras
    peers/bin/python -m tests.golden.torch_values

Neither the package nor a test imports this.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from .cases import Case, cotangent
from .files import write


def first(x: Any) -> Any:
    """Channels first, as PyTorch has them."""
    return x.movedim(-1, 1)


def last(x: Any) -> Any:
    """Channels last, as Sonde has them."""
    return x.movedim(1, -1)


def activation(x: Any, function: str, slope: float = 0.01) -> Any:
    if function in ("softmax", "log_softmax"):
        return getattr(F, function)(x, -1)
    return F.leaky_relu(x, slope) if function == "LeakyReLU" else getattr(F, function)(x)


def adversarial(function: str, p: Any, q: Any = None) -> Any:
    """The game of two networks as binary cross-entropies with labels 1 (real) and 0 (fake)."""
    labeled = lambda z, label: F.binary_cross_entropy_with_logits(z, torch.full_like(z, label), reduction="none")
    match function:
        case "discriminator_loss":
            return labeled(p, 1.0) + labeled(q, 0.0)
        case "generator_loss":
            return labeled(p, 1.0)
        case "saturating_generator_loss":
            return -labeled(p, 0.0)


def divergence(mean: Any, log_variance: Any) -> Any:
    """How far a Gaussian is from the standard normal, by row."""
    D = torch.distributions
    return D.kl_divergence(D.Normal(mean, torch.exp(log_variance / 2)), D.Normal(0.0, 1.0)).sum(-1)


def bound(p: Any, t: Any, mean: Any, log_variance: Any, function: str, loss: str = "") -> Any:
    """Minus the variational lower bound, by row."""
    each = F.mse_loss if loss else F.binary_cross_entropy_with_logits
    return each(p, t, reduction="none").sum(-1) / (2 if loss else 1) + divergence(mean, log_variance)


def loss(p: Any, t: Any, function: str, smoothing: float = 0.0, delta: float = 1.0, classes: bool = False) -> Any:
    each = {"reduction": "none"}
    match function:
        case "cross_entropy":
            return F.cross_entropy(p, t.long() if t.ndim == 1 else t, label_smoothing=smoothing, **each)
        case "binary_cross_entropy":
            return F.binary_cross_entropy_with_logits(p, t, **each)
        case "kl_divergence":
            return F.kl_div(F.log_softmax(p, -1), t, **each).sum(-1)
        case "poisson":
            return F.poisson_nll_loss(p, t, log_input=True, full=False, **each)
        case "half_squared_error":
            return F.mse_loss(p, t, **each) / 2
        case "squared_error":
            return F.mse_loss(p, t, **each)
        case "absolute_error":
            return F.l1_loss(p, t, **each)
        case "huber":
            return F.huber_loss(p, t, delta=delta, **each)
        case "cosine_distance":
            return 1 - F.cosine_similarity(p, t, dim=-1)
    return None


def windows(kind: str, x: Any, size: tuple, channels: int = 0, padding: Any = "valid", kernel: Any = None,
            bias: Any = None, **options: Any) -> Any:  # fmt: skip
    """Convolutions and pools; what PyTorch cannot pad is None."""
    n, x = len(size), first(x)
    stride = options.get("stride") or (1 if channels else size)
    if padding == "same" and stride != 1 and kind != "ConvTranspose":
        return None
    if kind == "Conv":
        w = kernel.permute(n + 1, n, *range(n))
        pad = {"valid": 0, "same": "same"}.get(padding) if isinstance(padding, str) else tuple(p for p, _ in padding)
        convolve = (F.conv1d, F.conv2d, F.conv3d)[n - 1]
        y = convolve(x, w, bias, stride, pad, options.get("dilation", 1), options.get("groups", 1))
    elif kind == "ConvTranspose":
        w, cut = kernel.permute(n, n + 1, *range(n)), [k - stride for k in size]
        if padding == "same" and any(c % 2 for c in cut):
            return None
        transposed = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[n - 1]
        y = transposed(x, w, bias, stride, 0 if padding == "valid" else tuple(c // 2 for c in cut))
    elif kind == "MaxPool":
        y = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[n - 1](x, size, stride)
    else:
        pad = 0 if padding == "valid" else tuple(k // 2 for k in size)
        y = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[n - 1](x, size, stride, pad, count_include_pad=False)
    return last(y)


def recurrent(kind: str, x: Any, units: int, kernel: Any, recurrent_kernel: Any, bias: Any, recurrent_bias: Any = None,
              reverse: bool = False) -> Any:  # fmt: skip
    """The gates stand as PyTorch has them: i, f, g, o and r, z, n."""
    layer = getattr(torch.nn, kind)(x.shape[-1], units, batch_first=True).double()
    other = torch.zeros_like(bias)
    if recurrent_bias is not None:
        other = torch.cat([other[: 2 * units], recurrent_bias])
    weights = {
        "weight_ih_l0": kernel.T,
        "weight_hh_l0": recurrent_kernel.T,
        "bias_ih_l0": bias,
        "bias_hh_l0": other,
    }
    y = torch.func.functional_call(layer, weights, x.flip(1) if reverse else x)[0]
    return y.flip(1) if reverse else y


def attention(x: Any, heads: int, context: Any = None, causal: bool = False, **w: Any) -> Any:
    """One matrix for queries, keys and values, and transposes of ours."""
    layer = torch.nn.MultiheadAttention(x.shape[-1], heads, batch_first=True).double()
    weights = {
        "in_proj_weight": torch.cat([w[f"{part}/kernel"].T for part in ("query", "key", "value")]),
        "in_proj_bias": torch.cat([w[f"{part}/bias"] for part in ("query", "key", "value")]),
        "out_proj.weight": w["out/kernel"].T,
        "out_proj.bias": w["out/bias"],
    }
    context = x if context is None else context
    steps = x.shape[1]
    mask = torch.triu(torch.ones(steps, steps, dtype=torch.bool), 1) if causal else None
    options = {"attn_mask": mask, "need_weights": False}
    return torch.func.functional_call(layer, weights, (x, context, context), options)[0]


def layer(kind: str, options: dict, arrays: dict) -> Any:
    """The output of a layer, or outputs by name."""
    x = arrays["x"]
    w = {name: value for name, value in arrays.items() if name != "x"}
    match kind:
        case "activation":
            return activation(x, **options)
        case "PReLU":
            return last(F.prelu(first(x), w["slope"]))
        case "Dense":
            return F.linear(x, w["kernel"].T, w["bias"])
        case "Embedding":
            return F.embedding(x.long(), w["kernel"])
        case "BatchNorm":
            mean, var = torch.zeros(x.shape[-1]).double(), torch.ones(x.shape[-1]).double()
            told = 1 - options["momentum"]
            y = F.batch_norm(first(x), mean, var, w["scale"], w["offset"], True, told, options["epsilon"])
            n = x[..., 0].numel()  # its running variance is the unbiased one
            return {"y": last(y), "mean": mean, "var": options["momentum"] + (var - options["momentum"]) * (n - 1) / n}
        case "LayerNorm":
            return F.layer_norm(x, x.shape[-1:], w["scale"], w["offset"], options["epsilon"])
        case "GroupNorm":
            return last(F.group_norm(first(x), options["groups"], w["scale"], w["offset"], options["epsilon"]))
        case "Conv" | "ConvTranspose" | "MaxPool" | "AveragePool":
            return windows(kind, x, **options, **w)
        case "GlobalMaxPool":
            return torch.amax(x, (1, 2))
        case "GlobalAveragePool":
            return torch.mean(x, (1, 2))
        case "RNN" | "LSTM" | "GRU":
            return recurrent(kind, x, **options, **w)
        case "Attention":
            return attention(x, **options, **w)
    return None


def optimizer(options: dict, start: Any, gradients: Any) -> Any:
    """Where ten steps lead."""
    options = dict(options)
    kind, rate = options.pop("optimizer"), options.pop("rate")
    p = torch.nn.Parameter(start.clone())
    means = {"betas": (options.pop("b1", 0), options.pop("b2", 0)), "eps": options.get("epsilon")}
    match kind:
        case "Adam" | "Adamax" | "RAdam":
            stepper: Any = getattr(torch.optim, kind)([p], rate, **means)
        case "AdamW":
            stepper = torch.optim.AdamW([p], rate, **means, weight_decay=options["decay"])
        case "Nadam":  # its b1 grows in the first steps, unless it is told to grow at once
            stepper = torch.optim.NAdam([p], rate, **means, momentum_decay=1e9)
        case "AdaGrad":
            stepper = torch.optim.Adagrad([p], rate, initial_accumulator_value=options["initial"], eps=0.0)
        case "AdaDelta":
            stepper = torch.optim.Adadelta([p], rate, options["decay"], options["epsilon"])
        case "RMSProp":
            more = {"momentum": options.get("momentum", 0), "centered": options.get("centered", False)}
            stepper = torch.optim.RMSprop([p], rate, options["decay"], options["epsilon"], **more)
        case "SGD":
            stepper = torch.optim.SGD([p], rate, **options)
        case _:
            return None
    path = []
    for gradient in gradients:
        p.grad = gradient.clone()
        stepper.step()
        path.append(p.detach().clone())
    return torch.stack(path)


def initializer(function: str, shape: tuple) -> Any:
    """The spread and the extremes of a draw."""
    made = torch.empty(shape[-1], shape[-2], *shape[:-2])
    draw: dict[str, Any] = {
        "glorot_uniform": torch.nn.init.xavier_uniform_,
        "glorot_normal": torch.nn.init.xavier_normal_,
        "he_uniform": lambda w: torch.nn.init.kaiming_uniform_(w, nonlinearity="relu"),
        "he_normal": lambda w: torch.nn.init.kaiming_normal_(w, nonlinearity="relu"),
        "lecun_uniform": lambda w: torch.nn.init.kaiming_uniform_(w, nonlinearity="linear"),
        "lecun_normal": lambda w: torch.nn.init.kaiming_normal_(w, nonlinearity="linear"),
        "Orthogonal": torch.nn.init.orthogonal_,
    }
    w = draw[function](made).double()
    return np.array([w.std(correction=0), w.min(), w.max()])


def lost(options: dict, arrays: dict) -> Any:
    """The loss of each row or entry."""
    if "mean" in arrays:
        return bound(**arrays, **options)
    if options["function"] == "gaussian_kl":
        return divergence(arrays["p"], arrays["q"])
    return loss(**arrays, **options) if "t" in arrays else adversarial(**arrays, **options)


def answer(case: Case, given: dict[str, np.ndarray]) -> dict[str, np.ndarray] | None:
    """Outputs and gradients of a case."""
    torch.manual_seed(0)
    if case.kind == "initializer":
        return {"-> y": initializer(**case.options)}
    arrays = {name: torch.tensor(value, dtype=torch.float64) for name, value in given.items()}
    if case.kind == "optimizer":
        path = optimizer(case.options, **arrays)
        return None if path is None else {"-> y": path.numpy()}
    floats = {name: v.requires_grad_() for name, v in arrays.items() if given[name].dtype.kind == "f" and name != "t"}
    y = lost(case.options, arrays) if case.kind == "loss" else layer(case.kind, case.options, arrays)
    if y is None:
        return None
    outputs = y if isinstance(y, dict) else {"y": y}
    (outputs["y"] * torch.tensor(cotangent(tuple(outputs["y"].shape)))).sum().backward()
    found = {f"-> {name}": value.detach().numpy() for name, value in outputs.items()}
    return found | {f"d {name}": v.grad.numpy() for name, v in floats.items()}


if __name__ == "__main__":
    write("torch", {"torch": torch.__version__, "numpy": np.__version__}, answer)
