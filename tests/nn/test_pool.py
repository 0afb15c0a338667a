"""Pooling and upsampling against NumPy, and how derivatives are shared."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sonde as sd
from sonde import nn
from sonde._errors import ArgumentError, ShapeError

close = dict(rtol=1e-5, atol=1e-5)


def on(layer, x):
    """What a layer without parameters gives."""
    return np.asarray(nn.build(layer, x).bind()(x))


def column(*numbers):
    """A series of one channel in one row."""
    return jnp.asarray(numbers, jnp.float32).reshape(1, -1, 1)


# ---------------------------------------------------------------------- pooling


def test_windows_of_2x2_keep_the_largest_and_the_mean():
    image = np.array([[1, 2, 5, 6], [3, 4, 7, 8], [9, 10, 13, 14], [11, 12, 15, 16]], np.float32)[None, ..., None]
    np.testing.assert_array_equal(on(nn.MaxPool(), jnp.asarray(image))[0, ..., 0], [[4, 8], [12, 16]])
    np.testing.assert_array_equal(on(nn.AveragePool(), jnp.asarray(image))[0, ..., 0], [[2.5, 6.5], [10.5, 14.5]])


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.MaxPool(2), [3, 5]),  # what does not fill a window is left out
        (nn.MaxPool(2, padding="same"), [3, 5, -4]),  # and not by the zeros of padding: they never win
        (nn.MaxPool(3, stride=1), [3, 5, 5]),
        (nn.MaxPool(2, stride=3), [3, 5]),
        (nn.MaxPool(2, padding=((1, 0),)), [-1, 3, 5]),
        (nn.AveragePool(2), [1, 3.5]),
        (nn.AveragePool(2, padding="same"), [1, 3.5, -4]),  # padded entries do not count
        (nn.AveragePool(3, stride=2), [4 / 3, 1]),
    ],
)
def test_strides_and_padding_say_where_windows_lie(layer, expected):
    np.testing.assert_allclose(on(layer, column(-1, 3, 2, 5, -4)).ravel(), expected, rtol=1e-6)


def slow(x, reduce, size, stride, padding):
    """Every window by itself, of the entries that there are."""
    axes, space = range(len(size)), x.shape[1:-1]
    out = [(space[i] + sum(padding[i]) - size[i]) // stride[i] + 1 for i in axes]
    y = np.zeros((x.shape[0], *out, x.shape[-1]))
    for place in itertools.product(*map(range, out)):
        first = [place[i] * stride[i] - padding[i][0] for i in axes]
        held = x[:, *(slice(max(first[i], 0), first[i] + size[i]) for i in axes)]
        y[:, *place] = reduce(held, axis=tuple(1 + i for i in axes))
    return y


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(((7,), (6, 5), (4, 4), (3, 4, 5))),
    st.lists(st.integers(1, 3), min_size=3, max_size=3),
    st.one_of(st.none(), st.lists(st.integers(1, 3), min_size=3, max_size=3)),
    st.sampled_from(["same", "valid", "by hand"]),
    st.integers(0, 2**31 - 1),
)
def test_pooling_is_the_largest_and_the_mean_of_the_entries_in_each_window(space, size, stride, padding, seed):
    n = len(space)
    size = tuple(size[:n])
    steps = size if stride is None else tuple(stride[:n])
    missing = [max(-(-m // s) * s - s + k - m, 0) for m, k, s in zip(space, size, steps, strict=True)]
    pairs = {
        "valid": ((0, 0),) * n,
        "same": tuple((m // 2, m - m // 2) for m in missing),
        "by hand": tuple((k - 1, k // 2) for k in size),
    }[padding]
    x = np.random.default_rng(seed).normal(size=(2, *space, 3)).astype(np.float32)
    for layer, reduce in ((nn.MaxPool, np.max), (nn.AveragePool, np.mean)):
        pool = layer(size, None if stride is None else steps, pairs if padding == "by hand" else padding)
        np.testing.assert_allclose(on(pool, jnp.asarray(x)), slow(x, reduce, size, steps, pairs), **close)


def test_the_largest_of_whole_numbers_is_one():
    x = np.array([3, 200, 7, 9], np.uint8).reshape(1, 4, 1)
    y = on(nn.MaxPool(2), x)
    assert y.dtype == np.uint8 and y.ravel().tolist() == [200, 9]
    assert on(nn.MaxPool(3, padding="same"), x - 250).dtype == np.uint8


@pytest.mark.parametrize("pool", [nn.MaxPool(2), nn.MaxPool(3, stride=2), nn.GlobalMaxPool()], ids=str)
def test_the_largest_entry_gets_the_derivative_and_equal_ones_share_it(pool):
    slope = lambda *numbers: jax.grad(lambda x: nn.build(pool, x).bind().still(x).sum())(column(*numbers)).ravel()
    assert slope(1, 5, 2)[:3].tolist() == [0, 1, 0]
    assert slope(4, 4, 2)[:3].tolist() == [0.5, 0.5, 0]


def test_the_derivative_of_a_mean_is_the_same_for_all():
    slope = lambda pool: (
        jax.grad(lambda x: nn.build(pool, x).bind().still(x).sum())(column(4, 7, 2, 9)).ravel().tolist()
    )
    assert slope(nn.AveragePool(2)) == [0.5, 0.5, 0.5, 0.5]
    assert slope(nn.GlobalAveragePool()) == [0.25, 0.25, 0.25, 0.25]


LAYERS = [
    *(nn.MaxPool(2), nn.MaxPool(3, 1, "same"), nn.AveragePool(3, 2, "same")),
    *(nn.GlobalMaxPool(), nn.GlobalAveragePool(), nn.Upsample(2), nn.Upsample(3, "linear"), nn.Reshape(-1, 2)),
]


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_second_derivatives_are_those_of_what_comes_behind(layer, rng):
    """All of these are linear between ties, so the curvature of sum(y^3) along v is 6 J'(y J v)."""
    with jax.enable_x64(True):
        x, along = (jnp.asarray(rng.normal(size=(2, 6, 4, 2))) for _ in range(2))
        function = nn.build(layer, x).bind().still
        slope = jax.grad(lambda x: (function(x) ** 3).sum())
        backward = jax.grad(lambda x: (slope(x) * along).sum())(x)
        jacobian = jax.jacrev(function)(x)
        y, moved = function(x), jnp.tensordot(jacobian, along, along.ndim)
        np.testing.assert_allclose(backward, 6 * jnp.tensordot(y * moved, jacobian, y.ndim), rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(jax.jvp(slope, (x,), (along,))[1], backward, rtol=1e-9, atol=1e-9)


# ---------------------------------------------------------------------- over everything


@pytest.mark.parametrize("shape", [(3, 5, 2), (3, 4, 5, 2), (3, 2, 3, 4, 2)], ids=str)
def test_global_pools_are_the_largest_and_the_mean_over_space(shape, rng):
    x = rng.normal(size=shape).astype(np.float32)
    axes = tuple(range(1, len(shape) - 1))
    np.testing.assert_array_equal(on(nn.GlobalMaxPool(), jnp.asarray(x)), x.max(axes))
    np.testing.assert_allclose(on(nn.GlobalAveragePool(), jnp.asarray(x)), x.mean(axes, dtype=np.float64), **close)


@pytest.mark.parametrize("inner", [(), (2,)], ids=["steps", "frames"])
def test_global_pools_count_only_what_lies_within_the_lengths(inner, rng):
    values = rng.normal(size=(4, 5, *inner, 3)).astype(np.float32) - 3  # below 0, so that filling would win
    lengths = np.array([5, 2, 1, 0])
    for rubbish in (0.0, 1e6, np.nan):
        filled = values.copy()
        for row, n in enumerate(lengths):
            filled[row, n:] = rubbish
        x = sd.Padded(jnp.asarray(filled), jnp.asarray(lengths))
        largest, mean = on(nn.GlobalMaxPool(), x), on(nn.GlobalAveragePool(), x)
        assert largest.shape == mean.shape == (4, 3)
        axes = tuple(range(len(inner) + 1))
        for row, n in enumerate(lengths[:3]):
            np.testing.assert_array_equal(largest[row], values[row, :n].max(axes))
            np.testing.assert_allclose(mean[row], values[row, :n].mean(axes), **close)
        assert not largest[3].any() and not mean[3].any()  # of nothing it is 0
        for pool in (nn.GlobalMaxPool(), nn.GlobalAveragePool()):
            net = nn.build(pool, x)
            slope = jax.grad(lambda v, net=net, x=x: net.bind().still(sd.Padded(v, x.lengths)).sum())(x.values)
            for row, n in enumerate(lengths):
                assert np.isfinite(slope[row]).all() and not np.asarray(slope[row, n:]).any()


# ---------------------------------------------------------------------- upsampling and reshaping


def test_upsampling_repeats_or_draws_lines():
    np.testing.assert_array_equal(on(nn.Upsample(3), column(1, 5)).ravel(), [1, 1, 1, 5, 5, 5])
    np.testing.assert_allclose(on(nn.Upsample(4, "linear"), column(0, 8)).ravel(), [0, 0, 1, 3, 5, 7, 8, 8], atol=1e-6)


@pytest.mark.parametrize("factor", [2, (2, 3), (1, 4)], ids=str)
def test_upsampled_images_are_products_of_both_axes(factor, rng):
    x = rng.normal(size=(2, 3, 4, 2)).astype(np.float32)
    tall, wide = (factor, factor) if isinstance(factor, int) else factor
    expected = x.repeat(tall, 1).repeat(wide, 2)
    np.testing.assert_array_equal(on(nn.Upsample(factor), jnp.asarray(x)), expected)
    lines = on(nn.Upsample(factor, "linear"), jnp.asarray(x))
    middles = lambda n, f: np.clip((np.arange(n * f) + 0.5) / f - 0.5, 0, n - 1)
    for row, channel in itertools.product(range(2), range(2)):
        along = lambda a, at: np.interp(at, np.arange(len(a)), a)
        once = np.apply_along_axis(along, 0, x[row, ..., channel], middles(3, tall))
        both = np.apply_along_axis(along, 1, once, middles(4, wide))
        np.testing.assert_allclose(lines[row, ..., channel], both, **close)


def test_averaging_undoes_upsampling(rng):
    x = jnp.asarray(rng.normal(size=(2, 3, 4, 2)), jnp.float32)
    np.testing.assert_allclose(on(nn.Sequential(nn.Upsample(2), nn.AveragePool(2)), x), x, **close)


def test_reshape_gives_each_row_other_axes_and_back(rng):
    x = rng.normal(size=(5, 28, 28)).astype(np.float32)
    np.testing.assert_array_equal(on(nn.Reshape(28, 28, 1), jnp.asarray(x)), x[..., None])
    np.testing.assert_array_equal(on(nn.Reshape(-1, 14), jnp.asarray(x)), x.reshape(5, 56, 14))
    np.testing.assert_array_equal(on(nn.Sequential(nn.Flatten(), nn.Reshape(28, 28)), jnp.asarray(x)), x)
    assert repr(nn.Reshape(28, 28, 1)) == "Reshape(28, 28, 1)" and nn.Reshape(2, 3) != nn.Reshape(3, 2)


# ---------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: nn.MaxPool(0), "size of MaxPool must be a whole number of at least 1, or one for each axis; got 0"),
        (lambda: nn.MaxPool(2, stride=-1), "stride of MaxPool must be .*; got -1"),
        (
            lambda: nn.AveragePool(2, padding="full"),
            "padding of AveragePool must be 'same', 'valid', or .*; got 'full'",
        ),
        (lambda: nn.Upsample(1.5), "factor of Upsample must be .*; got 1.5"),
        (lambda: nn.Upsample(2, "cubic"), "method of Upsample must be 'nearest' or 'linear'; got 'cubic'"),
        (lambda: nn.Reshape(0, 3), r"Reshape takes whole numbers of at least 1, .*; got \(0, 3\)"),
        (lambda: nn.Reshape(-1, -1), "-1 at most once"),
        (lambda: nn.Reshape((2, 3)), "Reshape takes whole numbers"),
    ],
)
def test_layers_that_cannot_be_are_refused(make, said):
    with pytest.raises(ArgumentError, match=said):
        make()


@pytest.mark.parametrize(
    ("layer", "shape", "said"),
    [
        (nn.MaxPool(), (5, 3), r"MaxPool takes \[rows, \*space, channels\]"),
        (nn.GlobalAveragePool(), (5, 3), "GlobalAveragePool takes .* at least one axis of space"),
        (nn.MaxPool(5), (2, 4, 1), "no window of MaxPool fits"),
        (nn.AveragePool((2, 2)), (2, 8, 1), r"size=\(2, 2\) of AveragePool is for 2 axes of space"),
        (nn.AveragePool(2, padding=((2, 0),)), (2, 8, 1), "see nothing of x; pad less than the size"),
        (nn.Upsample((2, 2)), (2, 8, 1), r"factor=\(2, 2\) of Upsample is for 2 axes"),
        (nn.Reshape(4, 2), (5, 9), r"the 9 numbers in each row of float32\[5, 9\] do not make a Reshape\(4, 2\)"),
        (nn.Reshape(-1, 2), (5, 9), "do not make a"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(layer, shape, said):
    with pytest.raises(ShapeError, match=said):
        nn.build(layer, jnp.ones(shape))


@pytest.mark.parametrize("layer", [nn.AveragePool(), nn.GlobalAveragePool(), nn.Upsample(2, "linear")], ids=str)
def test_means_of_whole_numbers_are_refused_with_a_remedy(layer):
    with pytest.raises(ShapeError, match=f"{type(layer).__name__} takes floating-point numbers.*nn.Scale"):
        nn.build(layer, np.zeros((1, 4, 1), np.uint8))


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv(2, 3),
        nn.ConvTranspose(2, 3),
        nn.LocallyConnected(2, 2),
        nn.MaxPool(),
        nn.AveragePool(),
        nn.Upsample(),
        nn.Reshape(-1, 2),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_sequences_of_different_lengths_are_refused_where_steps_would_mix_with_filling(layer):
    with pytest.raises(ShapeError, match=f"{type(layer).__name__} mixes the steps of a sequence"):
        nn.build(layer, sd.Padded(jnp.ones((2, 4, 2)), jnp.array([4, 1])))
