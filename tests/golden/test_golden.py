"""Sonde's values and gradients are those of PyTorch and of Keras, read from files (see torch_values.py)."""

import functools

import jax
import numpy as np
import pytest

from golden.cases import CASES
from golden.files import HERE, PEERS, read
from golden.ours import difference, drawn
from sonde import nn, objectives
from sonde._value import FUNCTIONS

CLOSE = {"torch": 1e-12, "keras": 1e-6}
"""Rounding of float64; Keras computes some sums in float32, and its Adam has epsilon in another place."""

stored = functools.cache(read)
compared = [(peer, case) for peer in PEERS for case in CASES if case.name in stored(peer)[1]]
parts = [(peer, case) for peer, case in compared if case.kind != "initializer"]
draws = [(peer, case) for peer, case in compared if case.kind == "initializer"]
name = lambda v: getattr(v, "name", v)


@pytest.mark.parametrize(("peer", "case"), parts, ids=name)
def test_values_and_gradients_are_those_of_the_peer(peer, case):
    with jax.enable_x64(True):
        found = difference(case, peer, stored(peer)[1][case.name])
    close = 1e-8 if case.name == "Nadam" else CLOSE[peer]  # PyTorch multiplies up powers of its b1 in float32
    assert max(found.values, found.gradients) < close, found


@pytest.mark.parametrize(("peer", "case"), draws, ids=name)
def test_initializers_have_the_spread_of_the_peers_and_uniform_ones_its_limits(peer, case):
    (std, low, high), (theirs, least, largest) = drawn(**case.options), stored(peer)[1][case.name]["-> y"]
    n = np.prod(case.options["shape"])
    assert std == pytest.approx(theirs, rel=5 / np.sqrt(n))  # five standard errors of both, or more
    if "uniform" in case.name:
        assert (low, high) == pytest.approx((least, largest), rel=30 / n)  # the largest of n is 1 / n from the limit


def test_every_named_activation_initializer_and_loss_that_a_peer_has_is_compared():
    without = {"identity", "arctan", "sqnl", "fan_in_uniform", "zeros", "ones", "accuracy"}  # nothing to compare
    asked = {case.options.get("function") for case in CASES}
    for package in (nn, objectives):
        there = {name: getattr(package, name) for name in package.__all__}
        named = {n for n, v in there.items() if FUNCTIONS.get(n) is v or isinstance(v, nn.Initializer)}
        assert named - without <= asked


def test_the_files_say_what_they_were_made_with_and_are_small():
    assert "torch" in stored("torch")[0] and "keras" in stored("keras")[0]
    assert all("numpy" in stored(peer)[0] for peer in PEERS)
    assert sum((HERE / f"{peer}.safetensors").stat().st_size for peer in PEERS) < 1e6


@pytest.mark.parametrize("peer", PEERS)
def test_the_files_are_of_the_cases_as_they_are(peer):
    known = {case.name: case for case in CASES}
    for case, arrays in stored(peer)[1].items():
        for array, like in known[case].arrays.items():
            shape = tuple(n for n in like if not isinstance(n, str))
            assert arrays[array].shape == shape, f"run python -m tests.golden.{peer}_values again"
