"""Steps that are shortened where the loss curves along them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from sonde._types import Array, Variables
from sonde.optim.wrapped import Wrapped


class CurvatureLimit(Wrapped):
    """An optimizer whose step goes no farther than the curvature of the loss along it allows.

    To second order a step u changes the loss of its minibatch by

        loss(p - s u) - loss(p) = -s g'u + s^2 u'Hu / 2,    g: its gradient, H: its Hessian, at p

    which is least at s = g'u / u'Hu. If that is less than 1, the step is multiplied by it. With plain descent u is
    rate g, so the rate becomes min(rate, g'g / g'Hg): small where the gradient is steep because the loss is strongly
    curved, which is what an ill-conditioned loss looks like. A step along which the loss curves down (u'Hu <= 0), and
    one that momentum carries uphill (g'u <= 0), stay as they are: the limit makes steps shorter, never longer, and
    turns none around.

    Hu is the derivative of the gradient along u (B. Pearlmutter, 1994), and no Hessian is ever stored; it costs about
    two gradients more a step. On small minibatches g'u / u'Hu is as noisy as they are: it is a limit against steps that
    are far too long, not the best rate.

    Args:
        optimizer: what proposes the step.

    Source: I. Goodfellow, Y. Bengio and A. Courville, "Deep Learning" (2016), 4.3.1 and 8.2.1.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> import sonde as sd
        >>> limited, w = sd.optim.CurvatureLimit(sd.SGD(1.0)), {"w": jnp.array([1.0])}
        >>> steep = lambda p: 50 * (p["w"] ** 2).sum()      # at rate 1 a step would lead to -99
        >>> limited.update(w, jax.grad(steep)(w), limited.init(w), rate=1.0, loss=steep)[0]["w"].tolist()
        [0.0]
    """

    def update(
        self, params: Variables, gradient: Variables, memory: Any, rate: Any, loss: Callable[[Variables], Any]
    ) -> tuple[Variables, Any]:
        """The step of the optimizer inside, or as much of it as lowers the loss, to second order."""
        after, memory = super().update(params, gradient, memory, rate, loss)
        step = jax.tree.map(lambda p, q: p - q, params, after)
        _, along = jax.jvp(jax.grad(loss), (params,), (step,))  # H u
        fall, curvature = _dot(gradient, step), _dot(step, along)
        part = jnp.where((fall > 0) & (curvature > fall), fall / curvature, 1.0)
        return jax.tree.map(lambda p, u: (p - part * u).astype(p.dtype), params, step), memory


def _dot(a: Variables, b: Variables) -> Array:
    """The product of two trees as vectors, in at least 32 bits."""
    wide = lambda v: v.astype(jnp.promote_types(v.dtype, jnp.float32))
    return sum(((wide(a[path]) * wide(b[path])).sum() for path in a), jnp.zeros(()))
