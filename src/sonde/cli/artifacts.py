"""The commands that use a network that was saved: predict, evaluate, inspect."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np

from sonde._batch import Padded
from sonde._errors import DataError
from sonde._store import write_atomically
from sonde.artifact import Artifact, load
from sonde.cli.terminal import ENDED, note, say
from sonde.data import table_of
from sonde.data.tables import Table, is_picture
from sonde.objectives.metrics import Score


def predict(artifact: Path, input: Path, /, *, out: Path | None = None) -> int:
    """Predict for raw rows, and score the predictions if the rows say what is right.

    Parameters
    ----------
    artifact
        A network that Sonde saved (network.safetensors).
    input
        Rows as the network was trained on: a CSV or Parquet file, a NumPy file, an image or a folder of images.
        Sequences of different lengths are a .npz file with x [rows, longest, ...] and lengths [rows].
    out
        A CSV file for the predictions; without it they go to standard output.
    """
    network, raw = load(artifact), table_of(input)
    rows = network.encoded(raw if network.encoder is not None else _only_array(raw, input, network))
    header, lines = _predictions(network, raw, rows)
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([header, *lines])
    if network.encoder is None and (doubt := network.doubt(getattr(rows, "steps", rows))):
        note(doubt)
    _note_odd(network, raw)
    if out is None:
        say(text.getvalue(), end="")
    else:
        write_atomically(out, text.getvalue().encode())
        say(f"{len(lines):,} predictions in {out}")
    if network.encoder is not None and network.encoder.has_target(raw):
        note(_scores(network.score(raw)), title="")
    return ENDED


def evaluate(artifact: Path, data: Path, /) -> int:
    """Score a network on raw rows that say what is right: every metric with its standard error.

    Parameters
    ----------
    artifact
        A network that Sonde saved (network.safetensors).
    data
        Rows as the network was trained on, target included.
    """
    network, raw = load(artifact), table_of(data)
    scores = network.score(raw)
    _note_odd(network, raw)
    say(_scores(scores))
    return ENDED


def inspect(artifact: Path, /) -> int:
    """Show what is in an artifact; nothing in it is ever executed.

    Parameters
    ----------
    artifact
        A network that Sonde saved (network.safetensors).
    """
    say(load(artifact).describe())
    return ENDED


def _only_array(table: Table, path: Path, network: Artifact) -> Any:
    """The array of a file that holds one, or its ``x``; with its ``lengths`` where the network takes sequences."""
    if network.inputs.get("padded"):
        if "x" not in table or "lengths" not in table:
            raise DataError(
                f"the network takes sequences of different lengths: give it a .npz file with x [rows, longest, ...] "
                f"and lengths [rows]; {path} holds {', '.join(table)}"
            )
        return Padded(table["x"], table["lengths"])
    if "x" in table:
        return table["x"]
    if len(table) == 1:
        return next(iter(table.values()))
    raise DataError(f"{path} holds the columns {', '.join(table)}; the network takes an array: call it x")


def _predictions(network: Artifact, raw: Table, rows: Any) -> tuple[list[str], list[list[Any]]]:
    """The header of a table of predictions, and its lines: which row, what is predicted, and how probable it is."""
    outputs = network.outputs(rows)
    predicted = network.said(outputs)
    files = [(name, raw[name]) for name in raw if network.encoder is not None and is_picture(raw[name][0])]
    which, lead = [name for name, _ in files], list(zip(*(values for _, values in files), strict=True))
    if isinstance(predicted, Padded):  # an answer for each step of a sequence
        which, lead = ["sequence", "step"], np.argwhere(np.asarray(predicted.real)).tolist()
        predicted, outputs = predicted.steps, outputs.steps
    if network.predicts == "classes":
        probabilities = network.shares(outputs)
        names = network.labels or [str(i) for i in range(probabilities.shape[1])]
        said = ["prediction", *(f"probability {name}" for name in names)]
        lines = [[p, *(f"{q:.6g}" for q in row)] for p, row in zip(predicted, probabilities, strict=True)]
    else:
        columns = predicted.reshape(len(predicted), -1)
        several = columns.shape[1] != 1
        said = [f"prediction {i + 1}" for i in range(columns.shape[1])] if several else ["prediction"]
        lines = [[f"{np.float32(v):.9g}" for v in row] for row in columns]
    return [*which, *said], [[*first, *line] for first, line in zip(lead or [()] * len(lines), lines, strict=True)]


def _note_odd(network: Artifact, raw: Table) -> None:
    """Say what rows have that no training row had."""
    for line in network.encoder.odd(raw) if network.encoder is not None else ():
        note(f"look: {line}")


def _scores(metrics: dict[str, Score]) -> str:
    return "\n".join(f"{name.replace('_', ' ')}: {score}" for name, score in metrics.items())
