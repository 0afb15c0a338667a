"""What the command tells people, and the status it ends with.

    0    ended (targets met or not)
    1    our fault
    2    the user's mistake
    3    diverged
    130  interrupted
"""

from __future__ import annotations

import contextlib
import os
import sys

from sonde._errors import SourceError

ENDED, OUR_FAULT, MISTAKE, DIVERGED, INTERRUPTED = 0, 1, 2, 3, 130


def say(text: str, end: str = "\n") -> None:
    """Print a result. A reader who went away (``| head -1``) is no error; a full disk is."""
    try:
        print(text, end=end, flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing more can be said there
        if not isinstance(error, BrokenPipeError):
            raise SourceError(f"cannot write the output: {error.strerror}") from None


def note(message: str, title: str = "sonde: ") -> None:
    """Tell the person, if anybody listens."""
    with contextlib.suppress(OSError):
        print(f"{title}{message}", file=sys.stderr, flush=True)
