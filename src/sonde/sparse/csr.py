"""A network of dense layers whose kernels are stored and multiplied without their zeros, on the host."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sonde._errors import ArgumentError, ShapeError, shape_of
from sonde.nn import (
    BatchNorm,
    Dense,
    Dropout,
    Flatten,
    Function,
    GaussianNoise,
    MaskNoise,
    Network,
    PReLU,
    SaltPepper,
    Scale,
    fold,
    identity,
    relu,
)
from sonde.sparse.links import chain, elementwise
from sonde.sparse.prune import checked

ROWS = 256
"""How many are computed at a time: what lies between two layers stays in the cache."""


class CSR:
    """A network for inference, on the host, whose kernels hold only what is not 0; `csr` makes it.

    y = activation(x W + b) as in `Dense`, with W as compressed sparse rows of its transpose: for each output the inputs
    it reads and their weights, 8 bytes for each weight that is not 0 where an array takes 4 for each that is there. A
    kernel of which more than half is not 0 stays an array.

    Attributes:
        nbytes: the memory of kernels, biases and whatever else is kept.
        nonzero: how many weights of kernels are not 0.
        dense_nbytes: what all parameters take as arrays.
    """

    def __init__(self, network: Network) -> None:
        folded = fold(checked(network))
        self._steps = [(path, layer, *_made(path, layer, folded)) for path, layer in chain(folded.spec, "")]
        arrays = [a for _, _, _, held in self._steps for a in held]
        self.nbytes = sum(sum(p.nbytes for p in _parts(a)) for a in arrays)
        self.nonzero = sum(int(np.count_nonzero(w)) for w in map(np.asarray, folded.weights("**kernel").values()))
        self.dense_nbytes = sum(np.asarray(v).nbytes for v in folded.params.values())

    def __call__(self, x: Any) -> np.ndarray:
        """What the network gives for rows x [rows, ...]: an array of NumPy.

        Raises:
            ShapeError: x is not what the network was built for; names the layer.
        """
        x = np.asarray(x)
        if x.ndim < 2:
            raise ShapeError(f"csr takes rows of inputs [rows, ...], got {shape_of(x)}; one row is x[None]")
        parts = [self._of(x[at : at + ROWS]) for at in range(0, max(len(x), 1), ROWS)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _of(self, x: np.ndarray) -> np.ndarray:
        for path, _, step, held in self._steps:
            try:
                x = step(x, *held)
            except ShapeError as error:
                raise ShapeError(f"{path or 'the network'}: {error}") from None
        return np.ascontiguousarray(x)

    def __repr__(self) -> str:
        kinds = ", ".join(f"{path or 'network'}={type(layer).__name__}" for path, layer, _, _ in self._steps)
        return f"CSR({kinds}; {self.nonzero:,} weights, {self.nbytes:,} bytes, {self.dense_nbytes:,} dense)"


def csr(network: Network) -> CSR:
    """The network as sparse matrices: called like it, with as many products as there are weights that are not 0.

    For stacks (`Sequential` at any depth) of `Dense`, elementwise functions, `Flatten`, `Scale` and what does nothing
    at inference; `BatchNorm` is folded into the layer before it where that can be. Outputs agree up to rounding.

    It saves memory from half zeros on, and time for a few rows at a time: a call of JAX costs some 60 us, one of this
    25 (on two cores, 784-300-100-10). For many rows at once arrays are hard to beat, since a processor multiplies them
    many numbers at a time: a thousand rows gain beyond 95 % zeros only. On a GPU use `compact`.

    Args:
        network: a built network, such as `prune` gives.

    Raises:
        ArgumentError: it has a layer that this cannot do; names it and the remedy.

    Example:
        >>> import jax.numpy as jnp, numpy as np, sonde as sd
        >>> from sonde import nn
        >>> net = nn.build(nn.Sequential(hidden=nn.Dense(50, nn.relu), head=nn.Dense(2)), jnp.ones((1, 40)))
        >>> net = sd.sparse.prune(net, 0.9)
        >>> small, x = sd.sparse.csr(net), np.ones((3, 40), "float32")
        >>> bool(np.allclose(small(x), net(x), atol=1e-5)), small.nbytes < small.dense_nbytes / 2
        (True, True)
    """
    return CSR(network)


def _made(path: str, layer: Any, network: Network) -> tuple[Callable, tuple]:
    """What is done at a layer, and the arrays it is done with."""
    own = lambda name: np.asarray({**network.params, **network.state}[f"{path}/{name}".removeprefix("/")])
    if type(layer) is Dense and elementwise(layer.activation):
        kernel = own("kernel").T
        bias = np.zeros(len(kernel), kernel.dtype) if layer.bias_init is None else own("bias")
        return _dense(on_host(layer.activation)), (_packed(kernel), bias)
    if isinstance(layer, Function) and elementwise(layer.function):
        return on_host(layer.function), ()
    if isinstance(layer, Dropout | GaussianNoise | MaskNoise | SaltPepper):
        kept = 1.0 if not isinstance(layer, Dropout) or layer.inverted else 1 - float(layer.rate)
        return (lambda x: x if kept == 1 else x * np.float32(kept)), ()
    if isinstance(layer, Flatten):
        return (lambda x: x.reshape(len(x), math.prod(x.shape[1:]))), ()
    if isinstance(layer, Scale):
        factor, offset = np.float32(layer.factor), np.float32(layer.offset)
        return (lambda x: (x if x.dtype.kind == "f" else x.astype(np.float32)) * factor + offset), ()
    if isinstance(layer, BatchNorm):
        factor = own("scale") / np.sqrt(own("var") + layer.epsilon)
        return (lambda x, factor, offset: x * factor + offset), (factor, own("offset") - own("mean") * factor)
    if isinstance(layer, PReLU):
        return (lambda x, slope: np.where(x > 0, x, slope * x)), (own("slope"),)
    raise ArgumentError(
        f"csr does not know {path or 'the network'}, {layer}: it takes stacks of Dense layers, elementwise functions, "
        "Flatten, Scale, PReLU, BatchNorm and Dropout. For any network with Dense and Conv layers, "
        "sd.sparse.compact(sd.sparse.prune_units(network, 0.5)) is a smaller one"
    )


def _packed(kernel: np.ndarray) -> Any:
    """W^T [units, inputs] without its zeros, or as it is if those are few."""
    from scipy.sparse import csr_array

    return csr_array(kernel) if 2 * np.count_nonzero(kernel) <= kernel.size else np.ascontiguousarray(kernel)


def _parts(held: Any) -> tuple[np.ndarray, ...]:
    return (held,) if isinstance(held, np.ndarray) else (held.data, held.indices, held.indptr)


def _dense(activation: Callable) -> Callable:
    def step(x: np.ndarray, kernel: Any, bias: np.ndarray) -> np.ndarray:
        if x.dtype.kind != "f":
            raise ShapeError(f"Dense takes floating-point numbers, got {shape_of(x)}; put nn.Scale(1 / 255) before it")
        if x.ndim != 2 or x.shape[1] != kernel.shape[1]:
            raise ShapeError(f"csr takes rows of {kernel.shape[1]} numbers here; got {shape_of(x)}")
        return activation((kernel @ x.T).T + bias)

    return step


def on_host(function: Any) -> Callable[[np.ndarray], np.ndarray]:
    """An elementwise function for arrays of NumPy: NumPy's own for the usual ones, else that of JAX, compiled."""
    if function in _NUMPY:
        return _NUMPY[function]
    compiled = jax.jit(function)
    return lambda x: np.asarray(compiled(jnp.asarray(x)))


_NUMPY: dict[Any, Callable] = {identity: lambda x: x, relu: lambda x: np.maximum(x, 0)}
