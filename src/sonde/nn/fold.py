"""Batch normalization taken into the weights before it: a network that gives the same and has less to do."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax

from sonde._errors import ArgumentError
from sonde._types import Variables
from sonde.nn.activations import identity
from sonde.nn.combine import Sequential, _Container
from sonde.nn.conv import LocallyConnected
from sonde.nn.initializers import zeros
from sonde.nn.layer import Layer
from sonde.nn.network import Network
from sonde.nn.norm import BatchNorm


def fold(network: Network) -> Network:
    """The network for inference: each `BatchNorm` becomes part of the kernel and bias of the layer before it.

    At inference batch normalization is y = (x W + b - mean) f + offset with f = scale / sqrt(var + epsilon), which is
    x W' + b' with W' = W f and b' = (b - mean) f + offset. The outputs are the same up to rounding.

    Folded is a BatchNorm that directly follows, in a `Sequential` at any depth, a layer whose activation is `identity`
    and whose only variables are a kernel, output channels last, and perhaps a bias: ``Dense(300), BatchNorm(), relu``.
    Every other BatchNorm stays where it is, untouched: one after ``Dense(300, relu)``, one at the beginning.

    The variables of what was folded are gone, so the result is not for more training.

    Source: S. Ioffe and C. Szegedy (2015), section 3.1.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde import nn
        >>> spec = nn.Sequential(hidden=nn.Dense(30), norm=nn.BatchNorm(), act=nn.relu, head=nn.Dense(2))
        >>> nn.fold(nn.build(spec, jnp.ones((1, 5)))).spec
        Sequential(hidden=Dense(units=30), act=relu, head=Dense(units=2))
    """
    if not isinstance(network, Network):
        raise ArgumentError(f"fold takes a built network, such as nn.build(spec, x) or run.network; got {network!r}")
    params, state = dict(network.params), dict(network.state)
    spec = _folded(network.spec, "", params, state)
    return Network(spec, params, state)


def _folded(spec: Any, path: str, params: Variables, state: Variables) -> Any:
    """A layer with what is in it folded; ``params`` and ``state`` are changed accordingly."""
    below = lambda name: f"{path}/{name}".removeprefix("/")
    if isinstance(spec, _Container):
        children = [(name, _folded(layer, below(name), params, state)) for name, layer in spec.named_layers()]
        if isinstance(spec, Sequential):
            return _shortened(spec, children, path, params, state)
        return spec.replace(layers=tuple(layer for _, layer in children))
    inner = {name: part for name in spec._leaves + spec._static if isinstance(part := getattr(spec, name), Layer)}
    return spec.replace(**{name: _folded(part, below(name), params, state) for name, part in inner.items()})


def _shortened(spec: Sequential, children: list, path: str, params: Variables, state: Variables) -> Sequential:
    """A Sequential without the normalizations that the layer before them could take in."""
    kept: list[tuple[str, Layer]] = []
    unnamed = 0
    for i, (name, layer) in enumerate(children):
        before, here = (f"{path}/{n}".removeprefix("/") for n in (kept[-1][0] if kept else "", name))
        if kept and isinstance(layer, BatchNorm) and _can_take(kept[-1][1], before, here, params):
            kept[-1] = (kept[-1][0], _take(kept[-1][1], before, layer, here, params, state))
        else:
            kept.append((name, layer))
            unnamed += i < spec.unnamed
    names, layers = zip(*kept, strict=True) if kept else ((), ())
    return spec.replace(layers=tuple(layers), names=tuple(names), unnamed=unnamed)


def _can_take(layer: Layer, before: str, here: str, params: Variables) -> bool:
    own = {path.removeprefix(f"{before}/") for path in params if path.startswith(f"{before}/")}
    linear = getattr(layer, "activation", None) is identity and hasattr(layer, "bias_init")
    if isinstance(layer, LocallyConnected) and "bias" not in own:  # it would have one for each place, not yet known
        return False
    if not linear or not {"kernel"} <= own <= {"kernel", "bias"} or f"{here}/scale" not in params:
        return False
    return params[f"{before}/kernel"].shape[-1:] == params[f"{here}/scale"].shape


def _take(layer: Any, before: str, norm: BatchNorm, here: str, params: Variables, state: Variables) -> Any:
    scale, offset = params.pop(f"{here}/scale"), params.pop(f"{here}/offset")
    mean, var = state.pop(f"{here}/mean"), state.pop(f"{here}/var")
    factor = scale * lax.rsqrt(var + norm.epsilon)
    kernel, bias = params[f"{before}/kernel"], params.get(f"{before}/bias", jnp.zeros_like(mean))
    like = lambda v: jnp.broadcast_to(v, bias.shape)
    params[f"{before}/kernel"] = kernel * jnp.broadcast_to(factor, kernel.shape)
    params[f"{before}/bias"] = (bias - like(mean)) * like(factor) + like(offset)
    return layer if layer.bias_init is not None else layer.replace(bias_init=zeros)
