"""Initializers: values that are functions ``(key, shape, dtype) -> array``.

For a kernel of shape (..., in, out) the *fans* are m = in * receptive and n = out * receptive, where
*receptive* is the product of the axes before the last two.
"""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp

from sonde._errors import ArgumentError, check_interval, check_whole
from sonde._random import derive, normal, uniform
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


class Uniform(Initializer):
    """Independent draws, equally likely anywhere from ``low`` to ``high``.

    Example:
        >>> import jax
        >>> from sonde import nn
        >>> kernel = nn.Uniform(-1, 1)(jax.random.key(0), (1000, 100))
        >>> [round(float(v), 2) for v in (kernel.min(), kernel.mean(), kernel.max())]
        [-1.0, 0.0, 1.0]
    """

    low: Number = -1.0
    high: Number = 1.0

    def check(self) -> None:
        """Refuse an interval that holds nothing."""
        check_interval(self, "low", "(-inf, inf)")
        check_interval(self, "high", "(-inf, inf)")
        if isinstance(self.low, int | float) and isinstance(self.high, int | float) and not self.low < self.high:
            raise ArgumentError(f"low of Uniform must be below high; got {self.low!r} and {self.high!r}")

    def __call__(self, key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        """Draw an array."""
        return uniform(key, shape, self.low, self.high).astype(dtype)


class VarianceScaling(Initializer):
    """Independent draws with variance ``scale`` / fan, so that signals keep their size from layer to layer.

    Args:
        scale: 1 keeps the variance of linear and tanh units, 2 that of rectified ones.
        fan: ``"in"`` (m), ``"out"`` (n) or ``"average"`` ((m + n) / 2).
        shape: ``"uniform"`` on +-sqrt(3 scale / fan) or ``"normal"`` (not truncated).

    Source: X. Glorot and Y. Bengio (2010), ``scale=1, fan="average"``; K. He et al. (2015), ``scale=2, fan="in"``;
    Y. LeCun et al. (1998), ``scale=1, fan="in"``. `fan_in_uniform`, on +-1/sqrt(m), is a third of that variance.
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
        _check_kernel(self, shape)
        receptive = math.prod(shape[:-2])
        fans = {"in": shape[-2], "out": shape[-1], "average": (shape[-2] + shape[-1]) / 2}
        variance = self.scale / max(1.0, receptive * fans[self.fan])
        if self.distribution == "normal":
            return (jnp.sqrt(variance) * normal(key, shape)).astype(dtype)
        return (jnp.sqrt(3 * variance) * uniform(key, shape, -1.0, 1.0)).astype(dtype)


class Sparse(Initializer):
    """``nonzero`` incoming weights of each unit from N(0, ``sigma``^2), chosen at random; all others are 0.

    A unit's input then has a size that does not depend on how many inputs there are, and units differ more. Signals
    keep their size for ``sigma = sqrt(1 / nonzero)`` in linear units and ``sqrt(2 / nonzero)`` in rectified ones.

    Args:
        nonzero: how many weights of each unit (each index of the last axis) are not 0.
        sigma: the standard deviation of those.

    Source: J. Martens (2010), with 15 and 1.

    Example:
        >>> import jax
        >>> from sonde import nn
        >>> kernel = nn.Sparse(15)(jax.random.key(0), (784, 300))
        >>> set(((kernel != 0).sum(0)).tolist())
        {15}
    """

    nonzero: int = 15
    sigma: Number = 1.0

    def check(self) -> None:
        """Refuse units without any input, and no spread."""
        check_whole(self, "nonzero")
        check_interval(self, "sigma", "(0, inf)")

    def __call__(self, key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        """Draw an array."""
        _check_kernel(self, shape)
        flat = (math.prod(shape[:-1]), shape[-1])
        if flat[0] < self.nonzero:
            raise ArgumentError(
                f"Sparse({self.nonzero}) needs at least {self.nonzero} inputs a unit; "
                f"a kernel {list(shape)} has {flat[0]}. Give this layer another initializer"
            )
        place = uniform(derive(key, 0), flat).argsort(0).argsort(0)  # in each column, 0 .. inputs - 1 in random order
        weights = self.sigma * normal(derive(key, 1), flat)
        return jnp.where(place < self.nonzero, weights, 0).reshape(shape).astype(dtype)


class Orthogonal(Initializer):
    """``gain`` times a random matrix with orthonormal columns (or rows, if there are fewer of those).

    Products of such matrices neither grow nor shrink any vector, however many layers there are. A kernel with
    more axes is seen as [inputs of a unit, units]. Use ``gain=sqrt(2)`` before `relu`.

    The matrix is Q of a QR decomposition (what Gram and Schmidt make of the columns of a normal matrix), with
    signs such that R has a positive diagonal: only then is every orthogonal matrix equally likely.

    Source: A. Saxe et al. (2014); F. Mezzadri (2007) for the signs.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from sonde import nn
        >>> q = nn.Orthogonal()(jax.random.key(0), (5, 3))
        >>> bool(jnp.allclose(q.T @ q, jnp.eye(3), atol=1e-6))
        True
    """

    gain: Number = 1.0

    def check(self) -> None:
        """Refuse a gain of 0."""
        check_interval(self, "gain", "(0, inf)")

    def __call__(self, key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        """Draw an array."""
        _check_kernel(self, shape)
        m, n = math.prod(shape[:-1]), shape[-1]
        q, r = jnp.linalg.qr(normal(key, (max(m, n), min(m, n))))
        q = q * jnp.where(jnp.diagonal(r) < 0, -1.0, 1.0)[None]
        return (self.gain * (q if m >= n else q.T)).reshape(shape).astype(dtype)


class Identity(Initializer):
    """``gain`` times the identity: a layer that starts by handing its inputs on.

    A kernel [..., in, out] is ``gain`` where the input's number is the output's, at the center of the axes before;
    what has no partner is 0. For layers that ought to change little at first, and recurrent ones.

    Source: Q. Le et al. (2015) for recurrent networks of rectified units.

    Example:
        >>> import jax
        >>> from sonde import nn
        >>> nn.Identity(0.5)(jax.random.key(0), (2, 3))
        Array([[0.5, 0. , 0. ],
               [0. , 0.5, 0. ]], dtype=float32)
    """

    gain: Number = 1.0

    def check(self) -> None:
        """Refuse a gain that is no number."""
        check_interval(self, "gain", "(-inf, inf)")

    def __call__(self, key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        """The array; nothing is drawn."""
        _check_kernel(self, shape)
        center = tuple((size - 1) // 2 for size in shape[:-2])
        eye = self.gain * jnp.eye(shape[-2], shape[-1])
        return jnp.zeros(shape).at[center].set(eye).astype(dtype)


def _check_kernel(init: Initializer, shape: tuple[int, ...]) -> None:
    if len(shape) < 2:
        raise ArgumentError(
            f"{type(init).__name__} needs an axis of inputs and one of outputs; got shape {shape}. "
            "Use nn.Normal or nn.Constant"
        )


zeros = Constant(0.0)
ones = Constant(1.0)
glorot_uniform = VarianceScaling(1.0, "average", "uniform")
glorot_normal = VarianceScaling(1.0, "average", "normal")
he_uniform = VarianceScaling(2.0, "in", "uniform")
he_normal = VarianceScaling(2.0, "in", "normal")
lecun_uniform = VarianceScaling(1.0, "in", "uniform")
lecun_normal = VarianceScaling(1.0, "in", "normal")
fan_in_uniform = VarianceScaling(1 / 3, "in", "uniform")
