"""Streams: every row once an epoch, in chunks that follow from the key, the epoch and their number alone."""

import collections
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sonde as sd
from sonde import Padded, nn
from sonde._errors import ArgumentError
from sonde.data import Streamed
from sonde.data.stream import Stream, placed
from sonde.train import execute_many


def rows_of_epochs(stream, sampler, key, epochs):
    """The rows that count, epoch by epoch, as training would see them."""
    over = jax.jit(lambda columns, key, u: sampler.over(columns)(key, u))
    per, seen = sampler.per_epoch({}), []
    for epoch in range(epochs):
        rows = []
        for step in range(epoch * per, (epoch + 1) * per):
            columns = stream.read(sampler, stream.spans(sampler, key, step))
            batch = over(columns, key, step)
            assert float(batch.weight.sum()) > 0
            rows += np.asarray(batch.at)[np.asarray(batch.weight) > 0].tolist()
        seen.append(rows)
    return seen


@pytest.mark.parametrize(
    ("n", "size", "chunk"), [(1000, 16, 320), (1000, 16, 1000), (97, 10, 20), (20, 7, 7), (9, 4, 5)]
)
def test_every_row_comes_once_an_epoch_and_each_epoch_and_seed_has_its_order(key, n, size, chunk):
    stream = Stream({"at": np.arange(n, dtype=np.int32)}, chunk)
    sampler = stream.sampler(size)
    orders = rows_of_epochs(stream, sampler, key, 2)
    orders += rows_of_epochs(stream, sampler, jax.random.clone(jax.random.fold_in(key, 1)), 1)
    for order in orders:
        assert sorted(order) == list(range(n))
    for one, other in itertools.combinations(orders, 2):
        assert one != other


def test_what_a_chunk_holds_is_a_function_of_key_and_step(key):
    stream = Stream({"at": np.arange(5000, dtype=np.int32)}, 700)
    sampler = stream.sampler(50)
    steps = [step for step in range(250) if step == 0 or sampler.place(step)[:2] != sampler.place(step - 1)[:2]]
    forward = [stream.spans(sampler, key, step) for step in steps]
    again = Stream({"at": np.arange(5000, dtype=np.int32)}, 700)
    backward = [again.spans(sampler, key, step) for step in reversed(steps)][::-1]
    assert forward == backward
    assert len({str(spans) for spans in forward}) == len(steps)


def test_a_chunk_of_a_file_sorted_by_class_has_every_class(key):
    y = np.repeat(np.arange(10, dtype=np.int32), 2000)
    stream = Stream({"y": y}, 4000)
    sampler = stream.sampler(50)
    found = collections.Counter(stream.read(sampler, stream.spans(sampler, key, 0))["y"].tolist())
    assert len(found) == 10
    assert min(found.values()) > 200  # 400 are expected


def test_places_follow_each_other():
    sampler = Streamed(4, rows=30, chunk=12)  # 8 steps an epoch: chunks of 3, 3 and 2
    assert [sampler.place(step) for step in (0, 2, 3, 7, 8, 15)] == [
        (0, 0, 3), (0, 0, 3), (0, 1, 6), (0, 2, 8), (1, 0, 11), (1, 2, 16),
    ]  # fmt: skip


def test_padded_columns_are_streamed_whole(key):
    words = Padded.of([[i] * (1 + i % 3) for i in range(60)])
    stream = Stream({"x": words, "at": np.arange(60, dtype=np.int32)}, 20)
    sampler = stream.sampler(5)
    read = stream.read(sampler, stream.spans(sampler, key, 0))
    np.testing.assert_array_equal(read["x"].values[:, 0], read["at"])
    np.testing.assert_array_equal(read["x"].lengths, 1 + read["at"] % 3)


def test_what_needs_every_row_is_refused():
    stream = Stream({"x": np.zeros((100, 2), np.float32), "y": np.zeros(100, np.int32)}, 20)
    for sampler in (sd.data.Balanced(10), sd.data.Folds(10), Streamed(10, rows=100, chunk=20)):
        with pytest.raises(ArgumentError, match="needs every row at hand"):
            stream.sampler(sampler)
    with pytest.raises(ArgumentError, match="multiple of its size"):
        Streamed(10, rows=100, chunk=25)
    with pytest.raises(ArgumentError, match="rows of Streamed"):
        Streamed(10, rows=0, chunk=10)
    with pytest.raises(ArgumentError, match="chunks of 20 rows; got 100"):
        Streamed(10, rows=100, chunk=20).over({"x": jnp.zeros((100, 2))})
    data = sd.data.Dataset(train={"x": np.zeros((100, 2)), "y": np.arange(100) % 2}, chunk=20)
    plan = sd.Plan(sd.Phase(sd.Turn(sd.Classify(), sd.SGD(0.1)), sd.data.Shuffled(10), epochs=1))
    with pytest.raises(ArgumentError, match="every row at hand"):
        execute_many(nn.Network(nn.Dense(2)), plan, placed(data), [0, 1])
    twice = sd.Plan(sd.Phase(sd.Turn(sd.Classify(), sd.SGD(0.1), repeats=2), sd.data.Shuffled(10), epochs=1))
    with pytest.raises(ArgumentError, match="repeats"):
        sd.fit(nn.Dense(2), data, plan=twice, progress=False)
    with pytest.raises(ArgumentError, match="chunk of a Dataset"):
        sd.data.Dataset(train={"x": np.zeros(3)}, chunk=0)


def test_a_validation_split_beyond_the_device_is_refused(monkeypatch, tmp_path):
    columns = {"x": np.zeros((100, 2)), "y": np.arange(100) % 2}
    data = sd.data.open_folder(sd.data.write(tmp_path, sd.data.Dataset(train=columns, valid=columns)))
    monkeypatch.setattr("sonde.data.stream.VALID_BYTES", 600)
    with pytest.raises(ArgumentError, match="write a smaller one, of at most 50 rows"):
        placed(data)
    monkeypatch.setattr("sonde.data.stream.VALID_BYTES", 10_000)
    assert isinstance(placed(data)["train"]["x"], jax.Array)  # what is smaller than a chunk is on the device
    monkeypatch.setattr("sonde.data.stream.CHUNK_BYTES", 600)
    assert isinstance(placed(data)["train"], Stream)
