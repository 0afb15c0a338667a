"""What changes rows: where things are, as scipy.ndimage has it; what is cut off; series; and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
import scipy.stats

import sonde as sd
from sonde import data
from sonde._errors import ArgumentError, DataError, ShapeError
from sonde.data.augment_geometry import moved

CERTAIN = 1e-6
"""How often a test of distributions may be wrong about a right one."""

GEOMETRIC = [
    *(data.Shift(3.0, outside=outside) for outside in ("zero", "edge")),
    data.Shift((1.5, 0.7), whole=False),
    data.Shift((0, 40)),  # further than the image is wide
    data.Rotate(40.0, "edge"),
    data.Rotate(180.0),
    data.Zoom(0.4),
    data.Zoom(0.4, "edge"),
    data.Shear(35.0),
    data.Flip(1.0),
    data.Flip(0.5, vertical=True),
]


def photograph() -> np.ndarray:
    """A part of a color photograph, with some noise of its own: [40, 52, 3] of 0 .. 255."""
    from sklearn.datasets import load_sample_image

    return np.asarray(load_sample_image("china.jpg"))[150:190, 200:252]


def digits(n: int) -> np.ndarray:
    """Real digits [n, 8, 8] of 0 .. 16."""
    return sd.data.load("digits").train.x[:n]


def by_scipy(image: np.ndarray, matrix: np.ndarray, outside: str) -> np.ndarray:
    """An image read at A p + b, with p from its middle; scipy counts from its corner."""
    middle = (np.array(image.shape[:2]) - 1) / 2
    a, b = matrix[:, :2], matrix[:, 2]
    offset = middle + b - a @ middle
    how = {"order": 1, "mode": "nearest" if outside == "edge" else "grid-constant"}
    one = lambda channel: scipy.ndimage.affine_transform(channel, a, offset, **how)
    return np.stack([one(image[..., c]) for c in range(image.shape[2])], -1)


def draws(op, n, key, height=30, width=20):
    """Matrices of n draws."""
    return np.asarray(jax.vmap(lambda k: op.matrix(k, height, width))(jax.random.split(key, n)), np.float64)


# ---------------------------------------------------------------------- where things are


@pytest.mark.parametrize("op", GEOMETRIC, ids=str)
def test_geometric_operations_are_those_of_scipy_on_a_photograph(op, key):
    image = photograph().astype(np.float32)
    run, matrix = jax.jit(op), jax.jit(op.matrix, static_argnums=(1, 2))
    for k in jax.random.split(key, 4):
        expected = by_scipy(image, np.asarray(matrix(k, 40, 52), np.float64), op.beyond)
        np.testing.assert_allclose(run(k, jnp.asarray(image)), expected, atol=0.03)  # positions to 1e-5 of a pixel


@pytest.mark.parametrize("op", GEOMETRIC, ids=str)
def test_of_whole_numbers_the_result_is_rounded(op, key):
    image = photograph()
    exact = np.asarray(op(key, jnp.asarray(image, jnp.float32)))
    rounded = np.asarray(op(key, jnp.asarray(image)))
    assert rounded.dtype == np.uint8
    assert abs(rounded - exact).max() <= 0.501


def test_real_digits_are_moved_as_scipy_moves_them(key):
    op, images = data.Shift(2), digits(20)
    batch = op.change(key, sd.Batch.of({"x": jnp.asarray(images)}), "x")
    places = set()
    for image, found in zip(images, np.asarray(batch.x), strict=True):
        candidates = {(d, r): scipy.ndimage.shift(image, (d, r), order=0) for d in range(-2, 3) for r in range(-2, 3)}
        same = [at for at, candidate in candidates.items() if np.array_equal(candidate, found)]
        assert same
        places.add(same[0])
    assert len(places) > 3  # each row has a draw of its own


def test_a_rotation_by_a_right_angle_is_exact_and_counterclockwise(rng):
    image = jnp.asarray(rng.normal(size=(6, 6)), jnp.float32)

    class Quarter(data.Rotate):
        def matrix(self, key, height, width):
            return jnp.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])

    np.testing.assert_array_equal(Quarter()(jax.random.key(0), image), np.rot90(image))


def test_angles_factors_and_slopes_are_even_within_what_is_said(key):
    def evenly(values, low, high):
        assert low <= values.min() and values.max() <= high
        assert scipy.stats.kstest((values - low) / (high - low), "uniform").pvalue > CERTAIN

    rotations = draws(data.Rotate(25.0), 4000, key)
    evenly(np.rad2deg(np.arctan2(rotations[:, 0, 1], rotations[:, 0, 0])), -25.0001, 25.0001)
    np.testing.assert_allclose(np.linalg.det(rotations[:, :, :2]), 1, atol=1e-5)
    evenly(1 / draws(data.Zoom(0.3), 4000, key)[:, 0, 0], 0.6999, 1.3001)
    evenly(np.rad2deg(np.arctan(draws(data.Shear(40.0), 4000, key)[:, 1, 0])), -40.0001, 40.0001)
    shifts = draws(data.Shift((0.5, 3.0), whole=False), 4000, key)[:, :, 2]
    evenly(shifts[:, 0], -0.5001, 0.5001)
    evenly(shifts[:, 1], -3.0001, 3.0001)
    assert abs(np.corrcoef(shifts.T)[0, 1]) < 5 / np.sqrt(4000)


def test_whole_shifts_are_equally_likely_and_flips_as_likely_as_said(key):
    shifts = draws(data.Shift((2.0, 1.9)), 5000, key)[:, :, 2]
    for axis, values in enumerate((np.arange(-2, 3), np.arange(-1, 2))):
        counts = [(shifts[:, axis] == v).sum() for v in values]
        assert sum(counts) == 5000 and scipy.stats.chisquare(counts).pvalue > CERTAIN
    flipped = (draws(data.Flip(0.3), 4000, key)[:, 1, 1] < 0).mean()
    assert abs(flipped - 0.3) < 5 * np.sqrt(0.3 * 0.7 / 4000)


def test_a_strength_of_nothing_changes_nothing(key):
    image = jnp.asarray(photograph())
    still = (
        data.Shift(0), data.Shift(0.0, whole=False), data.Rotate(0.0), data.Zoom(0.0), data.Shear(0.0), data.Flip(0.0),
        data.Crop(0), data.Cutout(0.0), data.Brightness(0.0), data.Contrast(0.0), data.Saturation(0.0), data.Hue(0.0),
        data.Noise(0.0),
    )  # fmt: skip
    for op in still:
        np.testing.assert_array_equal(op(key, image), image, err_msg=str(op))


def test_operations_in_a_row_are_one_reading_and_not_several(key):
    ops = (data.Rotate(40.0), data.Shift(4.0, whole=False), data.Flip(1.0), data.Zoom(0.3))
    image = photograph().astype(np.float32)
    keys = tuple(jax.random.split(key, len(ops)))
    whole = np.eye(3)
    for op, k in zip(ops, keys, strict=True):  # the last one's result is looked at first
        whole = whole @ np.vstack([np.asarray(op.matrix(k, 40, 52), np.float64), [0, 0, 1]])
    found = np.asarray(moved(ops, keys, jnp.asarray(image)))
    np.testing.assert_allclose(found, by_scipy(image, whole[:2], "zero"), atol=0.05)

    one_by_one = jnp.asarray(image)
    for op, k in zip(ops, keys, strict=True):
        one_by_one = op(k, one_by_one)
    inner = (slice(14, 26), slice(18, 34))  # what never left the image: the same place, blurred four times
    a, b = found[inner], np.asarray(one_by_one)[inner]
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.8
    assert np.abs(np.diff(b, axis=1)).mean() < np.abs(np.diff(a, axis=1)).mean()


def test_what_one_moves_out_another_moves_back_in(rng):
    class Fixed(data.Geometric):
        right: float = 0.0

        def matrix(self, key, height, width):
            return jnp.array([[1.0, 0.0, 0.0], [0.0, 1.0, -self.right]])

    image = jnp.asarray(rng.normal(size=(4, 5)), jnp.float32)
    back = moved((Fixed(3.0), Fixed(-3.0)), (jax.random.key(0),) * 2, image)
    np.testing.assert_allclose(back, image, atol=1e-6)


def test_every_frame_of_a_video_gets_the_same_and_every_row_another(key):
    ops = (
        data.Shift(3), data.Rotate(30.0), data.Flip(), data.Crop(3), data.Cutout(4.0), data.Brightness(0.5),
        data.Contrast(0.5), data.Saturation(0.5), data.Hue(0.3), data.Zoom(0.3), data.Shear(20.0),
    )  # fmt: skip
    image = photograph()[:20, :24]
    videos = jnp.asarray(np.broadcast_to(image, (12, 3, 20, 24, 3)))
    batch = sd.Batch.of({"x": videos})
    for op in ops:
        found = np.asarray(op.change(key, batch, "x").x)
        assert (found == found[:, :1]).all(), op
        assert len({row.tobytes() for row in found}) > 1, op
        single = np.asarray(op.change(key, sd.Batch.of({"x": videos[:, 0]}), "x").x)
        np.testing.assert_array_equal(single, found[:, 0], err_msg=str(op))


# ---------------------------------------------------------------------- cut off, cut out


def test_a_crop_is_a_window_of_the_padded_image_and_all_windows_are_equally_likely(key):
    image = np.arange(1, 13, dtype=np.float32).reshape(3, 4)
    wide = np.pad(image, 1)
    windows = [wide[i : i + 3, j : j + 4].tobytes() for i in range(3) for j in range(3)]
    found = np.asarray(jax.vmap(data.Crop(1), (0, None))(jax.random.split(key, 2000), jnp.asarray(image)))
    counts = [0] * 9
    for one in found:
        counts[windows.index(one.tobytes())] += 1
    assert scipy.stats.chisquare(counts).pvalue > CERTAIN


def test_a_smaller_crop_lies_within_the_image(key):
    image = jnp.asarray(photograph())
    window = np.asarray(data.Crop(0, (24, 24))(key, image))
    views = np.lib.stride_tricks.sliding_window_view(np.asarray(image), (24, 24, 3))[:, :, 0]
    assert (views == window).all((2, 3, 4)).sum() == 1


def test_a_cutout_is_a_square_of_the_side_asked_for_anywhere(key):
    holes = np.asarray(
        jax.vmap(data.Cutout(5.0, 7.0), (0, None))(jax.random.split(key, 3000), jnp.zeros((12, 20, 2))) == 7
    )
    assert (holes[..., 0] == holes[..., 1]).all()
    holes = holes[..., 0]
    down, across = holes.any(2), holes.any(1)
    assert (holes == down[:, :, None] & across[:, None]).all()  # rectangles
    inside = ~(down[:, 0] | down[:, -1] | across[:, 0] | across[:, -1])
    assert inside.sum() > 300 and (holes[inside].sum((1, 2)) == 25).all()
    often = holes[:, 4:8, 4:16].mean(0)  # away from the border every pixel is hidden as often
    share = 25 / (12 * 20)
    assert abs(often - share).max() < 5.5 * np.sqrt(share * (1 - share) / 3000)


# ---------------------------------------------------------------------- series


def test_a_series_is_moved_by_whole_steps(key):
    x = np.arange(1.0, 8.0, dtype=np.float32)[:, None] * np.array([1, 10], np.float32)
    moves = {}
    for d in range(-2, 3):
        padded = np.pad(x, ((2, 2), (0, 0)))
        moves[padded[2 - d : 9 - d].tobytes()] = d
    found = np.asarray(jax.vmap(data.TimeShift(2), (0, None))(jax.random.split(key, 2000), jnp.asarray(x)))
    counts = np.bincount([moves[one.tobytes()] + 2 for one in found], minlength=5)
    assert scipy.stats.chisquare(counts).pvalue > CERTAIN
    edge = np.asarray(data.TimeShift(3, "edge")(key, jnp.asarray(x[:, 0])))
    assert edge.min() >= 1 and set(edge) <= set(x[:, 0])


def test_a_time_mask_is_one_stretch_of_any_length_up_to_the_longest(key):
    x = jnp.ones((30, 2), jnp.float32)
    found = np.asarray(jax.vmap(data.TimeMask(6.0), (0, None))(jax.random.split(key, 3000), x)) == 0
    assert (found[..., 0] == found[..., 1]).all()
    gap = found[..., 0].astype(int)
    assert (abs(np.diff(np.pad(gap, ((0, 0), (1, 1))), axis=1)).sum(1) <= 2).all()
    assert scipy.stats.chisquare(np.bincount(gap.sum(1), minlength=7)).pvalue > CERTAIN
    alone = gap[gap.sum(1) == 1].argmax(1)
    assert scipy.stats.chisquare(np.bincount(alone, minlength=30)).pvalue > CERTAIN
    short = np.asarray(jax.vmap(data.TimeMask(1e9), (0, None))(jax.random.split(key, 50), x[:3, 0]))
    assert {int(n) for n in (short == 0).sum(1)} == {0, 1, 2, 3}


def test_loudness_and_noise_have_the_spread_that_is_said(key):
    factors = np.asarray(jax.vmap(data.Amplify(0.3), (0, None))(jax.random.split(key, 3000), jnp.ones(2)))
    assert (factors[:, 0] == factors[:, 1]).all()
    assert scipy.stats.kstest((factors[:, 0] - 0.7) / 0.6, "uniform").pvalue > CERTAIN
    noise = np.asarray(data.Noise(2.5)(key, jnp.zeros((50, 80)))).ravel()
    assert scipy.stats.kstest(noise / 2.5, "norm").pvalue > CERTAIN


# ---------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: data.Shift(-1), r"by of Shift must be a number in \[0, inf\); got -1"),
        (lambda: data.Shift((1, -2)), r"by of Shift must be a number in \[0, inf\); got -2"),
        (lambda: data.Shift((1, 2, 3)), "by of Shift must be one number or"),
        (lambda: data.Shift("far"), "by of Shift must be a number"),
        (lambda: data.Shift(2, whole=1), "whole of Shift must be True or False"),
        (lambda: data.Shift(2, outside="black"), "outside of Shift must be 'zero' or 'edge'; got 'black'"),
        (lambda: data.Rotate(200), r"degrees of Rotate must be a number in \[0, 180\]"),
        (lambda: data.Rotate(float("nan")), "degrees of Rotate must be a number"),
        (lambda: data.Zoom(1.0), r"by of Zoom must be a number in \[0, 1\); got 1\.0\. The factor"),
        (lambda: data.Shear(90), r"degrees of Shear must be a number in \[0, 90\)"),
        (lambda: data.Flip(1.5), r"rate of Flip must be a number in \[0, 1\]"),
        (lambda: data.Flip(0.5, vertical="yes"), "vertical of Flip must be True or False"),
        (lambda: data.Crop(-1), "padding of Crop must be whole numbers of at least 0; got -1"),
        (lambda: data.Crop(1.5), "padding of Crop must be whole numbers"),
        (lambda: data.Crop(0, 24), r"size of Crop must be \(height, width\); got 24"),
        (lambda: data.Crop(0, (24, 0)), "size of Crop must be whole numbers of at least 1; got 0"),
        (lambda: data.Cutout(-1), "side of Cutout must be a number"),
        (lambda: data.Cutout(4, float("inf")), "fill of Cutout must be a number"),
        (lambda: data.Brightness(1.1), r"by of Brightness must be a number in \[0, 1\]"),
        (lambda: data.Hue(0.6), r"by of Hue must be a number in \[0, 0\.5\]"),
        (lambda: data.Contrast(0.1, white=0), r"white of Contrast must be a number in \(0, inf\)"),
        (lambda: data.TimeShift(-1), "by of TimeShift must be a number"),
        (lambda: data.Amplify(1.5), r"by of Amplify must be a number in \[0, 1\]"),
        (lambda: data.Noise(-0.1), "sigma of Noise must be a number"),
        (lambda: data.TimeMask(-1), "steps of TimeMask must be a number"),
        (lambda: data.Mixup(0), r"alpha of Mixup must be a number in \(0, inf\)"),
    ],
)
def test_strengths_that_cannot_be_are_refused(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


TABLE = {"x": np.zeros((9, 13), np.float32), "y": np.arange(9, dtype=np.int32) % 3}


@pytest.mark.parametrize(
    ("op", "x", "kind", "message"),
    [
        (data.Flip(), TABLE["x"], ShapeError, r"Flip takes images .* a row is float32\[13\]\. .*data\.Noise.*reshape"),
        (data.Rotate(), np.zeros((9, 6, 8, 8), np.float32), ShapeError, r"a row is float32\[6, 8, 8\]\. A gray video"),
        (data.Hue(), np.zeros((9, 8, 8), np.float32), ShapeError, "Hue takes images of red, green and blue"),
        (data.Brightness(), np.zeros((9, 8, 8, 2), np.float32), ShapeError, "Brightness takes images of gray, or red"),
        (data.Brightness(), np.full((9, 8, 8), 16, np.float32), DataError, r"16\. Say Brightness\(white=16\)"),
        (data.Hue(), np.full((9, 8, 8, 3), -1, np.float32), DataError, "Standardize inside the network"),
        (data.TimeMask(), np.zeros((9, 8, 8, 3), np.float32), ShapeError, "TimeMask takes series .*data.Cutout"),
        (data.Noise(), np.zeros((9, 4), np.int32), ShapeError, r"uint8; a row of 'x' is int32\[4\]\. Convert it"),
        (data.Mixup(), np.zeros((9, 4), np.int32), ShapeError, "Mixup takes floating-point numbers or uint8"),
        (data.Crop(0, (9, 9)), np.zeros((9, 8, 8), np.uint8), ShapeError, "window of 9 x 9, .* image is only 8 x 8"),
    ],
)  # fmt: skip
def test_rows_that_do_not_fit_are_refused_before_anything_runs(op, x, kind, message):
    with pytest.raises(kind, match=message):
        data.Augmented(4, op).prepare({"x": x, "y": TABLE["y"]})


def test_sequences_of_different_lengths_are_refused():
    columns = {"x": sd.Padded.of([[1.0], [1.0, 2.0]], dtype=np.float32), "y": np.array([0, 1], np.int32)}
    with pytest.raises(ShapeError, match="rows of one length; column 'x' holds sequences of different lengths"):
        data.Augmented(2, data.Amplify()).prepare(columns)


def test_what_does_not_say_what_it_does_is_refused(key):
    with pytest.raises(ArgumentError, match="Augmentation does not say how it changes a row"):
        data.Augmentation()(key, jnp.zeros(3))
    with pytest.raises(ArgumentError, match="Geometric does not say what it moves where"):
        data.Geometric()(key, jnp.zeros((3, 3)))
