"""An artifact: one file that predicts again anywhere, and is byte-identical for identical runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sonde._batch import Padded
from sonde._errors import ArgumentError, DataError, FormatError, ShapeError, SondeError, nearest, shape_of
from sonde._html import table
from sonde._store import read_arrays, write_arrays
from sonde._value import from_json, to_json
from sonde.data import Encoder, table_of
from sonde.data.mapping import pieces
from sonde.nn import Layer, Network, default_names, softmax
from sonde.nn.summary import layers
from sonde.objectives.losses import MEANS, mean_of
from sonde.objectives.measures import logits_of
from sonde.objectives.metrics import Score, classification_metrics, regression_metrics

KIND = "network"

PREDICTS = {"classes": "classes", "numbers": "numbers", "": "nothing by itself (it is no predictor)"}
"""What a network can predict, and how that is said."""


@dataclasses.dataclass(frozen=True, eq=False)
class Artifact:
    """A trained network with what is needed to use it on raw rows.

    Attributes:
        network: spec and variables.
        inputs: what a row looks like: ``{"shape": [8, 8], "dtype": "float32", "low": 0.0, "high": 16.0}``.
        predicts: ``"classes"``, ``"numbers"``, or ``""`` for a network that is no predictor.
        labels: names of the classes, or None.
        method: the method of the network that predicts.
        encoder: what makes the network's input of raw columns, or None: then it takes arrays.
        loss: the name of the loss whose logits it gives, such as ``"poisson"``, where numbers are predicted by way of
            such; else "".
    """

    network: Network
    inputs: dict[str, Any]
    predicts: str = ""
    labels: tuple[str, ...] | None = None
    method: str = "__call__"
    encoder: Encoder | None = None
    loss: str = ""

    def __post_init__(self) -> None:
        spec, method = self.network.spec, self.method
        if not isinstance(spec, Layer):
            raise ArgumentError(f"the spec of a network is a layer such as nn.Dense(10); got {spec!r}")
        if (method.startswith("_") and method != "__call__") or not callable(getattr(spec, method, None)):
            raise ArgumentError(f"{type(spec).__name__} has no method {method!r} to predict with")
        if self.predicts not in PREDICTS:
            raise ArgumentError(f"predicts must be one of {', '.join(map(repr, PREDICTS))}; got {self.predicts!r}")
        if missing := {"shape", "dtype", "low", "high"} - self.inputs.keys():
            raise ArgumentError(f"inputs lacks {', '.join(sorted(missing))}; it describes a row of the raw input")
        if np.dtype(self.inputs["dtype"]).kind not in "fiub":
            raise ArgumentError(f"a network takes numbers; got inputs of {self.inputs['dtype']!r}")
        if not all(isinstance(n, int) and n >= 0 for n in self.inputs["shape"]):
            raise ArgumentError(f"the shape of a row is whole numbers; got {self.inputs['shape']!r}")
        if self.labels is not None:
            object.__setattr__(self, "labels", tuple(map(str, self.labels)))
        if self.loss and self.loss not in MEANS:
            raise ArgumentError(f"loss must be one that takes logits, {', '.join(MEANS)}; got {self.loss!r}")
        if self.encoder is not None and not isinstance(self.encoder, Encoder):
            raise ArgumentError(f"encoder must be a data.Encoder; got {self.encoder!r}")

    def encoded(self, raw: Any) -> Any:
        """Raw rows as the network takes them: through the encoder, if there is one.

        Args:
            raw: with an encoder, what `sonde.data.table_of` takes (a path, a frame, columns or rows by name); else
                an array [rows, ...], or sequences as `Padded`.

        Raises:
            DataError: a column is missing, or is not of the kind that the encoder was fitted for.
        """
        if self.encoder is None:
            return raw if isinstance(raw, Padded) else np.asarray(raw)
        columns = self.encoder.inputs(raw)
        if "x" not in columns:
            raise ArgumentError(f"the network takes the columns {', '.join(columns)}; call artifact.network itself")
        return columns["x"]

    def score(self, raw: Any) -> dict[str, Score]:
        """Metrics by name on raw rows that have a target: those of `Run.evaluate`, with standard errors.

        Args:
            raw: what `sonde.data.table_of` takes: the columns that the encoder was fitted on, target included; of a
                network without an encoder, the columns ``x`` and ``y``.

        Raises:
            DataError: the target is not among the columns.
        """
        sequences = isinstance(raw, Mapping) and any(isinstance(column, Padded) for column in raw.values())
        table: Any = raw if sequences else table_of(raw)
        if self.encoder is None:
            if missing := {"x", "y"} - table.keys():
                raise DataError(f"to score the network, columns 'x' and 'y' are needed; there is no {min(missing)!r}")
            columns, weight = table, table.get("weight")
        else:
            columns, weight = self.encoder.encode(table), None
            if "y" not in columns:
                names = [name for name, _ in self.encoder.target]
                if not names:
                    raise ArgumentError("the network was trained without a target, so there is nothing to score by")
                raise DataError(f"there is no column {names[0]!r} to score by{nearest(names[0], table)}")
        return self.metrics(self.outputs(columns["x"]), columns["y"], weight)

    def metrics(self, outputs: Any, y: Any, weight: Any = None) -> dict[str, Score]:
        """Metrics by name of outputs (see `outputs`) against targets; none if it is no predictor.

        Of targets for each step of a sequence, all real steps are rows. Their errors are those of as many rows as
        there are sequences, since steps of one sequence may be alike.
        """
        if isinstance(y, Padded):
            weight = None if weight is None else np.repeat(weight, y.lengths)
            scores = self.metrics(_steps_of(outputs), y.steps, weight)
            wider = float(np.sqrt(len(y.steps) / len(y)))
            return {k: s._replace(error=None if s.error is None else wider * s.error) for k, s in scores.items()}
        if self.predicts == "classes":
            return classification_metrics(self.shares(outputs), y, weight)
        if self.predicts == "numbers":
            return regression_metrics(self.said(outputs).reshape(y.shape), y, weight)
        return {}

    def outputs(self, x: Any) -> Any:
        """What the network gives for rows ``x`` [rows, ...] as it takes them (see `encoded`): logits or numbers.

        Of a network that answers for each step of a sequence they are `Padded`, and so is what is made of them.

        Raises:
            ShapeError: the rows are not like those it was trained on.
            DataError: the rows hold NaN or infinite values.
        """
        if self.inputs.get("padded"):
            if not isinstance(x, Padded):
                raise ShapeError(f"the network takes sequences, Padded(values, lengths); got {type(x).__name__}")
            values = self._checked(np.asarray(x.values))
            return self.network.in_batches(Padded(values, np.asarray(x.lengths)), self.method)
        parts = pieces(np.asarray(x))  # of what lies on the disk a piece at a time is in memory
        return np.concatenate([self.network.in_batches(self._checked(part), self.method) for part in parts])

    def _checked(self, x: np.ndarray) -> np.ndarray:
        """The rows as the network takes them; rows unlike those it was trained on are refused."""
        shape, dtype = tuple(self.inputs["shape"]), np.dtype(self.inputs["dtype"])
        if x.dtype.kind not in "fiub":
            raise DataError(f"the network takes numbers; got an array of {x.dtype}")
        if x.shape[1:] != shape or x.ndim == 0:
            whole = f"[{', '.join(['rows', *map(str, shape)])}]"
            hint = " One row is x[None]." if x.shape == shape else ""
            raise ShapeError(f"the network takes an array {whole}; got {shape_of(x)}.{hint}")
        if not len(x):
            raise DataError("there are no rows to predict")
        least, most = x.min(), x.max()  # NaN if one is
        if not (np.isfinite(least) and np.isfinite(most)):
            bad = ~np.isfinite(x).reshape(len(x), -1).all(1)
            raise DataError(f"the rows hold NaN or infinite values, the first in row {int(bad.argmax())}")
        if dtype.kind in "iu" and x.dtype.kind == "f" and not (x == np.round(x)).all():
            raise DataError(
                f"the network was trained on whole numbers ({dtype}, from {self.inputs['low']:g} to "
                f"{self.inputs['high']:g}); got fractions. Give it the values as they were, not scaled"
            )
        if dtype.kind == "b" and x.dtype.kind != "b" and not ((x == 0) | (x == 1)).all():
            raise DataError("the network was trained on true and false; got other values than 0 and 1")
        if dtype.kind in "iuf":
            limit = np.iinfo(dtype) if dtype.kind in "iu" else np.finfo(dtype)
            if least < limit.min or most > limit.max:
                raise DataError(f"the network takes {dtype} values; got values from {least:g} to {most:g}")
        return x.astype(dtype, copy=False)

    def doubt(self, x: Any) -> str:
        """What is odd about rows that can be predicted for but look scaled differently; "" if nothing is."""
        low, high = self.inputs["low"], self.inputs["high"]
        least, most = float(np.min(x)), float(np.max(x))
        wide, usual = max(abs(least), abs(most)), max(abs(low), abs(high))
        if usual / 10 < wide < usual * 10 or wide == usual:
            return ""
        return (
            f"the values are from {least:g} to {most:g}, those it was trained on from {low:g} to {high:g}; "
            "are they scaled as they were then?"
        )

    def probabilities(self, x: Any) -> Any:
        """The probability of each class [rows, classes] for raw rows (see `encoded`).

        Raises:
            ArgumentError: the network does not predict classes.
        """
        return self.shares(self.outputs(self.encoded(x)))

    def predict(self, x: Any) -> Any:
        """The label of the likeliest class (its name, if classes have names), or the number, for raw rows.

        Of a series there is a prediction for each row from the first that ends a whole window on.
        """
        return self.said(self.outputs(self.encoded(x)))

    def shares(self, outputs: Any) -> Any:
        """The probability of each class [rows, classes] that outputs stand for (see `outputs`)."""
        if self.predicts != "classes":
            raise ArgumentError("this network does not predict classes, so it has no probabilities")
        if isinstance(outputs, Padded):
            return _of_steps(self.shares, outputs)
        return np.asarray(softmax(logits_of(jnp.asarray(outputs))))

    def said(self, outputs: Any) -> Any:
        """The labels or numbers that outputs stand for (see `outputs`)."""
        if isinstance(outputs, Padded):
            return _of_steps(self.said, outputs)
        if self.predicts == "classes":
            best = np.asarray(logits_of(np.asarray(outputs))).argmax(-1)
            return best if self.labels is None else np.asarray(self.labels)[best]
        outputs = np.asarray(mean_of(self.loss, outputs))
        return outputs[:, 0] if outputs.ndim == 2 and outputs.shape[1] == 1 else outputs

    def save(self, path: str | Path) -> Path:
        """Write it into one file (safetensors with a header in JSON), whole or not at all."""
        arrays = {f"params/{p}": np.asarray(v) for p, v in self.network.params.items()}
        arrays |= {f"state/{p}": np.asarray(v) for p, v in self.network.state.items() if not p.startswith("@")}
        header = {
            "spec": to_json(self.network.spec),
            "inputs": self.inputs,
            "predicts": self.predicts,
            "labels": None if self.labels is None else list(self.labels),
            "method": self.method,
            "encoder": None if self.encoder is None else to_json(self.encoder),
        }
        header |= {"loss": self.loss} if self.loss else {}
        write_arrays(path, arrays, header, KIND)
        return Path(path)

    def describe(self) -> str:
        """What the file holds, for people."""
        example = jnp.zeros((1, *self.inputs["shape"]), self.inputs["dtype"])
        example = Padded(example, jnp.ones(1, jnp.int32)) if self.inputs.get("padded") else example
        shape, dtype, low, high = (self.inputs[name] for name in ("shape", "dtype", "low", "high"))
        lines = [
            f"takes     rows {shape or 'of one number'} of {dtype} from {low:g} to {high:g}",
            f"predicts  {PREDICTS[self.predicts]}" + (f": {', '.join(self.labels)}" if self.labels else ""),
            "",
            self.network.summary(example) if self.method == "__call__" else self.network.summary(),
        ]
        if self.encoder is not None:
            lines[:1] = ["takes     raw rows with these columns:", self.encoder.describe()]
        if names := list(default_names(self.network.spec)):
            lines += ["", names_note(names)]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """For notebooks: what it predicts and takes, and its layers."""
        row = f"{self.inputs['dtype']}{self.inputs['shape']}" if self.encoder is None else "raw columns, as below"
        facts = [("predicts", PREDICTS[self.predicts]), ("a row", row)]
        facts += [("labels", ", ".join(self.labels))] if self.labels else []
        like = jax.ShapeDtypeStruct((1, *self.inputs["shape"]), np.dtype(self.inputs["dtype"]))
        shown = () if self.inputs.get("padded") or self.method != "__call__" else (like,)
        header, *rows = layers(self.network, *shown)
        takes = "" if self.encoder is None else table(("column", "taken as"), self.encoder.lines())
        return table(("", ""), facts) + takes + table(header, rows)

    def __repr__(self) -> str:
        return f"Artifact({self.network!r}, predicts={self.predicts!r})"


def _of_steps(function: Callable, outputs: Padded) -> Padded:
    """What a function of rows makes of the steps of sequences; filling is 0, or an empty name."""
    values = np.asarray(outputs.values)
    made = function(values.reshape(-1, *values.shape[2:]))
    made = made.reshape(*values.shape[:2], *made.shape[1:])
    real = np.asarray(outputs.real).reshape(*values.shape[:2], *[1] * (made.ndim - 2))
    return Padded(np.where(real, made, np.zeros((), made.dtype)), np.asarray(outputs.lengths))


def _steps_of(outputs: Any) -> np.ndarray:
    """The answers for the real steps, one after the other."""
    if not isinstance(outputs, Padded):
        raise ShapeError(
            f"there is a target for each step of a sequence, but the network gives {shape_of(outputs)}, one answer of "
            "each sequence"
        )
    return outputs.steps


def names_note(names: list[str]) -> str:
    """What to know of layers with default names, where names must last."""
    return (
        f"default names: {', '.join(names)}. They change when a layer is inserted before them; name the layers that "
        "will be frozen, transferred or resumed, as in nn.Sequential(hidden=nn.Dense(300))"
    )


def load(path: str | Path) -> Artifact:
    """An artifact from its file. Opening one never runs code that is in it.

    Raises:
        SourceError: there is no such file.
        FormatError: it is truncated, altered, made by another program, or by a newer Sonde.

    Example:
        >>> import numpy as np, tempfile, sonde as sd
        >>> net = sd.nn.build(sd.nn.Sequential(head=sd.nn.Dense(3)), np.ones((1, 4), "float32"))
        >>> inputs = {"shape": [4], "dtype": "float32", "low": 0.0, "high": 1.0}
        >>> file = tempfile.mkdtemp() + "/net.safetensors"
        >>> _ = sd.Artifact(net, inputs, "classes", labels=("a", "b", "c")).save(file)
        >>> sd.load(file).predict(np.zeros((2, 4)))
        array(['a', 'a'], dtype='<U1')
    """
    arrays, header = read_arrays(path, KIND)
    try:
        parts = {"params": {}, "state": {}}
        for name, value in arrays.items():
            part, _, below = name.partition("/")
            parts[part][below] = jnp.asarray(value)
        network = Network(from_json(header["spec"]), **parts)
        encoder = None if header.get("encoder") is None else from_json(header["encoder"])
        told = {name: header[name] for name in ("inputs", "predicts", "labels", "method")}
        return Artifact(network, **told, encoder=encoder, loss=header.get("loss", ""))
    except SondeError as error:
        raise FormatError(f"{path}: {error}") from None
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise FormatError(f"{path} is not laid out as a network is ({type(error).__name__}: {error})") from None
