"""What a newcomer writes first: taken where it can only mean one thing, else answered with the way to write it."""

import jax.numpy as jnp
import numpy as np
import pytest

import sonde as sd
from sonde import nn
from sonde._errors import ArgumentError, SondeError
from sonde.objectives import TopK

TURN = sd.Turn(sd.Classify(), sd.Adam())

COUNTED = [
    (lambda n: nn.Dense(n), nn.Dense(3)),
    (lambda n: nn.Conv(n, (n, n), stride=n, groups=n), nn.Conv(3, (3, 3), stride=3, groups=3)),
    (lambda n: nn.Conv(2, 3, padding=((n, n),)), nn.Conv(2, 3, padding=((3, 3),))),
    (lambda n: nn.MaxPool(n), nn.MaxPool(3)),
    (lambda n: nn.Reshape(n, n), nn.Reshape(3, 3)),
    (lambda n: nn.LSTM(n), nn.LSTM(3)),
    (lambda n: nn.Embedding(n, n), nn.Embedding(3, 3)),
    (lambda n: nn.Attention(n, n), nn.Attention(3, 3)),
    (lambda n: nn.GroupNorm(n), nn.GroupNorm(3)),
    (lambda n: nn.Sparse(n), nn.Sparse(3)),
    (lambda n: TopK(n), TopK(3)),
    (lambda n: sd.data.Shuffled(n), sd.data.Shuffled(3)),
    (lambda n: sd.data.Folds(folds=n), sd.data.Folds(folds=3)),
    (lambda n: sd.Turn(sd.Classify(), sd.Adam(), repeats=n), sd.Turn(sd.Classify(), sd.Adam(), repeats=3)),
    (lambda n: sd.Phase(TURN, sd.data.Shuffled(n), n), sd.Phase(TURN, sd.data.Shuffled(3), 3)),
    (lambda n: sd.Patience(n), sd.Patience(3)),
]


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8])
@pytest.mark.parametrize(("make", "plain"), COUNTED, ids=lambda v: type(v).__name__ if not callable(v) else "")
def test_a_count_may_be_a_whole_number_of_numpy_and_makes_the_same_value(make, plain, kind):
    made = make(kind(3))
    assert made == plain and hash(made) == hash(plain) and repr(made) == repr(plain)


def test_a_network_may_be_as_wide_as_the_labels_say():
    y = np.array([0, 2, 1])
    net = nn.build(nn.Dense(y.max() + 1), jnp.ones((1, 2)), seed=np.int64(7))  # pyright: ignore
    assert net == nn.build(nn.Dense(3), jnp.ones((1, 2)), seed=7)


@pytest.mark.parametrize("given", [np.int64(0), np.float64(3.0), np.True_, 2.0, True])
def test_a_fraction_a_truth_and_nothing_are_no_counts(given):
    with pytest.raises(ArgumentError, match="units of Dense must be a whole number of at least 1; got"):
        nn.Dense(given)


X = np.ones((2, 5), np.float32)


class WithoutScope(nn.Layer):
    def __call__(self, x):  # pyright: ignore[reportIncompatibleMethodOverride]
        return x


class WithoutReturn(nn.Layer):
    def __call__(self, scope, x):
        scope("inner", nn.Dense(2), x)


class Direct(nn.Layer):
    inner: sd.Part = nn.Dense(2)

    def __call__(self, scope, x):
        return self.inner(x)


class Shaped(sd.Value):
    def __call__(self, shape, dtype=None):
        return jnp.zeros(shape, dtype)


def small(key, shape, dtype):
    return jnp.zeros(2)


class Assigning(nn.Layer):
    inner: sd.Part

    def __init__(self, units):
        self.inner = nn.Dense(units)  # pyright: ignore




SAID = [
    (lambda: nn.Dense(3, nn.LeakyReLU), r"the class LeakyReLU: did you forget \(\)\?"),  # pyright: ignore
    (lambda: nn.Dense(3, "relu"), "write nn.relu, without quotes"),  # pyright: ignore
    (lambda: nn.Dense(3, "sigmiod"), "write nn.sigmoid, without quotes"),  # pyright: ignore
    (lambda: nn.Dense(3, nn.PReLU()), r"PReLU\(\) is a layer: put it next in a Sequential"),
    (lambda: nn.Dense(3, bias_init=np.zeros(3)), r"a function of \(key, shape, dtype\).*; got float64\[3\]"),  # pyright: ignore
    (lambda: nn.Sequential([nn.Dense(3), nn.relu]), r"write nn.Sequential\(\*layers\)"),  # pyright: ignore
    (lambda: nn.Sequential("relu"), "write nn.relu, without quotes"),  # pyright: ignore
    (lambda: nn.Dense(3)(X), r"net = nn.build\(layer, x\), and call net\(x\)"),  # pyright: ignore
    (lambda: nn.Sequential(nn.Dense(3))(X), r"net = nn.build\(layer, x\), and call net\(x\)"),  # pyright: ignore
    (lambda: nn.build(Direct(), X), r"inside a layer of your own write scope\(name, layer, x\)"),
    (lambda: nn.build(nn.Dense(3)), "it takes x; got none"),
    (lambda: nn.build(nn.Dense(3), X, X), r"it takes x; got float32\[2, 5\], float32\[2, 5\]"),
    (lambda: nn.build(WithoutScope(), X), r"def __call__\(self, scope, x\)"),
    (lambda: nn.build(WithoutReturn(), X), "WithoutReturn gave None: does its __call__ lack a return?"),
    (lambda: nn.build(nn.Dense(3), (2, 5)), r"np.zeros\(\(2, 5\)\) would be one"),
    (lambda: nn.build(nn.Dense(3), [[1.0, 2.0]]), "np.asarray"),
    (lambda: nn.build(nn.Dense(3), np.array([["a", "b"]])), "sd.data.read"),
    (lambda: nn.build(nn.Dense(3), X > 0), "makes 0 and 1 of them"),
    (lambda: nn.build(nn.Dense(3), X + 1j * X), "x.real and x.imag"),
    (lambda: nn.Dense(3, use_bias=False), "here it is bias_init=None for no bias"),  # pyright: ignore
    (lambda: nn.LSTM(3, return_sequences=True), "here it is last=True"),  # pyright: ignore
    (lambda: nn.Conv(3, 3, padding="causal"), r"causal is \(\(dilation \* \(size - 1\), 0\),\)"),
    (lambda: nn.build(nn.Dense(3, kernel_init=Shaped()), X), r"take \(key, shape, dtype\); Shaped\(\) does not"),
    (lambda: nn.build(nn.Dense(3, bias_init=small), X), r"of bias must give an array \[3\]; got float32\[2\]"),
    (lambda: nn.Dense(3, kernel_init=lambda k, s, d: jnp.zeros(s)), "call it in a function of your own"),  # pyright: ignore
]


@pytest.mark.parametrize(("wrong", "words"), SAID, ids=[str(i) for i in range(len(SAID))])
def test_a_mistake_is_answered_with_the_way_to_write_it(wrong, words):
    with pytest.raises(SondeError, match=words):
        wrong()


def test_a_layer_that_assigns_its_fields_is_told_where_they_are_written():
    with pytest.raises(AttributeError, match="fields are written in its class, as in `inner: Any`, without"):
        Assigning(3)
