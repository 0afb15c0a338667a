"""Reduced stacks of denoising autoencoders reach what a stack without its first phases, or without labels, misses."""

import jax.numpy as jnp
import numpy as np
import pytest

import sonde as sd
from sonde import nn
from sonde.recipes import Sda, SdaStudy, cook

REDUCED = Sda(hidden=(100, 50), corruption=(0.1, 0.2), pretrain_epochs=6, rows=2000, batch=50)


def few(recipe, seed, valid=1000):
    """Its data with fewer rows to validate, and none to test."""
    data = recipe.data(seed)
    return sd.data.Dataset(data.train, {k: v[:valid] for k, v in data.valid.items()}, labels=data.labels)


def fitted(recipe, data, seed, phases=()):
    """A run of a recipe, or of other phases of it."""
    plan = sd.Plan(tuple(phases)) if phases else recipe.plan(data)
    return sd.fit(recipe.network(data), data, plan=plan, seed=seed, progress=False)


def test_a_plan_has_a_phase_a_layer_in_which_the_layers_below_rest_and_then_one_of_the_whole():
    recipe = Sda()
    phases = recipe.plan(None).phases
    corruption = [float(phase.turns[0].objective.noise.rate) for phase in phases[:-1]]
    assert corruption == [0.1, 0.2, 0.3] and [phase.epochs for phase in phases] == [15, 15, 15, recipe.epochs]
    assert len(Sda(hidden=(500, 500), corruption=(0.1, 0.1)).plan(None).phases) == 3  # the usual sizes of that model
    assert len(recipe.replace(pretrain_epochs=0).plan(None).phases) == 1
    rows = {"x": np.zeros((100, 28, 28), np.uint8), "y": np.arange(100) % 10}
    data = sd.data.Dataset(rows, rows, labels=tuple("0123456789"))
    run = fitted(recipe.replace(hidden=(6, 5), corruption=(0.1, 0.2), pretrain_epochs=1, epochs=1), data, 0)
    names = ("bias", "kernel")
    for i, record in enumerate(run.records[:-1], start=1):
        assert record.trained == tuple(f"hidden_{i}/{name}" for name in (*names, "visible_bias"))
    layers = ("head", "hidden_1", "hidden_2")
    assert run.records[-1].trained == tuple(f"{layer}/{name}" for layer in layers for name in names)


@pytest.mark.usefixtures("mnist_is_there")
def test_a_stack_tells_digits_apart_and_not_with_shuffled_labels_or_without_steps(seed, rng):
    recipe = REDUCED.replace(epochs=8, pretrain_epochs=2)
    data = few(recipe, seed)
    accuracy = lambda recipe, data: fitted(recipe, data, seed).evaluate("valid")["accuracy"].value
    assert accuracy(recipe, data) > 0.85
    mixed = sd.data.Dataset({**data.train, "y": rng.permutation(data.train.y)}, data.valid, labels=data.labels)
    assert accuracy(recipe, mixed) < 0.5
    assert accuracy(recipe.replace(rate=0.0), data) < 0.5


@pytest.mark.usefixtures("mnist_is_there")
def test_pretraining_helps_where_labels_are_few_and_does_not_without_steps(seed, tmp_path):
    settings = {name: getattr(REDUCED, name) for name in ("hidden", "corruption", "pretrain_rate", "rows", "batch")}
    study = SdaStudy(**settings, labels=(100,), repeats=2, pretrain_epochs=15, least=200, random_rate=0.3)
    ratio = "times the errors of a random start, 100 labels"
    result = cook(study, seed, tmp_path / "study", progress=False)
    assert result.metrics["measured"][ratio] < 0.92
    for name in ("filters.png", "labels.png"):
        assert (tmp_path / "study" / name).stat().st_size > 10_000
    again = cook(study, seed, tmp_path / "study", progress=False, pictures=True)  # all is there already
    assert again.metrics == result.metrics
    broken = cook(study.replace(pretrain_rate=0.0), seed, progress=False)
    assert not broken.targets[1]["met"]
    assert broken.metrics["measured"][ratio] > result.metrics["measured"][ratio]


@pytest.mark.usefixtures("mnist_is_there")
def test_a_pretrained_layer_gives_back_what_was_spoiled_and_one_at_random_does_not(seed):
    recipe = REDUCED.replace(corruption=(0.4, 0.2))
    data = few(recipe, seed, 500)
    run = fitted(recipe, data, seed, recipe.pretraining()[:1])

    def error(network):
        layer, x = network.at("hidden_1", jnp.asarray(data.valid.x))
        spoiled = x * np.random.default_rng(seed).binomial(1, 0.6, x.shape).astype(np.float32)
        back = nn.sigmoid(layer.reconstruct(layer(spoiled)))
        return float(((back - x) ** 2).mean() / ((spoiled - x) ** 2).mean())

    start = run.network.replace(params={k: v * 0 + 0.01 for k, v in run.network.params.items()})
    assert error(run.network) < 0.7 < 1 < error(start)
