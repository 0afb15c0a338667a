"""The objective of an autoencoder: to give back what came in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp

from sonde._batch import Batch
from sonde._errors import DataError, ShapeError, shape_of
from sonde.objectives.losses import half_squared_error, mean_of
from sonde.objectives.losses.given import lies_in_domain
from sonde.objectives.objectives import Objective, method_of
from sonde.objectives.probabilities import refuse_probabilities
from sonde.objectives.steps import by_step, targets


class Reconstruct(Objective):
    """The mean of an elementwise loss of the network's output against its own input: L = sum_i w_i l(net(x_i), x_i).

    Args:
        loss: elementwise, of (output, input): `half_squared_error` for inputs of any size, or `binary_cross_entropy`
            for inputs from 0 to 1, of which the network gives the logits.
        method: the method of the network that gives the reconstruction, in the shape of ``x``; or
        back: the method that makes it of what ``method`` gives, as ``"decode"`` does of what ``"encode"`` gives, and
            ``"reconstruct"`` of what an `nn.TiedDense` gives.

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

    Source: Rumelhart, Hinton and Williams (1986); with cross-entropy Vincent et al. (2010), who sum over the entries
    of a row: this is the mean over them, like the other objectives, so their rate is ours divided by their number.
    """

    loss: Callable = half_squared_error
    method: str = "__call__"
    back: str = ""

    def prepare(self, columns: Mapping[str, Any]) -> Objective:
        """Check the inputs: they are targets, so they lie in the loss's domain."""
        if "x" not in columns:
            raise DataError(f"Reconstruct needs inputs in a column 'x'; there is {', '.join(columns)}")
        return self.admit(columns, "train")

    def admit(self, columns: Mapping[str, Any], split: str) -> Objective:
        """Check the inputs of a split."""
        rows = targets({"y": columns["x"]} | {k: v for k, v in columns.items() if k == "weight"})
        name = f"the column 'x' (of the {split} split)"
        lies_in_domain(getattr(self.loss, "__name__", ""), name, rows["y"], rows.get("weight"))
        return self

    def __call__(self, net: Any, batch: Batch) -> Any:
        """The mean loss, and the mean squared error."""
        given = batch.x
        batch, output, x = by_step(batch, self._made(net, given), given)
        refuse_probabilities(
            net,
            self.loss,
            lambda net: self._made(net, given),
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

    def _made(self, net: Any, x: Any) -> Any:
        """The reconstruction of x."""
        there = method_of(net, self.method)(x)
        return method_of(net, self.back)(there) if self.back else there
