"""Feeding a phase from a stream: the chunk that a step draws from, and the next one, read meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from sonde._errors import ArgumentError

if TYPE_CHECKING:
    from concurrent.futures import Future


def is_stream(columns: Any) -> bool:
    """Whether what a phase draws from is handed over chunk by chunk (see `sonde.data.stream.Stream`)."""
    return hasattr(columns, "spans")


class Feed:
    """Chunks of a stream in the order in which a phase needs them: at most one on the device and one to come.

    Args:
        stream: what has ``sampler(batch)``, ``like``, ``spans`` and ``read``, as `sonde.data.stream.Stream` has.
        phase: the phase that draws from it.
        key: the phase's key.
    """

    def __init__(self, stream: Any, phase: Any, key: Any) -> None:
        from concurrent.futures import ThreadPoolExecutor  # takes a while

        if any(turn.repeats > 1 for turn in phase.turns):
            raise ArgumentError(
                "a turn with repeats draws several minibatches a step, which a stream does not hand over; "
                "use repeats=1, or data that fits on the device"
            )
        self.stream, self.key, self.sampler = stream, key, stream.sampler(phase.batch)
        self.phase = phase.replace(batch=self.sampler)
        self._here: tuple[int, int] | None = None
        self._columns: Any = None
        self._next: tuple[tuple[int, int], Future] | None = None
        self._reader = ThreadPoolExecutor(1, "sonde-stream")

    @property
    def like(self) -> dict[str, Any]:
        """The shapes and types of a chunk."""
        return self.stream.like(self.sampler)

    def at(self, step: int, total: int) -> tuple[dict[str, Any], int]:
        """The chunk that ``step`` draws from, on the device, and the step at which it is used up.

        Where that is not the last of ``total`` steps, the next chunk is being read when this returns.
        """
        epoch, k, end = self.sampler.place(step)
        if self._here != (epoch, k):
            self._columns = None  # let go of one before another comes
            self._columns = jax.tree.map(jnp.asarray, self._read((epoch, k), step))
            self._here, self._next = (epoch, k), None
            if end < total:
                self._next = self.sampler.place(end)[:2], self._begin(end)
        return self._columns, end

    def _begin(self, step: int) -> Future:
        spans = self.stream.spans(self.sampler, self.key, step)
        return self._reader.submit(self.stream.read, self.sampler, spans)

    def _read(self, where: tuple[int, int], step: int) -> Any:
        known = self._next is not None and self._next[0] == where
        return (self._next[1] if known and self._next is not None else self._begin(step)).result()

    def close(self) -> None:
        """Let go of everything."""
        self._reader.shutdown(cancel_futures=True)
        self._columns = self._next = self._here = None
