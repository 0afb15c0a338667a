"""Training on a file: from any source to a network, by a few rules that are printed and can be overruled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sonde as sd
from sonde import nn
from sonde._batch import Padded
from sonde._errors import ArgumentError, FormatError, SourceError
from sonde._value import from_json
from sonde.recipes.recipe import Recipe, with_settings


class Experiment(Recipe, registered="experiment"):
    """Any data: a CSV or Parquet file, arrays, a folder of images, or a named data set.

    The defaults are a small rule. The features of the encoder, the rows of a window side by side, go through hidden
    layers: dense, each with ReLU and dropout. Before them images (uint8, scaled to 0 .. 1) go through convolutions of
    3x3 with ReLU, each followed by max-pooling that halves the sides as long as they are 4 or more. Text taken as a
    sequence (``"words"``, ``"characters"``) is embedded and read by hidden layers that are GRUs, of which the last
    gives its state after the last token. Layers with ReLU start by He's initialization. The network
    ends with an output a class, or with one number in the target's units. It is trained by Adam on softmax
    cross-entropy, or on squared error in units of the target's standard deviation, with batches of 32 rows up to
    10,000 training rows and of 128 beyond; the rate is halved when validation stands still for a third of the
    patience. The network of the best validation loss is kept.

    Args:
        source: a path, or the name of a data set (`sonde.data.load`).
        target: the column to predict; a folder of images has its sub-folders.
        task: ``"classes"``, ``"numbers"``, or ``"auto"``: classes are text, truths, and up to 20 whole numbers.
        columns: ``(name, encoding or a word for one)`` where the choice is yours.
        drop: columns to leave out.
        valid: the fraction of rows for validation.
        test: the fraction of rows for testing.
        groups: a column; rows where it is equal stay in one split.
        time: a column; the newest rows are for testing.
        split: a column that says train, valid or test.
        weight: a column that says how much a row counts.
        window: rows in a window of a series; 0: it is none.
        horizon: how many rows ahead a series is predicted.
        channels: channels of the convolutions of images; none: they go through dense layers alone.
        hidden: units of the hidden layers, dense or recurrent.
        dropout: the fraction of units dropped after each.
        rate: the learning rate.
        batch: rows in a minibatch; 0: by the rule.
        epochs: at most.
        patience: epochs without a better validation loss, after which it stops.
        network_spec: a network instead of the rule's; ``network`` in a TOML file.
        training: a plan instead of the rule's; ``plan`` in a TOML file.

    Example:
        >>> from sonde.recipes import Experiment, cook
        >>> result = cook(Experiment(source="iris", epochs=60), seed=0)
        >>> bool(result.metrics["test"]["accuracy"] > 0.8)
        True
    """

    name = "experiment"

    source: str = ""
    target: str = ""
    task: str = "auto"
    columns: tuple[tuple[str, Any], ...] = ()
    drop: tuple[str, ...] = ()
    valid: float = 0.15
    test: float = 0.15
    groups: str = ""
    time: str = ""
    split: str = ""
    weight: str = ""
    window: int = 0
    horizon: int = 1
    channels: tuple[int, ...] = (16, 32)
    hidden: tuple[int, ...] = (128, 64)
    dropout: sd.Number = 0.1
    rate: sd.Number = 2e-3
    batch: int = 0
    epochs: sd.Number = 200
    patience: sd.Number = 20
    network_spec: nn.Layer | None = None
    training: sd.Plan | None = None

    def check(self) -> None:
        """Refuse what a recipe refuses, and what is neither a network nor a plan."""
        super().check()
        for column in self.columns:
            if not isinstance(column, tuple) or len(column) != 2:
                raise ArgumentError(
                    f"columns takes a kind for each of some columns: --column NAME=KIND on the command line, "
                    f'[columns] name = "kind" in a TOML file, (("name", "kind"),) in Python; got {self.columns!r}'
                )
        for name, kind in (("network_spec", nn.Layer), ("training", sd.Plan)):
            if (given := getattr(self, name)) is not None and not isinstance(given, kind):
                raise ArgumentError(f"{name} must be a {kind.__name__}; got {given!r}")

    def data(self, seed: int) -> sd.data.Dataset:
        """The source, read, split by the seed, and encoded."""
        if not self.source:
            raise ArgumentError("an experiment needs a source: a path, or the name of a data set")
        if not Path(self.source).exists() and is_named(self.source):
            return sd.data.load(self.source, seed=seed)
        return sd.data.read(
            self.source,
            self.target or None,
            task=self.task,
            columns=dict(self.columns),
            drop=self.drop,
            valid=self.valid,
            test=self.test,
            seed=seed,
            groups=self.groups or None,
            time=self.time or None,
            split=self.split or None,
            weight=self.weight or None,
            window=sd.data.Windows(self.window, self.horizon) if self.window else None,
        )

    def network(self, data: sd.data.Dataset) -> nn.Layer:
        """The rule's network, dense or recurrent, if none is given."""
        if self.network_spec is not None:
            return self.network_spec
        x, classes = data.train["x"], classes_of(data)
        layers = self._for_sequences(data) if isinstance(x, Padded) else self._for_rows(x)
        if classes:
            return nn.Sequential(**layers, head=nn.Dense(classes))
        center, spread = units_of(data)
        outputs = 1 if data.train.y.ndim == 1 else data.train.y.shape[1]
        return nn.Sequential(**layers, head=nn.Dense(outputs), units=nn.Scale(spread, center))

    def _for_rows(self, x: Any) -> dict[str, nn.Layer]:
        layers: dict[str, nn.Layer] = {"scaled": nn.Scale(1 / 255)} if x.dtype == "uint8" else {}
        if x.dtype == "uint8" and x.ndim > 2:
            layers |= self._convolutions(x.shape[1:])
        if x.ndim > 2:
            layers["flat"] = nn.Flatten()
        for i, units in enumerate(self.hidden, 1):
            layers |= {f"hidden_{i}": nn.Dense(units, nn.relu, nn.he_normal), f"dropout_{i}": nn.Dropout(self.dropout)}
        return layers

    def _convolutions(self, shape: tuple[int, ...]) -> dict[str, nn.Layer]:
        layers: dict[str, nn.Layer] = {"gray": nn.Reshape(*shape, 1)} if len(shape) == 2 and self.channels else {}
        side = min(shape[:2])
        for i, channels in enumerate(self.channels, 1):
            layers[f"convolution_{i}"] = nn.Conv(channels, 3, activation=nn.relu, kernel_init=nn.he_normal)
            if side >= 4:
                layers[f"pooling_{i}"], side = nn.MaxPool(2), side // 2
        return layers

    def _for_sequences(self, data: sd.data.Dataset) -> dict[str, nn.Layer]:
        if not self.hidden:
            raise ArgumentError("a sequence is read by the hidden layers, so there must be one; got hidden=()")
        layers: dict[str, nn.Layer] = {"embed": nn.Embedding(tokens_of(data), self.hidden[0])}
        for i, units in enumerate(self.hidden, 1):
            layers[f"hidden_{i}"] = nn.GRU(units, last=i == len(self.hidden))
            layers[f"dropout_{i}"] = nn.Dropout(self.dropout)
        return layers

    def plan(self, data: sd.data.Dataset) -> sd.Plan:
        """The rule's plan, if none is given."""
        if self.training is not None:
            return self.training
        objective = sd.Classify() if classes_of(data) else sd.Regress(unit=units_of(data)[1])
        size = self.batch or (32 if data.train.rows <= 10_000 else 128)
        control = (sd.Patience(self.patience), sd.Plateau(0.5, epochs=max(1, int(self.patience) // 3)))
        if data.valid is None:
            control = ()
        turn = sd.Turn(objective, sd.Adam(self.rate))
        return sd.Plan(sd.Phase(turn, sd.data.Shuffled(size), epochs=self.epochs, control=control))

    def settled(self, seed: int) -> Experiment:
        """The same experiment with the rule's network and plan written out."""
        data = self.data(seed)
        return self.replace(network_spec=self.network(data), training=self.plan(data))


def is_named(source: str) -> bool:
    """Whether a data set has that name."""
    from sonde.data.named import NAMED

    return source in NAMED


def classes_of(data: sd.data.Dataset) -> int:
    """How many classes there are to tell apart; 0 if numbers are predicted."""
    if "y" not in data.train:
        columns = () if data.encoder is None else [repr(name) for name, _ in data.encoder.columns]
        which = f": target= (--target) takes {', '.join(columns)}" if columns else ""
        raise ArgumentError(f"there is no target to learn; name its column{which}")
    return data.classes if data.labels is not None or data.train.y.dtype.kind in "iu" else 0


def tokens_of(data: sd.data.Dataset) -> int:
    """How many tokens its text is made of."""
    columns = () if data.encoder is None else data.encoder.columns
    for _, encoding in columns:
        if isinstance(encoding, sd.data.Tokens):
            return encoding.count
    raise ArgumentError("the rule reads sequences of tokens only; give a network for these (network_spec)")


def units_of(data: sd.data.Dataset) -> tuple[float, float]:
    """Mean and standard deviation of the target, in its own units."""
    amount = None if data.encoder is None else data.encoder.amount
    if amount is not None:
        return amount.center, amount.spread
    return float(data.train.y.mean()), float(data.train.y.std()) or 1.0


def read_toml(path: str | Path) -> tuple[Recipe, int]:
    """The recipe and the seed in a TOML file.

    ``recipe`` names one (an `Experiment` if nothing is said), ``seed`` is its seed, and every other key is a setting
    of it. A path in ``source`` is meant as seen from the file.

    Raises:
        SourceError: there is no such file.
        FormatError: it is not TOML.
        ArgumentError: a key that is none (the nearest is offered), or a value of the wrong kind.
    """
    import tomllib

    path = Path(path)
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FormatError(f"{path} is not TOML: {error}") from None
    kind, seed = said.pop("recipe", "experiment"), said.pop("seed", 0)
    if isinstance(source := said.get("source"), str) and source and not is_named(source):
        said["source"] = str(path.parent / source)
    for name, key in (("network", "network_spec"), ("plan", "training")):
        if name in said and kind == "experiment":
            said[key] = said.pop(name)
    try:
        settings = {k: from_json(v) if _is_value(v) else _tuples(v) for k, v in said.items() if k != "columns"}
        if "columns" in said:
            if not isinstance(said["columns"], dict):
                raise ArgumentError("columns must be a table of encodings: [columns] age = \"number\"")
            settings["columns"] = tuple((k, from_json(v) if _is_value(v) else v) for k, v in said["columns"].items())
        return with_settings(kind, settings), seed
    except (FormatError, ArgumentError) as error:
        raise type(error)(f"{path}: {error}") from None


def write_toml(recipe: Recipe, seed: int) -> str:
    """What `read_toml` reads."""
    import tomli_w

    from sonde._value import to_json

    said = to_json(recipe)
    del said["is"]
    for key, name in (("network_spec", "network"), ("training", "plan")):
        if key in said:
            said[name] = said.pop(key)
    if "columns" in said:
        said["columns"] = dict(said["columns"])
    return tomli_w.dumps({"recipe": type(recipe).name, "seed": seed, **said})


def _is_value(given: Any) -> bool:
    return isinstance(given, dict) and ("is" in given or "function" in given)


def _tuples(given: Any) -> Any:
    return tuple(map(_tuples, given)) if isinstance(given, list) else given
