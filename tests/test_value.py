"""Values: equal by value, trees of their numbers, JSON by name, copied and pickled without loss."""

import copy
import inspect
import json
import pickle
import string

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sonde as sd
from sonde import nn
from sonde._errors import ArgumentError, FormatError
from sonde._value import FUNCTIONS, KINDS, Value, from_json, named, to_json
from sonde.nn.scope import Frame, Scope
from sonde.objectives import losses

# ---------------------------------------------------------------------- any value of any kind

rates = st.floats(1e-6, 0.99)
counts = st.integers(1, 10_000)
words = st.text(string.ascii_lowercase, min_size=1, max_size=8)
names = st.lists(words, max_size=3).map(tuple)
watched = st.sampled_from(["valid/loss", "train/loss", "valid/error"])
sides = st.sampled_from(["", "smallest", "largest"])
patterns = words | st.lists(words, min_size=1, max_size=3).map(tuple)
activations = st.sampled_from([nn.identity, nn.relu, nn.elu, nn.sigmoid, nn.tanh, nn.softmax, nn.softplus]) | st.builds(
    nn.LeakyReLU, rates
)
initializers = st.one_of(
    st.builds(nn.Constant, st.floats(-3, 3)),
    st.builds(nn.Normal, rates),
    st.builds(
        nn.VarianceScaling, rates, st.sampled_from(["in", "out", "average"]), st.sampled_from(["uniform", "normal"])
    ),
)
exponentials = st.builds(sd.Exponential, rates, rates, counts, st.booleans())
cosines = st.builds(sd.optim.Cosine, rates, rates, counts, st.booleans())
schedules = exponentials | st.builds(sd.optim.WarmUp, rates | cosines, counts)
class_weights = st.none() | st.just("balanced") | st.lists(rates, min_size=2, max_size=4).map(tuple)
quantities = st.sampled_from([losses.half_squared_error, losses.absolute_error, losses.huber])


def sequential(layers):
    unnamed, given_names = st.lists(layers, max_size=3), st.dictionaries(words, layers, max_size=3)
    return st.builds(lambda first, rest: nn.Sequential(*first, **rest), unnamed, given_names)


leaves = st.one_of(
    st.builds(nn.Dense, counts, activations, initializers, st.none() | initializers),
    st.builds(nn.Dropout, rates),
    st.builds(nn.BatchNorm, rates, rates),
    st.builds(nn.Scale, st.floats(-9, 9), st.floats(-9, 9)),
    st.just(nn.Flatten()),
    activations.map(nn.Function),
)
sequentials = sequential(st.recursive(leaves, sequential, max_leaves=6))
terms = st.one_of(
    st.builds(sd.Classify, rates, class_weights, words, st.integers(0, 9)),
    st.builds(sd.Regress, quantities, rates, words),
    st.builds(sd.L1, rates, patterns),
    st.builds(sd.L2, rates, patterns),
    st.builds(sd.L1L2, rates, rates, patterns),
)
sums = st.builds(lambda a, b: a + b, terms, terms)
optimizers = st.builds(sd.SGD, rates | schedules, st.none() | rates, st.booleans()) | st.builds(
    sd.Adam, rates | schedules, rates, rates, rates
)
samplers = st.one_of(
    st.builds(sd.data.Shuffled, counts),
    st.builds(sd.data.Balanced, counts, words, st.integers(0, 9)),
    st.builds(sd.data.Bootstrap, counts, st.integers(0, 99)),
)
controllers = st.one_of(
    st.builds(sd.KeepBest, watched, rates),
    st.builds(sd.Patience, counts, st.integers(0, 99), watched, rates),
    st.builds(sd.Plateau, rates, counts, watched),
    st.builds(sd.Target, rates, watched),
    st.builds(sd.TimeBudget, st.floats(1, 1e4)),
)
probes = st.sampled_from([sd.GradientNorm(), sd.UpdateRatio(), sd.DeadUnits()])
turns = st.builds(sd.Turn, terms | sums, optimizers, patterns, st.integers(1, 5), words)
phases = st.builds(
    sd.Phase, turns, samplers, counts, st.just(0), st.integers(0, 9), st.lists(controllers, max_size=2), probes
)

ANY = {
    "Adam": optimizers.filter(lambda v: isinstance(v, sd.Adam)),
    "Balanced": samplers.filter(lambda v: isinstance(v, sd.data.Balanced)),
    "BatchNorm": st.builds(nn.BatchNorm, rates, rates),
    "Bootstrap": samplers.filter(lambda v: isinstance(v, sd.data.Bootstrap)),
    "Classify": st.builds(sd.Classify, rates, class_weights, words, st.integers(0, 9)),
    "Constant": st.builds(nn.Constant, st.floats(allow_nan=False)),
    "Each": st.sampled_from([sd.objectives.Each(sd.objectives.accuracy), sd.objectives.Each(sd.objectives.huber)]),
    "R2": st.builds(sd.objectives.R2, st.floats(-9, 9)),
    "TopK": st.builds(sd.objectives.TopK, counts),
    "DeadUnits": st.just(sd.DeadUnits()),
    "Dense": st.builds(nn.Dense, counts, activations, initializers, st.none() | initializers),
    "Dropout": st.builds(nn.Dropout, rates, st.booleans()),
    "Exponential": exponentials,
    "Encoder": st.builds(
        lambda columns, steps: sd.data.Encoder(tuple(columns), (), sd.data.Windows(steps)),
        st.lists(st.tuples(words, st.builds(sd.data.Categorical, counts, names)), min_size=1, max_size=3),
        counts,
    ),
    "Flatten": st.just(nn.Flatten()),
    "Folds": st.builds(sd.data.Folds, counts, st.integers(5, 9), st.integers(0, 4), counts),
    "Function": activations.map(nn.Function),
    "GradientNorm": st.just(sd.GradientNorm()),
    "InOrder": st.builds(sd.data.InOrder, counts),
    "KeepBest": st.builds(sd.KeepBest, watched, rates, sides),
    "L1": st.builds(sd.L1, rates, patterns),
    "L1L2": st.builds(sd.L1L2, rates, rates, patterns),
    "L2": st.builds(sd.L2, rates, patterns),
    "Normal": st.builds(nn.Normal, rates),
    "Pairs": st.builds(sd.data.Pairs, counts, words, st.integers(0, 9)),
    "Patience": st.builds(sd.Patience, counts, st.integers(0, 99), watched, rates, sides),
    "Phase": phases,
    "Plan": st.builds(sd.Plan, st.lists(phases, min_size=1, max_size=2)),
    "Plateau": st.builds(sd.Plateau, rates, counts, watched, st.integers(0, 99), rates, rates, sides),
    "Variational": st.builds(sd.objectives.Variational, rates, st.integers(1, 4)),
    "Reconstruct": st.builds(
        sd.objectives.Reconstruct, quantities, words, words, words, st.none() | st.builds(nn.MaskNoise, rates)
    ),
    "ActivityKL": st.builds(sd.objectives.ActivityKL, rates, st.floats(0.01, 0.99), words),
    "ActivityL1": st.builds(sd.objectives.ActivityL1, rates, words),
    "Contractive": st.builds(sd.objectives.Contractive, rates, words, st.integers(0, 9)),
    "Regress": st.builds(sd.Regress, quantities, rates, words),
    "SGD": optimizers.filter(lambda v: isinstance(v, sd.SGD)),
    "Scale": st.builds(nn.Scale, st.floats(-9, 9), st.floats(-9, 9)),
    "Sequential": sequentials,
    "Shuffled": st.builds(sd.data.Shuffled, counts),
    "Streamed": st.builds(lambda size, k, n: sd.data.Streamed(size, n, k * size), counts, counts, counts),
    "Sum": sums,
    "Target": st.builds(sd.Target, st.floats(-1e6, 1e6), watched, sides),
    "TimeBudget": st.builds(sd.TimeBudget, st.floats(1, 1e4)),
    "Turn": turns,
    "Curvature": st.just(sd.Curvature()),
    "UpdateRatio": st.just(sd.UpdateRatio()),
    "VarianceScaling": initializers.filter(lambda v: isinstance(v, nn.VarianceScaling)),
    "Amount": st.builds(sd.data.Amount, st.floats(-9, 9), st.floats(1, 9)),
    "Array": st.builds(sd.data.Array, st.tuples(counts, counts)),
    "BagOfWords": st.builds(sd.data.BagOfWords, counts, names, st.lists(st.floats(0, 9)).map(tuple)),
    "Boolean": st.builds(sd.data.Boolean, st.booleans()),
    "Categorical": st.builds(sd.data.Categorical, counts, names),
    "Date": st.builds(
        sd.data.Date, st.sampled_from(["", "day-first", "year-month"]), st.floats(-9, 9), st.floats(1, 9), st.booleans()
    ),
    "Labels": st.builds(sd.data.Labels, names),
    "Numeric": st.builds(sd.data.Numeric, st.sampled_from(["robust", "none"]), st.booleans(), st.floats(-9, 9)),
    "Picture": st.builds(sd.data.Picture, counts, counts, st.sampled_from([1, 3])),
    "Tokens": st.builds(sd.data.Tokens, st.sampled_from(["word", "character"]), counts, counts, names),
    "Windows": st.builds(sd.data.Windows, counts, counts),
}
"""How to make any value of each kind that is in files. A new kind is added here."""

joins = st.sampled_from(["concat", "add", "multiply", "tuple"])
recurrent = st.one_of(*(st.builds(kind, counts) for kind in (nn.RNN, nn.LSTM, nn.GRU)))
ANY |= {
    "Attention": st.builds(nn.Attention, counts),
    "Bidirectional": st.builds(nn.Bidirectional, recurrent),
    "Embedding": st.builds(nn.Embedding, counts, counts),
    "GRU": st.builds(nn.GRU, counts),
    "LSTM": st.builds(nn.LSTM, counts),
    "RNN": st.builds(nn.RNN, counts),
    "DropConnect": st.builds(nn.DropConnect, sequentials, rates),
    "Ensemble": st.builds(
        lambda layers, combine: nn.Ensemble(*layers, combine=combine),
        st.lists(sequentials, min_size=1, max_size=3),
        st.sampled_from(["probabilities", "mean", "vote"]),
    ),
    "GaussianNoise": st.builds(nn.GaussianNoise, rates),
    "WeightNoise": st.builds(nn.WeightNoise, sequentials, rates),
    "GroupNorm": st.builds(nn.GroupNorm, counts, rates),
    "LayerNorm": st.builds(nn.LayerNorm, rates),
    "MaskNoise": st.builds(nn.MaskNoise, rates),
    "SaltPepper": st.builds(nn.SaltPepper, rates, st.floats(-9, 9), st.floats(-9, 9)),
    "TiedDense": st.builds(
        nn.TiedDense, counts, activations, initializers, st.none() | initializers, st.none() | activations
    ),
    "Identity": st.builds(nn.Identity, rates),
    "LeakyReLU": st.builds(nn.LeakyReLU, rates),
    "Orthogonal": st.builds(nn.Orthogonal, rates),
    "PReLU": st.builds(nn.PReLU, initializers),
    "Parallel": st.builds(
        lambda layers, join: nn.Parallel(*layers, join=join), st.lists(sequentials, min_size=1, max_size=3), joins
    ),
    "Autoencoder": st.builds(nn.Autoencoder, sequentials, sequentials),
    "VariationalAutoencoder": st.builds(nn.VariationalAutoencoder, sequentials, sequentials),
    "Residual": st.builds(nn.Residual, sequentials, st.none() | leaves),
    "Shared": st.builds(nn.Shared, sequentials, joins),
    "Sparse": st.builds(nn.Sparse, counts, rates),
    "Uniform": st.builds(nn.Uniform, st.floats(-9, -1), st.floats(1, 9)),
}

sizes = counts | st.lists(counts, min_size=2, max_size=2).map(tuple)
paddings = st.sampled_from(["same", "valid", ((1, 0), (0, 2))])
affine = dict(activation=activations, kernel_init=initializers, bias_init=st.none() | initializers)
ANY |= {
    "AveragePool": st.builds(nn.AveragePool, sizes, st.none() | sizes, paddings),
    "Conv": st.builds(nn.Conv, counts, sizes, sizes, paddings, sizes, st.just(1), **affine),
    "ConvTranspose": st.builds(nn.ConvTranspose, counts, sizes, sizes, paddings, **affine),
    "GlobalAveragePool": st.just(nn.GlobalAveragePool()),
    "GlobalMaxPool": st.just(nn.GlobalMaxPool()),
    "LocallyConnected": st.builds(nn.LocallyConnected, counts, sizes, sizes, paddings, **affine),
    "MaxPool": st.builds(nn.MaxPool, sizes, st.none() | sizes, paddings),
    "Reshape": st.lists(counts, max_size=4).map(lambda shape: nn.Reshape(*shape)),
    "Upsample": st.builds(nn.Upsample, sizes, st.sampled_from(["nearest", "linear"])),
}

ANY |= {
    "EMA": st.builds(sd.EMA, rates),
    "SWA": st.builds(sd.SWA, rates),
    "Cosine": cosines,
    "Linear": st.builds(sd.optim.Linear, rates, rates, counts),
    "OneCycle": st.builds(sd.optim.OneCycle, rates, rates, rates, rates),
    "Piecewise": st.builds(lambda at, a, b: sd.optim.Piecewise((at,), (a, b)), counts, rates, rates),
    "Power": st.builds(sd.optim.Power, rates, rates, counts),
    "WarmUp": st.builds(sd.optim.WarmUp, rates | cosines, counts),
}

words_outside = st.sampled_from(["zero", "edge"])
white = st.none() | st.floats(1, 255)
augmentations = st.builds(sd.data.Rotate, st.floats(0, 180), words_outside) | st.builds(sd.data.Cutout, rates, rates)
ANY |= {
    "Amplify": st.builds(sd.data.Amplify, rates),
    "Augmented": st.builds(sd.data.Augmented, samplers, st.lists(augmentations, min_size=1, max_size=3), words),
    "Brightness": st.builds(sd.data.Brightness, rates, white),
    "Contrast": st.builds(sd.data.Contrast, rates, white),
    "Binarize": st.just(sd.data.Binarize()),
    "Crop": st.builds(sd.data.Crop, counts, st.none() | st.tuples(counts, counts), words_outside),
    "Cutout": augmentations.filter(lambda v: isinstance(v, sd.data.Cutout)),
    "Flip": st.builds(sd.data.Flip, rates, st.booleans()),
    "Hue": st.builds(sd.data.Hue, st.floats(0, 0.5), white),
    "Mixup": st.builds(sd.data.Mixup, st.floats(0.1, 9), words, st.integers(0, 9)),
    "Noise": st.builds(sd.data.Noise, rates),
    "Rotate": augmentations.filter(lambda v: isinstance(v, sd.data.Rotate)),
    "Saturation": st.builds(sd.data.Saturation, rates, white),
    "Shear": st.builds(sd.data.Shear, rates, words_outside),
    "Shift": st.builds(sd.data.Shift, rates | st.tuples(rates, rates), st.booleans(), words_outside),
    "TimeMask": st.builds(sd.data.TimeMask, rates),
    "TimeShift": st.builds(sd.data.TimeShift, rates, words_outside),
    "Zoom": st.builds(sd.data.Zoom, rates, words_outside),
}

constraints = st.one_of(
    st.builds(sd.optim.MaxNorm, rates),
    st.sampled_from([sd.optim.NonNegative(), sd.optim.UnitNorm(), sd.optim.ZeroSum(), sd.optim.KeepZeros()]),
)
ANY |= {
    "Clip": st.builds(sd.optim.Clip, optimizers, rates, st.none() | rates, st.none() | rates),
    "CurvatureLimit": st.builds(sd.optim.CurvatureLimit, optimizers),
    "Constrained": st.builds(sd.optim.Constrained, optimizers, constraints, patterns),
    "KeepZeros": st.just(sd.optim.KeepZeros()),
    "LinearConstraint": st.builds(
        sd.optim.LinearConstraint, st.lists(st.lists(rates, min_size=3, max_size=3), min_size=1, max_size=2), rates
    ),
    "MaxNorm": st.builds(sd.optim.MaxNorm, rates),
    "NonNegative": st.just(sd.optim.NonNegative()),
    "PerPath": st.builds(sd.optim.PerPath, optimizers, st.dictionaries(words, rates, min_size=1)),
    "UnitNorm": st.just(sd.optim.UnitNorm()),
    "ZeroSum": st.just(sd.optim.ZeroSum()),
}

adams = ("Adamax", "Nadam", "RAdam")
ANY |= {name: st.builds(getattr(sd.optim, name), rates | schedules, rates, rates, rates) for name in adams}
ANY |= {
    "AdaDelta": st.builds(sd.optim.AdaDelta, rates, rates, rates),
    "AdaGrad": st.builds(sd.optim.AdaGrad, rates | schedules, rates, rates),
    "AdamW": st.builds(sd.optim.AdamW, rates | schedules, decay=rates, decays=patterns),
    "DualAveraging": st.builds(sd.optim.DualAveraging, rates | schedules, rates, rates, patterns),
    "FTRL": st.builds(sd.optim.FTRL, rates | schedules, rates, rates, rates, patterns),
    "LAMB": st.builds(sd.optim.LAMB, rates | schedules, decay=rates, decays=patterns),
    "LBFGS": st.builds(sd.optim.LBFGS, rates, counts, counts),
    "Lion": st.builds(sd.optim.Lion, rates | schedules, rates, rates, st.none() | rates, patterns),
    "ProximalL1": st.builds(sd.optim.ProximalL1, optimizers, rates, patterns),
    "RMSProp": st.builds(sd.optim.RMSProp, rates | schedules, rates, rates, st.none() | rates, st.booleans()),
}

OPEN = {
    *("Activation", "Average", "Constraint", "Controller", "Encoding", "Initializer", "Layer"),
    *("Measure", "Objective", "Optimizer", "Probe", "Sampler", "Schedule"),
    *("Augmentation", "Geometric"),
    *("Optax", "Wrapped"),
}
"""Kinds that are only there to be derived from, and the one that holds functions, which no file can."""

few = settings(deadline=None, max_examples=15)


def ours() -> set[str]:
    """The kinds of the library itself; recipes are tested where they are run."""
    here = lambda module: module.startswith("sonde.") and not module.startswith("sonde.recipes")
    return {name for name, kind in KINDS.items() if here(kind.__module__) and not name.startswith("_")}


def test_every_kind_of_the_package_is_tested_here():
    assert ours() == set(ANY) | OPEN


@pytest.mark.parametrize("kind", sorted(ANY))
def test_json_gives_back_an_equal_value(kind):
    @few
    @given(ANY[kind])
    def check(value):
        assert type(value).__name__ == kind
        text = json.dumps(to_json(value))
        back = from_json(json.loads(text))
        assert back == value
        assert type(back) is type(value)
        assert hash(back) == hash(value)
        assert repr(back) == repr(value)
        assert json.dumps(to_json(back)) == text

    check()


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda v: pickle.loads(pickle.dumps(v))])
def test_copies_and_pickles_lose_nothing(copied):
    @few
    @given(ANY["Plan"] | ANY["Sequential"])
    def check(value):
        again = copied(value)
        assert again == value
        assert hash(again) == hash(value)
        assert repr(again) == repr(value)
        assert jax.tree.leaves(again) == jax.tree.leaves(value)
        assert jax.tree.structure(again) == jax.tree.structure(value)

    check()


@few
@given(ANY["Plan"] | ANY["Sequential"])
def test_flattening_and_unflattening_lose_nothing(value):
    numbers, structure = jax.tree.flatten(value)
    assert jax.tree.unflatten(structure, numbers) == value


# ---------------------------------------------------------------------- equality, hashes, printing


class Swell(nn.Layer, registered="test-swell"):
    """A user's layer: a number, a static field, and a number that is required."""

    by: sd.Number
    times: int = 1
    shift: sd.Number = 0.0

    def check(self):
        if self.times < 0:
            raise ArgumentError(f"times must not be negative; got {self.times}")

    def __call__(self, scope, x):
        return x * self.by * self.times + self.shift


class Nameless(nn.Layer):
    """A user's layer without a name in files."""

    by: sd.Number = 2.0

    def __call__(self, scope, x):
        return x * self.by


class Tanned(nn.Layer):
    """A user's layer with a function as a static field."""

    function: object = nn.tanh

    def __call__(self, scope, x):
        return self.function(x)


@pytest.mark.parametrize(
    "other",
    [
        Swell(3.0, 2),
        Swell(2.0, 3),
        Swell(2.0, 2, 1.0),
        nn.Scale(2.0, 2),
        2.0,
        None,
    ],
    ids=repr,
)
def test_a_value_differs_from_one_with_another_field_or_of_another_kind(other):
    assert Swell(2.0, 2) == Swell(2.0, 2)
    assert Swell(2.0, 2) != other


def test_different_values_can_be_told_apart_in_a_set():
    assert len({nn.Dense(3), nn.Dense(3), nn.Dense(4), nn.Dropout(0.1), nn.Dropout(0.2), nn.Dropout(0.1)}) == 4


@pytest.mark.parametrize("form", [float, np.float32, np.float64, jnp.float32, np.array], ids=str)
def test_a_number_is_the_same_in_whatever_form_and_so_is_its_hash(form):
    one, other = nn.Scale(0.5), nn.Scale(form(0.5))
    assert one == other
    assert hash(one) == hash(other)
    assert nn.Scale(1) == nn.Scale(1.0) and hash(nn.Scale(1)) == hash(nn.Scale(1.0))
    assert nn.Scale(form(0.25)) != one


def test_arrays_may_stand_for_numbers(rng):
    weights = rng.uniform(size=3).astype(np.float32)
    one, same, other = (sd.Classify(class_weight=w) for w in (weights, jnp.asarray(weights), weights + 1))
    assert one == same != other
    assert hash(one) == hash(same)
    assert one == sd.Classify(class_weight=tuple(weights.tolist()))
    assert repr(one) == "Classify(class_weight=float32[3])"
    back = from_json(json.loads(json.dumps(to_json(one))))
    assert back == one and hash(back) == hash(one)


def test_tuples_of_arrays_are_compared_entry_by_entry(rng):
    a, b = rng.uniform(size=3), rng.uniform(size=3)
    assert sd.Classify(class_weight=(a, b)) == sd.Classify(class_weight=(a.copy(), b.copy()))
    assert sd.Classify(class_weight=(a, b)) != sd.Classify(class_weight=(a, a))


def test_lists_become_tuples():
    assert sd.L2(on=["a", "b"]) == sd.L2(on=("a", "b"))
    assert hash(sd.L2(on=["a", "b"]))


def test_printing_leaves_out_what_has_its_usual_value():
    assert repr(nn.Dense(3)) == "Dense(units=3)"
    assert repr(nn.Dense(3, nn.relu, nn.he_normal, None)) == (
        "Dense(units=3, activation=relu, kernel_init=VarianceScaling(scale=2, fan='in', distribution='normal'), "
        "bias_init=None)"
    )
    assert repr(nn.Sequential(nn.Flatten(), nn.relu, head=nn.Dense(2))) == (
        "Sequential(Flatten(), relu, head=Dense(units=2))"
    )


def test_json_leaves_out_what_has_its_usual_value():
    assert to_json(nn.Dense(3)) == {"is": "Dense", "units": 3}
    assert to_json(nn.Dense(3, nn.relu)) == {"is": "Dense", "units": 3, "activation": {"function": "relu"}}
    assert to_json(Swell(2.0)) == {"is": "test-swell", "by": 2.0}


def test_a_value_cannot_be_changed():
    with pytest.raises(AttributeError):
        nn.Dense(3).units = 4


def test_replace_gives_another_value_and_leaves_the_first_alone():
    one = Swell(2.0, 3)
    other = one.replace(by=5.0)
    assert (one.by, other.by, other.times) == (2.0, 5.0, 3)
    assert type(other) is Swell
    assert one.replace() == one


def test_replace_checks_again():
    with pytest.raises(ArgumentError, match="times must not be negative; got -1"):
        Swell(2.0).replace(times=-1)
    with pytest.raises(ArgumentError, match=r"Swell has no 'tiems'; did you mean 'times'\?"):
        Swell(2.0).replace(tiems=1)


# ---------------------------------------------------------------------- numbers are arguments, the rest is code


def traced():
    """A compiled function of a layer and an array, with its own cache."""
    return jax.jit(lambda layer, x: layer(Scope(Frame({}, {}), ""), x))


def test_numbers_are_leaves_with_the_name_of_their_field():
    leaves = jax.tree_util.tree_leaves_with_path(Swell(2.0, 7, 3.0))
    assert [(jax.tree_util.keystr(path), leaf) for path, leaf in leaves] == [(".by", 2.0), (".shift", 3.0)]


def test_another_number_does_not_compile_again(rng):
    f, x = traced(), jnp.ones(3)
    for by in rng.uniform(-5, 5, 4).tolist():
        np.testing.assert_allclose(f(Swell(by), x), by * np.ones(3), rtol=1e-6)
    assert f._cache_size() == 1


def test_another_static_field_compiles_again():
    f, x = traced(), jnp.ones(3)
    for times in (1, 2, 1, 2):
        np.testing.assert_allclose(f(Swell(1.5, times), x), 1.5 * times * np.ones(3))
    assert f._cache_size() == 2


def test_equal_activations_compile_once():
    f, x = traced(), jnp.ones(3)
    for layer in (Tanned(), Tanned(nn.tanh), Tanned(FUNCTIONS["tanh"]), from_json(to_json(nn.Function(nn.tanh)))):
        f(layer if isinstance(layer, Tanned) else Tanned(layer.function), x)
    assert f._cache_size() == 1
    f(Tanned(nn.relu), x)
    assert f._cache_size() == 2


def test_a_value_differentiates_and_maps_over_its_numbers():
    loss = lambda layer: layer(Scope(Frame({}, {}), ""), jnp.float32(3.0))
    slope = jax.grad(loss)(Swell(2.0, 4, 1.0))
    assert isinstance(slope, Swell) and (slope.by, slope.times, slope.shift) == (12.0, 4, 1.0)
    many = Swell(jnp.arange(3.0), 4, jnp.ones(3))
    np.testing.assert_allclose(jax.vmap(loss)(many), [1.0, 13.0, 25.0])


def test_checks_do_not_run_when_jax_takes_a_value_apart():
    assert jax.tree.map(lambda _: "anything", nn.Dropout(0.5)).rate == "anything"


def test_a_printed_value_inside_a_program_shows_shapes_not_tracers():
    seen = []
    jax.eval_shape(lambda layer: seen.append(repr(layer)), nn.Dropout(0.25))
    assert seen == ["Dropout(rate=float32[])"]


@pytest.mark.parametrize("annotation", ["sd.Number", "Number | None", "Part", "typing.Optional[Number]"])
def test_numbers_are_recognized_in_annotations_that_are_text(annotation):
    kind = type("Late", (Value,), {"__annotations__": {"a": annotation, "b": "int", "c": "NumberPlate"}})
    assert kind._leaves == ("a",)
    assert kind._static == ("b", "c")


def test_numbers_are_recognized_inside_other_annotations():
    kind = type("Soon", (Value,), {"__annotations__": {"a": sd.Number | None, "b": tuple[sd.Part, ...], "c": int}})
    assert kind._leaves == ("a", "b")


# ---------------------------------------------------------------------- functions


def test_functions_made_on_the_spot_are_refused():
    def closure(x):
        return x

    for function in (lambda x: x, closure):
        with pytest.raises(ArgumentError, match="activation of Dense is a function made on the spot.*top of a module"):
            nn.Dense(3, function)
        with pytest.raises(ArgumentError, match="function of Function is a function made on the spot"):
            nn.Sequential(function)


def own_activation(x):
    return x**3


def test_a_function_of_a_module_needs_a_name_for_files_only():
    layer = nn.Dense(3, own_activation)
    assert layer == nn.Dense(3, own_activation)
    assert "activation=own_activation" in repr(layer)
    with pytest.raises(FormatError, match="the function own_activation has no name in files.*@sonde.named"):
        to_json(layer)


def test_a_named_function_is_written_by_its_name():
    assert named(named_activation) is named_activation
    assert from_json(to_json(nn.Dense(3, named_activation))) == nn.Dense(3, named_activation)


def named_activation(x):
    return x**5


# ---------------------------------------------------------------------- names


def test_a_user_class_needs_a_name_for_files_only(rng):
    layer, x = Nameless(3.0), jnp.asarray(rng.normal(size=(2, 2)), jnp.float32)
    assert layer == Nameless(3.0) != Nameless(2.0)
    np.testing.assert_allclose(nn.build(nn.Sequential(own=layer), x)(x), 3 * x, rtol=1e-6)
    for spec in (layer, nn.Sequential(own=layer)):
        with pytest.raises(FormatError, match=r"Nameless has no name in files; define it as .*registered=\"name\""):
            to_json(spec)


def test_a_name_that_is_taken_is_refused():
    with pytest.raises(ArgumentError, match=r"'Dense' belongs to sonde\.nn\.dense\.Dense; register .* under another"):

        class Other(nn.Layer, registered="Dense"):
            pass

    with pytest.raises(ArgumentError, match=r"'relu' belongs to sonde\.nn\.activations\.relu"):

        @named
        def relu(x):
            return x

    assert KINDS["Dense"] is nn.Dense
    assert FUNCTIONS["relu"] is nn.relu


def test_defining_the_same_class_again_takes_over_its_name():
    for units in (1, 2):

        class Again(nn.Layer, registered="test-again"):
            units: int = 0

        assert from_json(to_json(Again(units))) == Again(units)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"is": "Dens", "units": 3}, "no kind of value is called 'Dens'; did you mean 'Dense'?"),
        ({"is": "Dense", "unit": 3}, "Dense has no field 'unit'; did you mean 'units'?"),
        ({"is": "Dense"}, "Dense lacks its field 'units'"),
        ({"function": "rleu"}, "no function is called 'rleu'; did you mean 'relu'?"),
        ({"function": "os.system"}, "no function is called 'os.system'"),
        ({}, "no kind of value is called None"),
        ({"is": ["Dense"]}, "no kind of value is called ['Dense']"),
        ({"function": {}}, "no function is called {}"),
        ({"is": "Dense", "units": 3, "activation": {"function": "tan"}}, "no function is called 'tan'"),
        ([{"is": "Dense", "units": 3, "kernel_init": {"is": "Norml"}}], "did you mean 'Normal'?"),
    ],
    ids=str,
)
def test_what_json_cannot_mean_is_one_line_with_the_nearest_name(written, message):
    with pytest.raises(FormatError) as caught:
        from_json(written)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "_Call" not in str(caught.value)


def test_what_a_file_says_is_checked_like_what_a_person_says():
    with pytest.raises(ArgumentError, match="units of Dense must be a whole number of at least 1; got -3"):
        from_json({"is": "Dense", "units": -3})
    with pytest.raises(ArgumentError, match="a name of its own for each of its 2 layers"):
        from_json({"is": "Sequential", "layers": [{"is": "Flatten"}, {"is": "Flatten"}], "names": ["a", "a"]})
    with pytest.raises(ArgumentError, match="a name of its own for each of its 1 layers"):
        from_json({"is": "Sequential", "layers": [{"is": "Flatten"}], "names": []})


def test_what_is_no_value_cannot_be_written():
    with pytest.raises(FormatError, match="cannot be written into a file"):
        to_json({1, 2})


def test_what_a_value_is_made_of_is_checked_by_name():
    with pytest.raises(ArgumentError, match="Dense has no 'unit'; did you mean 'units'"):
        nn.Dense(unit=3)
    with pytest.raises(ArgumentError, match="Dense got 'units' twice"):
        nn.Dense(3, units=3)
    with pytest.raises(ArgumentError, match=r"Dense needs units: Dense\(units=...\)"):
        nn.Dense()
    with pytest.raises(ArgumentError, match="MaskNoise takes rate; got 2 values"):
        nn.MaskNoise(0.5, 1)


def test_its_signature_is_that_of_its_fields():
    assert str(inspect.signature(nn.MaskNoise)) == "(rate: 'Number' = 0.3)"
    assert list(inspect.signature(nn.Sequential).parameters) == ["layers", "named"]
