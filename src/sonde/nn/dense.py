"""Dense and the layers that only change the form or the scale of what they are given."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from sonde._errors import ArgumentError, ShapeError, check_whole, is_whole, shape_of
from sonde._types import Number
from sonde.nn.activations import identity, log_softmax, meant, softmax
from sonde.nn.initializers import Initializer, glorot_uniform, zeros
from sonde.nn.layer import Layer
from sonde.nn.scope import Scope

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Shaped


class Dense(Layer):
    """y = activation(x W + b): every output depends on every input.

    Args:
        units: the number of outputs.
        activation: an elementwise function such as `relu`.
        kernel_init: what W [inputs, units] starts as.
        bias_init: what b [units] starts as, or None for no bias.

    Takes x [..., inputs] and gives [..., units]; the number of inputs is read from x.

    Differs from PyTorch: the kernel is [inputs, units], not its transpose.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde import nn
        >>> net = nn.build(nn.Dense(2, nn.sigmoid), jnp.ones((1, 3)))
        >>> {path: value.shape for path, value in net.params.items()}
        {'bias': (2,), 'kernel': (3, 2)}
    """

    padded = "steps"

    units: int
    activation: Callable = identity
    kernel_init: Initializer = glorot_uniform
    bias_init: Initializer | None = zeros

    def check(self) -> None:
        """Refuse a layer without units, and what is not a function where one belongs."""
        check_affine(self, "units")

    def __call__(self, scope: Scope, x: Shaped[Array, "*rows inputs"]) -> Float[Array, "*rows units"]:
        """activation(x W + b)."""
        return self.activation(self._affine(scope, x))

    def squared_slopes(self, scope: Scope, x: Float[Array, " rows *inputs"]) -> Float[Array, " rows"] | None:
        """sum_ij (dy_j / dx_i)^2 for each row, in closed form: sum_j a'(z_j)^2 sum_i W_ij^2, z = x W + b.

        None where the activation mixes units: `softmax`, `log_softmax`.
        """
        if self.activation in (softmax, log_softmax):
            return None
        z = self._affine(scope, x)
        _, slope = jax.jvp(self.activation, (z,), (jnp.ones_like(z),))
        into = (scope.made("kernel") ** 2).sum(0)
        return (slope**2 * jnp.broadcast_to(into, z.shape)).reshape(len(z), -1).sum(-1)

    def _affine(self, scope: Scope, x: Any) -> Any:
        """x W + b."""
        check_floats(self, x)
        if x.ndim < 2:
            raise ShapeError(f"Dense takes rows of inputs [rows, inputs], got {shape_of(x)}; one row is x[None]")
        y = x @ scope.param("kernel", (x.shape[-1], self.units), self.kernel_init)
        if self.bias_init is not None:
            y = y + jnp.broadcast_to(scope.param("bias", (self.units,), self.bias_init), y.shape)
        return y


def check_affine(layer: Any, width: str) -> None:
    """Refuse a layer without outputs, and what is not a function where one belongs."""
    kind = type(layer).__name__
    check_whole(layer, width)
    given = layer.activation
    if isinstance(given, Layer):
        raise ArgumentError(f"activation of {kind} must be a function; {given} is a layer: put it next in a Sequential")
    if isinstance(given, type) or not callable(given):
        raise ArgumentError(f"activation of {kind} must be a function such as nn.relu; got {meant(given)}")
    for name, init in (("kernel_init", layer.kernel_init), ("bias_init", layer.bias_init)):
        if name == "bias_init" and init is None:
            continue
        if isinstance(init, type) or not callable(init):
            raise ArgumentError(
                f"{name} of {kind} must be an initializer, a function of (key, shape, dtype) such as nn.he_normal; got "
                f"{shape_of(init) if hasattr(init, 'shape') else meant(init)}"
            )


def check_floats(layer: Any, x: Any) -> None:
    """Refuse whole numbers: weights times a brightness of 255 do not train."""
    remedy = {"bool": "x.astype('float32') makes 0 and 1 of them", "complex64": "give x.real and x.imag as two inputs"}
    if (kind := np.dtype(x.dtype).name) in remedy:
        raise ShapeError(f"{type(layer).__name__} takes floating-point numbers, got {shape_of(x)}; {remedy[kind]}")
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise ShapeError(
            f"{type(layer).__name__} takes floating-point numbers, got {shape_of(x)}; put nn.Scale(1 / 255) "
            "(or whatever brings the values near 1) before it"
        )


class Flatten(Layer):
    """[rows, ...] to [rows, everything else as one axis], as an image becomes a row of pixels.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde import nn
        >>> nn.build(nn.Flatten(), jnp.ones((1, 28, 28)))(jnp.ones((5, 28, 28))).shape
        (5, 784)
    """

    padded = "refused"

    def __call__(self, scope: Scope, x: Shaped[Array, " rows *rest"]) -> Shaped[Array, " rows flat"]:
        """The same numbers as rows."""
        return x.reshape(x.shape[0], -1)


class Reshape(Layer):
    """[rows, ...] to [rows, *shape]: the same numbers of each row in other axes.

    ``Reshape(28, 28, 1)`` gives grey images [rows, 28, 28] the axis of channels that `Conv` needs; one of the lengths
    may be -1: whatever is left.

    Raises:
        ShapeError: a row does not have as many numbers as the shape.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde import nn
        >>> nn.build(nn.Reshape(28, 28, 1), jnp.ones((1, 784)))(jnp.ones((5, 784))).shape
        (5, 28, 28, 1)
    """

    padded = "refused"

    axes: tuple[int, ...]

    def __init__(self, *shape: int) -> None:
        self._set(axes=shape)

    def check(self) -> None:
        """Refuse lengths that cannot be."""
        fit = all(is_whole(n, -1) and n for n in self.axes)
        if not fit or self.axes.count(-1) > 1:
            raise ArgumentError(f"Reshape takes whole numbers of at least 1, and -1 at most once; got {self.axes}")

    def __call__(self, scope: Scope, x: Shaped[Array, " rows *rest"]) -> Shaped[Array, " rows *shape"]:
        """The same numbers in other axes."""
        numbers, asked = math.prod(x.shape[1:]), math.prod(n for n in self.axes if n > 0)
        if numbers % asked if -1 in self.axes else numbers != asked:
            raise ShapeError(f"the {numbers} numbers in each row of {shape_of(x)} do not make a {self}")
        return x.reshape(x.shape[0], *self.axes)

    def __repr__(self) -> str:
        return f"Reshape({', '.join(map(str, self.axes))})"


class Scale(Layer):
    """y = x * factor + offset, as floating-point numbers: ``Scale(1 / 255)`` before a network of images.

    Images stay whole numbers (uint8) in memory and are scaled inside the program. After the last layer it
    brings predictions into the units of the target.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde import nn
        >>> nn.build(nn.Scale(1 / 255), jnp.zeros((1, 2), "uint8"))(jnp.array([[0, 255]], "uint8"))
        Array([[0., 1.]], dtype=float32)
    """

    padded = "steps"

    factor: Number = 1.0
    offset: Number = 0.0

    def __call__(self, scope: Scope, x: Shaped[Array, "*shape"]) -> Float[Array, "*shape"]:
        """x * factor + offset."""
        numbers = x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(jnp.float32)
        return numbers * self.factor + self.offset
