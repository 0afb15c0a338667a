"""Published files: found on this machine, or downloaded; the right ones to the bit, or an error.

Files are looked for in ``$SONDE_DATA/<name>/``, then in the cache (``$SONDE_CACHE``, or the user's cache
folder), and are downloaded into the cache at last. Each is known by its SHA-256.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from sonde._errors import FormatError, SourceError
from sonde._store import cache_folder, write_atomically

TIMEOUT = 20.0
"""Seconds of silence after which a mirror is given up."""

SLOWEST = 2000.0
"""Bytes a second, on average, below which a mirror is given up."""

@dataclass(frozen=True)
class Source:
    """Where the files of a data set come from.

    Args:
        name: of the folder that they are in.
        mirrors: where they can be had, tried in order: addresses of folders, which end in ``/``, or, for a source
            of one file, of the file, whatever it is called there. None if they are not published.
        files: their SHA-256, by name.
    """

    name: str
    mirrors: tuple[str, ...]
    files: Mapping[str, str]

    def find(self, file: str) -> Path:
        """The path of one of the files on this machine, downloaded if need be.

        Raises:
            SourceError: if it can be had nowhere, with what was tried and how to do it by hand.
            FormatError: if the one in ``$SONDE_DATA`` is not the published one.
        """
        own = os.environ.get("SONDE_DATA")
        if own:
            path = Path(own).expanduser() / self.name / file
            if path.is_file():
                if _sha256(path) != self.files[file]:
                    raise FormatError(
                        f"{path} is not the published file (its SHA-256 differs); "
                        "replace it, or unset SONDE_DATA to have it downloaded"
                    )
                return path
        try:
            folder = cache_folder() / "data" / self.name
            return fetch(file, [m + file if m.endswith("/") else m for m in self.mirrors], self.files[file], folder)
        except SourceError as error:
            raise SourceError(
                f"{error}; or let SONDE_DATA (now {own or 'not set'}) name a folder with {self.name}/ "
                f"and in it {', '.join(self.files)}"
            ) from error


def fetch(name: str, urls: Sequence[str], sha256: str, folder: Path, timeout: float | None = None) -> Path:
    """The path of a file in ``folder``, downloaded from the first address that has the right one.

    Args:
        name: of the file in the folder.
        urls: where it can be had, tried in order.
        sha256: of its content, in hexadecimal; a file that has another is replaced.
        folder: made if need be; the file appears in it whole or not at all.
        timeout: seconds of silence after which an address is given up; `TIMEOUT` if None.

    Raises:
        SourceError: if no address has it, or it cannot be written.
    """
    path = Path(folder) / name
    if path.is_file() and _sha256(path) == sha256:
        return path
    if not urls:
        raise SourceError(f"{name} cannot be downloaded from anywhere; put it into {path.parent}")
    tried, answered = [], False
    for url in urls:
        try:
            data = _download(url, TIMEOUT if timeout is None else timeout)
        except _Failed as failed:
            tried.append(f"{urlsplit(url).netloc}: {failed}")
            answered |= failed.answered
            continue
        if hashlib.sha256(data).hexdigest() == sha256:
            write_atomically(path, data)
            return path
        tried.append(f"{urlsplit(url).netloc}: the {len(data)} bytes it sent have another checksum")
        answered = True
    why = "no mirror has it" if answered else "this machine seems to be offline"
    raise SourceError(
        f"cannot download {name}, {why} ({'; '.join(tried)}); "
        f"by hand: save {urls[0]} as {path}"
    )


class _Failed(Exception):
    """Why an address gave nothing, and whether anyone answered there."""

    def __init__(self, why: str, answered: bool) -> None:
        super().__init__(" ".join(why.split()))
        self.answered = answered


def _download(url: str, timeout: float) -> bytes:
    from http.client import HTTPException
    from urllib.error import HTTPError, URLError
    from urllib.request import Request, urlopen

    data, answered, start = bytearray(), False, time.monotonic()
    try:
        with urlopen(Request(url, headers={"User-Agent": "sonde"}), timeout=timeout) as response:
            answered = True
            while chunk := response.read1(1 << 16):
                data += chunk
                passed = time.monotonic() - start
                if passed > timeout and len(data) < SLOWEST * passed:
                    raise _Failed(f"too slow, {len(data)} bytes in {passed:.0f} s", answered)
    except HTTPError as error:
        error.close()
        raise _Failed(f"{error.code} {error.reason}", answered=True) from error
    except (OSError, HTTPException) as error:
        reason = error.reason if isinstance(error, URLError) else error
        why = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
        raise _Failed(why, answered) from error
    return bytes(data)


def _sha256(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}") from error
