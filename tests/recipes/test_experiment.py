"""Any data in: a file, by a rule, by a TOML file, by the command line; the same bits, and the same raw rows later."""

import numpy as np
import polars as pl
import pytest
from PIL import Image

import sonde as sd
from sonde import nn
from sonde._errors import ArgumentError, DataError, FormatError, SourceError
from sonde.cli import main
from sonde.recipes import Digits, Experiment, cook, read_toml, write_toml


@pytest.fixture
def houses(tmp_path, rng):
    """A file of houses: numbers with holes, a word, a date, an identity, and a price that follows from them."""
    n = 600
    size, kind = rng.uniform(30, 200, n), rng.choice(["house", "flat"], n)
    price = 2000 * size + 90_000 * (kind == "house") + rng.normal(0, 5000, n)
    days = np.datetime64("2020-01-01") + rng.integers(0, 900, n)
    frame = pl.DataFrame({"id": np.arange(n), "size": size, "kind": kind, "sold": days, "price": price})
    frame = frame.with_columns(size=pl.when(pl.arange(0, n) % 50 == 0).then(None).otherwise(pl.col("size")))
    frame.write_csv(tmp_path / "houses.csv")
    return tmp_path / "houses.csv"


SHORT = {"epochs": 40, "hidden": (32,), "dropout": 0.0, "rate": 1e-2}


def command(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    return ended.value.code


def test_a_csv_becomes_a_network_that_takes_the_same_raw_rows_later(houses, tmp_path, capsys):
    result = cook(Experiment(source=str(houses), target="price", **SHORT), out=tmp_path / "run")
    assert result.metrics["test"]["r2"] > 0.8
    network = sd.load(tmp_path / "run/network.safetensors")
    raw = pl.read_csv(houses)
    predicted = network.predict(raw.drop("price", "id"))
    assert predicted.shape == (600,) and abs(predicted - raw["price"].to_numpy()).mean() < 20_000
    np.testing.assert_array_equal(predicted, network.predict(houses))
    whole = network.score(houses)
    assert whole["r2"].value > 0.8 and whole["rmse"].value < 60_000  # in the price's own units
    assert "column 'id' is left out" in " ".join(result.runs[0].data.notes)
    with pytest.raises(DataError, match="needs the column 'size'"):
        network.predict(raw.drop("size"))
    with pytest.raises(DataError, match="no column 'price' to score by"):
        network.score(raw.drop("price"))


def test_labels_shuffled_there_is_nothing_to_learn(houses, tmp_path, rng):
    frame = pl.read_csv(houses)
    frame.with_columns(price=frame["price"].to_numpy()[rng.permutation(600)]).write_csv(tmp_path / "odd.csv")
    result = cook(Experiment(source=str(tmp_path / "odd.csv"), target="price", **SHORT))
    assert result.metrics["test"]["r2"] < 0.2


def test_python_toml_and_the_command_line_give_the_same_bits(houses, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    python = Experiment(source=str(houses), target="price", drop=("sold",), columns=(("size", "robust"),), **SHORT)
    cook(python, 3, "python", pictures=False)
    (tmp_path / "job.toml").write_text(
        'source = "houses.csv"\ntarget = "price"\nseed = 3\ndrop = ["sold"]\nepochs = 40\nhidden = [32]\n'
        'dropout = 0.0\nrate = 1e-2\n[columns]\nsize = "robust"\n'
    )
    words = ["--drop", "sold", "--column", "size=robust", "--set", "epochs=40", "--set", "hidden=32"]
    words += ["--set", "dropout=0", "--set", "rate=1e-2", "--seed", "3", "--no-pictures"]
    assert command("train", "job.toml", "--out", "toml", "--no-pictures") == 0
    assert command("train", houses, "--target", "price", *words, "--out", "line") == 0
    capsys.readouterr()
    assert command("train", houses, "--target", "price", *words, "--write-toml") == 0
    written = capsys.readouterr().out
    (tmp_path / "written.toml").write_text(written)
    assert "[network]" in written and "[plan]" in written
    assert command("train", "written.toml", "--out", "written", "--no-pictures") == 0
    ways = ("python", "toml", "line", "written")
    one, *others = ((tmp_path / way / "network.safetensors").read_bytes() for way in ways)
    assert all(other == one for other in others)


def test_any_recipe_goes_through_toml(tmp_path):
    for recipe in (Digits(hidden=64), Experiment(source="iris").settled(0)):
        (tmp_path / "job.toml").write_text(write_toml(recipe, 5))
        assert read_toml(tmp_path / "job.toml") == (recipe, 5)


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("epohcs = 3", ArgumentError, "no setting 'epohcs'; did you mean 'epochs'"),
        ('recipe = "digts"', ArgumentError, "did you mean 'digits'"),
        ("epochs = 'many'", ArgumentError, "epochs must be like 200; got 'many'"),
        ("hidden = 3", ArgumentError, "hidden must be like 128,64; got 3"),
        ("columns = 3", ArgumentError, "columns must be a table"),
        ('[network]\nis = "Sequental"', FormatError, "did you mean 'Sequential'"),
        ('[network]\nis = "Dense"\nunit = 3', FormatError, "no field 'unit'; did you mean 'units'"),
        ('[network]\nis = "Adam"', ArgumentError, "network_spec must be a Layer"),
        ("a = [", FormatError, "is not TOML"),
    ],
)
def test_mistakes_in_a_toml_file_name_the_file_and_the_nearest_key(tmp_path, text, error, said):
    (tmp_path / "job.toml").write_text(text)
    with pytest.raises(error, match=said) as raised:
        read_toml(tmp_path / "job.toml")
    assert str(tmp_path / "job.toml") in str(raised.value)
    with pytest.raises(SourceError, match="cannot read"):
        read_toml(tmp_path / "gone.toml")


def test_a_folder_of_images_becomes_a_network(tmp_path, rng, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for i in range(120):
        kind = ("dark", "light")[i % 2]
        (tmp_path / "photos" / kind).mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 120, (9, 7, 3)) + 100 * (i % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "photos" / kind / f"{i}.png")
    assert command("train", "photos", "--set", "epochs=100", "--no-pictures") == 0
    assert "test accuracy" in capsys.readouterr().out
    network = "runs/photos/network.safetensors"
    assert command("predict", network, "photos/dark/0.png") == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "image,prediction,probability dark,probability light"
    assert said[1].startswith("photos/dark/0.png,dark,")
    assert command("evaluate", network, "photos") == 0
    assert "accuracy: 100" in capsys.readouterr().out
    assert command("inspect", network) == 0
    assert "image: image, 9 x 7 x 3" in capsys.readouterr().out


def test_a_series_is_predicted_ahead(tmp_path):
    t = np.arange(800)
    pl.DataFrame({"wave": np.sin(t / 5) * 10 + 50}).write_csv(tmp_path / "wave.csv")
    job = Experiment(source=str(tmp_path / "wave.csv"), target="wave", window=12, horizon=3, **SHORT)
    result = cook(job, out=tmp_path / "run", pictures=False)
    assert result.metrics["test"]["r2"] > 0.95
    train, valid, test = (result.runs[0].data.splits[s].rows for s in ("train", "valid", "test"))
    assert train + valid + test == 800 - 3 * (12 + 3 - 1)  # no window straddles two splits
    network = sd.load(tmp_path / "run/network.safetensors")
    last = network.predict({"wave": np.sin(t[-12:] / 5) * 10 + 50})
    assert last.shape == (1,) and abs(last[0] - (np.sin(802 / 5) * 10 + 50)) < 3


def test_text_as_a_sequence_is_told_apart_by_its_order(tmp_path, rng, seed):
    """Whether "first" stands before "second": a bag of words cannot know."""
    others = ["apple", "berry", "cedar", "dune", "elm"]
    words = [["first", "second", *rng.choice(others, rng.integers(0, 6))] for _ in range(600)]
    words = [rng.permutation(row).tolist() for row in words]
    order = ["yes" if row.index("first") < row.index("second") else "no" for row in words]
    pl.DataFrame({"text": [" ".join(row) for row in words], "order": order}).write_csv(tmp_path / "text.csv")
    job = Experiment(source=str(tmp_path / "text.csv"), target="order", **SHORT | {"epochs": 15})
    as_words = job.replace(columns=(("text", "words"),))
    result = cook(as_words, seed, tmp_path / "run", pictures=False)
    assert result.metrics["test"]["accuracy"] > 0.9
    assert cook(job.replace(columns=(("text", "text"),)), seed).metrics["test"]["accuracy"] < 0.75
    network = sd.load(tmp_path / "run/network.safetensors")
    raw = {"text": ["second apple first", "first elm elm second", "dune first second"]}
    assert network.predict(raw).tolist() == ["no", "yes", "yes"]


def test_the_rule(houses, tmp_path, rng):
    job = Experiment(source=str(houses), target="kind")
    data = job.data(0)
    assert isinstance(job.plan(data).phases[0].turns[0].objective, sd.Classify)
    assert job.network(data) == nn.Sequential(
        hidden_1=nn.Dense(128, nn.relu, nn.he_normal), dropout_1=nn.Dropout(0.1),
        hidden_2=nn.Dense(64, nn.relu, nn.he_normal), dropout_2=nn.Dropout(0.1), head=nn.Dense(2),
    )  # fmt: skip
    assert job.plan(data).phases[0].batch == sd.data.Shuffled(32)
    big = sd.data.Dataset({"x": np.zeros((10_001, 2)), "y": np.arange(10_001) % 2})
    assert job.plan(big).phases[0].batch == sd.data.Shuffled(128)
    only = {"source": str(houses), "target": "price"}
    tokens = Experiment(**only, columns=(("kind", "characters"),), drop=("size", "sold"))
    read = tokens.data(0)
    spread, center = read.encoder.amount.spread, read.encoder.amount.center
    assert tokens.network(read) == nn.Sequential(
        embed=nn.Embedding(len(set("houseflat")) + 2, 128), hidden_1=nn.GRU(128), dropout_1=nn.Dropout(0.1),
        hidden_2=nn.GRU(64, last=True), dropout_2=nn.Dropout(0.1), head=nn.Dense(1), units=nn.Scale(spread, center),
    )  # fmt: skip
    with pytest.raises(ArgumentError, match=r"read by the hidden layers.*got hidden=\(\)"):
        tokens.replace(hidden=()).network(read)
    with pytest.raises(ArgumentError, match="the rule reads sequences of tokens only; give a network"):
        tokens.network(sd.data.Dataset({"x": read.train.x, "y": read.train.y}))
    with pytest.raises(ArgumentError, match=r"no target to learn; .*: target= \(--target\) takes 'size', .*'price'"):
        nothing = Experiment(source=str(houses))
        nothing.network(nothing.data(0))
    with pytest.raises(ArgumentError, match="needs a source"):
        Experiment().data(0)


def test_images_go_through_convolutions_as_long_as_their_sides_allow_it(rng):
    def kinds(*shape, **settings):
        x = rng.integers(0, 256, (60, *shape)).astype(np.uint8)
        data = sd.data.Dataset({"x": x, "y": np.arange(60) % 3}, {"x": x, "y": np.arange(60) % 3})
        network = Experiment(hidden=(8,), **settings).network(data)
        assert nn.build(network, x[:2])(x[:5]).shape == (5, 3)
        return [type(layer).__name__ for layer in network.layers]

    dense = ["Flatten", "Dense", "Dropout", "Dense"]
    assert kinds(28, 28) == ["Scale", "Reshape", "Conv", "MaxPool", "Conv", "MaxPool", *dense]
    assert kinds(7, 9, 3) == ["Scale", "Conv", "MaxPool", "Conv", *dense]  # 3 x 4 is not halved
    assert kinds(28, 28, channels=()) == ["Scale", *dense]


def test_what_tells_two_kinds_of_images_apart_may_be_anywhere(rng):
    bars, y = rng.integers(0, 80, (400, 16, 16)).astype(np.uint8), rng.integers(0, 2, 400)
    for image, lying in zip(bars, y, strict=True):  # a short bright bar, upright or lying
        r, c = rng.integers(0, 12, 2)
        image[(slice(r, r + 1), slice(c, c + 4)) if lying else (slice(r, r + 4), slice(c, c + 1))] = 255
    data = sd.data.Dataset({"x": bars[:300], "y": y[:300]}, {"x": bars[300:], "y": y[300:]})

    def accuracy(**settings):
        rule = Experiment(hidden=(16,), epochs=12, **settings)
        return sd.fit(rule.network(data), data, plan=rule.plan(data)).evaluate("valid")["accuracy"].value

    assert accuracy(channels=(8, 8)) > 0.95 and accuracy(channels=()) < 0.8
