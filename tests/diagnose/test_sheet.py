"""The contact sheet of augmentation: a line for each operation, the image as it is in front."""

import numpy as np
import pytest

import sonde as sd
from sonde import data
from sonde._errors import ArgumentError, ShapeError
from sonde.diagnose import draw_augmented


def test_a_line_for_each_operation_begins_with_the_image_as_it_is(figures, tmp_path):
    digits = data.load("digits")
    path = draw_augmented(digits, (data.Flip(1.0), data.Shift(1)), tmp_path / "sheet.png", row=3, draws=2)
    axes = np.array(figures[0].axes).reshape(3, 3)
    assert path.exists() and [line[1].get_title("left") for line in axes][2] == "all, in order"
    for line in axes:
        np.testing.assert_array_equal(line[0].images[0].get_array(), digits.train.x[3])
    np.testing.assert_array_equal(axes[0, 2].images[0].get_array(), digits.train.x[3][:, ::-1])


def test_what_is_no_image_or_no_row_is_refused(tmp_path):
    with pytest.raises(ShapeError, match="draw_augmented takes images"):
        draw_augmented(data.load("iris"), data.Flip(), tmp_path / "sheet.png")
    with pytest.raises(ArgumentError, match="draws a row from 0 to"):
        draw_augmented(data.load("digits"), sd.data.Flip(), tmp_path / "sheet.png", row=10**6)
