"""Trees addressed by path: what patterns meet, and errors that name what is there."""

import fnmatch

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonde._errors import PathError
from sonde._tree import many, match, parent, pick, select, split, under

names = st.text("abk.+_1", min_size=1, max_size=3)
paths = st.lists(names, min_size=1, max_size=4).map("/".join)

TREE = {"encoder/dense_1/kernel": 1, "encoder/dense_1/bias": 2, "encoder/norm/scale": 3, "head/kernel": 4}


@pytest.mark.parametrize(
    ("pattern", "met"),
    [
        ("head/kernel", {4}),
        ("**", {1, 2, 3, 4}),
        ("**kernel", {1, 4}),
        ("**/kernel", {1, 4}),
        ("*/kernel", {4}),
        ("*/*/kernel", {1}),
        ("encoder/**", {1, 2, 3}),
        ("encoder/*/*s*", {2, 3}),
        ("encoder/dense_*/kernel", {1}),
        (("head/*", "**/scale"), {3, 4}),
        (["head/*", "**"], {1, 2, 3, 4}),
    ],
    ids=str,
)
def test_one_star_stays_within_a_name_and_two_cross_slashes(pattern, met):
    assert set(select(TREE, pattern).values()) == met


@given(paths)
def test_a_path_meets_itself_and_nothing_else_in_it_is_special(path):
    assert match(path, path)
    assert match("**", path)
    assert not match(path, path + "x")
    assert not match(path, "x" + path)
    assert match("*", path) == ("/" not in path)
    if "." in path:
        assert not match(path, path.replace(".", "!"))


@given(st.text("ab*", min_size=1, max_size=5), st.text("ab", min_size=1, max_size=5))
def test_within_one_name_stars_mean_what_they_mean_in_a_shell(pattern, name):
    assert match(pattern, name) == fnmatch.fnmatchcase(name, pattern)


@given(st.text("ab*/", min_size=1, max_size=6), paths)
def test_two_stars_meet_at_least_what_one_meets(pattern, path):
    if match(pattern, path):
        assert match(pattern.replace("*", "**"), path)


def test_a_pattern_that_meets_nothing_is_an_error_that_names_what_is_near():
    with pytest.raises(PathError) as caught:
        select(TREE, "head/kernal")
    assert str(caught.value) == "the pattern 'head/kernal' meets nothing; did you mean 'head/kernel'?"


def test_a_pattern_that_is_near_nothing_lists_everything():
    with pytest.raises(PathError) as caught:
        select(TREE, "xyz*")
    for path in TREE:
        assert repr(path) in str(caught.value)


def test_every_pattern_of_several_must_meet_something():
    with pytest.raises(PathError, match="'decoder/.*' meets nothing"):
        select(TREE, ("encoder/**", "decoder/**"))


def test_a_pattern_of_an_empty_tree_is_an_error_too():
    with pytest.raises(PathError, match=r"the pattern '\*\*' meets nothing$"):
        select({}, "**")


@given(st.dictionaries(paths, st.integers()), st.text("abk*/", max_size=4))
def test_split_parts_a_tree(tree, pattern):
    kept, others = split(tree, lambda path: match(pattern, path))
    assert kept | others == tree
    assert not kept.keys() & others.keys()
    assert all(match(pattern, path) for path in kept)
    assert not any(match(pattern, path) for path in others)


@given(st.lists(names, min_size=1, max_size=4))
def test_the_parent_of_a_path_is_all_but_its_last_name(parts):
    assert parent("/".join(parts)) == "/".join(parts[:-1])


def test_under_knows_names_from_beginnings_of_names():
    assert under("encoder", ["encoder"])
    assert under("encoder/dense/kernel", ["head", "encoder"])
    assert not under("encoder_2/dense", ["encoder"])
    assert not under("enc", ["encoder"])
    assert not under("encoder", [])


def test_one_pattern_is_several():
    assert many("a*") == ("a*",)
    assert many(["a", "b"]) == ("a", "b")


def test_pick_takes_one_tree_or_the_other():
    a, b = {"x": jnp.ones(2), "y": jnp.int32(1)}, {"x": jnp.zeros(2), "y": jnp.int32(2)}
    for yes, expected in ((True, a), (False, b)):
        picked = pick(jnp.bool_(yes), a, b)
        assert picked.keys() == expected.keys()
        np.testing.assert_array_equal(picked["x"], expected["x"])
        assert picked["y"] == expected["y"] and picked["y"].dtype == jnp.int32
