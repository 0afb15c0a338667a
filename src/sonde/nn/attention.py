"""Attention: every step looks at all steps of a sequence, or of another one, and takes from those that suit it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
from jax import lax

from sonde._batch import Padded
from sonde._errors import ArgumentError, ShapeError, check_whole, shape_of
from sonde._types import Array
from sonde.nn.dense import Dense
from sonde.nn.initializers import Initializer, glorot_uniform, zeros
from sonde.nn.layer import Layer
from sonde.nn.scope import Scope

if TYPE_CHECKING:
    from jaxtyping import Bool, Float


class Attention(Layer):
    """Each step t of x gets a mean of what the steps s of a context offer, weighed by how well they suit it.

        a_ts = softmax over s of (q_t . k_s) / sqrt(d)
        y_t = sum_s a_ts v_s

    with the queries q = x W_q + b_q, the keys k = c W_k + b_k and the values v = c W_v + b_v of the context c; they are
    cut into ``heads`` parts of d = units / heads, each part does this by itself, and the joined parts go through a last
    dense layer. The four dense layers are its children ``query``, ``key``, ``value`` and ``out``.

    Args:
        heads: how many parts, which may look at different steps.
        units: the size of queries, keys, values and outputs, a multiple of ``heads``; None: that of x.
        causal: a step sees itself and the steps before it only. For a sequence that looks at itself.
        kernel_init: what W of each of the four starts as.
        bias_init: what b of each starts as, or None for no biases.

    Called as ``(x)`` or ``(x, context)``: x [rows, time, channels], context [rows, steps, others]; gives [rows, time,
    units]. Of sequences of different lengths (`Padded`) only real steps are seen; a step that has none to see, because
    its context is empty, gets 0. Attention knows no order: turn the steps round and the outputs turn round with them.
    Where order matters, add something of the position to x.

    The weights a [rows, heads, time, steps] are shown to whoever looks: ``network.bind().outputs()`` has them as
    ``weights`` below the layer's path.

    Source: A. Vaswani et al. (2017). Differs from Keras, whose ``key_dim`` is d, not the sum over the heads.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde import nn
        >>> net = nn.build(nn.Attention(heads=2), jnp.ones((1, 5, 4)))
        >>> net(jnp.ones((3, 5, 4))).shape
        (3, 5, 4)
        >>> sorted(net.weights("**kernel"))
        ['key/kernel', 'out/kernel', 'query/kernel', 'value/kernel']
    """

    heads: int
    units: int | None = None
    causal: bool = False
    kernel_init: Initializer = glorot_uniform
    bias_init: Initializer | None = zeros

    def check(self) -> None:
        """Refuse counts that are none, and units that the heads cannot share."""
        check_whole(self, "heads")
        if self.units is None:
            return
        check_whole(self, "units")
        if self.units % self.heads:
            raise ArgumentError(f"units of Attention must be a multiple of its {self.heads} heads; got {self.units}")

    def __call__(
        self,
        scope: Scope,
        x: Float[Array, "rows time channels"] | Padded,
        context: Float[Array, "rows steps others"] | Padded | None = None,
    ) -> Any:
        """What each step of x takes from the context, or from x itself."""
        itself = context is None
        context = x if context is None else context
        units = self._fitting(x, context, itself)
        each = lambda name, given: self._parts(_values(scope(name, self._dense(units), given)))
        q, k, v = each("query", x), each("key", context), each("value", context)
        seen = self._seen(x, context)
        a = weights(q, k, seen)
        scope.tap("weights", a)
        y = jnp.einsum("nhts,nshd->nthd", a.astype(v.dtype), v)
        y = scope("out", self._dense(units), y.reshape(*x.shape[:2], units))
        y = jnp.where(seen.any((1, 3))[:, :, None], y, 0)
        return x.with_values(y) if isinstance(x, Padded) else y

    def _dense(self, units: int) -> Dense:
        return Dense(units, kernel_init=self.kernel_init, bias_init=self.bias_init)

    def _parts(self, values: Array) -> Array:
        """[rows, time, units] as [rows, time, heads, d]."""
        return values.reshape(*values.shape[:2], self.heads, -1)

    def _seen(self, x: Any, context: Any) -> Bool[Array, "rows 1 time steps"]:
        """Which steps of the context each step of x may look at."""
        shape = (x.shape[0], 1, x.shape[1], context.shape[1])
        seen = jnp.ones(shape, bool)
        if isinstance(context, Padded):
            seen = seen & jnp.broadcast_to(context.real[:, None, None], shape)
        if self.causal:
            seen = seen & jnp.broadcast_to(jnp.tri(*shape[2:], dtype=bool)[None, None], shape)
        return seen

    def _fitting(self, x: Any, context: Any, itself: bool) -> int:
        """The number of units, if the inputs fit each other and the layer."""
        if len(x.shape) != 3 or len(context.shape) != 3 or x.shape[0] != context.shape[0]:
            given = shape_of(x) if itself else f"{shape_of(x)} and {shape_of(context)}"
            raise ShapeError(
                f"Attention takes sequences [rows, time, channels], and a context of as many rows; got {given}. "
                "One sequence is x[None]"
            )
        if self.causal and not itself:
            raise ArgumentError(
                "Attention with causal=True is for a sequence that looks at itself, since the steps of another one "
                "have no place before or behind its own; leave the context or causal out"
            )
        units = self.units or x.shape[-1]
        if units % self.heads:
            raise ShapeError(
                f"Attention shares {units} channels among {self.heads} heads, which leaves a rest; "
                f"give it units, a multiple of {self.heads}, or another number of heads"
            )
        return units


def weights(
    queries: Float[Array, "rows time heads d"],
    keys: Float[Array, "rows steps heads d"],
    seen: Bool[Array, "rows 1 time steps"],
) -> Float[Array, "rows heads time steps"]:
    """softmax(q . k / sqrt(d)) over the steps that are seen, in float32 at least; all 0 where none is."""
    scores = jnp.einsum("nthd,nshd->nhts", queries, keys) / math.sqrt(queries.shape[-1])
    scores = scores.astype(jnp.promote_types(scores.dtype, jnp.float32))
    seen = jnp.broadcast_to(seen, scores.shape)
    scores = jnp.where(seen, scores, jnp.finfo(scores.dtype).min)  # not -inf: the gradient would be NaN
    shares = jnp.where(seen, jnp.exp(scores - lax.stop_gradient(scores.max(-1, keepdims=True))), 0)
    total = shares.sum(-1, keepdims=True)
    return shares / jnp.where(total > 0, total, 1)


def _values(x: Any) -> Array:
    return x.values if isinstance(x, Padded) else x
