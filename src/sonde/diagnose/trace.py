"""Back-propagation laid open: what every layer was given, made and was blamed for, on one batch."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sonde._batch import Batch, loss_of, scored
from sonde._errors import ArgumentError, PathError, nearest
from sonde._html import table
from sonde._tree import parent
from sonde._types import Array, Variables
from sonde._value import Value, show
from sonde.nn.bound import Bound
from sonde.nn.mistakes import tidy
from sonde.nn.network import Network
from sonde.nn.scope import Frame, Scope, everywhere, nowhere
from sonde.objectives import Objective

_META = ("path", "call", "kind")


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=("inputs", "preactivation", "output", "delta", "output_gradient", "gradients"),
    meta_fields=_META,
)
@dataclasses.dataclass(frozen=True, eq=False)
class LayerTrace:
    """One call of a layer. All derivatives are of the batch's loss, so where that is a mean over n rows, a row's
    share has the factor 1/n in it.

    Attributes:
        path: the layer's name; "" is a network that consists of one layer.
        call: 0, or how often the layer had been called before.
        kind: the layer's class.
        inputs: what it was given, an entry an argument.
        preactivation: z, what its ``activation`` was applied to; None where it has none, or applies it several times.
        output: what it gave, activation(z).
        delta: dLoss/dz; where there is no z, dLoss/doutput. Shaped like what it belongs to.
        output_gradient: dLoss/doutput: what the layers behind send back.
        gradients: dLoss/dparameter by name, summed over all calls of the layer.
    """

    path: str
    call: int
    kind: str
    inputs: tuple
    preactivation: Any
    output: Any
    delta: Any
    output_gradient: Any
    gradients: dict[str, Any]


@dataclasses.dataclass(frozen=True, eq=False)
class Trace:
    """What `backprop_trace` gives: the loss and every layer's part in it. Arrays are NumPy's.

    ``trace["hidden"]`` is the first call of that layer, ``list(trace.layers)`` every call in the order of the forward
    pass, a container before what it holds. It prints as a table: numbers where there are few, else their root mean
    square. A delta that shrinks from the last layer to the first is a gradient that vanishes.

    Attributes:
        loss: the loss of the batch, penalties included.
        parts: the loss by part.
        layers: a `LayerTrace` a call.
        gradients: dLoss/dparameter by path.
    """

    loss: float
    parts: dict[str, float]
    layers: tuple[LayerTrace, ...]
    gradients: dict[str, np.ndarray]

    def __getitem__(self, path: str) -> LayerTrace:
        for layer in self.layers:
            if layer.path == path:
                return layer
        raise PathError(f"no layer is called at {path!r}{nearest(path, (layer.path for layer in self.layers))}")

    def _table(self) -> list[list[str]]:
        """A header and a row a call; columns that nobody has anything for are left out."""
        names = list(dict.fromkeys(name for layer in self.layers for name in layer.gradients))
        rows = [["layer", "input", "pre-activation", "output", "delta", *(f"d {name}" for name in names)]]
        for layer in self.layers:
            again = f" (call {layer.call + 1})" if layer.call else ""
            cells = (*(layer.inputs[:1] or [None]), layer.preactivation, layer.output, layer.delta)
            rows.append([
                (layer.path or layer.kind) + again,
                *map(_digest, cells),
                *(_digest(layer.gradients.get(name)) for name in names),
            ])  # fmt: skip
        keep = [i for i in range(len(rows[0])) if any(row[i] for row in rows[1:])]
        return [[row[i] for i in keep] for row in rows]

    def __str__(self) -> str:
        rows = self._table()
        width = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, width, strict=True)).rstrip() for row in rows]
        return "\n".join([f"loss {self.loss:.4g}", lines[0], "-" * max(map(len, lines)), *lines[1:]])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        header, *rows = self._table()
        return table(header, rows, caption=f"loss {self.loss:.4g}")


def _digest(value: Any) -> str:
    """Few numbers as they are, many as their root mean square."""
    numbers = [np.asarray(a, np.float64).ravel() for a in jax.tree.leaves(value) if _differentiable(a)]
    flat = np.concatenate(numbers) if numbers else np.zeros(0)
    if len(flat) <= 3:
        return " ".join(f"{v:.4g}" for v in flat)
    return f"rms {np.sqrt(np.square(flat).mean()):.3g}"


def backprop_trace(
    network: Network,
    batch: Batch | Mapping[str, Any],
    objective: Any,
    key: Array | None = None,
    train: bool = False,
) -> Trace:
    """What one batch does in a network, forward and back: each layer's input, output, delta and gradients.

    For a layer with parameters W, b and an activation f on inputs x,

        z = x W + b,   y = f(z)                                          forward
        delta = dLoss/dz = dLoss/dy * f'(z)                              back
        dLoss/dW = sum_rows x^T delta,   dLoss/db = sum_rows delta,   dLoss/dx = delta W^T

    and dLoss/dx is what the layer before is sent. The pre-activation z is whatever a layer applies its field
    ``activation`` to. Derivatives are found by adding zeros to every z and y and differentiating with respect to
    the zeros, so they are exact for any layer, network and objective; the network itself computes what it always does.

    Args:
        network: built, so that it has parameters.
        batch: the columns that the objective reads, ``{"x": ..., "y": ...}``, or a `Batch`.
        objective: what is differentiated, such as ``Classify()``; of a run, the prepared one is
            ``run.plan.phases[0].turns[0].objective``.
        key: for layers that draw at random while training.
        train: whether layers are in training mode (dropout drops, BatchNorm takes the batch's statistics).

    Returns:
        A `Trace`. What happens inside a transformation of JAX (the steps of a recurrent layer, an objective's
        ``net.still``) has no entry of its own.

    Raises:
        ArgumentError: if there is no network, the batch has no columns, or the objective is none.
        DataError: if a label is no class, or a target lies outside the loss's domain.

    Example:
        >>> import jax.numpy as jnp
        >>> import sonde as sd
        >>> from sonde import nn
        >>> from sonde.diagnose import backprop_trace
        >>> spec = nn.Sequential(hidden=nn.Dense(1, nn.sigmoid, nn.zeros), head=nn.Dense(1, nn.identity, nn.ones))
        >>> batch = {"x": [[0.6, 0.4, 0.2]], "y": [1.0]}
        >>> trace = backprop_trace(nn.build(spec, jnp.ones((1, 3))), batch, sd.Regress())
        >>> print(trace)
        loss 0.125
        layer   input        pre-activation  output  delta   d bias  d kernel
        --------------------------------------------------------------------------------
        hidden  0.6 0.4 0.2  0               0.5     -0.125  -0.125  -0.075 -0.05 -0.025
        head    0.5          0.5             0.5     -0.5    -0.5    -0.25

    Source: Rumelhart, Hinton and Williams (1986).
    """
    if not isinstance(network, Network):
        raise ArgumentError(f"backprop_trace takes a network, as nn.build makes of a spec; got {network!r}")
    if not callable(objective) or not isinstance(objective, Value):
        raise ArgumentError(f"backprop_trace takes an objective such as Classify(); got {objective!r}")
    if any(isinstance(part, str) for part in jax.tree.leaves(objective)):
        raise ArgumentError(f"{objective} is not prepared: call objective.prepare(data.train) first")
    if not isinstance(batch, Batch):
        if not isinstance(batch, Mapping) or not batch:
            raise ArgumentError(f"backprop_trace takes a batch as columns by name, {{'x': ...}}; got {batch!r}")
        batch = Batch.of(jax.tree.map(jnp.asarray, dict(batch), is_leaf=lambda c: isinstance(c, list)))
    if isinstance(objective, Objective) and "y" in batch.columns:
        objective = objective.admit(batch.columns, "traced")  # in a program a label that is no class gives NaN only
    found = tidy(_traced, network, batch, objective, key, train)
    loss, parts, gradients, layers = jax.device_get(found)
    return Trace(float(loss), {name: float(part) for name, part in parts.items()}, layers, gradients)


@functools.partial(jax.jit, static_argnames="train")
def _traced(network: Network, batch: Batch, objective: Any, key: Array | None, train: bool) -> tuple:
    mode = everywhere if train else nowhere

    def run(params: Variables, zeros: dict[str, Any]) -> tuple:
        watch = _Watch(zeros)
        circumstances = {"key": key, "live": mode, "writes": mode, "weight": batch.weight, "around": watch}
        frame = Frame(params, network.state, **circumstances)
        parts, _ = scored(objective(Bound(network.spec, frame), batch))
        values = {name: mean.value for name, mean in parts.items()}
        return loss_of(parts), (values, tuple(watch.calls.values()), watch.sites)

    sites = jax.eval_shape(lambda: run(network.params, {})[1][2])
    zeros = {site: [jnp.zeros(a.shape, a.dtype) for a in shown] for site, shown in sites.items()}
    derivative = jax.value_and_grad(run, argnums=(0, 1), has_aux=True)
    (loss, (parts, calls, _)), (gradients, shifts) = derivative(network.params, zeros)
    layers = []
    for call in calls:
        sent = _filled(call.output, shifts[_site(call, "output")])
        delta = sent
        if call.preactivation is not None:
            delta = _filled(call.preactivation, shifts[_site(call, "preactivation")])
        own = {p.rpartition("/")[2]: g for p, g in gradients.items() if parent(p) == call.path}
        layers.append(dataclasses.replace(call, delta=delta, output_gradient=sent, gradients=own))
    if len(layers) > 1:  # a network is not a layer of itself
        layers = [layer for layer in layers if layer.path]
    return loss, parts, gradients, tuple(layers)


class _Watch:
    """What every call of a layer goes through: notes what it was given and gave, and adds zeros to it."""

    def __init__(self, zeros: dict[str, Any]) -> None:
        self.zeros = zeros
        self.calls: dict[tuple[str, int], LayerTrace] = {}
        self.sites: dict[str, list] = {}

    def __call__(self, layer: Callable, scope: Scope, *xs: Any, **options: Any) -> Any:
        frame, path = scope.frame, scope.path
        if frame.still or not frame.here():  # inside a transformation nothing can be noted
            return layer(scope, *xs, **options)
        spec = getattr(layer, "__self__", layer)
        n = sum(known == path for known, _ in self.calls)
        call = LayerTrace(path, n, show(spec).partition("(")[0], xs, None, None, None, None, {})
        self.calls[path, n] = call
        sensor = _Sensor(self, call, frame, getattr(spec, "activation", None))
        if isinstance(spec, Value) and callable(sensor.activation):
            sensed: Any = spec.replace(activation=sensor)
            layer = sensed if layer is spec else getattr(sensed, layer.__name__)
        y = self.shifted(_site(call, "output"), layer(scope, *xs, **options))
        z = sensor.seen if sensor.times == 1 else None
        self.calls[path, n] = dataclasses.replace(call, preactivation=z, output=y)
        return y

    def shifted(self, site: str, value: Any) -> Any:
        """The value plus zeros of its own."""
        leaves, form = jax.tree.flatten(value)
        self.sites[site] = [leaf for leaf in leaves if _differentiable(leaf)]
        zeros = iter(self.zeros.get(site, [0] * len(leaves)))
        return form.unflatten([leaf + next(zeros) if _differentiable(leaf) else leaf for leaf in leaves])


class _Sensor:
    """Stands for a layer's activation, and sees what it is applied to."""

    def __init__(self, watch: _Watch, call: LayerTrace, frame: Frame, activation: Any) -> None:
        self.watch, self.call, self.frame, self.activation = watch, call, frame, activation
        self.seen, self.times = None, 0

    def __call__(self, z: Any) -> Any:
        self.times += 1
        if self.times == 1 and self.frame.here():
            z = self.seen = self.watch.shifted(_site(self.call, "preactivation"), z)
        return self.activation(z)


def _site(call: LayerTrace, what: str) -> str:
    return f"{call.path}@{call.call}@{what}"


def _filled(value: Any, gradient: list) -> Any:
    """A gradient in the form of what it belongs to; whole numbers in it, such as lengths, stay."""
    leaves, form = jax.tree.flatten(value)
    parts = iter(gradient)
    return form.unflatten([next(parts) if _differentiable(leaf) else leaf for leaf in leaves])


def _differentiable(leaf: Any) -> bool:
    return jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)


__all__ = ["LayerTrace", "Trace", "backprop_trace"]
