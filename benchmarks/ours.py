"""The JAX side: Sonde's own `fit`, and a plain JAX loop to compare it with."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import optax

import sonde as sd
from benchmarks.cases import Case
from sonde import nn
from sonde.train import execute


@dataclass(frozen=True)
class Timing:
    """One entry a run: seconds of the training loop alone, and the final mean loss over the training data."""

    seconds: tuple[float, ...]
    losses: tuple[float, ...]


def train(case: Case, arrays: dict[str, np.ndarray], seeds: Sequence[int] = (0, 1, 2, 3, 4)) -> Timing:
    """Train `case` with Sonde from the initial weights in `arrays`, shuffled by each seed.

    The clock runs in the training loop, dispatches and the reading of the history included; compiling, moving
    the data and making the network are outside it, as they are for the peers.
    """
    activation = {"relu": nn.relu, "elu": nn.elu}[case.activation]
    layers = sum(name.startswith("kernel_") for name in arrays)
    sizes = [arrays[f"kernel_{i}"].shape[1] for i in range(layers)]
    named = {f"layer_{i}": nn.Dense(n, activation) for i, n in enumerate(sizes[:-1])}
    spec = nn.Sequential(**named, head=nn.Dense(sizes[-1]))
    names = [*named, "head"]
    params = {f"{name}/{kind}": jnp.asarray(arrays[f"{kind}_{i}"]) for i, name in enumerate(names)
              for kind in ("kernel", "bias")}  # fmt: skip
    optimizer = sd.Adam(case.rate) if case.optimizer == "adam" else sd.SGD(case.rate, case.momentum or None)
    columns = {"x": jnp.asarray(arrays["x"]), "y": jnp.asarray(arrays["y"], jnp.int32)}
    every = case.epochs if case.steps == case.epochs else 0  # epochs of one step are judged together
    phase = sd.Phase(sd.Turn(sd.Classify(), optimizer), sd.data.Shuffled(case.batch), epochs=case.epochs, every=every)
    plan = sd.Plan(phase).prepare(columns)
    seconds, losses = [], []
    for seed in seeds:
        network, (record,) = execute(nn.Network(spec, params), plan, {"train": columns}, seed)
        seconds.append(record.train_seconds)
        loss = sd.Classify().prepare(columns)(network.bind(), sd.Batch.of(columns, jnp.ones(case.rows, bool)))[0]
        losses.append(float(loss.value))
    return Timing(tuple(seconds), tuple(losses))


def hand_loop(case: Case, arrays: dict[str, np.ndarray], seeds: Sequence[int] = (0, 1, 2, 3, 4)) -> Timing:
    """The same training as a plain `jax.jit` of a `lax.scan` with Optax: no peer, but a reference."""
    x, y, params = _on_device(arrays)
    seconds, losses = [], []
    for seed in seeds:
        key = jax.block_until_ready(jax.random.key(seed))
        start = time.perf_counter()
        trained = jax.block_until_ready(_run(case, params, x, y, key))
        seconds.append(time.perf_counter() - start)
        losses.append(float(_full_loss(case, trained, x, y)))
    return Timing(tuple(seconds), tuple(losses))


def _on_device(arrays: dict[str, np.ndarray]):
    layers = sum(name.startswith("kernel_") for name in arrays)
    params = [(jnp.asarray(arrays[f"kernel_{i}"]), jnp.asarray(arrays[f"bias_{i}"])) for i in range(layers)]
    return jax.block_until_ready((jnp.asarray(arrays["x"]), jnp.asarray(arrays["y"]), params))


def _row_losses(case: Case, params, x, y):
    activation = {"relu": jax.nn.relu, "elu": jax.nn.elu}[case.activation]
    for kernel, bias in params[:-1]:
        x = activation(x @ kernel + bias)
    logits = x @ params[-1][0] + params[-1][1]
    if case.loss == "binary":
        return optax.sigmoid_binary_cross_entropy(logits[:, 0], y)
    return optax.softmax_cross_entropy_with_integer_labels(logits, y)


@functools.partial(jax.jit, static_argnums=0)
def _full_loss(case: Case, params, x, y):
    return _row_losses(case, params, x, y).mean()


@functools.partial(jax.jit, static_argnums=0)
def _run(case: Case, params, x, y, key):
    sgd = optax.sgd(case.rate, case.momentum or None)
    optimizer = optax.adam(case.rate) if case.optimizer == "adam" else sgd
    steps = case.steps // case.epochs
    missing = steps * case.batch - case.rows  # the last batch is filled with rows of weight 0

    def update(carry, xb, yb, weight):
        params, state = carry
        grads = jax.grad(lambda p: jnp.sum(_row_losses(case, p, xb, yb) * weight) / jnp.sum(weight))(params)
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    def step(carry, batch):
        rows, weight = batch
        return update(carry, x[rows], y[rows], weight), None

    def epoch(carry, key):
        if steps == 1:
            return update(carry, x, y, jnp.ones(case.rows)), None
        rows = jnp.pad(jax.random.permutation(key, case.rows), (0, missing)).reshape(steps, case.batch)
        weight = jnp.pad(jnp.ones(case.rows), (0, missing)).reshape(steps, case.batch)
        return jax.lax.scan(step, carry, (rows, weight))[0], None

    return jax.lax.scan(epoch, (params, optimizer.init(params)), jax.random.split(key, case.epochs))[0][0]
