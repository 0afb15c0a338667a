"""Any layer with weights that are not quite its own while it trains."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax.numpy as jnp

from sonde._errors import ArgumentError, check_interval
from sonde._random import bernoulli, derive
from sonde._tree import match, under
from sonde._types import Number, Part
from sonde.nn.combine import as_layer
from sonde.nn.network import Layer
from sonde.nn.scope import Scope


class DropConnect(Layer):
    """A layer with W m / (1 - rate) for each kernel W, m Bernoulli(1 - rate) for each weight, while training.

    Single connections are left out where `Dropout` leaves out units. At inference the layer is as it is, and its
    kernels are those that it has on average while training.

    Args:
        layer: any layer or stack of layers with a kernel; its parameters are at ``layer/...``. Biases stay.
        rate: the fraction of weights that is dropped, in [0, 1).

    Source: L. Wan et al. (2013). Differs from it in that a mask is drawn for each call, not for each row, and that
    inference uses the mean weights, not samples.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from sonde import nn
        >>> x = jnp.eye(3)
        >>> net = nn.build(nn.DropConnect(nn.Dense(4, kernel_init=nn.ones), 0.5), x)
        >>> sorted(set(net.bind(jax.random.key(0), train=True)(x).ravel().tolist()))    # of eye(3): the kernel itself
        [0.0, 2.0]
    """

    layer: Part
    rate: Number = 0.5

    def __init__(self, layer: Layer | Callable, rate: Number = 0.5) -> None:
        self._set(layer=as_layer(layer), rate=rate)

    def check(self) -> None:
        """Refuse to drop everything."""
        check_interval(self, "rate", "[0, 1)", "It is the fraction dropped, not the fraction kept.")

    def __call__(self, scope: Scope, *xs: Any) -> Any:
        """What the layer gives with some of its weights, or with all of them at inference."""
        frame, home = scope.frame, f"{scope.path}/layer".removeprefix("/")
        kernels = {p: w for p, w in frame.params.items() if under(p, [home]) and match("**kernel", p)}
        if scope.train and not frame.building:
            if not kernels:
                raise ArgumentError(f"DropConnect drops weights of kernels, and {self.layer} has none")
            key = scope.key("dropconnect")
            thinned = {path: self._thinned(w, derive(key, i)) for i, (path, w) in enumerate(sorted(kernels.items()))}
            scope = Scope(frame.view(params=frame.params | thinned), scope.path)
        return scope("layer", self.layer, *xs)

    def _thinned(self, kernel: Any, key: Any) -> Any:
        keep = bernoulli(key, 1 - self.rate, kernel.shape)
        return jnp.where(keep, kernel / (1 - self.rate), 0)

    def named_layers(self) -> Iterator[tuple[str, Layer]]:
        """The layer, under its one name."""
        yield "layer", self.layer
