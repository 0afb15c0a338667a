"""The formats of image data sets: what is written comes back, what is damaged is refused."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile

import numpy as np
import pytest

from sonde._errors import FormatError, SourceError
from sonde.data import formats
from sonde.data.formats import CIFAR_FOLDER


def idx(array, code=0x08):
    """An array as an idx file."""
    head = bytes([0, 0, code, array.ndim]) + b"".join(struct.pack(">I", n) for n in array.shape)
    return head + array.tobytes()


# The idx format


@pytest.mark.parametrize("code, dtype", [(8, "u1"), (9, "i1"), (11, ">i2"), (12, ">i4"), (13, ">f4"), (14, ">f8")])
@pytest.mark.parametrize("shape", [(5,), (2, 3), (2, 0, 3)])
def test_an_idx_file_of_every_type_comes_back(tmp_path, code, dtype, shape):
    array = (np.arange(np.prod(shape)) - 1).reshape(shape).astype(dtype)
    for data in (idx(array, code), gzip.compress(idx(array, code))):
        (tmp_path / "a").write_bytes(data)
        found = formats.idx(tmp_path / "a")
        assert found.dtype.isnative and found.flags.writeable and found.shape == shape
        np.testing.assert_array_equal(found, array)


def test_every_truncated_idx_file_is_refused(tmp_path):
    raw = idx(np.arange(12, dtype=np.uint8).reshape(3, 4))
    for whole in (raw, gzip.compress(raw)):
        for damaged in [whole[:n] for n in range(len(whole))] + [raw + b"x"]:
            (tmp_path / "a.gz").write_bytes(damaged)
            with pytest.raises(FormatError, match=r"a\.gz.*replace it"):
                formats.idx(tmp_path / "a.gz")


@pytest.mark.parametrize("start", [b"\0\0\x07\x01", b"\1\0\x08\x01", b"\0\0\x08\x00", b"\0\0\x08\xff", b"<htm"])
def test_bad_magic_is_refused(tmp_path, start):
    (tmp_path / "a").write_bytes(start + bytes(2000))
    with pytest.raises(FormatError, match="not an idx file"):
        formats.idx(tmp_path / "a")


def test_a_damaged_gzip_is_refused_or_caught_by_its_own_checksum(tmp_path):
    raw = idx(np.random.default_rng().integers(256, size=(9, 9)).astype(np.uint8))
    whole = gzip.compress(raw)
    for at in range(10, len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 0x55
        (tmp_path / "a").write_bytes(damaged)
        with pytest.raises(FormatError):
            formats.idx(tmp_path / "a")


# CIFAR-10


def pictures(rng, n):
    """Labels and pictures, and the records that hold them."""
    labels, x = rng.integers(10, size=n).astype(np.uint8), rng.integers(256, size=(n, 32, 32, 3)).astype(np.uint8)
    planes = x.transpose(0, 3, 1, 2)
    records = b"".join(bytes([y]) + p.tobytes() for y, p in zip(labels, planes, strict=True))
    return labels, x, records


def archive(files, folder=CIFAR_FOLDER):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(f"{folder}/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return made.getvalue()


NAMES = (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin")


def cifar_files(rng, rows=2):
    made = {name: pictures(rng, rows) for name in NAMES}
    return made, {name: records for name, (_, _, records) in made.items()}


def test_the_archive_of_cifar_comes_back_in_order_whatever_its_order(tmp_path, rng):
    made, files = cifar_files(rng)
    extra = {"readme.html": b"<html>", "batches.meta.txt": b"airplane"}
    for stored in (files | extra, dict(reversed((extra | files).items()))):
        (tmp_path / "a.tar.gz").write_bytes(archive(stored))
        found = formats.cifar(tmp_path / "a.tar.gz")
        assert found["train_x"].shape == (10, 32, 32, 3) and found["train_x"].dtype == np.uint8
        for split, names in (("train", NAMES[:5]), ("test", NAMES[5:])):
            np.testing.assert_array_equal(found[f"{split}_x"], np.concatenate([made[n][1] for n in names]))
            np.testing.assert_array_equal(found[f"{split}_y"], np.concatenate([made[n][0] for n in names]))
    assert [p.name for p in tmp_path.iterdir()] == ["a.tar.gz"]  # nothing is unpacked


def test_links_and_other_folders_in_an_archive_are_not_read(tmp_path, rng):
    _, files = cifar_files(rng)
    (tmp_path / "a").write_bytes(archive(files, folder="../elsewhere"))
    with pytest.raises(FormatError, match="no data_batch_1.bin.*replace it"):
        formats.cifar(tmp_path / "a")
    with tarfile.open(tmp_path / "a", "w:gz") as tar:
        for name in NAMES:
            link = tarfile.TarInfo(f"{CIFAR_FOLDER}/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
            tar.addfile(link)
    with pytest.raises(FormatError, match="no data_batch_1.bin"):
        formats.cifar(tmp_path / "a")


def test_a_damaged_archive_of_cifar_is_refused(tmp_path, rng):
    _, files = cifar_files(rng)
    whole = archive(files)
    for damaged in [whole[:n] for n in (0, 1, 20, len(whole) // 2)] + [b"not an archive at all"]:
        (tmp_path / "a").write_bytes(damaged)
        with pytest.raises(FormatError, match="a .*replace it"):
            formats.cifar(tmp_path / "a")
    wrong_label = bytes([10]) + files["test_batch.bin"][1:]
    cases = [("test_batch.bin", files["test_batch.bin"][:-1], "bytes to test"), ("test_batch.bin", b"", "0 bytes")]
    cases += [("test_batch.bin", wrong_label, "label 10"), ("data_batch_3.bin", b"1234", "bytes to train")]
    for name, data, why in cases:
        (tmp_path / "a").write_bytes(archive(files | {name: data}))
        with pytest.raises(FormatError, match=why):
            formats.cifar(tmp_path / "a")
    with pytest.raises(SourceError, match="cannot read"):
        formats.cifar(tmp_path / "none")


# JPEG files in one .npz


def jpeg_file(x):
    from PIL import Image

    made = io.BytesIO()
    Image.fromarray(x).save(made, "JPEG", quality=95)
    return made.getvalue()


def npz(path, **changed):
    """Two splits of plain pictures, each of one color."""
    colors = {"train": [(250, 0, 0), (0, 250, 0), (0, 0, 250)], "test": [(128, 128, 128)]}
    columns = {}
    for split, each in colors.items():
        parts = [jpeg_file(np.full((16, 16, 3), color, np.uint8)) for color in each]
        columns[f"{split}_jpeg"] = np.frombuffer(b"".join(parts), np.uint8)
        columns[f"{split}_offsets"] = np.cumsum([0, *map(len, parts)])
        columns[f"{split}_labels"] = np.arange(len(each), dtype=np.uint8)
    np.savez(path, **{k: v for k, v in (columns | changed).items() if v is not None})
    return colors


def test_jpeg_files_in_one_file_come_back_as_pictures(tmp_path):
    colors = npz(tmp_path / "a.npz")
    found = formats.jpegs(tmp_path / "a.npz")
    for split, each in colors.items():
        x = found[f"{split}_x"]
        assert x.shape == (len(each), 16, 16, 3) and x.dtype == np.uint8
        assert np.abs(x.astype(int) - np.array(each)[:, None, None]).max() < 6  # JPEG rounds colors
        assert found[f"{split}_y"].tolist() == list(range(len(each)))


@pytest.mark.parametrize(
    "changed",
    [
        {"test_jpeg": None},
        {"test_jpeg": np.zeros(500, np.uint8)},
        {"train_labels": np.zeros(2, np.uint8)},
        {"test_labels": np.array([{"any": "object"}], object)},
    ],
)
def test_a_damaged_file_of_jpegs_is_refused(tmp_path, changed):
    npz(tmp_path / "a.npz", **changed)
    with pytest.raises(FormatError, match=r"a\.npz is truncated or damaged.*replace it"):
        formats.jpegs(tmp_path / "a.npz")
    (tmp_path / "a.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:300])
    with pytest.raises(FormatError, match="replace it"):
        formats.jpegs(tmp_path / "a.npz")
    with pytest.raises(SourceError, match="cannot read"):
        formats.jpegs(tmp_path / "none.npz")
