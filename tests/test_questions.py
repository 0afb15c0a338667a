"""What the benchmark shares: turns, processes that stay, the best peer that did the same, and flat memory."""

import json
import math
import sys
from pathlib import Path

import pytest
from benchmarks import cases, growth, peers, stream, training
from benchmarks.machine import header
from benchmarks.peers import OURS, Missing, NotThere, Process
from benchmarks.questions import row
from benchmarks.table import show
from benchmarks.turns import compare_losses, in_turns


def test_sides_take_turns_and_the_first_round_is_thrown_away():
    order = []

    def side(name):
        def run(r):
            order.append((r, name))
            return {"seconds": 100.0 if r == 0 else float(r), "loss": r / 10}

        return run

    found = in_turns({"a": side("a"), "b": side("b")}, rounds=4)
    assert found["a"] == {"runs": [1.0, 2.0, 3.0, 4.0], "seconds": 2.5, "loss": [0.1, 0.2, 0.3, 0.4]}
    assert order[:4] == [(0, "a"), (0, "b"), (1, "a"), (1, "b")]
    assert order[-2:] == [(4, "b"), (4, "a")]  # the second half begins at the other side


def test_a_side_that_cannot_run_says_why_and_is_not_asked_again():
    asked = []

    def run(r):
        asked.append(r)
        raise Missing("not installed")

    def never(r):
        raise NotThere("no such mode")

    assert in_turns({"a": run, "b": never}, rounds=3) == {"a": {"missing": "not installed"}}
    assert asked == [0]


PEER = """
import os, sys
sys.path.insert(0, {folder!r})
from answering import serve
asked = []

def answer(request):
    asked.append(request["round"])
    print("what a peer prints is no answer")
    if request["round"] == 3:
        raise ValueError("three is too many")
    return {{"seconds": 1.0, "process": os.getpid(), "asked": list(asked)}}

serve(answer)
"""


def test_a_peer_is_one_process_that_answers_a_round_at_a_time_between_the_others(tmp_path, monkeypatch):
    order = []
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "peer.py").write_text(PEER.format(folder=str(Path(peers.__file__).parent)))
    monkeypatch.setattr(peers, "ROOT", tmp_path)

    def sonde(r):
        order.append(("sonde", r))
        return {"seconds": 1.0}

    with Process(OURS, "peer.py") as process:

        def peer(r):
            order.append(("peer", r))
            return process.ask(round=r)

        found = in_turns({"sonde": sonde, "peer": peer}, rounds=2)
        with pytest.raises(Missing, match="ValueError: three is too many"):
            process.ask(round=3)
    assert sorted(order[:2]) == [("peer", 0), ("sonde", 0)] and sorted(order[2:4]) == [("peer", 1), ("sonde", 1)]
    assert len(set(found["peer"]["process"])) == 1
    assert found["peer"]["asked"] == [[0, 1], [0, 1, 2]]


def test_a_peer_without_an_interpreter_says_how_to_make_one(tmp_path):
    with pytest.raises(Missing, match="make one: python"):
        Process(tmp_path / "python", "peer_search.py").ask(round=0)


@pytest.mark.parametrize(("theirs", "met"), [(3.0, True), (1.9, False)])
def test_the_best_peer_counts(theirs, met):
    sides = {"sonde": {"seconds": 1.0}, "slow": {"seconds": 9.0}, "quick": {"seconds": theirs}}
    found = row("case", "sizes", sides | {"none": {"missing": "why"}}, "sonde", wanted=2.0)
    assert (found["best_peer"], found["ratio"], found["met"]) == ("quick", theirs, met)


def test_without_a_peer_nothing_is_met():
    found = row("case", "sizes", {"sonde": {"seconds": 1.0}, "none": {"missing": "why"}}, "sonde", wanted=2.0)
    assert found["best_peer"] is None and found["met"] is None


def test_a_side_that_did_not_do_the_same_does_not_count_and_the_table_says_so(capsys, tmp_path):
    losses = [0.10, 0.12, 0.11, 0.13, 0.12]
    sides = {
        "sonde": {"seconds": 1.0, "loss": losses},
        "slow": {"seconds": 9.0, "loss": losses},
        "lazy": {"seconds": 0.1, "loss": [loss + 0.5 for loss in losses]},
        "wrong": {"seconds": 0.2, "same": False},
    }
    found = row("case", "sizes", sides, "sonde", wanted=2.0)
    assert (found["best_peer"], found["ratio"], found["met"]) == ("slow", 9.0, True)
    assert found["sides"]["slow"]["same"] and not found["sides"]["lazy"]["same"]
    show(header(tmp_path / "no python", 5), [], [found])
    said = capsys.readouterr().out
    assert said.count("does not count, NOT the same") == 2 and "losses differ by 0.5" in said
    del sides["slow"]
    assert row("case", "sizes", sides, "sonde", wanted=2.0)["met"] is None


def test_a_case_whose_losses_differ_is_not_met():
    case = cases.CASES["xor"]
    side = lambda seconds, loss: {"seconds": seconds, "runs": [seconds] * 5, "loss": [loss] * 5}
    found = {"sonde": side(1.0, 0.2), "limit": {"seconds": 0.5, "runs": [0.5] * 5}}
    rows = [
        training.row(case, "data", found | {("torch", "eager", 1): side(100.0, loss)}, {"keras": "not installed"})
        for loss in (0.2, 0.3)
    ]
    assert [each["ratio"] for each in rows] == [100, 100]
    assert [(each["same_loss"], each["met"]) for each in rows] == [(True, True), (False, False)]
    assert rows[0]["peers"]["keras"] == {"missing": "not installed"}


def test_losses_that_differ_by_more_than_their_noise_are_told():
    ours = [0.10, 0.12, 0.11, 0.13]
    assert compare_losses(ours, [0.11, 0.11, 0.12, 0.12])["same"]
    assert not compare_losses(ours, [loss + 0.05 for loss in ours])["same"]


def test_memory_that_grows_with_what_was_read_is_not_flat():
    read = [stream.FILE * i // 1000 for i in range(1000)]
    saw = [i % 40 * stream.CHUNK // 40 for i in range(1000)]  # a chunk that fills, again and again
    assert stream.flat([stream.late(saw)])
    assert not stream.flat([stream.late(saw), stream.late(read)])
    assert not stream.flat([stream.late([a + b // 10 for a, b in zip(saw, read, strict=True)])])


def test_what_is_not_flat_is_not_met():
    sides = {"sonde, streamed": {"seconds": 1.0}, "in memory": {"seconds": 1.0}}
    found = [row("stream", "sizes", sides, "sonde, streamed", 0.9, holds=holds) for holds in (True, False)]
    assert [each["met"] for each in found] == [True, False]


def test_powers_are_those_of_the_upper_half():
    sizes = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
    assert math.isclose(growth.power(sizes, [7.0] * 3 + [size**1.5 for size in sizes[3:]]), 1.5)


def test_the_header_names_the_machine_and_both_sides_versions():
    head = header(Path(sys.executable), 5)
    assert head["peer_versions"]["numpy"] == head["versions"]["numpy"] and head["machine"]["load"] >= 0
    json.dumps(head)
