"""Whole units instead of single weights: set to zero where they say little, and taken out of the network."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from sonde._errors import ArgumentError
from sonde._types import Variables
from sonde.nn import Conv, Dense, Layer, Network, Sequential, zeros
from sonde.nn.combine import Parallel
from sonde.sparse.links import EACH, Link, constants, links, wide
from sonde.sparse.prune import check_number, checked


def prune_units(network: Network, fraction: float) -> Network:
    """The network with its least units set to 0: of each hidden `Dense` the units, of each hidden `Conv` the channels.

    A unit counts as much as |w_in| |w_out|, the Euclidean norms of the weights that lead to it and of those that lead
    away from it; behind ReLU this stays the same when one is made larger and the other smaller, as the unit does. Its
    weights on both sides and its bias become 0, so training does not wake it up, and `compact` takes it out.

    Args:
        network: a built or trained network; it stays as it is.
        fraction: of the units of each hidden layer, in [0, 1); round(fraction * units) of them, and one at least is
            left. Outputs are spared, and so is what a layer reads that is neither `Dense` nor `Conv`.

    Raises:
        ArgumentError: it is no such fraction, or the network has no hidden units that could go.

    Source: H. Li et al. (2017), for channels, by |w_in| (their sum of absolute values) alone.

    Example:
        >>> import jax.numpy as jnp, sonde as sd
        >>> from sonde import nn
        >>> net = nn.build(nn.Sequential(hidden=nn.Dense(8, nn.relu), head=nn.Dense(2)), jnp.ones((1, 4)))
        >>> sd.sparse.compact(sd.sparse.prune_units(net, 0.75)).spec
        Sequential(hidden=Dense(units=2, activation=relu), head=Dense(units=2))
    """
    check_number("fraction of prune_units", fraction, 1.0)
    found = links(checked(network))
    if not found:
        raise ArgumentError(
            "prune_units found no layer whose units only a Dense or Conv reads, so none can go without changing what "
            "others are given; prune(network, 0.9) sets single weights to 0 in any network"
        )
    params = dict(network.params)
    for link in found:
        giver, taker = link.giver[0], link.taker[0]
        into, out = (np.asarray(network.params[f"{p}/kernel"], np.float64) for p in (giver, taker))
        units = into.shape[-1]
        in_size = np.sqrt((into**2).reshape(-1, units).sum(0))
        out_size = np.sqrt(_by_unit((out**2).swapaxes(-1, -2), units).sum(0))
        least = np.argsort(in_size * out_size, kind="stable")[: min(round(fraction * units), units - 1)]
        kept = np.isin(np.arange(units), least, invert=True)
        for name in {f"{giver}/kernel", f"{giver}/bias"} & params.keys():
            params[name] = jnp.where(np.broadcast_to(kept, params[name].shape), params[name], 0)
        rows = np.broadcast_to(link.spread(network, kept)[:, None], params[f"{taker}/kernel"].shape)
        params[f"{taker}/kernel"] = jnp.where(rows, params[f"{taker}/kernel"], 0)
    return network.replace(params=params)


def compact(network: Network) -> Network:
    """A smaller network that gives the same: units that are constant or that nobody reads are taken out.

    A unit whose incoming weights are all 0 is the constant c = activation(b); what the next layer makes of it moves
    into that layer's bias, b' = b + c w_out. A unit whose outgoing weights are all 0 changes nothing. For channels of
    `Conv` it is the same, except that a constant other than 0 stays where the next convolution pads with zeros.
    Dropout, normalization by batches, pooling and `Flatten` may lie between. Outputs agree up to rounding.

    The result is an ordinary network: it trains, it is saved, and it is faster on any machine. Single zeros, scattered
    over kernels that are otherwise used, make nothing smaller here; see `csr` for those.

    Args:
        network: such as `prune_units` gives; one with nothing to take out comes back as it is.

    Example:
        >>> import jax.numpy as jnp, sonde as sd
        >>> from sonde import nn
        >>> spec = nn.Sequential(hidden=nn.Dense(2, nn.relu), head=nn.Dense(1))
        >>> params = {"hidden/kernel": jnp.array([[1.0, 0.0]]), "hidden/bias": jnp.array([0.0, 3.0])}
        >>> params |= {"head/kernel": jnp.array([[1.0], [2.0]]), "head/bias": jnp.array([0.5])}
        >>> small = sd.sparse.compact(nn.Network(spec, params))
        >>> small.spec, small.params["head/bias"]                         # 0.5 + 2 * relu(3)
        (Sequential(hidden=Dense(units=1, activation=relu), head=Dense(units=1)), Array([6.5], dtype=float32))
    """
    small = checked(network)
    found = links(small)
    for link in found:  # constants go forward: what they leave behind may make the next layer's units constant
        small = _without_constants(small, link)
    for link in reversed(found):  # and who reads nothing goes backward
        out = np.asarray(small.params[f"{link.taker[0]}/kernel"])
        unread = ~_by_unit(out.swapaxes(-1, -2) != 0, _units(small, link)).any(axis=0)
        small = _without(small, link, np.asarray(unread))
    return small.replace(spec=_resized(small.spec, "", small.params))


def _units(network: Network, link: Link) -> int:
    return network.params[f"{link.giver[0]}/kernel"].shape[-1]


def _by_unit(rows: np.ndarray, units: int) -> np.ndarray:
    """[..., rows of the taker's kernel] as [everything else, units]."""
    return rows.reshape(-1, units)


def _without_constants(network: Network, link: Link) -> Network:
    constant, given = constants(network, link)
    path, layer = link.taker
    kernel = np.asarray(network.params[f"{path}/kernel"])
    if isinstance(layer, Conv) and not _bare(layer):
        constant &= (given == 0).reshape(-1, len(constant)).all(0)
    constant = _one_left(constant)
    moved = np.where(link.spread(network, constant), given, 0)
    if moved.any():
        added = moved.astype(np.float64) @ kernel.astype(np.float64).reshape(-1, *kernel.shape[-2:]).sum(0)
        bias = np.asarray(network.params.get(f"{path}/bias", np.zeros(kernel.shape[-1], kernel.dtype)))
        bias = jnp.asarray((bias + added).astype(bias.dtype))
        network = Network(network.spec, network.params | {f"{path}/bias": bias}, network.state)
    return _without(network, link, constant)


def _bare(layer: Any) -> bool:
    """Whether a convolution puts no zeros around what it is given."""
    given = layer.padding
    return given == "valid" or layer.size == 1 or (isinstance(given, tuple) and not any(map(any, given)))


def _one_left(gone: np.ndarray) -> np.ndarray:
    """The same, but one unit stays at least: a layer cannot be empty."""
    return gone & (np.arange(len(gone)) > 0) if gone.all() else gone


def _without(network: Network, link: Link, gone: np.ndarray) -> Network:
    """The network without some units of a giver."""
    kept = ~_one_left(gone)
    params, state = dict(network.params), dict(network.state)
    for name in {f"{link.giver[0]}/kernel", f"{link.giver[0]}/bias"} & params.keys():
        params[name] = params[name][..., kept]
    for place, layer in link.between:
        for held in (params, state):
            for name in [p for p in held if isinstance(layer, EACH) and p.startswith(f"{place}/")]:
                held[name] = held[name][wide(kept, held[name].shape[-1])]
    kernel = f"{link.taker[0]}/kernel"
    params[kernel] = params[kernel][..., link.spread(network, kept), :]
    return Network(network.spec, params, state)  # its spec follows when all links are done


def _resized(spec: Any, path: str, params: Variables) -> Any:
    """The spec with the units, and the biases, that the arrays have."""
    below = lambda name: f"{path}/{name}".removeprefix("/")
    if type(spec) in (Dense, Conv) and f"{path}/kernel".removeprefix("/") in params:
        width = params[f"{path}/kernel".removeprefix("/")].shape[-1]
        bias = {"bias_init": zeros} if spec.bias_init is None and f"{path}/bias".removeprefix("/") in params else {}
        return spec.replace(**{"units" if isinstance(spec, Dense) else "channels": width}, **bias)
    if isinstance(spec, Sequential | Parallel):
        return spec.replace(layers=tuple(_resized(layer, below(name), params) for name, layer in spec.named_layers()))
    inner = {n: part for n in spec._leaves + spec._static if isinstance(part := getattr(spec, n), Layer)}
    return spec.replace(**{name: _resized(part, below(name), params) for name, part in inner.items()})
