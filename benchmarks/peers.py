"""Other processes: the peers' interpreter, and the scripts that answer in it or in our own (see `answering`)."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

ROOT = Path(__file__).absolute().parent.parent
MAKE = "python3.11 -m venv .venv-peers && .venv-peers/bin/pip install torch==2.13.0 keras jax scikit-learn"
PATIENCE = 900  # seconds for one answer; compiling belongs to the first
OURS = Path(sys.executable)


class Missing(Exception):
    """A side cannot be measured; the message says why."""


class NotThere(Missing):
    """A side that a case has not."""


def interpreter(given: str | None = None) -> Path:
    """The peers' Python: the one given, $SONDE_PEERS, or that of `.venv-peers`; it may not be there."""
    asked = given or os.environ.get("SONDE_PEERS")
    return Path(asked).absolute() if asked else ROOT / ".venv-peers" / "bin" / "python"  # a link: not resolved


class Process:
    """A script of this folder that stays and answers, a request at a time, so that sides can take turns.

    It starts when it is first asked.
    """

    def __init__(self, python: Path, file: str, *arguments: str, **env: str):
        self._started, self._python, self._file, self._arguments, self._env = False, python, file, arguments, env

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def _start(self) -> None:
        command = _command(self._python, self._file, *self._arguments)
        self._started, self._log = True, tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            command, env=_environment(self._env), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log,
            text=True,
        )  # fmt: skip

    def ask(self, **request) -> dict:
        """The answer to a request."""
        if not self._started:
            self._start()
        late = threading.Timer(PATIENCE, self._process.kill)
        late.start()
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            late.cancel()
        if not line:
            self._log.seek(0)
            last = (self._log.read().strip().splitlines() or ["no answer"])[-1]
            raise Missing(f"the process ended: {last}")
        answer = json.loads(line)
        if "none" in answer:
            raise NotThere(answer["none"])
        if "error" in answer:
            raise Missing(answer["error"])
        return answer

    def close(self) -> None:
        """End it; it may be gone already, or have never begun."""
        if not self._started:
            return
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._log.close()


def program(python: Path, file: str, *arguments: str, **env: str) -> dict:
    """What a script of this folder prints as its last line, JSON, in a new process."""
    done = subprocess.run(
        _command(python, file, *arguments), env=_environment(env), stdin=subprocess.DEVNULL, capture_output=True,
        text=True,
    )  # fmt: skip
    if done.returncode:
        raise Missing((done.stderr.strip().splitlines() or ["it ended without a word"])[-1])
    return json.loads(done.stdout.strip().splitlines()[-1])


def _command(python: Path, file: str, *arguments: str) -> list[str]:
    if not python.is_file():
        raise Missing(f"no interpreter of the peers at {python}; make one: {MAKE}")
    isolated = [] if python == OURS else ["-I"]
    return [str(python), *isolated, str(ROOT / "benchmarks" / file), *arguments]


def _environment(env: dict[str, str]) -> dict[str, str]:
    places = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    return {**os.environ, "PYTHONPATH": places, "JAX_PLATFORMS": "cpu", "TORCHINDUCTOR_COMPILE_THREADS": "1", **env}
