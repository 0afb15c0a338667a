"""What the questions of the benchmark share: turns, the best peer, and whether two sides did the same."""

import pytest
from benchmarks.questions import Missing, in_turns, row, same_mean


def test_sides_take_turns_and_the_first_round_is_thrown_away():
    order = []

    def side(name):
        def run(r):
            order.append((r, name))
            return 100.0 if r == 0 else float(r)

        return run

    found = in_turns({"a": side("a"), "b": side("b")}, rounds=4)
    assert found["a"]["runs"] == [1.0, 2.0, 3.0, 4.0] and found["a"]["seconds"] == 2.5
    assert order[:4] == [(0, "a"), (0, "b"), (1, "a"), (1, "b")]
    assert order[-2:] == [(4, "b"), (4, "a")]  # the second half begins at the other side


def test_a_side_that_cannot_run_says_why_and_is_not_asked_again():
    asked = []

    def run(r):
        asked.append(r)
        raise Missing("not installed")

    assert in_turns({"a": run}, rounds=3) == {"a": {"missing": "not installed"}}
    assert asked == [0]


@pytest.mark.parametrize(("theirs", "met"), [(3.0, True), (1.9, False)])
def test_the_best_peer_counts(theirs, met):
    sides = {"us": {"seconds": 1.0}, "slow": {"seconds": 9.0}, "quick": {"seconds": theirs}, "none": {"missing": "why"}}
    found = row("case", "sizes", sides, "us", ["slow", "quick", "none"], wanted=2.0)
    assert (found["best_peer"], found["ratio"], found["met"]) == ("quick", theirs, met)


def test_without_a_peer_nothing_is_met():
    found = row("case", "sizes", {"us": {"seconds": 1.0}, "none": {"missing": "why"}}, "us", ["none"], wanted=2.0)
    assert found["best_peer"] is None and found["met"] is None


def test_losses_that_differ_by_more_than_their_noise_are_told():
    ours = [0.10, 0.12, 0.11, 0.13]
    assert same_mean(ours, [0.11, 0.11, 0.12, 0.12])["same"]
    assert not same_mean(ours, [loss + 0.05 for loss in ours])["same"]
