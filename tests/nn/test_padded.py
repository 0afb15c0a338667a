"""Sequences of different lengths: what stands behind a length never counts, and no layer mixes it in unasked."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sonde as sd
from sonde import Padded, nn
from sonde._batch import Batch
from sonde._errors import ShapeError

LENGTHS = np.array([2, 5, 0, 4], np.int32)


def sequences(rng, units=3, lengths=LENGTHS, longest=5):
    """Sequences whose filling is what it must not be: large and random."""
    values = rng.normal(size=(len(lengths), longest, units)).astype(np.float32)
    behind = np.arange(longest)[None] >= lengths[:, None]
    values[behind] = 1e3 * rng.normal(size=(behind.sum(), units))
    return Padded(values, lengths)


def refilled(x, value):
    """The same sequences with something else behind their lengths."""
    return Padded(np.where(np.asarray(x.real)[:, :, None], x.values, np.float32(value)), x.lengths)


STEPWISE = nn.Sequential(
    nn.Scale(2.0, 1.0),
    nn.Dense(4, nn.tanh, bias_init=nn.ones),
    nn.Dropout(0.5),
    nn.BatchNorm(),
    nn.sigmoid,
    nn.Dense(2),
)


class Last(nn.Layer):
    """The last step of each sequence."""

    def __call__(self, scope, x):
        at = jnp.maximum(x.lengths - 1, 0)
        return jnp.take_along_axis(x.values, at[:, None, None], 1)[:, 0]


class Doubled(nn.Layer):
    """A user's layer that never thought of sequences."""

    def __call__(self, scope, x):
        return 2 * x


class Sum(nn.Layer):
    """Wrong: it says that it treats every step alone, and does not."""

    padded = "steps"

    def __call__(self, scope, x):
        return x.sum(1)


class Difference(nn.Layer):
    """Of two inputs, step by step."""

    padded = "steps"

    def __call__(self, scope, a, b):
        return a - b


@pytest.mark.parametrize("value", [0.0, -1e6, np.inf, np.nan], ids=str)
@pytest.mark.parametrize("train", [False, True])
def test_what_stands_behind_a_length_changes_nothing(rng, key, train, value):
    x = sequences(rng)
    net = nn.build(STEPWISE, x)
    one, other = (net.bind(key, train=train)(given) for given in (x, refilled(x, value)))
    np.testing.assert_array_equal(one.values, other.values)
    np.testing.assert_array_equal(one.lengths, x.lengths)


@pytest.mark.parametrize("value", [1e6, np.inf, np.nan], ids=str)
def test_what_stands_behind_a_length_changes_no_gradient(rng, key, value):
    x = sequences(rng)
    net = nn.build(STEPWISE, x)

    def loss(params, x):
        return (net.replace(params=params).bind(key, train=True).still(x).values ** 2).sum()

    one, other = (jax.grad(loss)(net.params, given) for given in (x, refilled(x, value)))
    for path in one:
        np.testing.assert_array_equal(one[path], other[path], err_msg=path)
        assert np.isfinite(one[path]).all()


def test_a_layer_of_steps_gives_each_step_what_it_gives_that_step_alone(rng):
    x = sequences(rng)
    net = nn.build(nn.Dense(4, nn.tanh, bias_init=nn.ones), x)
    y = net(x)
    for row, length in enumerate(LENGTHS):
        alone = np.asarray(net(jnp.asarray(x.values[row])))
        np.testing.assert_allclose(y.values[row, :length], alone[:length], rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(y.values[row, length:], 0)  # though the bias is not 0


def test_whole_numbers_pass_too():
    x = Padded.of([[1, 2, 255], [7]], dtype=np.uint8)
    y = nn.build(nn.Scale(0.5, 1.0), x)(x)
    np.testing.assert_array_equal(y.values, [[1.5, 2.0, 128.5], [4.5, 0.0, 0.0]])


def test_statistics_are_of_the_steps_that_count(rng, key):
    x, weight = sequences(rng), np.array([1.0, 2.0, 1.0, 0.0], np.float32)
    net = nn.build(nn.BatchNorm(momentum=0.0, epsilon=0.0), x)
    bound = net.bind(key, train=True).over(Batch({}, jnp.asarray(weight)))
    y = bound(x)
    steps = np.concatenate([x.values[0, :2], *2 * [x.values[1, :5]]])  # a weight of 2: the row stands there twice
    np.testing.assert_allclose(bound._frame.state["mean"], steps.mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(bound._frame.state["var"], steps.var(0), rtol=1e-5)
    np.testing.assert_allclose(y.values[1], (x.values[1] - steps.mean(0)) / steps.std(0), rtol=1e-4, atol=1e-5)


def test_statistics_of_sequences_that_are_other_rows_than_the_batch_are_refused(rng, key):
    x = sequences(rng)
    net = nn.build(nn.Sequential(norm=nn.BatchNorm()), x).bind(key, train=True)
    with pytest.raises(ShapeError, match=r"norm takes statistics of 4 rows in a batch of 3; .*net.over\(None\)"):
        net.over(Batch({}, jnp.ones(3)))(x)


def test_several_sequences_go_step_by_step_as_far_as_both_reach(rng):
    a, b = sequences(rng), sequences(rng, lengths=np.array([5, 1, 3, 4], np.int32))
    y = nn.build(Difference(), a, b)(a, b)
    np.testing.assert_array_equal(y.lengths, [2, 1, 0, 4])
    np.testing.assert_allclose(y.values[3, :4], a.values[3, :4] - b.values[3, :4], rtol=1e-6)
    with pytest.raises(ShapeError, match="Difference takes several sequences step by step.*same rows and steps"):
        nn.build(Difference(), a, sequences(rng, longest=6))


def test_a_layer_is_handed_the_lengths_if_it_sees_to_them_itself(rng):
    x = sequences(rng)
    y = nn.build(nn.Sequential(last=Last()), x)(x)
    np.testing.assert_array_equal(y, [x.values[0, 1], x.values[1, 4], np.zeros(3), x.values[3, 3]])


# ------------------------------------------------------------------------------------ refused


def test_a_layer_that_would_mix_filling_in_is_refused_with_its_path_and_a_remedy(rng):
    with pytest.raises(ShapeError) as caught:
        nn.build(nn.Sequential(body=nn.Sequential(flat=nn.Flatten())), sequences(rng))
    message = str(caught.value)
    assert message.startswith("body/flat: Flatten mixes the steps of a sequence")
    assert "Padded(float32[4, 5, 3], lengths int32[4])" in message and "nn.LSTM(units, last=True)" in message


def test_a_layer_that_is_the_whole_network_is_refused_too(rng):
    with pytest.raises(ShapeError, match="^the network: Flatten mixes the steps"):
        nn.build(nn.Flatten(), sequences(rng))


def test_a_layer_that_never_thought_of_sequences_is_told_what_it_may_say(rng):
    with pytest.raises(TypeError) as caught:
        nn.build(nn.Sequential(mine=Doubled()), sequences(rng))
    notes = "\n".join(caught.value.__notes__)
    assert "in mine: Doubled()" in notes and 'padded = "steps"' in notes and 'padded = "refused"' in notes


def test_a_layer_that_does_not_treat_every_step_alone_is_found_out(rng):
    with pytest.raises(ShapeError, match=r"^mine: Sum says .*made float32\[4, 3\] of float32\[4, 5, 3\]"):
        nn.build(nn.Sequential(mine=Sum()), sequences(rng))


# ------------------------------------------------------------------------------------ around it


def test_a_padded_example_builds_what_padded_rows_need(rng):
    x, spec = sequences(rng), nn.Sequential(a=nn.Dense(4), last=Last(), head=nn.Dense(2))
    net = nn.build(spec, x, seed=3)
    like = Padded(jax.ShapeDtypeStruct((1, 9, 3), np.float32), jax.ShapeDtypeStruct((1,), np.int32))
    assert net == nn.build(spec, like, seed=3)
    assert {path: w.shape for path, w in net.weights("**kernel").items()} == {"a/kernel": (3, 4), "head/kernel": (4, 2)}
    assert "Padded(float32[4, 5, 4], lengths int32[4])" in net.summary(x)


def test_rows_in_batches_give_sequences_where_the_network_does(rng):
    x = sequences(rng)
    net = nn.build(nn.Dense(2), x)
    one, other = net(x), net.in_batches(x, size=3)
    np.testing.assert_allclose(one.values, other.values, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(one.lengths, other.lengths)


def test_other_values_must_have_the_same_rows_and_steps(rng):
    with pytest.raises(ShapeError, match=r"sequences \[4, 5\] cannot have the values float32\[4, 6, 3\]"):
        sequences(rng).with_values(np.ones((4, 6, 3), np.float32))


def test_a_network_learns_from_sequences_through_the_engine(rng, seed):
    """Whether the last step is above 0, whatever the filling says."""
    lengths = rng.integers(1, 6, 400).astype(np.int32)
    x = sequences(rng, 1, lengths)
    y = (x.values[np.arange(400), lengths - 1, 0] > 0).astype(np.int32)
    data = sd.data.Dataset({"x": x[:300], "y": y[:300]}, {"x": x[300:], "y": y[300:]}, labels=("below", "above"))
    spec = nn.Sequential(hidden=nn.Dense(8, nn.tanh), norm=nn.BatchNorm(), last=Last(), head=nn.Dense(2))
    run = sd.fit(spec, data, sd.Classify(), sd.Adam(1e-2), epochs=30, batch=32, seed=seed, progress=False)
    assert run.evaluate("valid")["accuracy"].value > 0.9
