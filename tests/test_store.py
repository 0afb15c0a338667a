"""Files are written whole or not at all, and a bad file is refused in one line."""

from __future__ import annotations

import errno
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save

from sonde import _store
from sonde._errors import DataError, FormatError, SourceError
from sonde._store import fingerprint, read_arrays, read_json, write_arrays, write_atomically, write_json

SRC = str(Path(__file__).parents[1] / "src")
HEADER = {"spec": {"is": "Dense", "units": 3}, "labels": ["yes", "ж"], "loss": 0.1, "best": None}


def arrays():
    return {
        "dense/kernel": np.arange(6, dtype=np.float32).reshape(2, 3),
        "dense/bias": np.array([1.5, -2.0, 3.0], ml_dtypes.bfloat16),
        "step": np.asarray(7, np.int32),
        "flag": np.array([True, False]),
        "empty": np.zeros((0, 3)),
    }


def same(a, b):
    assert list(a) == sorted(b)
    for name, array in b.items():
        assert a[name].dtype == array.dtype and a[name].shape == array.shape
        assert a[name].tobytes() == array.tobytes()


def refused(path, kind="network"):
    """What is said of a bad file: always a FormatError, always one line with its path."""
    with pytest.raises(FormatError) as caught:
        read_arrays(path, kind)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def saved(tmp_path):
    write_arrays(tmp_path / "net.sonde", arrays(), HEADER, "network")
    return tmp_path / "net.sonde"


# Writing whole or not at all


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "made" / "on the way" / "a.bin"
    for content in (b"old", b"new and longer", b""):
        write_atomically(path, content)
        assert path.read_bytes() == content
    assert os.listdir(path.parent) == ["a.bin"]


def test_a_new_file_has_the_permissions_any_other_has(tmp_path):
    (tmp_path / "usual").write_bytes(b"")
    write_atomically(tmp_path / "ours", b"")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there" / "file")
    write_atomically(tmp_path / "link", b"x")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "there" / "file").read_bytes() == b"x"


def raises(error):
    def fails(*_, **__):
        raise error

    return fails


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch, call):
    path = tmp_path / "a.bin"
    write_atomically(path, b"old")
    with monkeypatch.context() as patch:
        patch.setattr(_store.os, call, raises(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))))
        with pytest.raises(SourceError, match=r"a\.bin: No space left on device") as caught:
            write_atomically(path, b"new")
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["a.bin"]


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process are those of Unix")
def test_a_write_that_stops_halfway_leaves_the_old_file(tmp_path):
    """The operating system itself refuses to let the file grow, after some of it was written."""
    import resource

    path = tmp_path / "a.bin"
    write_atomically(path, b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(SourceError, match="File too large"):
            write_atomically(path, b"new" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["a.bin"]


def test_an_interrupt_leaves_the_old_file_and_stays_an_interrupt(tmp_path, monkeypatch):
    path = tmp_path / "a.bin"
    write_atomically(path, b"old")
    monkeypatch.setattr(_store.os, "fsync", raises(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["a.bin"]


def test_a_process_killed_while_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.bin"
    write_atomically(path, b"old")
    program = (
        "import os, sys\nfrom sonde import _store\n"
        "os.fsync = lambda _: os._exit(77)\n"
        "_store.write_atomically(sys.argv[1], b'new')\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], env=os.environ | {"PYTHONPATH": SRC})
    assert done.returncode == 77 and path.read_bytes() == b"old"


def test_what_cannot_be_written_says_why(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "file" / "below", tmp_path):
        with pytest.raises(SourceError, match="cannot write") as caught:
            write_atomically(path, b"x")
        assert str(path) in str(caught.value)
    assert os.listdir(tmp_path) == ["file"]


# JSON


def test_json_comes_back(tmp_path):
    value = {"b": [1, 2.5, None, True, "ж"], "a": {"inf": float("inf")}}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value


def test_what_is_not_json_is_refused(tmp_path):
    path = tmp_path / "a.json"
    with pytest.raises(SourceError, match="there is no file"):
        read_json(path)
    with pytest.raises(FormatError, match="a folder"):
        read_json(tmp_path)
    for content in (b"", b"{", b"\xff\xfe\x00", b"[" * 200_000, b"9" * 10_000):
        path.write_bytes(content)
        with pytest.raises(FormatError, match="is not JSON") as caught:
            read_json(path)
        assert "\n" not in str(caught.value)
    circle: list = []
    circle.append(circle)
    for value in ({1, 2}, circle, {"a": object()}):
        with pytest.raises(FormatError, match="cannot write"):
            write_json(path, value)


# Arrays


def test_arrays_and_header_come_back(saved):
    found, header = read_arrays(saved, "network")
    same(found, arrays())
    assert header == HEADER
    found["step"][...] = 8  # they are the caller's own


@pytest.mark.parametrize("dtype", _store.STORABLE)
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,), (2, 3, 4)])
def test_every_dtype_and_shape_comes_back(tmp_path, dtype, shape):
    dtype = np.dtype(getattr(ml_dtypes, dtype, dtype))
    given = {"a": (np.arange(np.prod(shape, dtype=int)) % 7).reshape(shape).astype(dtype)}
    write_arrays(tmp_path / "a", given, {}, "k")
    same(read_arrays(tmp_path / "a", "k")[0], given)


def test_layout_in_memory_does_not_matter(tmp_path):
    a = np.arange(24, dtype=np.float32).reshape(4, 6)
    layouts = [a, np.asfortranarray(a), np.repeat(a, 2, axis=1)[:, ::2], a[::-1][::-1], a.astype(">f4")]
    for i, layout in enumerate(layouts):
        write_arrays(tmp_path / str(i), {"a": layout, "t": layout.T}, {}, "k")
        same(read_arrays(tmp_path / str(i), "k")[0], {"a": a, "t": np.ascontiguousarray(a.T)})
    assert len({(tmp_path / str(i)).read_bytes() for i in range(len(layouts))}) == 1


def test_the_same_input_gives_the_same_bytes_in_any_order_and_process(tmp_path, saved):
    backwards = dict(reversed(arrays().items()))
    write_arrays(tmp_path / "again", backwards, dict(reversed(HEADER.items())), "network")
    assert (tmp_path / "again").read_bytes() == saved.read_bytes()
    program = "import test_store as t, sys; t.write_arrays(sys.argv[1], t.arrays(), t.HEADER, 'network')\n"
    path = os.pathsep.join([SRC, os.path.dirname(__file__)])
    env = os.environ | {"PYTHONHASHSEED": "12345", "PYTHONPATH": path}
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "elsewhere")], check=True, env=env)
    assert (tmp_path / "elsewhere").read_bytes() == saved.read_bytes()


def test_the_file_is_plain_safetensors_with_one_metadata_key(saved):
    with safe_open(saved, framework="numpy") as file:
        assert set(file.keys()) == set(arrays())
        ((key, text),) = file.metadata().items()
    note = json.loads(text)
    assert key == "sonde" and note.pop("digest")
    assert note == {"kind": "network", "format": _store.FORMAT, "header": HEADER}


def test_a_header_comes_back_as_json_does(tmp_path):
    header = {"shape": (2, 3), 10: "int keys", 9: "become strings", "nan": float("nan")}
    write_arrays(tmp_path / "a", {}, header, "k")
    found, header = read_arrays(tmp_path / "a", "k")
    assert found == {} and header.pop("nan") != 0
    assert header == {"shape": [2, 3], "10": "int keys", "9": "become strings"}


@pytest.mark.parametrize(
    "array", [np.array(["text"]), np.array([None]), np.zeros(2, np.complex64), np.zeros(2, ml_dtypes.int4)]
)
def test_what_a_file_cannot_hold_is_refused_before_anything_is_written(tmp_path, array):
    with pytest.raises(FormatError, match="array 'a' is"):
        write_arrays(tmp_path / "a", {"a": array}, {}, "k")
    for name in ("__metadata__", "\ud800"):
        with pytest.raises(FormatError):
            write_arrays(tmp_path / "a", {name: np.zeros(2)}, {}, "k")
    with pytest.raises(FormatError, match="as JSON"):
        write_arrays(tmp_path / "a", {}, {"no": object()}, "k")
    assert os.listdir(tmp_path) == []


# Bad files


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(SourceError, match="there is no file"):
        read_arrays(tmp_path / "none", "network")
    assert "a folder" in refused(tmp_path)


def test_another_kind_and_a_newer_format(saved, tmp_path, monkeypatch):
    assert "expected 'checkpoint', got 'network'" in refused(saved, "checkpoint")
    monkeypatch.setattr(_store, "FORMAT", 99)
    write_arrays(saved, arrays(), HEADER, "of the future")
    monkeypatch.undo()
    message = refused(saved)
    assert "format 99" in message and "upgrade sonde" in message


def test_another_programs_files(tmp_path):
    path = tmp_path / "theirs"
    for metadata in (None, {"format": "pt"}):
        path.write_bytes(save({"w": np.zeros(3)}, metadata))
        assert "another program" in refused(path)
    for content in (b"PK\x03\x04" + bytes(30), b"\x80\x04\x95" + bytes(30), b"\x89HDF\r\n\x1a\n" + bytes(30)):
        path.write_bytes(content)
        assert "not a safetensors file" in refused(path)


def test_a_pickle_is_not_opened(tmp_path):
    import pickle

    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "sprung"),)

    (tmp_path / "model").write_bytes(pickle.dumps(Trap()))
    refused(tmp_path / "model")
    assert not (tmp_path / "sprung").exists()


def test_an_altered_file_is_noticed(saved):
    whole = saved.read_bytes()
    saved.write_bytes(whole.replace(b'\\"units\\":3', b'\\"units\\":4'))
    assert saved.read_bytes() != whole and "altered" in refused(saved)
    saved.write_bytes(whole.replace(b"dense/bias", b"dense/bial"))
    assert saved.read_bytes() != whole and "altered" in refused(saved)
    saved.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert "altered" in refused(saved)


def test_every_truncation_is_noticed(saved):
    whole = saved.read_bytes()
    for length in range(len(whole)):
        saved.write_bytes(whole[:length])
        message = refused(saved)
        assert "empty" in message if not length else "truncated" in message
    saved.write_bytes(whole + b"x")
    refused(saved)


def test_every_damaged_byte_is_noticed_or_harmless(saved):
    """Each byte of the file in turn becomes another, drawn at random, and then a few of them at once."""
    whole = saved.read_bytes()
    seed = int.from_bytes(os.urandom(4), "big")
    print("seed", seed)
    random = np.random.default_rng(seed)
    damages = [[at] for at in range(len(whole))] + [random.integers(len(whole), size=4) for _ in range(500)]
    for places in damages:
        damaged = bytearray(whole)
        for at in places:
            damaged[at] = random.integers(256)
        saved.write_bytes(damaged)
        try:
            found, header = read_arrays(saved, "network")
        except FormatError as error:
            assert "\n" not in str(error)
        else:
            same(found, arrays())
            assert header == HEADER


def note(**changes):
    whole = {"kind": "network", "format": 1, "digest": "0", "header": {}} | changes
    return {"sonde": json.dumps({k: v for k, v in whole.items() if v is not ...})}


@pytest.mark.parametrize(
    "metadata",
    [
        {"sonde": ""},
        {"sonde": "[]"},
        {"sonde": "[" * 100_000},
        {"sonde": "9" * 10_000},
        *(note(**{key: ...}) for key in ("kind", "format", "digest", "header")),
        *(note(format=f) for f in (0, -1, True, "1", 1.0, None, [])),
        *(note(header=h) for h in (1, [], None)),
        note(kind=["network"]),
        note(digest={}),
    ],
    ids=range(20),
)
def test_a_header_that_makes_no_sense(tmp_path, metadata):
    (tmp_path / "a").write_bytes(save({"w": np.zeros(3)}, metadata))
    refused(tmp_path / "a")


@pytest.mark.parametrize(
    "start",
    [
        struct.pack("<Q", 2**64 - 1),
        struct.pack("<Q", 2**40),
        struct.pack("<Q", 99_000_000),
        struct.pack("<Q", 0),
    ],
)
def test_a_huge_bogus_length_costs_nothing(tmp_path, start):
    (tmp_path / "a").write_bytes(start + b'{"a":1}' + bytes(1000))
    assert "truncated or damaged" in refused(tmp_path / "a")


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [0, 2**62, 4], "data_offsets": [0, 0]},
        {"dtype": "F32", "shape": [1] * 100, "data_offsets": [0, 4]},
        {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]},
        {"dtype": "X99", "shape": [4], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]},
        {},
    ],
    ids=range(8),
)
def test_absurd_arrays(tmp_path, entry):
    head = json.dumps({"__metadata__": note(), "a": entry}).encode()
    (tmp_path / "a").write_bytes(struct.pack("<Q", len(head)) + head + bytes(4))
    refused(tmp_path / "a")


# Fingerprints


def test_a_fingerprint_sees_every_change_that_matters_and_no_other():
    x, y = np.arange(6, dtype=np.float32).reshape(2, 3), np.array([0, 1])
    base = fingerprint({"x": x, "y": y})
    assert base == fingerprint({"y": y.copy(), "x": np.asfortranarray(x)})
    assert base == fingerprint({"x": x.astype(">f4"), "y": y})
    changed = x.copy()
    changed[1, 2] += 1
    others = [
        {"x": changed, "y": y},
        {"x": x.reshape(3, 2), "y": y},
        {"x": x.view(np.int32), "y": y},
        {"z": x, "y": y},
        {"x": x},
        {"x": y, "y": x},
        {"x": x, "y": y, "z": np.zeros(0)},
        {},
    ]
    assert len({base, *map(fingerprint, others)}) == len(others) + 1


def test_a_fingerprint_takes_text_and_dates_but_no_objects():
    given = [np.array(["a", "bc"]), np.array(["a", "bd"]), np.array(["2020-01-01"], "M8[D]"), np.asarray(1.0)]
    assert len({fingerprint({"x": column}) for column in given}) == len(given)
    for column in (np.array(["a", None]), np.array(["a"], np.dtypes.StringDType())):
        with pytest.raises(DataError, match="column 'x'"):
            fingerprint({"x": column})
