"""The objective of an autoencoder: to give back what came in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp

from sonde._batch import Batch
from sonde._errors import ArgumentError, DataError, ShapeError, shape_of
from sonde._types import Part
from sonde._value import Value
from sonde.objectives.losses import half_squared_error, mean_of
from sonde.objectives.losses.given import lies_in_domain
from sonde.objectives.objectives import Objective, method_of
from sonde.objectives.probabilities import refuse_probabilities
from sonde.objectives.steps import by_step, targets


class Reconstruct(Objective):
    """The mean of an elementwise loss of the network's output against its own input: L = sum_i w_i l(net(x_i), x_i).

    With ``noise`` it is the objective of a *denoising* autoencoder, l(net(noise(x_i)), x_i): the network sees spoiled
    inputs and is to give back the whole ones. With ``at`` one layer is the autoencoder, of what reaches it: so a stack
    of layers is trained one after the other, each on the codes of those below.

    Args:
        loss: elementwise, of (output, input): `half_squared_error` for inputs of any size, or `binary_cross_entropy`
            for inputs from 0 to 1, of which the network gives the logits.
        method: the method of the network that gives the reconstruction, in the shape of ``x``; or
        back: the method that makes it of what ``method`` gives, as ``"decode"`` does of what ``"encode"`` gives, and
            ``"reconstruct"`` of what an `nn.TiedDense` gives.
        at: the path of the layer that is meant, such as ``"hidden_2"``; its input and target are what reaches it. It
            has the methods then. Empty: the network itself.
        noise: a layer that spoils inputs, such as ``nn.MaskNoise(0.3)``, or none. It draws at validation, too, always
            the same, so that what is judged is what is minimized. How much is a number: another compiles nothing.

    Reads the columns ``x`` and ``weight`` if there is one; whole numbers in ``x`` are taken as the numbers they are.
    Metric: ``mse``, the mean squared error of the reconstruction (of the probabilities, where outputs are logits).

    Example:
        >>> import jax.numpy as jnp
        >>> import sonde as sd
        >>> from sonde import nn
        >>> from sonde.objectives import Reconstruct
        >>> code = nn.TiedDense(2, nn.identity, kernel_init=nn.ones)
        >>> tied = sd.Plan(sd.Phase(sd.Turn(Reconstruct(back="reconstruct"), sd.SGD(0.1)), sd.data.InOrder(4), steps=1))
        >>> run = sd.fit(code, sd.data.Dataset({"x": jnp.ones((4, 3))}), plan=tied, progress=False)
        >>> {path: w.shape for path, w in run.network.params.items()}
        {'bias': (2,), 'kernel': (3, 2), 'visible_bias': (3,)}

    Source: Rumelhart, Hinton and Williams (1986); with noise and cross-entropy Vincent et al. (2010), who sum over the
    entries of a row: this is the mean over them, like the other objectives, so their rate is ours divided by their
    number.
    """

    loss: Callable = half_squared_error
    method: str = "__call__"
    back: str = ""
    at: str = ""
    noise: Part = None

    def check(self) -> None:
        """Refuse noise that is no layer."""
        if self.noise is not None and not (isinstance(self.noise, Value) and callable(self.noise)):
            raise ArgumentError(f"noise of Reconstruct must be a layer such as nn.MaskNoise(0.3); got {self.noise!r}")

    def prepare(self, columns: Mapping[str, Any]) -> Objective:
        """Check the inputs: they are targets, so they lie in the loss's domain."""
        if "x" not in columns:
            raise DataError(f"Reconstruct needs inputs in a column 'x'; there is {', '.join(columns)}")
        return self.admit(columns, "train")

    def admit(self, columns: Mapping[str, Any], split: str) -> Objective:
        """Check the inputs of a split, where they are the targets themselves."""
        if self.at:
            return self
        rows = targets({"y": columns["x"]} | {k: v for k, v in columns.items() if k == "weight"})
        name = f"the column 'x' (of the {split} split)"
        lies_in_domain(getattr(self.loss, "__name__", ""), name, rows["y"], rows.get("weight"))
        return self

    def __call__(self, net: Any, batch: Batch) -> Any:
        """The mean loss, and the mean squared error."""
        layer, given = reached(net, self.at, batch.x)
        seen = given if self.noise is None else net.disturbed(self.noise, given)
        batch, output, x = by_step(batch, self._made(layer, seen), given)
        refuse_probabilities(
            layer,
            self.loss,
            lambda layer: self._made(layer, seen),
            "Leave the last activation out, as in nn.Dense(10) or nn.TiedDense(10, visible_activation=nn.identity)",
        )
        if output.shape != x.shape:
            end = f"nn.Reshape{tuple(x.shape[1:])}" if output.size == x.size else f"nn.Dense({x.shape[-1]})"
            back = "" if self.back else ', or say which method leads back, as in Reconstruct(back="reconstruct")'
            raise ShapeError(
                f"the reconstruction {shape_of(output)} and the input {shape_of(x)} differ in shape; "
                f"end the network with {end}{back}"
            )
        x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        rows = lambda each: batch.mean(each.reshape(len(batch), -1).mean(-1))
        said = mean_of(getattr(self.loss, "__name__", ""), output)
        return rows(jnp.asarray(self.loss(output, x))), {"mse": rows((said - x) ** 2)}

    def _made(self, layer: Any, x: Any) -> Any:
        """The reconstruction of x."""
        there = method_of(layer, self.method)(x)
        return method_of(layer, self.back)(there) if self.back else there


def reached(net: Any, at: str, x: Any) -> tuple[Any, Any]:
    """The layer at a path and what reaches it, or for an empty path the network and its input."""
    if not at:
        return net, x
    layer, *given = net.at(at, x)
    if len(given) != 1:
        raise ShapeError(f"{at} is given {len(given)} inputs; an autoencoder has one")
    return layer, given[0]
