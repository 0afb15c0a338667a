"""Initializers: values that are functions ``(key, shape, dtype) -> array``.

For a kernel of shape (..., in, out) the *fans* are m = in * receptive and n = out * receptive, where
*receptive* is the product of the axes before the last two.
"""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp

from sonde._errors import ArgumentError, check_interval
from sonde._random import normal, uniform
from sonde._types import Array, Number
from sonde._value import Value


class Initializer(Value):
    """The first value of a parameter, as a function of (key, shape, dtype).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from sonde import nn
        >>> class Eye(nn.Initializer):
        ...     def __call__(self, key, shape, dtype=jnp.float32):
        ...         return jnp.eye(*shape, dtype=dtype)
        >>> Eye()(jax.random.key(0), (2, 3))
        Array([[1., 0., 0.],
               [0., 1., 0.]], dtype=float32)
    """

    def __call__(self, key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        """Draw an array."""
        raise ArgumentError(f"{type(self).__name__} does not say what it draws")


class Constant(Initializer):
    """Every entry is ``value``. Hidden units that start equal stay equal: for biases, scales and experiments.

    Example:
        >>> import jax
        >>> from sonde import nn
        >>> nn.Constant(0.1)(jax.random.key(0), (2,))
        Array([0.1, 0.1], dtype=float32)
    """

    value: Number = 0.0

    def __call__(self, key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        """An array full of ``value``."""
        return jnp.full(shape, self.value, dtype)


class Normal(Initializer):
    """Independent draws from N(0, ``sigma``^2).

    Example:
        >>> import jax
        >>> from sonde import nn
        >>> round(float(nn.Normal(0.01)(jax.random.key(0), (1000, 100)).std()), 3)
        0.01
    """

    sigma: Number = 0.01

    def check(self) -> None:
        """Refuse a negative spread."""
        check_interval(self, "sigma", "[0, inf)")

    def __call__(self, key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        """Draw an array."""
        return (self.sigma * normal(key, shape)).astype(dtype)


class VarianceScaling(Initializer):
    """Independent draws with variance ``scale`` / fan, so that signals keep their size from layer to layer.

    Args:
        scale: 1 keeps the variance of linear and tanh units, 2 that of rectified ones.
        fan: ``"in"`` (m), ``"out"`` (n) or ``"average"`` ((m + n) / 2).
        shape: ``"uniform"`` on +-sqrt(3 scale / fan) or ``"normal"`` (not truncated).

    Source: X. Glorot and Y. Bengio (2010), ``scale=1, fan="average"``; K. He et al. (2015), ``scale=2, fan="in"``.
    Differs from Keras, whose normal variants are truncated at two standard deviations and rescaled.

    Example:
        >>> import jax
        >>> from sonde import nn
        >>> kernel = nn.he_normal(jax.random.key(0), (400, 300))
        >>> round(float(kernel.std()), 3), round((2 / 400) ** 0.5, 3)
        (0.071, 0.071)
    """

    scale: Number = 1.0
    fan: str = "average"
    distribution: str = "uniform"

    def check(self) -> None:
        """Refuse unknown fans and distributions."""
        check_interval(self, "scale", "(0, inf)")
        for name, allowed in (("fan", ("in", "out", "average")), ("distribution", ("uniform", "normal"))):
            if getattr(self, name) not in allowed:
                given = getattr(self, name)
                raise ArgumentError(f"{name} of VarianceScaling must be one of {allowed}; got {given!r}")

    def __call__(self, key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        """Draw an array."""
        if len(shape) < 2:
            raise ArgumentError(
                f"VarianceScaling needs an axis of inputs and one of outputs; got shape {shape}. Use nn.Normal"
            )
        receptive = math.prod(shape[:-2])
        fans = {"in": shape[-2], "out": shape[-1], "average": (shape[-2] + shape[-1]) / 2}
        variance = self.scale / max(1.0, receptive * fans[self.fan])
        if self.distribution == "normal":
            return (jnp.sqrt(variance) * normal(key, shape)).astype(dtype)
        return (jnp.sqrt(3 * variance) * uniform(key, shape, -1.0, 1.0)).astype(dtype)


zeros = Constant(0.0)
ones = Constant(1.0)
glorot_uniform = VarianceScaling(1.0, "average", "uniform")
glorot_normal = VarianceScaling(1.0, "average", "normal")
he_uniform = VarianceScaling(2.0, "in", "uniform")
he_normal = VarianceScaling(2.0, "in", "normal")
