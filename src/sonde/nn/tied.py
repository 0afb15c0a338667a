"""A dense layer that runs both ways: the half of an autoencoder that can become a layer of a classifier."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import jax.numpy as jnp

from sonde._errors import ShapeError, shape_of
from sonde.nn.activations import sigmoid
from sonde.nn.dense import Dense
from sonde.nn.scope import Scope

if TYPE_CHECKING:
    from jaxtyping import Array, Float


class TiedDense(Dense):
    """h = activation(x W + b), and back: x' = visible_activation(h W^T + c) with the same kernel W.

    Called, it is a `Dense` layer. ``reconstruct`` takes what that gave back to the inputs, with a visible bias c of
    its own that no other method uses, so a classifier built of pretrained layers does not have it.

    Args:
        units: the number of hidden units.
        activation: of both directions; `sigmoid` for inputs between 0 and 1.
        kernel_init: what W [inputs, units] starts as.
        bias_init: what b [units] and c [inputs] start as, or None for none.
        visible_activation: of the way back, where it is another one: `identity` for inputs of any size, and where a
            loss takes logits (`binary_cross_entropy`).

    Source: P. Vincent et al. (2010), for tied weights in (denoising) autoencoders.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde import nn
        >>> class Autoencoder(nn.Layer):
        ...     code: nn.TiedDense
        ...     def __call__(self, scope, x):
        ...         return scope("code", self.code.reconstruct, scope("code", self.code, x))
        >>> net = nn.build(Autoencoder(nn.TiedDense(2)), jnp.ones((1, 5)))
        >>> {path: value.shape for path, value in net.params.items()}
        {'code/bias': (2,), 'code/kernel': (5, 2), 'code/visible_bias': (5,)}
    """

    activation: Callable = sigmoid
    visible_activation: Callable | None = None

    def reconstruct(self, scope: Scope, h: Float[Array, "*rows units"]) -> Float[Array, "*rows inputs"]:
        """visible_activation(h W^T + c); W is there once the layer was called."""
        kernel = scope.made("kernel")
        if h.shape[-1] != kernel.shape[1]:
            raise ShapeError(f"reconstruct takes hidden units [rows, {kernel.shape[1]}]; got {shape_of(h)}")
        x = h @ kernel.T
        if self.bias_init is not None:
            x = x + jnp.broadcast_to(scope.param("visible_bias", x.shape[-1:], self.bias_init), x.shape)
        return (self.visible_activation or self.activation)(x)
