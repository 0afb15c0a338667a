"""The JAX side: Sonde's own engine, and for dense networks a plain JAX loop to compare it with."""

from __future__ import annotations

import functools
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

import sonde as sd
from benchmarks.cases import Case, walk
from sonde import nn
from sonde.train import execute


def network(case: Case, arrays: dict[str, np.ndarray]) -> nn.Network:
    """The case's network, with its initial weights."""
    layers: dict[str, nn.Layer] = {}
    params = {}
    normed = functools.partial(_normed, case.kept)
    for i, kind, options, before, after in walk(case):
        n, own = after[-1], {}
        if kind == "dense":
            layers[f"dense_{i}"], own = nn.Dense(n, getattr(nn, options[1])), {"kernel": "kernel", "bias": "bias"}
        elif kind == "conv":
            layers[f"conv_{i}"] = nn.Conv(n, options[1], activation=getattr(nn, options[2]))
            own = {"kernel": "kernel", "bias": "bias"}
        elif kind == "lstm":
            layers[f"lstm_{i}"] = nn.LSTM(n, last=True, forget_bias=0.0)
            own = {name: name for name in ("kernel", "recurrent_kernel", "bias")}
        elif kind == "norm-conv":
            layers[f"stem_{i}"], own = normed(n, options[1], options[2], nn.relu), {"conv/kernel": "kernel"}
        elif kind == "block":
            layer = nn.Sequential(a=normed(n, 3, options[1], nn.relu), b=normed(n, 3, 1, nn.identity))
            shortcut = normed(n, 1, options[1], nn.identity) if before[-1] != n else None
            block = nn.Residual(layer, shortcut)
            layers[f"block_{i}"] = nn.Sequential(sum=block, relu=nn.Function(nn.relu))
            own = {"sum/layer/a/conv/kernel": "first", "sum/layer/b/conv/kernel": "second"}
            own |= {"sum/shortcut/conv/kernel": "shortcut"} if shortcut else {}
        else:
            plain = {"pool": nn.MaxPool(2), "flatten": nn.Flatten(), "mean": nn.GlobalAveragePool()}
            layers[f"{kind}_{i}"] = plain[kind]
        name = [*layers][-1]
        params |= {f"{name}/{path}": jnp.asarray(arrays[f"{i}/{key}"]) for path, key in own.items()}
    return nn.Network(nn.Sequential(**layers), params)


def _normed(kept: float, channels: int, size: int, stride: int, activation) -> nn.Layer:
    edge = size // 2  # as PyTorch pads
    conv = nn.Conv(channels, size, stride=stride, padding=((edge, edge), (edge, edge)), bias_init=None)
    return nn.Sequential(conv=conv, norm=nn.BatchNorm(momentum=kept), act=nn.Function(activation))


def plan(case: Case) -> sd.Plan:
    """How the case is trained."""
    optimizer = sd.Adam(case.rate) if case.optimizer == "adam" else sd.SGD(case.rate, case.momentum or None)
    every = case.epochs if case.steps == case.epochs else 0  # epochs of one step are judged together
    batch = sd.data.Shuffled(case.batch)
    if case.augment:
        batch = sd.data.Augmented(batch, (sd.data.Crop(4), sd.data.Flip()))
    return sd.Plan(sd.Phase(sd.Turn(sd.Classify(), optimizer), batch, epochs=case.epochs, every=every))


def train(case: Case, arrays: dict[str, np.ndarray], seed: int) -> dict[str, float]:
    """Seconds of the training loop, and the final mean loss over the training data.

    The clock runs in the training loop, dispatches and the reading of the history included; compiling, moving
    the data and making the network are outside it, as they are for the peers.
    """
    columns = {"x": jnp.asarray(arrays["x"]), "y": jnp.asarray(arrays["y"], jnp.int32)}
    trained, (record,) = execute(network(case, arrays), plan(case).prepare(columns), {"train": columns}, seed)
    logits = trained.in_batches(columns["x"])
    loss = _row_losses(case, jnp.asarray(logits), columns["y"]).mean()
    return {"seconds": record.train_seconds, "loss": float(loss)}


def _row_losses(case: Case, logits, y):
    if case.loss == "binary":
        return optax.sigmoid_binary_cross_entropy(logits[:, 0], y.astype(jnp.float32))
    return optax.softmax_cross_entropy_with_integer_labels(logits, y)


# ---------------------------------------------------------------------- a loop by hand


def hand_loop(case: Case, arrays: dict[str, np.ndarray], seed: int) -> dict[str, float]:
    """The same training of a dense network as a plain `jax.jit` of a `lax.scan` with Optax: a reference, no peer."""
    params = [(jnp.asarray(arrays[f"{i}/kernel"]), jnp.asarray(arrays[f"{i}/bias"])) for i in range(len(case.layers))]
    x, y = jnp.asarray(arrays["x"]), jnp.asarray(arrays["y"], jnp.int32)
    key = jax.block_until_ready((jax.random.key(seed), params, x, y))[0]
    start = time.perf_counter()
    trained = jax.block_until_ready(_run(case, params, x, y, key))
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "loss": float(_row_losses(case, _dense(case, trained, x), y).mean())}


def _dense(case: Case, params, x):
    for (_, _, activation), (kernel, bias) in zip(case.layers, params, strict=True):
        x = getattr(jax.nn, activation)(x @ kernel + bias)
    return x


@functools.partial(jax.jit, static_argnums=0)
def _run(case: Case, params, x, y, key):
    sgd = optax.sgd(case.rate, case.momentum or None)
    optimizer = optax.adam(case.rate) if case.optimizer == "adam" else sgd
    steps = case.steps // case.epochs
    missing = steps * case.batch - case.rows  # the last batch is filled with rows of weight 0

    def update(carry, xb, yb, weight):
        params, state = carry
        loss = lambda p: jnp.sum(_row_losses(case, _dense(case, p, xb), yb) * weight) / jnp.sum(weight)
        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
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
