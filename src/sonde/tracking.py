"""Runs written down where other tools show them: observers for TensorBoard and MLflow.

A tracker is given to ``fit(..., observer=...)``. It logs every round once, however many a dispatch closes, with the
step at which the round ended. Where a plan has several phases, names begin with ``phase1/``, ``phase2/``, ...

What a tracker is given wrongly is an error before the run begins. What goes wrong later (a full disk, a server that
is gone) ends the tracking and not the run: it is said on stderr at once, and again among the run's decisions.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sonde._errors import ArgumentError, SourceError
from sonde.train import Dispatch, Outcome


class Tracker:
    """An observer that logs each round of one run once, and closes itself when the run ends.

    Attributes:
        failed: why it stopped logging before the run ended, or "".
    """

    def __init__(self) -> None:
        self.failed = ""
        self._rounds: dict[int, int] = {}
        self._closed = False

    def __call__(self, d: Dispatch) -> None:
        """Log the rounds that are not logged yet."""
        if self._closed and not self.failed:
            raise ArgumentError(f"this {type(self).__name__} has written down a run already; make one for each run")
        if self.failed:
            return
        try:
            before, closed = self._rounds.get(d.phase, 0), len(d.history.get("step", ()))
            self._log(list(self._new(d, before, closed)))
            self._rounds[d.phase] = closed
        except Exception as error:  # whatever its library raises: a run is worth more than its log
            self._fail(error, d)
            return
        gone_wrong = d.outcome in (Outcome.DIVERGED, Outcome.INTERRUPTED)
        if gone_wrong or (d.outcome != Outcome.RUNNING and d.phase == d.phases - 1):
            self.close(d.outcome)

    def _new(self, d: Dispatch, before: int, closed: int) -> Iterator[tuple[str, float, int]]:
        """(name, value, step) of each quantity of each new round."""
        label = f"phase{d.phase + 1}/" if d.phases > 1 else ""
        for i in range(before, closed):
            step = int(d.history["step"][i])
            for name in sorted(d.history.keys() - {"step"}):
                yield label + name, float(d.history[name][i]), step

    def _fail(self, error: Exception, d: Dispatch | None = None) -> None:
        where = f" at step {d.step}" if d is not None else ""
        words = str(error).strip().partition("\n")[0] or "no reason was given"
        self.failed = f"{type(self).__name__} stopped logging{where}: {type(error).__name__}: {words}"
        with contextlib.suppress(OSError, AttributeError):  # without a stderr it is in the run's decisions
            print(f"{self.failed}; the run goes on", file=sys.stderr, flush=True)
        self.close()

    def close(self, outcome: Outcome = Outcome.RUNNING) -> None:
        """Write out what is pending and let go; RUNNING: the run came to no end."""
        if self._closed:
            return
        self._closed = True
        try:
            self._end(outcome)
        except Exception as error:
            if not self.failed:
                self._fail(error)

    def _log(self, entries: list[tuple[str, float, int]]) -> None:
        raise NotImplementedError

    def _end(self, outcome: Outcome) -> None:
        raise NotImplementedError

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


class TensorBoard(Tracker):
    """Rounds as scalars in an event file, for ``tensorboard --logdir FOLDER``.

    What there is so far is on disk after each dispatch.

    Args:
        folder: where the event file goes; a folder a run keeps the curves apart.

    Raises:
        ArgumentError: tensorboardX is not installed.
        SourceError: the folder cannot be written.

    Example:
        >>> import tempfile
        >>> import sonde as sd
        >>> from sonde import nn
        >>> from sonde.tracking import TensorBoard
        >>> folder = tempfile.mkdtemp()
        >>> data, net = sd.data.load("xor"), nn.Sequential(hidden=nn.Dense(4, nn.tanh), head=nn.Dense(2))
        >>> run = sd.fit(net, data, sd.Classify(), sd.Adam(1e-2), epochs=3, batch=4, observer=TensorBoard(folder))
        >>> from pathlib import Path
        >>> [file.name.startswith("events.out.tfevents.") for file in Path(folder).iterdir()]
        [True]
    """

    def __init__(self, folder: str | Path) -> None:
        super().__init__()
        try:
            from tensorboardX.event_file_writer import EventsWriter
        except ImportError:
            raise ArgumentError("TensorBoard needs tensorboardX: pip install 'sonde[tensorboard]'") from None
        self.folder = Path(folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # the writer below tensorboardX's SummaryWriter: that one has a thread, whose errors nobody hears of
            self._writer = EventsWriter(str(self.folder / "events"), f".{uuid.uuid4().hex[:8]}")
        except OSError as error:
            raise SourceError(f"TensorBoard cannot write into {folder}: {error}") from None

    def _log(self, entries: list[tuple[str, float, int]]) -> None:
        from tensorboardX.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]
        from tensorboardX.summary import scalar

        now = time.time()
        for name, value, step in entries:
            tag = re.sub(r"[^\w./-]", "_", name)
            self._writer.write_event(Event(wall_time=now, step=step, summary=scalar(tag, value)))
        if entries:
            self._writer.flush()

    def _end(self, outcome: Outcome) -> None:
        self._writer.close()


class MLflow(Tracker):
    """Rounds as metrics of a run of MLflow; how the run ended is its status and its tag ``sonde.outcome``.

    A server that does not answer is asked again for as long as MLflow's own settings say
    (``MLFLOW_HTTP_REQUEST_MAX_RETRIES``, ``MLFLOW_HTTP_REQUEST_TIMEOUT``), and training waits meanwhile. MLflow's
    telemetry is turned off unless ``MLFLOW_DISABLE_TELEMETRY`` says otherwise.

    Args:
        experiment: its name, made if there is none; None: MLflow's default.
        run_name: None: one that MLflow makes up.
        uri: ``"http://..."`` of a server, a folder, or a database (which needs the whole of mlflow); None: what
            MLflow is set to, such as by ``MLFLOW_TRACKING_URI``.

    Raises:
        ArgumentError: mlflow is not installed, or refuses what it is given.

    Example:
        >>> import tempfile
        >>> import sonde as sd
        >>> from sonde import nn
        >>> from sonde.tracking import MLflow
        >>> data, net = sd.data.load("xor"), nn.Sequential(hidden=nn.Dense(4, nn.tanh), head=nn.Dense(2))
        >>> with MLflow("xor", uri=tempfile.mkdtemp()) as tracker:
        ...     run = sd.fit(net, data, sd.Classify(), sd.Adam(1e-2), epochs=3, batch=4, observer=tracker)
        >>> tracker.failed
        ''
    """

    MOST = 1000
    """Metrics in one message to MLflow, which refuses more."""

    def __init__(
        self, experiment: str | None = None, run_name: str | None = None, uri: str | Path | None = None
    ) -> None:
        super().__init__()
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        folder = uri is not None and ("://" not in str(uri) or str(uri).startswith("file:"))
        if folder:
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # else it refuses folders, with advice
        try:
            from mlflow import MlflowClient
        except ImportError:
            raise ArgumentError("MLflow needs mlflow-skinny: pip install 'sonde[mlflow]'") from None
        try:
            self._client = MlflowClient(tracking_uri=None if uri is None else str(uri))
            name = experiment or "Default"
            found = self._client.get_experiment_by_name(name)
            number = found.experiment_id if found is not None else self._client.create_experiment(name)
            self.run_id: str = self._client.create_run(number, run_name=run_name).info.run_id
        except Exception as error:  # of its own and of several libraries below it
            words = str(error).strip().partition("\n")[0]
            raise ArgumentError(
                f"MLflow cannot begin a run{'' if uri is None else f' at {uri}'}: {words} "
                "(a folder and the address of a server do with mlflow-skinny; a database needs mlflow)"
            ) from None

    def _log(self, entries: list[tuple[str, float, int]]) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        metrics = [Metric(re.sub(r"[^\w\-. /:]", "_", name), value, now, step) for name, value, step in entries]
        for at in range(0, len(metrics), self.MOST):
            self._client.log_batch(self.run_id, metrics=metrics[at : at + self.MOST])

    def _end(self, outcome: Outcome) -> None:
        said = "no end" if outcome == Outcome.RUNNING else outcome.words
        status = {Outcome.RUNNING: "FAILED", Outcome.DIVERGED: "FAILED", Outcome.INTERRUPTED: "KILLED"}
        self._client.set_tag(self.run_id, "sonde.outcome", said)
        self._client.set_terminated(self.run_id, status.get(outcome, "FINISHED"))
