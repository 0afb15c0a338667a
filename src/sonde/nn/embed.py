"""Embedding: a vector for each of a number of tokens, and the way back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from sonde._errors import ArgumentError, ShapeError, check_whole, shape_of
from sonde.nn.initializers import Initializer, Normal
from sonde.nn.layer import Layer
from sonde.nn.scope import Scope

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Shaped


class Embedding(Layer):
    """y = E[x]: a row of the kernel E for each token x, which is what a dense layer makes of its one-hot code.

    Args:
        count: how many tokens there are; x holds whole numbers from 0 to count - 1.
        units: the size of a token's vector.
        kernel_init: what E [count, units] starts as. The default has entries of variance 1, as the layers behind
            expect of their inputs; where `logits` is used, ``nn.Normal(units ** -0.5)`` keeps those of size 1.

    Takes whole numbers of any shape [rows, ...] and gives [rows, ..., units]. A token outside 0 .. count - 1 gives NaN,
    not the vector of another; outside of compiled code it is an error. Of sequences of different lengths (`Padded`)
    the filling gives 0, whatever it is.

    Differs from Keras and PyTorch in that no token stands for filling (``mask_zero``, ``padding_idx``): sequences have
    their lengths.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde import nn
        >>> tokens = jnp.array([[3, 0, 3]])
        >>> net = nn.build(nn.Embedding(count=5, units=2), tokens)
        >>> net(tokens).shape, bool((net(tokens)[0, 0] == net.params["kernel"][3]).all())
        ((1, 3, 2), True)
    """

    padded = "steps"

    count: int
    units: int
    kernel_init: Initializer = Normal(1.0)

    def check(self) -> None:
        """Refuse counts that are none, and what is no initializer."""
        for name in ("count", "units"):
            check_whole(self, name)
        if not callable(self.kernel_init):
            raise ArgumentError(
                f"kernel_init of Embedding must be an initializer such as nn.Normal(1.0); got {self.kernel_init!r}"
            )

    def __call__(self, scope: Scope, x: Shaped[Array, "*shape"]) -> Float[Array, "*shape units"]:
        """E[x]."""
        x = jnp.asarray(x)
        if not jnp.issubdtype(x.dtype, jnp.integer):
            raise ShapeError(
                f"Embedding takes tokens, whole numbers from 0 to {self.count - 1}; got {shape_of(x)}. "
                "Quantities go to nn.Dense"
            )
        x = x if x.dtype.itemsize >= 4 else x.astype(jnp.int32)  # uint8 could not even hold the count
        known = (x >= 0) & (x < self.count)
        if not isinstance(known, Tracer) and not known.all():
            first = int(np.asarray(x)[~np.asarray(known)][0])
            raise ArgumentError(
                f"Embedding has {self.count} tokens, 0 to {self.count - 1}; got {first}. Give it a larger count, or "
                "encode the data with the vocabulary that it was built for"
            )
        rows = self._kernel(scope)[jnp.clip(x, 0, self.count - 1)]
        return jnp.where(known[..., None], rows, jnp.nan)

    def logits(self, scope: Scope, x: Float[Array, "*rows units"]) -> Float[Array, "*rows count"]:
        """x E^T: how well each token's vector suits x, a score a token (tied weights).

        In a layer of your own: ``scope("embed", self.embed.logits, h)``, under the name that the embedding has there.

        Source: O. Press and L. Wolf (2017).
        """
        if x.shape[-1] != self.units:
            raise ShapeError(f"logits of Embedding takes vectors of its {self.units} units; got {shape_of(x)}")
        return x @ self._kernel(scope).T

    def _kernel(self, scope: Scope) -> Array:
        return scope.param("kernel", (self.count, self.units), self.kernel_init)
