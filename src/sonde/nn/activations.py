"""Activations: elementwise functions with a name, so that equal networks are equal and files can hold them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from sonde._value import named

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
