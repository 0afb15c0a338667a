"""Panels show what they are given, in colors and shapes that can be told apart, or say why not."""

import numpy as np
import pytest
from PIL import Image

from sonde._errors import DataError, ShapeError
from sonde.diagnose import image_panels, line_panels, tiled
from sonde.diagnose.pictures.figure import DPI


def test_curves_are_drawn_where_they_are_and_look_the_same_in_every_panel(figures, rng, tmp_path):
    x, y = np.sort(rng.normal(size=20)), rng.normal(size=(3, 20))
    both = {"a": (x, y[0]), "b": (x, y[1])}
    path = line_panels([("one", both, "time", "size"), ("two", {"b": (x, y[2])}, "time", "")], tmp_path / "l.png")
    with Image.open(path) as image:
        assert image.size == pytest.approx(((2 * 3.4 + 1.5) * DPI, 2.8 * DPI), abs=1)
    one, two = figures[0].axes
    assert (one.get_title("left"), one.get_xlabel(), one.get_ylabel()) == ("one", "time", "size")
    for line, expected in zip([*one.lines, *two.lines], y, strict=True):
        np.testing.assert_array_equal(line.get_data(), [x, expected])
    look = lambda line: (line.get_color(), line.get_linestyle())
    assert look(one.lines[1]) == look(two.lines[0]) != look(one.lines[0])
    assert one.lines[0].get_color() != one.lines[1].get_color()
    assert one.lines[0].get_linestyle() != one.lines[1].get_linestyle()
    assert [text.get_text() for text in figures[0].legends[0].get_texts()] == ["a", "b"]


@pytest.mark.parametrize("equal", [True, False])
@pytest.mark.parametrize("same", [True, False])
def test_heights_can_be_compared_where_the_scale_is_to_be_the_same(figures, tmp_path, same, equal):
    low, high = {"a": ([0, 1], [0, 1])}, {"a": ([0, 5], [3, 9])}
    line_panels([("", low, "", ""), ("", high, "", "")], tmp_path / "l.png", same_scale=same, equal=equal)
    one, two = figures[0].axes
    assert [ax.get_aspect() == 1 for ax in (one, two)] == [equal, equal]
    assert (one.get_ylim() == two.get_ylim()) is (one.get_xlim() == two.get_xlim()) is same
    assert two.get_ylim()[1] >= 9 and two.get_xlim()[1] >= 5 and (one.get_ylim()[0] <= 0)


def test_dots_are_not_joined(figures, tmp_path):
    line_panels([("", {"line": ([0, 1], [0, 1]), "dots": ([0, 1], [1, 0], "dots")}, "", "")], tmp_path / "l.png")
    line, dots = figures[0].axes[0].lines
    assert dots.get_linestyle() == "None" and dots.get_marker() not in ("None", "", None)
    assert line.get_linestyle() == "-" and line.get_marker() in ("None", "", None)


def test_losses_over_more_than_a_decade_are_drawn_by_their_logarithm(figures, tmp_path):
    far, near, zero = ({"a": ([1, 2], y)} for y in ([2.0, 0.1], [2.0, 1.0], [2.0, 0.0]))
    panels = [(name, curves, "", "") for name, curves in (("far", far), ("near", near), ("zero", zero))]
    line_panels(panels, tmp_path / "l.png", losses=True)
    line_panels(panels, tmp_path / "m.png")
    scales = [[ax.get_yscale() for ax in figure.axes] for figure in figures]
    assert scales == [["log", "linear", "linear"], ["linear"] * 3]


def test_ten_curves_can_be_told_apart(figures, tmp_path):
    curves = {str(i): ([0, 1], [i, i]) for i in range(10)}
    line_panels([("", curves, "", "")], tmp_path / "l.png")
    assert len({(line.get_color(), line.get_linestyle()) for line in figures[0].axes[0].lines}) == 10


def test_images_keep_their_shades_and_say_which_side_of_0_things_are_on(figures, rng, tmp_path):
    gray, signed = rng.uniform(0, 5, (6, 8)), rng.normal(size=(6, 8))
    colored = rng.integers(256, size=(6, 8, 3)).astype(np.uint8)
    path = image_panels({"gray": gray, "signed": signed, "colored": colored}, tmp_path / "i.png", across=2)
    assert path.exists() and [ax.get_title() for ax in figures[0].axes] == ["gray", "signed", "colored"]
    shown = [ax.images[0] for ax in figures[0].axes]
    np.testing.assert_array_equal(shown[0].get_array(), gray)
    assert shown[0].get_clim() == (0, gray.max())
    low, high = shown[1].get_clim()
    assert -low == high == abs(signed).max()
    white = np.asarray(shown[1].to_rgba(np.zeros(1)))[0]
    assert white[:3].min() > 0.95
    np.testing.assert_allclose(shown[2].get_array(), colored / 255)


def test_an_image_without_contrast_is_drawn(tmp_path):
    assert image_panels({"nothing": np.zeros((3, 3))}, tmp_path / "i.png").exists()


def test_what_panels_refuse(tmp_path):
    path = tmp_path / "p.png"
    for curves, kind in [
        ({"a": ([1, 2], [1])}, ShapeError),
        ({"a": (np.ones((2, 2)), np.ones((2, 2)))}, ShapeError),
        ({"a": ([1.0], [np.nan])}, DataError),
        ({}, DataError),
    ]:
        with pytest.raises(kind):
            line_panels([("", curves, "", "")], path)
    with pytest.raises(DataError):
        line_panels([], path)
    for images, kind in [
        ({"a": np.ones(3)}, ShapeError),
        ({"a": np.ones((3, 3, 2))}, ShapeError),
        ({"a": np.ones((0, 3))}, ShapeError),
        ({"a": np.full((3, 3), np.inf)}, DataError),
        ({}, DataError),
    ]:
        with pytest.raises(kind):
            image_panels(images, path)
    assert not path.exists()


def test_images_are_laid_out_in_rows_with_a_line_between(rng):
    images = rng.random((6, 2, 3))
    sheet = tiled(images, 3)
    assert sheet.shape == (5, 11)
    for k, image in enumerate(images):
        i, j = 3 * (k // 3), 4 * (k % 3)
        np.testing.assert_array_equal(sheet[i : i + 2, j : j + 3], image)
    assert not sheet[2].any() and not sheet[:, [3, 7]].any()
    assert tiled(rng.random((4, 2, 3, 3)), 2).shape == (5, 7, 3)
    with pytest.raises(ShapeError, match="4 for each row"):
        tiled(images, 4)
