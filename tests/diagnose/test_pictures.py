"""Pictures: there, of the right size, the same bytes each time, showing what they say, whatever is given."""

import subprocess
import sys

import matplotlib
import matplotlib.colors
import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import r2_score

from sonde._errors import ArgumentError, DataError, ShapeError, SourceError
from sonde.diagnose.pictures import confusion, learning_curves, mistakes, predictions, scatter_panels
from sonde.diagnose.pictures.figure import COLORS, DPI, MARKERS
from sonde.diagnose.pictures.misclassified import percent


@pytest.fixture
def rng():
    seed = np.random.SeedSequence().entropy
    print(f"seed {seed}")
    return np.random.default_rng(seed)


def history(rounds):
    x = np.arange(1.0, rounds + 1)
    return {
        "epoch": x,
        "step": 100 * x,
        "train/loss": 2 * np.exp(-x / 3),
        "valid/loss": 2 * np.exp(-x / 4) + 0.05,
        "train/error": 0.3 / x,
        "valid/error": 0.4 / x,
        "rate": np.full(rounds, 1e-3),
    }


def draw(name, path):
    """One picture of each kind."""
    x = np.random.default_rng(0).normal(size=(40, 2))
    match name:
        case "curves":
            learning_curves(history(12), path, best=7)
        case "confusion":
            confusion([[5, 1], [0, 7]], ["cat", "dog"], path)
        case "mistakes":
            p = np.tile([0.2, 0.8], (4, 1))
            mistakes(np.arange(256.0).reshape(4, 8, 8), [0, 0, 1, 0], p.argmax(1), p, ["cat", "dog"], path)
        case "scatter":
            kind = np.arange(40) % 3
            scatter_panels([("in", x, kind, "a", "b"), ("hidden", x**2, kind, "c", "d")], path)
        case "predictions":
            predictions(x, x + 0.1 * x[::-1], path, ["height", "weight"])


KINDS = ("curves", "confusion", "mistakes", "scatter", "predictions")


def inches(path):
    with Image.open(path) as picture:
        return [pixels / DPI for pixels in picture.size]


def inked(path):
    """Whether anything is drawn, and nothing at the very edge, where it would be cut off."""
    with Image.open(path) as picture:
        image = np.asarray(picture.convert("L"))
    edge = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    return image.min() < 100 and (edge == 255).all()


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_are_the_same_each_time_whatever_the_settings(kind, tmp_path):
    draw(kind, tmp_path / "a.png")
    settings = {"font.size": 30, "figure.dpi": 33, "savefig.bbox": "tight", "axes.grid": True}
    with matplotlib.rc_context(settings):
        draw(kind, tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert inked(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.format == "PNG" and set(picture.info) <= {"dpi"}
    assert sorted(f.name for f in tmp_path.iterdir()) == ["a.png", "b.png"]


def test_no_window_system_is_touched(tmp_path):
    code = (
        "import sys; from sonde.diagnose import pictures as p; assert 'matplotlib' not in sys.modules;"
        f"p.confusion([[1, 0], [0, 1]], 'ab', {str(tmp_path / 'c.png')!r});"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_a_picture_that_cannot_be_written_leaves_the_old_one(tmp_path):
    draw("confusion", tmp_path / "a.png")
    with pytest.raises(SourceError):
        draw("confusion", tmp_path / "a.png" / "b.png")
    assert inked(tmp_path / "a.png")


# Learning curves


@pytest.mark.parametrize(("panels", "across", "down"), [(1, 1, 1), (3, 3, 1), (4, 2, 2), (5, 3, 2)])
def test_size_of_curves(panels, across, down, tmp_path):
    names = ["loss", "error", "kl", "norm", "rate"][:panels]
    path = learning_curves({f"train/{name}": np.arange(1.0, 6) for name in names}, tmp_path / "c.png")
    assert inches(path) == pytest.approx([across * 3.6, down * 2.7 + 0.4], abs=1 / DPI)


def test_a_panel_a_quantity_with_both_splits_told_apart(figures, tmp_path):
    learning_curves(history(12), tmp_path / "c.png", best=7)
    axes = figures[0].axes
    assert [ax.get_title("left") for ax in axes] == ["loss", "error", "rate"]
    assert {ax.get_xlabel() for ax in axes} == {"epoch"}
    train, valid, kept = axes[0].lines
    np.testing.assert_array_equal(train.get_ydata(), history(12)["train/loss"])
    np.testing.assert_array_equal(valid.get_xdata(), np.arange(1, 13))
    for look in ("color", "linestyle", "marker"):
        assert getattr(train, f"get_{look}")() != getattr(valid, f"get_{look}")()
    assert list(kept.get_xdata()) == [8, 8]  # the eighth epoch
    legend = figures[0].legends[0]
    assert [text.get_text() for text in legend.get_texts()] == ["train", "valid", "kept: epoch 8"]


def test_scale_is_logarithmic_only_where_it_helps(figures, tmp_path):
    wide, zero = np.geomspace(1, 1e-3, 9), np.append(np.geomspace(1, 1e-3, 8), 0.0)
    columns = {"loss": wide, "kl": zero, "error": np.linspace(1, 0.5, 9), "accuracy": 1.001 - wide}
    learning_curves({f"train/{name}": values for name, values in columns.items()}, tmp_path / "c.png")
    scales = {ax.get_title("left"): ax.get_yscale() for ax in figures[0].axes}
    assert scales == {"loss": "log", "kl": "linear", "error": "linear", "accuracy": "linear"}


def test_the_horizontal_axis(figures, tmp_path):
    columns = history(5)
    for left_out, label in (("none", "epoch"), ("epoch", "step"), ("step", "round")):
        columns.pop(left_out, None)
        learning_curves(columns, tmp_path / "c.png")
        assert figures[-1].axes[0].get_xlabel() == label
    np.testing.assert_array_equal(figures[-1].axes[0].lines[0].get_xdata(), [1, 2, 3, 4, 5])


@pytest.mark.parametrize("best", [None, 0])
def test_one_round(best, figures, tmp_path):
    assert inked(learning_curves(history(1), tmp_path / "c.png", best=best))
    assert figures[0].axes[0].lines[0].get_markevery() == [0]


def test_gaps_are_gaps_and_lonely_points_are_seen(figures, tmp_path):
    y = np.full(200, np.nan)
    y[[0, 7, 50, 51, 52, 199]] = 1.0, 2.0, 3.0, 3.0, 3.0, np.inf
    columns = {"train/loss": np.ones(200), "valid/loss": y, "valid/f1": np.full(200, np.nan)}
    assert inked(learning_curves(columns, tmp_path / "c.png"))
    line = figures[0].axes[0].lines[1]
    assert np.isfinite(line.get_ydata()).sum() == 5
    assert {0, 7} <= set(line.get_markevery()) <= {0, 7, 50, 51, 52}
    assert figures[0].axes[1].texts[0].get_text() == "no finite values"


def test_many_rounds_have_few_markers(figures, tmp_path):
    learning_curves({"train/loss": np.linspace(2, 1, 1000)}, tmp_path / "c.png")
    assert len(figures[0].axes[0].lines[0].get_markevery()) <= 11


def test_what_curves_refuse(tmp_path):
    with pytest.raises(ShapeError, match="one length"):
        learning_curves({"train/loss": np.ones(3), "valid/loss": np.ones(2)}, tmp_path / "c.png")
    with pytest.raises(ShapeError, match=r"\[rounds\]"):
        learning_curves({"train/loss": np.ones((3, 2))}, tmp_path / "c.png")
    for nothing in ({}, {"epoch": np.ones(3)}, {"train/loss": np.ones(0)}):
        with pytest.raises(DataError, match="nothing to draw"):
            learning_curves(nothing, tmp_path / "c.png")
    for best in (-1, 3):
        with pytest.raises(ArgumentError, match="from 0 to 2"):
            learning_curves({"train/loss": np.ones(3)}, tmp_path / "c.png", best=best)
    assert not list(tmp_path.iterdir())


# Confusion


@pytest.mark.parametrize("classes", [1, 2, 20, 21, 120])
def test_counts_stand_in_their_cells(classes, figures, rng, tmp_path):
    counts = rng.integers(2000, size=(classes, classes))
    counts[0] = 0  # a class that never came
    path = confusion(counts, [f"class {i}" for i in range(classes)], tmp_path / "c.png")
    assert inked(path)
    ax = figures[0].axes[0]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted", "true")
    written = {tuple(reversed(t.get_position())): t.get_text() for t in ax.texts}
    every = {cell: str(counts[cell]) for cell in np.ndindex(counts.shape)}
    assert written == (every if classes <= 20 else {})
    share = np.asarray(ax.images[0].get_array())
    np.testing.assert_allclose(share[1:].sum(1), 1)
    assert (share[0] == 0).all()


def test_counts_can_be_read_on_their_color(figures, tmp_path):
    """Text and ground differ in luminance by the ratio that WCAG 2 asks of large text, zeros less."""
    confusion(np.outer(np.ones(20, int), np.arange(1, 21) ** 3), range(20), tmp_path / "c.png")
    ax = figures[0].axes[0]
    image = ax.images[0]

    def luminance(color):
        rgb = np.asarray(matplotlib.colors.to_rgb(color))
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]

    for text in ax.texts:
        j, i = text.get_position()
        pair = luminance(text.get_color()), luminance(image.to_rgba(image.get_array()[i, j])[:3])
        assert (max(pair) + 0.05) / (min(pair) + 0.05) > 3


def test_what_confusion_refuses(tmp_path):
    for matrix, labels in ((np.ones((2, 3)), "ab"), (np.ones((2, 2)), "abc"), (np.ones(2), "ab"), ([], [])):
        with pytest.raises(ShapeError):
            confusion(matrix, labels, tmp_path / "c.png")
    with pytest.raises(DataError, match="got -1"):
        confusion([[1, -1], [0, 1]], "ab", tmp_path / "c.png")


# Mistakes


def wrong(n, classes, rng):
    p = rng.dirichlet(np.ones(classes), size=n)
    return rng.integers(classes, size=n), p.argmax(1), p


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 1), (6, 9, 3), (9, 6, 4)])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_the_surest_mistakes_come_first(shape, dtype, figures, rng, tmp_path):
    images = rng.integers(255, size=(100, *shape)).astype(dtype)
    labels, predicted, p = wrong(100, 5, rng)
    assert inked(mistakes(images, labels, predicted, p, "abcde", tmp_path / "m.png", most=9))
    surest = sorted(np.flatnonzero(labels != predicted), key=lambda i: -p[i].max())[:9]
    assert [ax.get_title() for ax in figures[0].axes] == [
        f"true {'abcde'[labels[i]]}, said {'abcde'[predicted[i]]} ({percent(p[i].max())})"
        for i in surest
    ]
    assert inches(tmp_path / "m.png") == pytest.approx([3 * 1.75, 3 * 1.74 + 0.3], abs=1 / DPI)
    shown = np.asarray(figures[0].axes[0].images[0].get_array())
    assert shown.min() >= 0 and shown.max() <= 1
    assert "the 9 surest" in figures[0].get_suptitle()


def test_sure_is_not_certain():
    for share, text in {1.0: "100 %", 0.9999: ">99 %", 0.99: "99 %", 0.5: "50 %", 0.004: "0 %"}.items():
        assert percent(share) == text


def test_no_mistakes_is_said(figures, rng, tmp_path):
    labels = np.arange(4)
    path = mistakes(np.zeros((4, 8, 8)), labels, labels, np.eye(4), "abcd", tmp_path / "m.png")
    assert inked(path)
    assert "none of 4 rows wrong" in figures[0].texts[0].get_text()


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan])
def test_images_without_contrast(value, tmp_path):
    p = np.array([[0.2, 0.8]])
    assert inked(mistakes(np.full((1, 8, 8), value), [0], [1], p, ["a" * 40, "b" * 40], tmp_path / "m.png"))


def test_what_mistakes_refuse(tmp_path):
    x, y, p, names = np.zeros((2, 8, 8)), [0, 1], np.full((2, 2), 0.5), "ab"
    for images, labels, predicted, probabilities, kind in [
        (x[0], y, y, p, ShapeError),
        (np.zeros((2, 8, 8, 2)), y, y, p, ShapeError),
        (x, [0], y, p, ShapeError),
        (x, y, y, p[:, 0], ShapeError),
        (x, [0, 2], y, p, DataError),
        (x, y, [0, -1], p, DataError),
        (x, y, [1, 1], p * np.nan, DataError),
    ]:
        with pytest.raises(kind):
            mistakes(images, labels, predicted, probabilities, names, tmp_path / "m.png")
    with pytest.raises(ArgumentError, match="above 0"):
        mistakes(x, y, y, p, names, tmp_path / "m.png", most=0)


# Scatter


def test_panels_side_by_side_share_one_legend(figures, rng, tmp_path):
    x, kind = rng.normal(size=(60, 2)), np.array(["dog", "cat", "cow"])[np.arange(60) % 3]
    panels = [("input", x, kind, "$x_1$", "$x_2$"), ("hidden", np.tanh(x), kind, "$h_1$", "$h_2$")]
    path = scatter_panels(panels, tmp_path / "s.png")
    assert inked(path)
    assert inches(path) == pytest.approx([2 * 3.2 + 0.8, 3.0], abs=1 / DPI)
    assert [ax.get_title("left") for ax in figures[0].axes] == ["input", "hidden"]
    assert [ax.get_xlabel() for ax in figures[0].axes] == ["$x_1$", "$h_1$"]
    assert [t.get_text() for t in figures[0].legends[0].get_texts()] == ["cat", "cow", "dog"]
    cats = figures[0].axes[1].collections[0]
    np.testing.assert_array_equal(cats.get_offsets(), np.tanh(x)[kind == "cat"])


def test_colors_and_markers_do_not_repeat_together():
    assert len(set(COLORS)) == len(COLORS) == len(set(MARKERS)) == len(MARKERS) == 10
    looks = {(COLORS[k % 10], MARKERS[(k + k // 10) % 10]) for k in range(100)}
    assert len(looks) == 100


@pytest.mark.parametrize("kind", [[0, 0, 0, 0], [0, 1, 2, 3], [0.5, 1.0] * 2, ["a"] * 4, [True, False] * 2])
def test_any_kind_of_class(kind, tmp_path):
    xor = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    panels = [("input", xor, kind, "a", "b"), ("dead", np.zeros((4, 2)), kind, "a", "b")]
    assert inked(scatter_panels(panels, tmp_path / "s.png"))


def test_what_scatter_refuses(tmp_path):
    x = np.zeros((4, 2))
    for points, kind, error in ((np.zeros((4, 3)), np.zeros(4), ShapeError), (x, np.zeros(3), ShapeError),
                                (np.full((4, 2), np.nan), np.zeros(4), DataError)):  # fmt: skip
        with pytest.raises(error, match="panel 'hidden'"):
            scatter_panels([("hidden", points, kind, "a", "b")], tmp_path / "s.png")
    with pytest.raises(DataError, match="at least one"):
        scatter_panels([], tmp_path / "s.png")


# Predictions


def test_predictions_stand_against_the_truth_and_what_is_left_over_below(figures, tmp_path):
    y = np.random.default_rng(0).normal(50, 10, (200, 2))
    said = y + np.random.default_rng(1).normal(0, [1, 5], (200, 2))
    predictions(y, said, tmp_path / "p.png", ["height", "weight"])
    axes = figures[0].axes
    for i, name in enumerate(["height", "weight"]):
        r2, rmse = r2_score(y[:, i], said[:, i]), np.sqrt(np.mean((y[:, i] - said[:, i]) ** 2))
        assert axes[i].get_title(loc="left") == f"{name}: R² {r2:.3f}, RMSE {rmse:.3g}"
        assert (axes[i].get_xlabel(), axes[i].get_ylabel()) == (f"true {name}", f"predicted {name}")
        np.testing.assert_allclose(axes[i].collections[0].get_offsets(), np.stack([y[:, i], said[:, i]], 1))
        left = np.stack([said[:, i], y[:, i] - said[:, i]], 1)
        np.testing.assert_allclose(axes[2 + i].collections[0].get_offsets(), left, atol=1e-12)


def test_many_rows_and_many_outputs_are_cut_short_and_it_is_said(figures, tmp_path):
    y = np.random.default_rng(0).normal(size=(7000, 6))
    predictions(y, y + 1, tmp_path / "p.png")
    assert len(figures[0].axes) == 8 and len(figures[0].axes[0].collections[0].get_offsets()) == 5000
    assert figures[0].get_suptitle() == "the first 4 of 6 outputs; 7,000 rows, of which 5,000 are drawn"
    assert figures[0].axes[0].get_title(loc="left").endswith("RMSE 1")


@pytest.mark.parametrize(
    ("given", "kind", "said"),
    [
        (([1.0, 2.0], [1.0]), ShapeError, "of one shape"),
        (([], []), ShapeError, "of one shape"),
        (([1.0, np.nan], [1.0, 2.0]), DataError, "target has a number that is not finite in row 1"),
        (([1.0, 2.0], [np.inf, 2.0]), DataError, "predicted has a number that is not finite in row 0"),
    ],
)
def test_predictions_that_cannot_be_drawn_are_named(given, kind, said, tmp_path):
    with pytest.raises(kind, match=said):
        predictions(*given, tmp_path / "p.png")


def test_a_target_that_never_varies_has_no_r2(figures, tmp_path):
    predictions([2.0, 2.0], [2.0, 3.0], tmp_path / "p.png")
    assert figures[0].axes[0].get_title(loc="left") == "RMSE 0.707"
