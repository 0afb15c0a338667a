"""Published files are found or downloaded, are the right ones to the bit, or it is said what to do."""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
import socket
import time
from pathlib import Path

import numpy as np
import pytest

from sonde import _store
from sonde._errors import FormatError, SourceError
from sonde._store import cache_folder
from sonde.data.fetching import Source, fetch

pytestmark = pytest.mark.usefixtures("elsewhere")


def sha(data):
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def files():
    """Four files, small enough to serve, of which no two are alike."""
    random = np.random.default_rng(0)
    content = [random.bytes(n) for n in (4000, 300, 2000, 200)]
    names = ("one.gz", "two.gz", "three", "four")
    return {n: gzip.compress(c) if n.endswith("gz") else c for n, c in zip(names, content, strict=True)}


@pytest.fixture
def mirrors(serve, files):
    return serve(files)


def source(files, *urls):
    return Source("small", urls, {name: sha(data) for name, data in files.items()})


def found(from_source):
    return {name: from_source.find(name).read_bytes() for name in from_source.files}


def closed():
    """An address at which nobody listens."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{s.getsockname()[1]}/"


def everything(folder):
    return sorted(p.name for p in Path(folder).rglob("*") if p.is_file())


# Downloads


def test_a_data_set_is_downloaded_once(tmp_path, files, mirrors):
    from_mirror = source(files, mirrors.at("good"))
    for _ in range(2):
        assert found(from_mirror) == files
    assert len(mirrors.asked) == 4
    assert everything(tmp_path / "cache" / "data" / "small") == sorted(files)


@pytest.mark.parametrize("behavior", ["404", "500", "stops", "lies"])
def test_the_next_mirror_serves_when_one_fails(files, mirrors, behavior):
    assert found(source(files, mirrors.at(behavior), mirrors.at("good"))) == files
    assert len(mirrors.asked) == 8


@pytest.mark.parametrize("behavior", ["hangs", "stalls", "drips"])
def test_a_mirror_that_never_ends_is_given_up(tmp_path, files, mirrors, behavior):
    name, start = "one.gz", time.monotonic()
    with pytest.raises(SourceError, match="timed out|too slow"):
        fetch(name, [mirrors.at(behavior) + name], sha(files[name]), tmp_path / "f", timeout=0.3)
    assert time.monotonic() - start < 5
    urls = [mirrors.at(each) + name for each in (behavior, "good")]
    path = fetch(name, urls, sha(files[name]), tmp_path / "f", timeout=0.3)
    assert path.read_bytes() == files[name]


@pytest.mark.parametrize(
    "behavior, why", [("404", "404 Not Found"), ("lies", "checksum"), ("stops", "checksum|IncompleteRead")]
)
def test_what_no_mirror_has_is_said_with_the_reasons(tmp_path, files, mirrors, behavior, why):
    with pytest.raises(SourceError, match=why) as caught:
        source(files, mirrors.at(behavior)).find("one.gz")
    assert "no mirror has it" in str(caught.value) and "offline" not in str(caught.value)
    assert everything(tmp_path) == []


def test_offline_tells_what_to_do_by_hand(tmp_path, files):
    url = closed()
    with pytest.raises(SourceError) as caught:
        source(files, url, "http://mirror.invalid/").find("one.gz")
    message = str(caught.value)
    assert "offline" in message and "\n" not in message
    assert "127.0.0.1" in message and "mirror.invalid" in message  # what was tried
    assert url + "one.gz" in message and str(tmp_path / "cache" / "data" / "small") in message
    assert "SONDE_DATA" in message and all(name in message for name in files)


def test_an_interrupted_download_leaves_no_half_file(tmp_path, files, mirrors, monkeypatch):
    from_mirror = source(files, mirrors.at("good"))

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_store.os, "fsync", interrupted)
        with pytest.raises(KeyboardInterrupt):
            from_mirror.find("one.gz")
    assert everything(tmp_path) == []
    assert found(from_mirror) == files


def test_a_full_disk_is_said(tmp_path, files, mirrors, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(_store.os, "fsync", full)
    with pytest.raises(SourceError, match="No space left on device.*SONDE_DATA"):
        source(files, mirrors.at("good")).find("one.gz")
    assert everything(tmp_path) == []


def test_a_damaged_file_in_the_cache_is_downloaded_again(tmp_path, files, mirrors):
    path = source(files, mirrors.at("good")).find("four")
    path.write_bytes(b"damaged")
    assert source(files, mirrors.at("good")).find("four").read_bytes() == files["four"]


# Folders


def put(folder, files):
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)


def test_the_cache_serves_offline(tmp_path, files):
    put(tmp_path / "cache" / "data" / "small", files)
    assert found(source(files, closed())) == files


def test_sonde_data_wins_over_the_cache(tmp_path, files, monkeypatch):
    put(tmp_path / "own" / "small", files)
    put(tmp_path / "cache" / "data" / "small", files)
    monkeypatch.setenv("SONDE_DATA", str(tmp_path / "own"))
    for name in files:
        assert source(files).find(name) == tmp_path / "own" / "small" / name


def test_what_sonde_data_lacks_comes_from_elsewhere(tmp_path, files, mirrors, monkeypatch):
    monkeypatch.setenv("SONDE_DATA", str(tmp_path / "own"))
    path = source(files, mirrors.at("good")).find("three")
    assert path == tmp_path / "cache" / "data" / "small" / "three"
    with pytest.raises(SourceError, match=str(tmp_path / "own")):
        source(files, closed()).find("four")


def test_a_wrong_file_in_sonde_data_is_refused_and_kept(tmp_path, files, mirrors, monkeypatch):
    put(tmp_path / "own" / "small", files | {"four": b"mine"})
    monkeypatch.setenv("SONDE_DATA", str(tmp_path / "own"))
    with pytest.raises(FormatError, match="not the published file.*unset SONDE_DATA") as caught:
        source(files, mirrors.at("good")).find("four")
    path = tmp_path / "own" / "small" / "four"
    assert str(path) in str(caught.value) and path.read_bytes() == b"mine" and mirrors.asked == []


def test_the_cache_folder_is_the_users_unless_told_otherwise(tmp_path, monkeypatch):
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("SONDE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert "sonde" in cache_folder().parts and not cache_folder().exists()


def test_a_file_may_have_another_name_where_it_is_published(tmp_path, files, mirrors):
    """A mirror that does not end in a slash is the address of the file itself."""
    renamed = Source("small", (mirrors.at("good") + "three",), {"mine.csv": sha(files["three"])})
    path = renamed.find("mine.csv")
    assert path == tmp_path / "cache" / "data" / "small" / "mine.csv" and path.read_bytes() == files["three"]
    assert [asked.rpartition("/")[2] for asked in mirrors.asked] == ["three"]


def test_a_file_of_another_name_is_to_be_saved_under_ours(tmp_path, files):
    url = closed() + "three"
    with pytest.raises(SourceError) as caught:
        Source("small", (url,), {"mine.csv": sha(files["three"])}).find("mine.csv")
    path = tmp_path / "cache" / "data" / "small" / "mine.csv"
    assert f"save {url} as {path}" in str(caught.value)


def test_what_is_not_published_has_to_be_there(tmp_path, files, monkeypatch):
    unpublished = source({"four": files["four"]})
    with pytest.raises(SourceError, match="four cannot be downloaded.*SONDE_DATA") as caught:
        unpublished.find("four")
    assert "offline" not in str(caught.value) and everything(tmp_path) == []
    put(tmp_path / "own" / "small", files)
    monkeypatch.setenv("SONDE_DATA", str(tmp_path / "own"))
    assert unpublished.find("four").read_bytes() == files["four"]
