"""What a run says of itself: what was decided, what was trained for how long, and what looks like a mistake."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from sonde._batch import Batch, Mean
from sonde._value import show
from sonde.artifact import names_note
from sonde.data import Augmented, Dataset
from sonde.folder import device_name
from sonde.nn import Conv, Dropout, Network, default_names, identity
from sonde.objectives import Classify, Regress
from sonde.objectives.objectives import method_of
from sonde.run import count, predictor
from sonde.train import KeepBest, Patience, Phase, Plan, Record
from sonde.train.control import aim


def decisions(network: Network, plan: Plan, data: Dataset, records: list[Record]) -> list[str]:
    """A run's account, line by line; lines that begin with "look:" say what is probably not meant so.

    Args:
        network: the one that is handed on.
        plan: prepared, as it was carried out.
        data: what it was carried out on.
        records: what happened, a `Record` a phase that began.
    """
    said = [f"look: {finding}" for finding in (*_odd(network, plan, data), *data.findings)]
    if data.encoder is not None:
        said += data.encoder.summary()
        said += [f"network: {', '.join(_layers(network))}"]
        said += [f"training: {phase.describe()}" for phase in plan.phases]
    for i, (phase, record) in enumerate(zip(plan.phases, records, strict=False)):
        label = f"phase {i + 1}: " if len(plan.phases) > 1 else ""
        said += [label + line for line in _phase(phase, record, network, data)]
    names = [n for n in default_names(network.spec) if any(p.startswith(n + "/") for p in network.params)]
    said += [names_note(names)] if names else []
    if predictor(plan) is None and "y" in data.train:
        said.append('no metrics: its objective does not say what it predicts (predicts = "classes" or "numbers")')
    return [*said, f"on {device_name()}"]


def _layers(network: Network) -> list[str]:
    """Each layer by its kind and its first field: ``Dense(128) relu``."""
    told = []
    for layer in getattr(network.spec, "layers", ()) or (network.spec,):
        fields = [getattr(layer, f.name) for f in dataclasses.fields(layer)]
        first = show(fields[0]) if fields and isinstance(fields[0], int | float) else ""
        function = getattr(layer, "activation", identity)
        told.append(f"{type(layer).__name__}({first})" + (f" {show(function)}" if function is not identity else ""))
    return told


def _phase(phase: Phase, record: Record, network: Network, data: Dataset) -> Iterator[str]:
    """What a phase trains, on what, how, and whose network it keeps."""
    total = sum(value.size for value in network.params.values())
    trained = sum(network.params[path].size for path in record.trained)
    resting = sorted({path.rpartition("/")[0] for path in network.params if path not in record.trained})
    verb = "rests" if len(resting) == 1 else "rest"
    rest = "" if trained == total else f" of {total:,}; {', '.join(resting)} {verb}"
    yield f"trains {trained:,} parameters{rest}"
    size, steps = min(phase.batch.size, data.train.rows), count(record.per_epoch, "step")
    yield f"{data.train.rows:,} rows in batches of {size}: {steps} an epoch"
    if isinstance(phase.batch, Augmented):
        yield f"changes them anew each time by {', '.join(map(show, phase.batch.ops))}"
    if phase.precision != "float32":
        yield f"products in {phase.precision}; weights, sums and judging in float32"
    if record.devices > 1:
        yield f"shares each minibatch among {record.devices} devices"
    if record.cores > record.devices:
        yield (
            f"would share each minibatch among {record.cores} cores, had JAX not begun to work before: "
            "call sonde.train.every_core() before anything uses it"
        )
    keepers = [c for c in phase.control if isinstance(c, KeepBest | Patience)]
    kept = [f"{aim(c.watch, c.best)} {c.watch}" for c in keepers[:1]] or ["last round"]
    yield f"keeps the network of the {kept[0]}"


def _odd(network: Network, plan: Plan, data: Dataset) -> Iterator[str]:
    """What looks like a mistake in the network or in an objective, beside what the data shows."""
    specs, gives, last = _traced(network, plan, data)
    yield from _dropped_answers(specs, last)
    yield from _axes(data.train.get("x"), specs, gives)
    yield from _bare_losses(network, plan, data)


def _traced(network: Network, plan: Plan, data: Dataset) -> tuple[dict[str, Any], dict[str, Any], set[str]]:
    """The layers that the inputs go through by path, what they give, and which give the answer; none if unknown."""
    objective = predictor(plan)
    if not isinstance(objective, Classify | Regress):
        return {}, {}, set()
    specs: dict[str, Any] = {}
    last: set[str] = set()

    def trace(x: Any) -> Any:
        net = network.bind()
        y = method_of(net, objective.method)(x)
        specs.update(net._frame.specs)
        last.update(path for path, made in net.outputs().items() if made is y)  # at rest dropout gives what it is given
        return net.outputs()

    return specs, jax.eval_shape(trace, data.train["x"][:1]), last


def _dropped_answers(specs: dict[str, Any], last: set[str]) -> Iterator[str]:
    """What to say where the last thing that the network does is to leave some of its answers out."""
    dropping = ((path, layer) for path, layer in specs.items() if path in last and isinstance(layer, Dropout))
    path, layer = next(((path, layer) for path, layer in dropping if layer.rate > 0), ("", None))
    if layer is not None:
        yield (
            f"the network ends with {path}, {layer}, which while training makes some of its answers 0; "
            "dropout is for inputs and hidden layers, so put it before the last layer that has weights"
        )


def _axes(x: Any, specs: dict[str, Any], gives: dict[str, Any]) -> Iterator[str]:
    """What to say where a convolution takes what looks like images for series, or their height for channels."""
    path = next((path for path, layer in specs.items() if isinstance(layer, Conv) and path in gives), None)
    if path is None or not isinstance(x, np.ndarray):
        return
    shape, axes = x.shape[1:], len(gives[path].shape)
    if len(shape) == 2 and shape[0] == shape[1] >= 8 and axes == 3:
        yield (
            f"{path} takes a row of x {list(shape)} for a series of {shape[0]} steps with {shape[1]} channels; "
            f"of grey images, begin the network with nn.Reshape({shape[0]}, {shape[1]}, 1)"
        )
    if len(shape) == 3 and shape[0] in (1, 3) and shape[1] == shape[2] > 3 and axes == 4:
        yield (
            f"{path} takes a row of x {list(shape)} for {shape[0]} x {shape[1]} pixels with {shape[2]} channels; "
            "channels are the last axis, so give np.moveaxis(x, 1, -1)"
        )


def _bare_losses(network: Network, plan: Plan, data: Dataset) -> Iterator[str]:
    """What to say of objectives of one's own whose loss is a mean that counts rows which only fill up a batch."""
    for phase in plan.phases:
        full = not any(part.rows % min(phase.batch.size, part.rows) for part in data.splits.values())
        if full and "weight" not in data.train:
            continue
        for term in [t for turn in phase.turns for t in getattr(turn.objective, "terms", (turn.objective,))]:
            if type(term).__module__.partition(".")[0] != __name__.partition(".")[0] and _is_bare(network, term, data):
                yield (
                    f"{type(term).__name__} gives a bare number of rows, in which those of weight 0, which only "
                    "fill up a batch, count like others; give batch.mean(one entry a row)"
                )


def _is_bare(network: Network, objective: Any, data: Dataset) -> bool:
    """Whether an objective calls the network, and yet a part of its loss is no `Mean`."""
    bare = False

    def trace(columns: Any, key: Any) -> Any:
        nonlocal bare
        net = network.bind(key, train=True)
        out = objective(net, Batch.of(columns))
        parts = out[0] if type(out) is tuple else out
        parts = parts.values() if isinstance(parts, dict) else [parts]
        bare = bool(net._frame.used) and not all(isinstance(part, Mean) for part in parts)
        return 0

    try:
        jax.eval_shape(trace, {name: column[:2] for name, column in data.train.items()}, jax.random.key(0))
    except Exception:  # it may need more rows, or others, than these
        return False
    return bare
