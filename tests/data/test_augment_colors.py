"""Colors change as Pillow's ImageEnhance and the standard library's colorsys change them."""

import colorsys
import io
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from PIL import Image, ImageEnhance

import sonde as sd
from sonde import data
from sonde.data.augment import row_keys

CERTAIN = 1e-6


def photographs() -> list[np.ndarray]:
    """Parts of two color photographs [24, 32, 3] of 0 .. 255."""
    from sklearn.datasets import load_sample_image

    places = {"china.jpg": (150, 200), "flower.jpg": (100, 250)}
    return [np.asarray(load_sample_image(name))[i : i + 24, j : j + 32] for name, (i, j) in places.items()]


def fixed(op: data.Augmentation, low: float, high: float, key: jax.Array) -> float:
    """The factor that ``op`` draws with a key, found from what it does to one known color."""
    return float(op._factor(key)) if low <= float(op._factor(key)) <= high else np.nan  # pyright: ignore


@pytest.mark.parametrize("name", ["Brightness", "Contrast"])
def test_light_and_contrast_are_pillows(name, key):
    for image, k in zip(photographs(), jax.random.split(key), strict=True):
        op = getattr(data, name)(0.6)
        factor = fixed(op, 0.4, 1.6, k)
        expected = np.asarray(getattr(ImageEnhance, name)(Image.fromarray(image)).enhance(factor), int)
        assert abs(np.asarray(op(k, jnp.asarray(image)), int) - expected).max() <= 1  # Pillow rounds the mean, cuts off


def test_saturation_is_pillows(key):
    for image, k in zip(photographs(), jax.random.split(key), strict=True):
        op = data.Saturation(0.9)
        expected = ImageEnhance.Color(Image.fromarray(image)).enhance(fixed(op, 0.1, 1.9, k))
        assert abs(np.asarray(op(k, jnp.asarray(image)), int) - np.asarray(expected, int)).max() <= 1


def test_gray_images_are_brightened_as_pillow_does(key):
    image = (255 / 16 * sd.data.load("digits").train.x[7]).astype(np.uint8)
    for name in ("Brightness", "Contrast"):
        op = getattr(data, name)(0.5)
        expected = getattr(ImageEnhance, name)(Image.fromarray(image)).enhance(fixed(op, 0.5, 1.5, key))
        assert abs(np.asarray(op(key, jnp.asarray(image)), int) - np.asarray(expected, int)).max() <= 1


def test_hues_turn_as_colorsys_turns_them(key, rng):
    colors = np.concatenate([photographs()[1].reshape(-1, 3)[::7], rng.integers(0, 256, (60, 3)), 127 * np.eye(3)])
    colors = colors[: len(colors) // 2 * 2].reshape(2, -1, 3).astype(np.float32) / 255
    image = jnp.asarray(colors)
    turned = np.asarray(data.Hue(0.5)(key, image))
    start, end = (colorsys.rgb_to_hsv(*pixel)[0] for pixel in ((1.0, 0.0, 0.0), data.Hue(0.5)(key, RED)[0, 0].tolist()))
    shift = (end - start) % 1
    for before, after in zip(colors.reshape(-1, 3), turned.reshape(-1, 3), strict=True):
        h, s, v = colorsys.rgb_to_hsv(*before.tolist())
        np.testing.assert_allclose(after, colorsys.hsv_to_rgb((h + shift) % 1, s, v), atol=2e-5)


RED = jnp.array([[[1.0, 0.0, 0.0]]])


def test_hues_are_turned_by_an_even_share_of_the_circle(key):
    turned = np.asarray(jax.vmap(data.Hue(0.1), (0, None))(jax.random.split(key, 2000), RED))[:, 0, 0]
    hues = np.array([colorsys.rgb_to_hsv(*color.tolist())[0] for color in turned])
    hues = (hues + 0.5) % 1 - 0.5
    assert abs(hues).max() < 0.1001
    assert scipy.stats.kstest((hues + 0.1) / 0.2, "uniform").pvalue > CERTAIN


@pytest.mark.parametrize("op", [data.Brightness(0.3), data.Contrast(0.3), data.Saturation(0.3)], ids=str)
def test_factors_are_even_within_what_is_said(op, key):
    factors = np.asarray(jax.vmap(op._factor)(jax.random.split(key, 3000)))
    assert scipy.stats.kstest((factors - 0.7) / 0.6, "uniform").pvalue > CERTAIN


@pytest.mark.parametrize("kind", [data.Brightness, data.Contrast, data.Saturation, data.Hue])
def test_white_says_the_scale_and_nothing_else(kind, key):
    image = photographs()[0]
    of_floats = np.asarray(kind(0.4)(key, jnp.asarray(image / 255, jnp.float32)))
    of_digits = np.asarray(kind(0.4, white=16.0)(key, jnp.asarray(image / 255 * 16, jnp.float32)))
    of_bytes = np.asarray(kind(0.4)(key, jnp.asarray(image)))
    np.testing.assert_allclose(of_digits / 16, of_floats, atol=1e-5)
    np.testing.assert_allclose(of_bytes / 255, of_floats, atol=0.51 / 255)
    assert of_floats.min() >= 0 and of_floats.max() <= 1 and of_bytes.dtype == np.uint8


def test_gray_stays_gray(key):
    gray = jnp.broadcast_to(jnp.linspace(0, 1, 12).reshape(3, 4, 1), (3, 4, 3))
    for op in (data.Saturation(0.9), data.Hue(0.5)):
        np.testing.assert_allclose(op(key, gray), gray, atol=1e-6)


# ---------------------------------------------------------------------- sets of JPEG photographs

SETS = {"cifar10": "cifar10/cifar10_jpeg.npz", "flowers102": "flowers102/flowers102_64.npz"}


@pytest.fixture(scope="module", params=SETS)
def jpegs(request):
    """Eight photographs of a set of JPEG files; where it is not there, the test says so and is skipped."""
    given = os.environ.get("SONDE_DATA")
    if not given or not (path := Path(given) / SETS[request.param]).is_file():
        pytest.skip(f"not in $SONDE_DATA: {SETS[request.param]}")
    with np.load(path) as files:
        bytes_, offsets = files["test_jpeg"], files["test_offsets"]
    decoded = lambda i: Image.open(io.BytesIO(bytes_[offsets[i] : offsets[i + 1]])).convert("RGB")
    return np.stack([np.asarray(decoded(i)) for i in np.linspace(0, len(offsets) - 2, 8).astype(int)])


@pytest.mark.parametrize("name", ["Brightness", "Contrast", "Color"])
def test_a_minibatch_of_jpeg_photographs_is_enhanced_as_by_pillow(name, jpegs, key):
    op = (data.Saturation if name == "Color" else getattr(data, name))(0.8)
    changed = np.asarray(op.change(key, sd.Batch.of({"x": jnp.asarray(jpegs)}), "x").x, int)
    for image, given, k in zip(jpegs, changed, row_keys(key, len(jpegs)), strict=True):
        expected = getattr(ImageEnhance, name)(Image.fromarray(image)).enhance(fixed(op, 0.2, 1.8, k))
        assert abs(given - np.asarray(expected, int)).max() <= 1
    assert abs(changed - jpegs.astype(int)).max() > 10


def test_the_hues_of_jpeg_photographs_turn_as_colorsys_turns_them(jpegs, key):
    op = data.Hue(0.5)
    changed = np.asarray(op.change(key, sd.Batch.of({"x": jnp.asarray(jpegs)}), "x").x)
    for image, given, k in zip(jpegs, changed, row_keys(key, len(jpegs)), strict=True):
        shift = colorsys.rgb_to_hsv(*np.asarray(op(k, RED))[0, 0].tolist())[0]  # red has the hue 0
        for before, after in zip(image.reshape(-1, 3)[::23] / 255, given.reshape(-1, 3)[::23], strict=True):
            h, s, v = colorsys.rgb_to_hsv(*before)
            expected = 255 * np.array(colorsys.hsv_to_rgb((h + shift) % 1, s, v))
            assert abs(after - expected).max() < 0.51  # rounded
