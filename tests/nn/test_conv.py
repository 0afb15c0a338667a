"""Convolution is what it is by hand, its transpose is its transpose, and its derivatives are JAX's own, only faster."""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st

from sonde import nn
from sonde._errors import ArgumentError, ShapeError
from sonde.nn.convolve import convolve, plain, to_input, to_kernel

close = dict(rtol=1e-4, atol=1e-5)


def column(*numbers):
    """A series of one channel in one row."""
    return jnp.asarray(numbers, jnp.float32).reshape(1, -1, 1)


def made(layer, x, seed=0):
    """The network of a layer, its biases drawn too."""
    return nn.build(layer.replace(bias_init=nn.Normal(1.0)) if hasattr(layer, "bias_init") else layer, x, seed=seed)


def with_kernel(layer, x, kernel):
    """A layer without bias, with this kernel, on x."""
    net = nn.build(layer.replace(bias_init=None), x)
    return np.asarray(net.replace(params={"kernel": jnp.asarray(kernel, jnp.float32)})(x))


# ---------------------------------------------------------------------- what it computes


def test_a_moving_average_is_a_convolution_with_equal_weights():
    series = np.arange(1.0, 8.0)
    average = with_kernel(nn.Conv(1, 3, padding="valid"), column(*series), np.full((3, 1, 1), 1 / 3)).ravel()
    np.testing.assert_allclose(average, [2, 3, 4, 5, 6], rtol=1e-6)
    np.testing.assert_allclose(average, np.convolve(series, np.full(3, 1 / 3), mode="valid"), rtol=1e-6)


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_networks_correlate_and_the_flipped_kernel_convolves(axes, padding, rng):
    image, kernel = rng.normal(size=(7, 6, 5)[:axes]), rng.normal(size=(3, 3, 3)[:axes])
    x = jnp.asarray(image, jnp.float32)[None, ..., None]
    given = lambda kernel: with_kernel(nn.Conv(1, 3, padding=padding), x, kernel[..., None, None])[0, ..., 0]
    np.testing.assert_allclose(given(kernel), scipy.signal.correlate(image, kernel, padding), **close)
    np.testing.assert_allclose(given(np.flip(kernel)), scipy.signal.convolve(image, kernel, padding), **close)


@pytest.mark.parametrize(
    ("stride", "padding", "expected"),
    [
        (1, "valid", [3, 5, 7, 9]),
        (1, "same", [3, 5, 7, 9, 5]),  # the odd zero comes after the end
        (2, "valid", [3, 7]),
        (2, "same", [3, 7, 5]),
        (1, ((1, 0),), [1, 3, 5, 7, 9]),
        (2, ((1, 2),), [1, 5, 9, 0]),
    ],
)
def test_a_kernel_of_two_ones_sums_neighbors_as_stride_and_padding_say(stride, padding, expected):
    layer = nn.Conv(1, 2, stride=stride, padding=padding)
    np.testing.assert_array_equal(with_kernel(layer, column(1, 2, 3, 4, 5), np.ones((2, 1, 1))).ravel(), expected)


def test_a_dilated_kernel_skips_entries():
    y = with_kernel(nn.Conv(1, 2, padding="valid", dilation=3), column(1, 2, 4, 8, 16), np.ones((2, 1, 1)))
    np.testing.assert_array_equal(y.ravel(), [1 + 8, 2 + 16])


SPACES = ((9,), (5,), (6, 5), (4, 7), (3, 4, 5))
PADDINGS = ("same", "valid", "by hand")


def slow(x, kernel, stride, padding, dilation, groups):
    """The equation of convolution, number by number, in float64."""
    rows, *space, inputs = x.shape
    *size, group_inputs, channels = kernel.shape
    axes = range(len(size))
    wide = np.zeros((rows, *(n + a + b for n, (a, b) in zip(space, padding, strict=True)), inputs))
    wide[:, *(slice(padding[i][0], padding[i][0] + space[i]) for i in axes)] = x
    out = [(wide.shape[1 + i] - dilation[i] * (size[i] - 1) - 1) // stride[i] + 1 for i in axes]
    y = np.zeros((rows, *out, channels))
    for place in itertools.product(*map(range, out)):
        for tap in itertools.product(*map(range, size)):
            seen = wide[:, *(stride[i] * place[i] + dilation[i] * tap[i] for i in axes)]
            for c in range(channels):
                first = c // (channels // groups) * group_inputs
                y[:, *place, c] += seen[:, first : first + group_inputs] @ kernel[(*tap, slice(None), c)]
    return y


def by_hand(padding, space, size, stride, dilation):
    """How many zeros stand before and after, written from TensorFlow's definition of SAME."""
    if padding == "by hand":
        return tuple((1, i) for i in range(len(space)))
    if padding == "valid":
        return ((0, 0),) * len(space)
    pairs = []
    for n, k, s, d in zip(space, size, stride, dilation, strict=True):
        reach = d * (k - 1) + 1
        missing = max(reach - s, 0) if n % s == 0 else max(reach - n % s, 0)
        pairs.append((missing // 2, missing - missing // 2))
    return tuple(pairs)


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(SPACES),
    st.lists(st.integers(1, 3), min_size=3, max_size=3),
    st.lists(st.integers(1, 3), min_size=3, max_size=3),
    st.lists(st.integers(1, 2), min_size=3, max_size=3),
    st.sampled_from(PADDINGS),
    st.sampled_from([(1, 1), (2, 2), (3, 1)]),
    st.integers(0, 2**31 - 1),
)
def test_any_stride_padding_dilation_and_grouping_is_the_sum_of_the_equation(
    space, size, stride, dilation, padding, grouping, seed
):
    n, (groups, inputs) = len(space), grouping
    size, stride, dilation = tuple(size[:n]), tuple(stride[:n]), tuple(dilation[:n])
    rng = np.random.default_rng(seed)
    pairs = by_hand(padding, space, size, stride, dilation)
    if any(d * (k - 1) + 1 > m + sum(p) for m, k, d, p in zip(space, size, dilation, pairs, strict=True)):
        return  # no window fits; refused in a test below
    x = jnp.asarray(rng.normal(size=(2, *space, inputs * groups)), jnp.float32)
    layer = nn.Conv(2 * groups, size, stride, pairs if padding == "by hand" else padding, dilation, groups)
    net = made(layer, x, seed)
    assert net.params["kernel"].shape == (*size, inputs, 2 * groups) and net.params["bias"].shape == (2 * groups,)
    kernel, bias = (np.asarray(net.params[name], np.float64) for name in ("kernel", "bias"))
    expected = slow(np.asarray(x, np.float64), kernel, stride, pairs, dilation, groups) + bias
    np.testing.assert_allclose(net.bind()(x), expected, **close)


def test_a_feature_map_sums_over_channels_and_sees_nothing_of_other_maps(rng):
    photo, kernel = rng.normal(size=(6, 6, 3)), rng.normal(size=(3, 3, 3, 5))  # red, green, blue; five maps
    maps = with_kernel(nn.Conv(5, 3), jnp.asarray(photo[None], jnp.float32), kernel)[0]
    assert maps.shape == (6, 6, 5)
    for m in range(5):
        each = [scipy.signal.correlate(photo[..., c], kernel[..., c, m], "same") for c in range(3)]
        np.testing.assert_allclose(maps[..., m], sum(each), **close)
    changed = kernel.copy()
    changed[..., 2] += 1
    other = with_kernel(nn.Conv(5, 3), jnp.asarray(photo[None], jnp.float32), changed)[0]
    assert np.array_equal((other != maps).any((0, 1)), [False, False, True, False, False])


def test_filters_made_by_hand_find_edges_and_corners_and_smooth(rng):
    square = np.zeros((9, 9))
    square[2:7, 3:8] = 1.0
    edge = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])  # Sobel's, for vertical edges
    corner = np.array([[1, -1], [-1, 1]])
    smooth = np.full((3, 3), 1 / 9)
    given = lambda image, kernel, padding="same": with_kernel(
        nn.Conv(1, kernel.shape, padding=padding),
        jnp.asarray(image, jnp.float32)[None, ..., None],
        kernel[..., None, None],
    )[0, ..., 0]
    np.testing.assert_allclose(given(square, edge), scipy.ndimage.sobel(square, 1, mode="constant"), **close)
    assert set(np.nonzero(given(square, edge))[1]) == {2, 3, 7, 8}  # on both sides of its left and its right edge
    places = set(zip(*np.nonzero(given(square, corner, "valid")), strict=True))
    assert places == {(1, 2), (1, 7), (6, 2), (6, 7)}  # its four corners and nothing else
    noise = rng.normal(size=(9, 9))
    np.testing.assert_allclose(given(noise, smooth), scipy.ndimage.uniform_filter(noise, 3, mode="constant"), **close)


def test_a_field_of_4x4_on_an_image_of_32x32_gives_29x29_units_of_16_links_each(rng):
    image = jnp.asarray(rng.normal(size=(1, 32, 32, 1)), jnp.float32)
    weights = {}
    for layer in (nn.Conv(1, 4, padding="valid"), nn.LocallyConnected(1, 4)):
        net = nn.build(layer.replace(bias_init=None), image)
        assert net(image).shape == (1, 29, 29, 1)
        seen = jax.grad(lambda image, net=net: net(image)[0, 10, 20, 0])(image)[0, ..., 0]
        rows, columns = np.nonzero(seen)
        assert len(rows) == 16  # a unit is linked to its field only
        assert (rows.min(), rows.max(), columns.min(), columns.max()) == (10, 13, 20, 23)
        weights[type(layer)] = net.params["kernel"].size
    dense = nn.build(nn.Sequential(nn.Flatten(), head=nn.Dense(29 * 29, bias_init=None)), image)
    assert weights == {nn.Conv: 16, nn.LocallyConnected: 29 * 29 * 16}
    assert dense.params["head/kernel"].size == 32 * 32 * 29 * 29


def test_bfloat16_is_computed_in_the_type_of_the_weights(rng):
    x = jnp.asarray(rng.normal(size=(2, 6, 3)), jnp.bfloat16)
    for layer in (nn.Conv(4, 3), nn.ConvTranspose(4, 3), nn.LocallyConnected(4, 3)):
        net = nn.build(layer, x)
        assert net(x).dtype == jnp.float32
        np.testing.assert_allclose(net(x), net(x.astype(jnp.float32)), rtol=1e-6, atol=1e-6)


# ---------------------------------------------------------------------- transposed and local


@settings(max_examples=20, deadline=None)
@given(
    st.sampled_from(((4,), (3, 5), (2, 3, 2))),
    st.lists(st.integers(1, 4), min_size=3, max_size=3),
    st.lists(st.integers(1, 3), min_size=3, max_size=3),
    st.sampled_from(PADDINGS),
    st.integers(0, 2**31 - 1),
)
def test_conv_transposed_is_the_transpose_of_conv(space, size, stride, padding, seed):
    """<A x, y> = <x, A' y> for every x and y, which defines A'."""
    n, rng = len(space), np.random.default_rng(seed)
    size, stride = tuple(size[:n]), tuple(stride[:n])
    pairs = tuple((min(1, k - 1), 0) for k in size)
    y = jnp.asarray(rng.normal(size=(2, *space, 3)), jnp.float32)
    layer = nn.ConvTranspose(5, size, stride, pairs if padding == "by hand" else padding, bias_init=None)
    up = nn.build(layer, y, seed=seed)
    back = up.bind()(y)  # A' y
    assert up.params["kernel"].shape == (*size, 3, 5)
    grown = {
        "same": [m * s for m, s in zip(space, stride, strict=True)],
        "valid": [(m - 1) * s + k for m, s, k in zip(space, stride, size, strict=True)],
    }.get(padding, [(m - 1) * s + k - p[0] for m, s, k, p in zip(space, stride, size, pairs, strict=True)])
    assert back.shape == (2, *grown, 5)
    x = jnp.asarray(rng.normal(size=back.shape), jnp.float32)
    down = nn.Network(
        nn.Conv(3, size, stride, layer.padding, bias_init=None), {"kernel": up.params["kernel"].swapaxes(-1, -2)}
    )
    there = down.bind()(x)  # A x
    assert there.shape == y.shape
    inner = lambda a, b: (np.asarray(a, np.float64) * np.asarray(b, np.float64)).sum()
    np.testing.assert_allclose(inner(there, y), inner(x, back), rtol=1e-4, atol=1e-4)


def test_conv_transposed_paints_a_kernel_for_each_entry():
    paint = nn.ConvTranspose(1, 3, stride=2, padding="valid")
    y = with_kernel(paint, column(1, 10), np.array([1.0, 2.0, 3.0]).reshape(3, 1, 1))
    np.testing.assert_array_equal(y.ravel(), [1, 2, 3 + 10, 20, 30])


@pytest.mark.parametrize(
    "geometry",
    [
        dict(size=3),
        dict(size=2, stride=2),
        dict(size=(2, 3), stride=(1, 2), padding="same"),
        dict(size=2, padding=((0, 1), (1, 1))),
    ],
)
def test_locally_connected_with_equal_kernels_is_conv(geometry, rng, seed):
    x = jnp.asarray(rng.normal(size=(3, 6, 5, 2)), jnp.float32)
    local = nn.build(nn.LocallyConnected(4, **geometry), x, seed=seed)
    conv = made(nn.Conv(4, **{"padding": "valid"} | geometry), x, seed)
    spread = lambda v, like: jnp.broadcast_to(v, like.shape)
    same = local.replace(params={name: spread(conv.params[name], local.params[name]) for name in local.params})
    np.testing.assert_allclose(same(x), conv(x), **close)


def test_each_window_has_weights_of_its_own(rng, seed):
    x = jnp.asarray(rng.normal(size=(2, 6, 3)), jnp.float32)
    net = nn.build(nn.LocallyConnected(4, 3), x, seed=seed)
    assert {k: v.shape for k, v in net.params.items()} == {"kernel": (4, 3, 3, 4), "bias": (4, 4)}
    moved = net.replace(params=net.params | {"kernel": net.params["kernel"].at[1].add(1.0)})
    np.testing.assert_array_equal((moved(x) != net(x)).any((0, 2)), [False, True, False, False])


def test_the_windows_of_locally_connected_start_apart_and_as_large_as_a_kernel_of_conv(seed):
    x = jnp.ones((1, 32, 32, 8))
    kernel = np.asarray(nn.build(nn.LocallyConnected(16, 4), x, seed=seed).params["kernel"]).reshape(29 * 29, -1)
    assert len(np.unique(kernel[:, 0])) == 29 * 29
    variance = 2 / (16 * 8 + 16 * 16)  # Glorot's, of one window
    error = variance * math.sqrt(0.8 / kernel.size)  # the variance of a uniform square is 4/5 of its mean's square
    assert abs(kernel.var() - variance) < 5.5 * error


# ---------------------------------------------------------------------- derivatives

GEOMETRIES = {
    "series": ((7,), (3,), dict(stride=(2,), padding=((1, 1),), dilation=(1,), groups=1)),
    "images": ((6, 5), (3, 2), dict(stride=(1, 1), padding=((1, 1), (0, 1)), dilation=(1, 1), groups=1)),
    "strides": ((8, 6), (2, 3), dict(stride=(3, 2), padding=((0, 0), (1, 2)), dilation=(1, 1), groups=1)),
    "dilation": ((8, 7), (3, 2), dict(stride=(2, 1), padding=((2, 1), (0, 0)), dilation=(2, 3), groups=1)),
    "groups": ((5, 6), (2, 3), dict(stride=(1, 2), padding=((1, 0), (1, 1)), dilation=(1, 1), groups=2)),
    "depthwise": ((6,), (3,), dict(stride=(1,), padding=((2, 2),), dilation=(2,), groups=4)),
    "volumes": ((4, 3, 5), (2, 3, 2), dict(stride=(1, 1, 2), padding=((1, 0),) * 3, dilation=(1, 1, 2), groups=2)),
    "more stride than taps": ((7, 1), (2, 1), dict(stride=(4, 2), padding=((1, 0),) * 2, dilation=(2, 1), groups=1)),
    "padding beyond the kernel": ((3,), (2,), dict(stride=(1,), padding=((3, 4),), dilation=(1,), groups=1)),
}  # fmt: skip


@pytest.mark.parametrize("name", GEOMETRIES)
def test_derivatives_of_both_orders_and_modes_and_in_lanes_are_jaxs_own(name, rng):
    space, size, how = GEOMETRIES[name]
    with jax.enable_x64(True):
        draw = lambda *shape: jnp.asarray(rng.normal(size=shape))
        point = draw(2, *space, 4), draw(*size, 4 // how["groups"], 4)
        along = tuple(draw(*a.shape) for a in point)

        @functools.partial(jax.jit, static_argnums=0)
        def derivatives(function):
            height = lambda x, w: jnp.sin(function(x, w, **how)).sum()
            slope = jax.grad(height, (0, 1))
            inner = lambda x, w: sum((a * b).sum() for a, b in zip(slope(x, w), along, strict=True))
            lanes = lambda a: jnp.stack([a, 0.5 * a - 1])
            x, w = point
            return {
                "reverse": slope(x, w),
                "forward": jax.jvp(height, point, along)[1],
                "reverse over reverse": jax.grad(inner, (0, 1))(x, w),
                "forward over reverse": jax.jvp(slope, point, along)[1],
                "lanes of both": jax.vmap(slope)(lanes(x), lanes(w)),
                "lanes of rows": jax.vmap(slope, (0, None))(lanes(x), w),
                "lanes of kernels": jax.vmap(slope, (None, 0))(x, lanes(w)),
                "the last axis in lanes": jax.vmap(slope, (-1, -1))(*(jnp.moveaxis(lanes(a), 0, -1) for a in point)),
            }

        ours, jaxs = derivatives(convolve), derivatives(plain)
        assert set(ours) == set(jaxs)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9), ours, jaxs)


@st.composite
def geometries(draw):
    """Any convolution of a series: entries, taps, channels in and out, and how."""
    whole = lambda low, high: draw(st.integers(low, high))
    taps, dilation, before, after = whole(1, 4), whole(1, 3), whole(0, 3), whole(0, 3)
    reach = dilation * (taps - 1) + 1
    space = whole(max(1, reach - before - after), 9)
    how = dict(stride=(whole(1, 4),), padding=((before, after),), dilation=(dilation,), groups=whole(1, 2))
    inputs, channels = draw(st.sampled_from([(1, 2), (3, 1), (8, 8), (8, 9), (9, 8)]))
    return space, taps, how["groups"] * inputs, how["groups"] * channels, how


@given(geometries())
@settings(max_examples=12, deadline=None)
def test_its_transposes_meet_what_they_are_the_transposes_of(geometry):
    """<y, conv(x, w)> = <x', x> = <w', w> is what makes x' and w' transposes, whatever the stride leaves over."""
    space, taps, inputs, channels, how = geometry
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        x = jnp.asarray(rng.normal(size=(2, space, inputs)))
        w = jnp.asarray(rng.normal(size=(taps, inputs // how["groups"], channels)))
        reached = plain(x, w, **how)
        y = jnp.asarray(rng.normal(size=reached.shape))
        expected = float((y * reached).sum())
        assert float((to_input(y, w, (space,), **how) * x).sum()) == pytest.approx(expected, rel=1e-9, abs=1e-9)
        assert float((to_kernel(y, x, (taps,), **how) * w).sum()) == pytest.approx(expected, rel=1e-9, abs=1e-9)


LAYERS = {
    "Conv": (nn.Conv(3, 3, stride=2, activation=nn.tanh), (2, 5, 4, 2)),
    "Conv whose windows leave a rest": (
        nn.Conv(2, 3, stride=3, padding="valid"),
        (2, 8, 7, 2),
    ),  # JAX's own crashes XLA
    "Conv in groups": (nn.Conv(4, 2, dilation=2, groups=2, activation=nn.tanh), (2, 6, 2)),
    "ConvTranspose": (nn.ConvTranspose(3, 3, stride=2, activation=nn.tanh), (2, 3, 2, 2)),
    "LocallyConnected": (nn.LocallyConnected(3, 2, activation=nn.tanh), (2, 4, 3, 2)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_second_derivatives_of_layers_are_differences_of_first_ones(name, rng, seed):
    layer, shape = LAYERS[name]
    with jax.enable_x64(True):
        x = jnp.asarray(rng.normal(size=shape))
        net = made(layer, x.astype(jnp.float32), seed)
        point = (jax.tree.map(lambda a: a.astype(jnp.float64), net.params), x)
        along = jax.tree.map(lambda a: jnp.asarray(rng.normal(size=a.shape)), point)
        height = lambda params, x: (net.replace(params=params).bind().still(x) ** 3).sum()
        slope = jax.jit(jax.grad(height, (0, 1)))
        inner = lambda params, x: sum(
            (a * b).sum()
            for a, b in zip(jax.tree.leaves(jax.grad(height, (0, 1))(params, x)), jax.tree.leaves(along), strict=True)
        )
        second = jax.jit(jax.grad(inner, (0, 1)))(*point)
        forward = jax.jit(lambda p, t: jax.jvp(jax.grad(height, (0, 1)), p, t)[1])(point, along)
        step = 1e-6
        walk = lambda by: slope(*jax.tree.map(lambda p, d: p + by * d, point, along))
        differences = jax.tree.map(lambda a, b: (a - b) / (2 * step), walk(step), walk(-step))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6), second, differences)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9), second, forward)


@functools.partial(jax.jit, static_argnums=(0, 3))
def descended(function, x, kernels, steps):
    """A few steps of two convolutions inside a loop."""
    how = dict(stride=(1, 1), padding=((2, 2), (2, 2)), dilation=(1, 1), groups=1)
    loss = lambda ks: (function(jax.nn.relu(function(x, ks[0], **how)), ks[1], **how) ** 2).mean()
    step = lambda ks, _: (jax.tree.map(lambda k, g: k - 0.01 * g, ks, jax.grad(loss)(ks)), None)
    return jax.lax.scan(step, kernels, None, length=steps)[0]


def test_descent_in_a_loop_ends_where_jaxs_own_gradients_lead(rng):
    x = jnp.asarray(rng.normal(size=(32, 14, 14, 16)), jnp.float32)
    kernels = tuple(jnp.asarray(rng.normal(size=(5, 5, 16, 16)) / 20, jnp.float32) for _ in range(2))
    ours, jaxs = (descended(function, x, kernels, 2) for function in (convolve, plain))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **close), ours, jaxs)


# ---------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("kind", [nn.Conv, nn.ConvTranspose, nn.LocallyConnected])
@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (dict(channels=0), "channels of {} must be a whole number of at least 1; got 0"),
        (dict(size=0), "size of {} must be a whole number of at least 1, or one for each axis; got 0"),
        (dict(size=(3, 2.5)), r"size of {} must be .*; got \(3, 2.5\)"),
        (dict(size=()), r"size of {} must be .*; got \(\)"),
        (dict(stride=True), "stride of {} must be .*; got True"),
        (dict(padding="full"), "padding of {} must be 'same', 'valid', or .*; got 'full'"),
        (dict(padding=(1, 1)), r"padding of {} must be .* \(before, after\) .*; got \(1, 1\)"),
        (dict(padding=((-1, 0),)), r"padding of {} must be"),
        (dict(activation="relu"), "activation of {} must be a function such as nn.relu; got 'relu'"),
        (dict(kernel_init="he"), "kernel_init of {} must be an initializer"),
    ],
)
def test_layers_that_cannot_be_are_refused(kind, fields, said):
    with pytest.raises(ArgumentError, match=said.format(kind.__name__)):
        kind(**{"channels": 3, "size": 3} | fields)


def test_groups_that_do_not_part_the_channels_are_refused(rng):
    for groups in (0, 4, 1.5):
        with pytest.raises(ArgumentError, match="groups of Conv must be a whole number that divides its 6 channels"):
            nn.Conv(6, 3, groups=groups)
    with pytest.raises(ShapeError, match=r"the 4 inputs of float32\[1, 9, 4\] do not part into the 3 groups"):
        nn.build(nn.Conv(6, 3, groups=3), jnp.ones((1, 9, 4)))


@pytest.mark.parametrize(
    ("layer", "x", "said"),
    [
        (nn.Conv(3, 3), np.zeros((1, 8, 8, 1), np.uint8), "Conv takes floating-point numbers, .*uint8.*nn.Scale"),
        (nn.Conv(3, 3), np.zeros((2, 8), np.float32), r"Conv takes \[rows, \*space, channels\].*nn.Reshape"),
        (nn.Conv(3, (5, 5)), np.zeros((2, 28, 28), np.float32), r"size=\(5, 5\) of Conv is for 2 axes .*nn.Reshape"),
        (nn.Conv(3, 5, padding="valid"), np.zeros((2, 4, 9, 1), np.float32), r"no window of Conv fits: .*\(5, 5\)"),
        (nn.LocallyConnected(3, 5), np.zeros((2, 4, 1), np.float32), "no window of LocallyConnected fits"),
        (nn.ConvTranspose(3, 2, padding=((1, 1),)), np.zeros((2, 1, 1), np.float32), "cuts everything off"),
        (nn.ConvTranspose(3, 2, stride=(2, 2)), np.zeros((2, 4, 1), np.float32), "stride=.* is for 2 axes"),
    ],
)  # fmt: skip
def test_inputs_that_do_not_fit_are_refused_with_a_remedy(layer, x, said):
    with pytest.raises(ShapeError, match=said):
        nn.build(layer, x)
