"""Activations: elementwise functions with a name, so that equal networks are equal and files can hold them.

One that has numbers of its own is a value, `Activation`; one that learns them is a layer, `PReLU`.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from sonde._errors import ArgumentError, check_interval
from sonde._types import Number
from sonde._value import FUNCTIONS, Value, named

if TYPE_CHECKING:
    from jaxtyping import Array, Float


@named
def identity(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """x itself: a linear unit.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde import nn
        >>> nn.identity(jnp.array([-1.0, 2.0]))
        Array([-1.,  2.], dtype=float32)
    """
    return x


@named
def relu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """max(0, x), with derivative 0 at 0 (V. Nair and G. Hinton, 2010).

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde import nn
        >>> nn.relu(jnp.array([-1.0, 0.0, 2.0]))
        Array([0., 0., 2.], dtype=float32)
    """
    return jax.nn.relu(x)


@named
def elu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """x where x > 0, else exp(x) - 1 (D.-A. Clevert et al., 2015).

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde import nn
        >>> nn.elu(jnp.array([-1.0, 0.0, 2.0])).round(3)
        Array([-0.632,  0.   ,  2.   ], dtype=float32)
    """
    return jax.nn.elu(x)


@named
def sigmoid(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """1 / (1 + exp(-x)), between 0 and 1.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde import nn
        >>> nn.sigmoid(jnp.array([-100.0, 0.0, 100.0])).round(3)
        Array([0. , 0.5, 1. ], dtype=float32)
    """
    return jax.nn.sigmoid(x)


@named
def tanh(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The hyperbolic tangent, between -1 and 1.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde import nn
        >>> nn.tanh(jnp.array([-100.0, 0.0, 100.0])).round(3)
        Array([-1.,  0.,  1.], dtype=float32)
    """
    return jnp.tanh(x)


@named
def softmax(x: Float[Array, "*rows classes"]) -> Float[Array, "*rows classes"]:
    """exp(x_k) / sum_j exp(x_j) over the last axis, shifted by the maximum so that nothing overflows.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde import nn
        >>> nn.softmax(jnp.array([[0.0, 0.0], [1e4, 0.0]]))
        Array([[0.5, 0.5],
               [1. , 0. ]], dtype=float32)
    """
    return jax.nn.softmax(x)


@named
def softplus(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """log(1 + exp(x)), a smooth rectifier.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde import nn
        >>> nn.softplus(jnp.array([-100.0, 0.0])).round(3)
        Array([0.   , 0.693], dtype=float32)
    """
    return jax.nn.softplus(x)


@named
def log_softmax(x: Float[Array, "*rows classes"]) -> Float[Array, "*rows classes"]:
    """log of `softmax`: x_k - log sum_j exp(x_j) over the last axis, finite where a probability is not.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde import nn
        >>> nn.log_softmax(jnp.array([[1000.0, 0.0]]))
        Array([[    0., -1000.]], dtype=float32)
    """
    return jax.nn.log_softmax(x)


@named
def leaky_relu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """x where x > 0, else 0.01 x: a unit that is off still has a slope (A. Maas et al., 2013).

    For another slope there is `LeakyReLU`, for a learned one `PReLU`. Differs from Keras, where it is 0.2 or 0.3.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde import nn
        >>> nn.leaky_relu(jnp.array([-1.0, 0.0, 2.0]))
        Array([-0.01,  0.  ,  2.  ], dtype=float32)
    """
    return LeakyReLU()(x)


@named
def selu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """1.0507 elu(x), with 1.6733 for the slope below 0: signals drift to mean 0 and variance 1 by themselves.

    y = scale * (x where x > 0, else alpha (exp(x) - 1)), scale = 1.0507..., alpha = 1.6732... It needs
    `lecun_normal` kernels (G. Klambauer et al., 2017).

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde import nn
        >>> nn.selu(jnp.array([-1.0, 0.0, 1.0])).round(2)
        Array([-1.11,  0.  ,  1.05], dtype=float32)
    """
    return jax.nn.selu(x)


@named
def gelu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """x F(x), F the distribution function of N(0, 1): a smooth rectifier (D. Hendrycks and K. Gimpel, 2016).

    Exact, as in PyTorch and Keras; `jax.nn.gelu` approximates it by a tanh.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde import nn
        >>> nn.gelu(jnp.array([-2.0, 0.0, 1.0])).round(3)
        Array([-0.046,  0.   ,  0.841], dtype=float32)
    """
    return jax.nn.gelu(x, approximate=False)


@named
def silu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """x sigmoid(x), also called swish: a smooth rectifier (S. Elfwing et al., 2017).

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde import nn
        >>> nn.silu(jnp.array([-2.0, 0.0, 1.0])).round(3)
        Array([-0.238,  0.   ,  0.731], dtype=float32)
    """
    return jax.nn.silu(x)


@named
def softsign(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """x / (1 + |x|), between -1 and 1: like tanh, with wide tails and no exponential.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde import nn
        >>> nn.softsign(jnp.array([-1.0, 0.0, 3.0]))
        Array([-0.5 ,  0.  ,  0.75], dtype=float32)
    """
    return jax.nn.soft_sign(x)


@named
def arctan(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The angle whose tangent is x, between -pi/2 and pi/2: like tanh, with wide tails.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde import nn
        >>> nn.arctan(jnp.array([-1.0, 0.0, 1.0])).round(3)
        Array([-0.785,  0.   ,  0.785], dtype=float32)
    """
    return jnp.arctan(x)


@named
def sqnl(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """x - x |x| / 4 between -2 and 2, and -1 or 1 beyond: a tanh made of parabolas (A. Wuraola and N. Patel, 2018).

    The square nonlinearity: no exponential, so it is cheap where those are dear.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde import nn
        >>> nn.sqnl(jnp.array([-3.0, -1.0, 0.0, 1.0]))
        Array([-1.  , -0.75,  0.  ,  0.75], dtype=float32)
    """
    c = x.clip(-2, 2)
    return c - c * abs(c) / 4


def meant(given: object) -> str:
    """What came where a function belongs, for a message, with what was probably meant."""
    if isinstance(given, type):
        return f"the class {given.__name__}: did you forget ()?"
    if not isinstance(given, str):
        return repr(given)
    known = {name for name, function in FUNCTIONS.items() if function.__module__ == __name__}
    close = [given] if given in known else difflib.get_close_matches(given, known, n=1)
    return repr(given) + (f"; write nn.{close[0]}, without quotes" if close else "")


class Activation(Value):
    """An activation with numbers of its own: a value that is a function of x.

    Example:
        >>> import jax.numpy as jnp
        >>> import sonde as sd
        >>> from sonde import nn
        >>> class Capped(nn.Activation):
        ...     top: sd.Number = 6.0
        ...     def __call__(self, x):
        ...         return x.clip(0, self.top)
        >>> nn.build(nn.Sequential(Capped(2.0)), jnp.ones((1, 2)))(jnp.array([[-1.0, 5.0]]))
        Array([[0., 2.]], dtype=float32)
    """

    def __call__(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """The activation of x."""
        raise ArgumentError(f"{type(self).__name__} does not say what it computes")


class LeakyReLU(Activation):
    """x where x > 0, else slope x (A. Maas et al., 2013).

    Args:
        slope: at least 0; 0 is `relu`, 1 is `identity`.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde import nn
        >>> nn.LeakyReLU(0.2)(jnp.array([-1.0, 0.0, 2.0]))
        Array([-0.2,  0. ,  2. ], dtype=float32)
    """

    slope: Number = 0.01

    def check(self) -> None:
        """Refuse a slope below 0."""
        check_interval(self, "slope", "[0, inf)")

    def __call__(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """x where x > 0, else slope x."""
        return jnp.where(x > 0, x, self.slope * x)
