"""Layers that read a sequence step by step and carry a state: RNN, LSTM, GRU, and both directions at once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp

from sonde._batch import Padded
from sonde._errors import ArgumentError, ShapeError, check_interval, check_whole, shape_of
from sonde._random import derive
from sonde._types import Array, Number, Part
from sonde.nn.activations import tanh
from sonde.nn.initializers import Initializer, Orthogonal, glorot_uniform, zeros
from sonde.nn.layer import Layer
from sonde.nn.recurrence import carried, gru_back, gru_step, lstm_back, lstm_step, scanned
from sonde.nn.scope import Scope

if TYPE_CHECKING:
    from jaxtyping import Float


class RNN(Layer):
    """h_t = activation(x_t K + h_{t-1} R + b): a dense layer that is also given what it gave the step before; h_0 = 0.

    Args:
        units: the size of the state h.
        activation: a function such as `tanh`, which keeps the state bounded.
        kernel_init: what K [inputs, units] starts as.
        recurrent_init: what R [units, units] starts as.
        bias_init: what b [units] starts as.
        last: give the state after the last step only, [rows, units].
        reverse: read from the last step to the first. What is given for a step still stands at its place, so it knows
            that step and those behind it; with ``last`` it is the state after the first step.

    Takes x [rows, time, inputs] and gives [rows, time, units]. Of sequences of different lengths (`Padded`) each row
    is read up to its own length: ``last`` is the state there (0 for a row without steps), ``reverse`` begins there.

    Source: J. Elman (1990). Differs from Keras in that ``reverse`` leaves the outputs in the order of the inputs
    (Keras's go_backwards turns them round), from PyTorch in having one bias, the sum of its two.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde import nn
        >>> net = nn.build(nn.RNN(3), jnp.ones((1, 5, 2)))
        >>> {path: value.shape for path, value in net.params.items()}
        {'bias': (3,), 'kernel': (2, 3), 'recurrent_kernel': (3, 3)}
        >>> net(jnp.ones((4, 5, 2))).shape
        (4, 5, 3)
    """

    units: int
    activation: Callable = tanh
    kernel_init: Initializer = glorot_uniform
    recurrent_init: Initializer = Orthogonal()
    bias_init: Initializer = zeros
    last: bool = False
    reverse: bool = False

    def check(self) -> None:
        """Refuse a layer without units, and what is not a function where one belongs."""
        _check(self, "kernel_init", "recurrent_init", "bias_init")
        if not callable(self.activation):
            raise ArgumentError(f"activation of RNN must be a function such as nn.tanh; got {self.activation!r}")

    def __call__(self, scope: Scope, x: Float[Array, "rows time inputs"] | Padded) -> Any:
        """The states, or the last of them."""
        return _read(self, x, functools.partial(self._states, scope))

    def _states(self, scope: Scope, x: Array) -> Array:
        step = lambda state, z, a: ((self.activation(z + a),), ())
        return scanned(step, 1, *_weights(self, scope, x, 1), scope.param("bias", (self.units,), self.bias_init))


class LSTM(Layer):
    """A state s that is kept, not made anew, at each step, and gates that say how much of it to keep, take in and show.

        i, f, g, o = sigma(a_i), sigma(a_f), tanh(a_g), sigma(a_o),    a = x_t K + h_{t-1} R + b
        s_t = f * s_{t-1} + i * g
        h_t = o * tanh(s_t),    h_0 = s_0 = 0

    with sigma(a) = 1 / (1 + exp(-a)); K, R and b hold the four gates side by side in the order i, f, g, o.

    Args:
        units: the size of h and of s.
        kernel_init: what each gate's part of K [inputs, 4 units] starts as.
        recurrent_init: what each gate's part of R [units, 4 units] starts as.
        bias_init: what b [4 units] starts as.
        forget_bias: what is added to b's part for f at the start: with 1 the network begins by remembering.
        last: give h after the last step only, [rows, units].
        reverse: read from the last step to the first. What is given for a step still stands at its place, so it knows
            that step and those behind it; with ``last`` it is h after the first step.
        plain_gradient: leave the gradient to JAX: slower, but jvp, jacfwd and other forward modes work too.

    Takes x [rows, time, inputs] and gives h [rows, time, units]. Of sequences of different lengths (`Padded`) each row
    is read up to its own length: ``last`` is h there (0 for a row without steps), ``reverse`` begins there.

    Source: S. Hochreiter and J. Schmidhuber (1997), with the forget gate of F. Gers et al. (2000), whose bias of 1
    R. Jozefowicz et al. (2015) found to matter. The order of the gates is that of Keras and PyTorch. Differs from
    PyTorch in having one bias, the sum of its two, and ``forget_bias``; from Keras in that ``reverse`` leaves the
    outputs in the order of the inputs, and in drawing each gate's part by itself, as the layer that it is.

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde import nn
        >>> net = nn.build(nn.LSTM(3, last=True), jnp.ones((1, 5, 2)))
        >>> {path: value.shape for path, value in net.params.items()}
        {'bias': (12,), 'kernel': (2, 12), 'recurrent_kernel': (3, 12)}
        >>> net(jnp.ones((4, 5, 2))).shape
        (4, 3)
    """

    units: int
    kernel_init: Initializer = glorot_uniform
    recurrent_init: Initializer = Orthogonal()
    bias_init: Initializer = zeros
    forget_bias: Number = 1.0
    last: bool = False
    reverse: bool = False
    plain_gradient: bool = False

    def check(self) -> None:
        """Refuse a layer without units, and what is no initializer where one belongs."""
        _check(self, "kernel_init", "recurrent_init", "bias_init")
        check_interval(self, "forget_bias", "(-inf, inf)")

    def __call__(self, scope: Scope, x: Float[Array, "rows time inputs"] | Padded) -> Any:
        """The states h, or the last of them."""
        return _read(self, x, functools.partial(self._states, scope))

    def _states(self, scope: Scope, x: Array) -> Array:
        z, recurrent = _weights(self, scope, x, 4)
        bias = scope.param("bias", (4 * self.units,), self._first_bias)
        if self.plain_gradient:
            return scanned(lstm_step, 2, z, recurrent, bias)
        return carried(lstm_step, lstm_back, 2, z, recurrent, bias)

    def _first_bias(self, key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
        gate = jnp.arange(shape[0]) // self.units
        return self.bias_init(key, shape, dtype) + jnp.where(gate == 1, self.forget_bias, 0.0).astype(dtype)


class GRU(Layer):
    """A state h that is mixed with a new one at each step, gates saying how much of the old to keep and to look at.

        r, u = sigma(a_r + q_r), sigma(a_u + q_u),    a = x_t K + b,    q = h_{t-1} R
        n = tanh(a_n + r * (q_n + c))
        h_t = (1 - u) * n + u * h_{t-1},    h_0 = 0

    with sigma(a) = 1 / (1 + exp(-a)); K, R and b hold the parts side by side in the order r, u, n, and c is a bias of
    its own. The reset gate r works *after* the product with R, as in PyTorch (whose z is u here) and as in Keras with
    reset_after=True, its default; the first paper has it before, n = tanh(a_n + (r * h_{t-1}) R_n).

    Args:
        units: the size of the state h.
        kernel_init: what each gate's part of K [inputs, 3 units] starts as.
        recurrent_init: what each gate's part of R [units, 3 units] starts as.
        bias_init: what b [3 units] and c [units] start as.
        last: give the state after the last step only, [rows, units].
        reverse: read from the last step to the first. What is given for a step still stands at its place, so it knows
            that step and those behind it; with ``last`` it is the state after the first step.
        plain_gradient: leave the gradient to JAX: slower, but jvp, jacfwd and other forward modes work too.

    Takes x [rows, time, inputs] and gives [rows, time, units]. Of sequences of different lengths (`Padded`) each row
    is read up to its own length: ``last`` is the state there (0 for a row without steps), ``reverse`` begins there.

    Source: K. Cho et al. (2014). Differs from PyTorch in that r and u have one bias, the sum of its two (n's are b_n
    and c in both); from Keras in the order of the parts (its is u, r, n).

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde import nn
        >>> net = nn.build(nn.GRU(3), jnp.ones((1, 5, 2)))
        >>> {path: value.shape for path, value in net.params.items()}
        {'bias': (9,), 'kernel': (2, 9), 'recurrent_bias': (3,), 'recurrent_kernel': (3, 9)}
        >>> net(jnp.ones((4, 5, 2))).shape
        (4, 5, 3)
    """

    units: int
    kernel_init: Initializer = glorot_uniform
    recurrent_init: Initializer = Orthogonal()
    bias_init: Initializer = zeros
    last: bool = False
    reverse: bool = False
    plain_gradient: bool = False

    def check(self) -> None:
        """Refuse a layer without units, and what is no initializer where one belongs."""
        _check(self, "kernel_init", "recurrent_init", "bias_init")

    def __call__(self, scope: Scope, x: Float[Array, "rows time inputs"] | Padded) -> Any:
        """The states, or the last of them."""
        return _read(self, x, functools.partial(self._states, scope))

    def _states(self, scope: Scope, x: Array) -> Array:
        z, recurrent = _weights(self, scope, x, 3)
        z = z + jnp.broadcast_to(scope.param("bias", (3 * self.units,), self.bias_init), z.shape)
        c = jnp.pad(scope.param("recurrent_bias", (self.units,), self.bias_init), (2 * self.units, 0))
        if self.plain_gradient:
            return scanned(gru_step, 1, z, recurrent, c)
        return carried(gru_step, gru_back, 1, z, recurrent, c)


class Bidirectional(Layer):
    """A recurrent layer and another like it that reads the other way, their outputs side by side.

    Args:
        layer: an `RNN`, `LSTM` or `GRU`, or another layer with a field ``reverse``. The two share no weights.

    Takes what the layer takes and gives twice its units: every step knows the whole sequence. With
    ``last=True`` in the layer it is what each direction knows at its end.

    Source: M. Schuster and K. Paliwal (1997).

    Example:
        >>> import jax.numpy as jnp
        >>> from sonde import nn
        >>> net = nn.build(nn.Bidirectional(nn.GRU(3)), jnp.ones((1, 5, 2)))
        >>> net(jnp.ones((4, 5, 2))).shape
        (4, 5, 6)
        >>> sorted(net.weights("**/kernel"))
        ['backward/kernel', 'forward/kernel']
    """

    layer: Part

    def check(self) -> None:
        """Refuse what has no direction."""
        if not isinstance(self.layer, Layer) or not hasattr(self.layer, "reverse"):
            raise ArgumentError(f"Bidirectional takes a layer that can be reversed, as nn.LSTM can; got {self.layer!r}")

    def __call__(self, scope: Scope, x: Any) -> Any:
        """What both give."""
        ys = [scope(name, layer, x) for name, layer in self.named_layers()]
        if isinstance(ys[0], Padded):
            return Padded(jnp.concatenate([y.values for y in ys], -1), ys[0].lengths)
        return jnp.concatenate(ys, -1)

    def named_layers(self) -> Any:
        """The layer as it is, and turned round."""
        yield "forward", self.layer
        yield "backward", self.layer.replace(reverse=not self.layer.reverse)


# ------------------------------------------------------------------------------------ what the layers share


def _check(layer: Any, *initializers: str) -> None:
    kind = type(layer).__name__
    check_whole(layer, "units")
    for name in initializers:
        if not callable(getattr(layer, name)):
            given = getattr(layer, name)
            raise ArgumentError(f"{name} of {kind} must be an initializer such as nn.glorot_uniform; got {given!r}")


def _weights(layer: Any, scope: Scope, x: Array, gates: int) -> tuple[Array, Array]:
    """The products of all steps with K [time, rows, gates * units], and R."""

    def each(init: Initializer) -> Callable:  # every gate is a dense layer of its own, so it starts like one
        def draw(key: Array, shape: tuple[int, int], dtype: Any) -> Array:
            parts = [init(derive(key, gate), (shape[0], layer.units), dtype) for gate in range(gates)]
            return jnp.concatenate(parts, -1)

        return draw

    kernel = scope.param("kernel", (x.shape[-1], gates * layer.units), each(layer.kernel_init))
    recurrent = scope.param("recurrent_kernel", (layer.units, gates * layer.units), each(layer.recurrent_init))
    return x.swapaxes(0, 1) @ kernel, recurrent


def _read(layer: Any, x: Any, states: Callable[[Array], Array]) -> Any:
    """What a layer gives for sequences: the states [time, rows, units] of the values, in order and cut to length."""
    values, lengths = (x.values, jnp.clip(x.lengths, 0, x.shape[1])) if isinstance(x, Padded) else (x, None)
    kind = type(layer).__name__
    if values.ndim != 3 or not values.shape[1]:
        raise ShapeError(
            f"{kind} takes sequences [rows, time, inputs] of at least one step, got {shape_of(x)}; "
            "one sequence is x[None], a series of single numbers x[:, :, None]"
        )
    if not jnp.issubdtype(values.dtype, jnp.floating):
        raise ShapeError(
            f"{kind} takes floating-point numbers, got {shape_of(x)}; put nn.Embedding(count, units) before it if they "
            "are tokens, nn.Scale if they are quantities"
        )
    hs = states(_turned(values, lengths) if layer.reverse else values).swapaxes(0, 1)
    if layer.last:
        return hs[:, -1] if lengths is None else _at_end(hs, lengths)
    hs = _turned(hs, lengths) if layer.reverse else hs
    return hs if lengths is None else x.with_values(hs)


def _at_end(hs: Array, lengths: Array) -> Array:
    """The states after each row's last step, 0 where there is none."""
    found = jnp.take_along_axis(hs, jnp.maximum(lengths - 1, 0)[:, None, None], 1)[:, 0]
    return jnp.where(lengths[:, None] > 0, found, 0)


def _turned(values: Array, lengths: Array | None) -> Array:
    """Each row's steps in the opposite order; what is behind them stays where it is."""
    if lengths is None:
        return values[:, ::-1]
    at, n = jnp.arange(values.shape[1])[None], lengths[:, None]
    return jnp.take_along_axis(values, jnp.where(at < n, n - 1 - at, at)[:, :, None], 1)
