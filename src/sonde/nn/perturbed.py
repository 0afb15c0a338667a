"""Any layer with weights that are not quite its own while it trains: some missing, or all with noise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import jax.numpy as jnp

from sonde._errors import ArgumentError, check_interval
from sonde._random import bernoulli, derive, normal
from sonde._tree import match, under
from sonde._types import Number, Part
from sonde.nn.combine import as_layer
from sonde.nn.layer import Layer
from sonde.nn.scope import Scope

if TYPE_CHECKING:
    from jaxtyping import Array, Float


class _Perturbed(Layer):
    """A layer that is called with other kernels than its own while training; what those are, a subclass says.

    Penalties, averages and files see the kernels themselves, and gradients are taken with respect to them.
    """

    use: ClassVar[str]
    """What the randomness is for: part of its key."""

    layer: Part

    def _perturbed(self, kernel: Float[Array, "*shape"], key: Array) -> Float[Array, "*shape"]:
        raise NotImplementedError

    def __call__(self, scope: Scope, *xs: Any) -> Any:
        """What the layer gives with other kernels, or with its own at inference."""
        frame, home = scope.frame, f"{scope.path}/layer".removeprefix("/")
        kernels = {p: w for p, w in frame.params.items() if under(p, [home]) and match("**kernel", p)}
        if scope.train and not frame.building:
            if not kernels:
                raise ArgumentError(f"{type(self).__name__} is for the weights of kernels, and {self.layer} has none")
            key = scope.key(self.use)
            others = {path: self._perturbed(w, derive(key, i)) for i, (path, w) in enumerate(sorted(kernels.items()))}
            scope = Scope(frame.view(params=frame.params | others), scope.path)
        return scope("layer", self.layer, *xs)

    def named_layers(self) -> Iterator[tuple[str, Layer]]:
        """The layer, under its one name."""
        yield "layer", self.layer


class DropConnect(_Perturbed):
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

    use = "dropconnect"
    rate: Number = 0.5

    def __init__(self, layer: Layer | Callable, rate: Number = 0.5) -> None:
        self._set(layer=as_layer(layer), rate=rate)

    def check(self) -> None:
        """Refuse to drop everything."""
        check_interval(self, "rate", "[0, 1)", "It is the fraction dropped, not the fraction kept.")

    def _perturbed(self, kernel: Float[Array, "*shape"], key: Array) -> Float[Array, "*shape"]:
        keep = bernoulli(key, 1 - self.rate, kernel.shape)
        return jnp.where(keep, kernel / (1 - self.rate), 0)


class WeightNoise(_Perturbed):
    """A layer with W + sigma z for each kernel W, z from N(0, 1) for each weight, while training.

    It holds training off minima that are so narrow that a small step beside them costs much. Where
    `GaussianNoise` moves what a layer is given, this moves the layer. At inference the layer is as it is.

    Args:
        layer: any layer or stack of layers with a kernel; its parameters are at ``layer/...``. Biases stay.
        sigma: the standard deviation of the noise, in the units of the weights: those of a `Dense` layer begin near
            1 / sqrt(inputs), and a tenth of that is a moderate noise.

    Source: A. Murray and P. Edwards (1994), who make the noise proportional to each weight; one sigma for all as in
    A. Graves (2011). Noise is drawn for each call, not for each row.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from sonde import nn
        >>> x = jnp.eye(100)
        >>> net = nn.build(nn.WeightNoise(nn.Dense(50, kernel_init=nn.zeros), 0.2), x)
        >>> round(float(net.bind(jax.random.key(0), train=True)(x).std()), 2)           # of eye: the kernel itself
        0.2
    """

    use = "weight_noise"
    sigma: Number = 0.05

    def __init__(self, layer: Layer | Callable, sigma: Number = 0.05) -> None:
        self._set(layer=as_layer(layer), sigma=sigma)

    def check(self) -> None:
        """Refuse a negative spread."""
        check_interval(self, "sigma", "[0, inf)")

    def _perturbed(self, kernel: Float[Array, "*shape"], key: Array) -> Float[Array, "*shape"]:
        return kernel + (self.sigma * normal(key, kernel.shape)).astype(kernel.dtype)
