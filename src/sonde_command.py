"""Where the `sonde` command begins: a Ctrl-C in the seconds in which JAX is imported is heard, too.

It stands outside the package because whatever is inside is imported after it, JAX included. (``python -m sonde``
imports the package first, and shows a Ctrl-C of these seconds as Python does.)
"""

import os
import signal


def main() -> None:
    """Import the command and run it."""
    heard = signal.getsignal(signal.SIGINT)
    if heard is signal.default_int_handler:  # not where Ctrl-C is ignored, as in the background of a script
        signal.signal(signal.SIGINT, _leave)
    from sonde.cli import main

    signal.signal(signal.SIGINT, heard)
    main()


def _leave(*_: object) -> None:
    """End at once: nothing has begun, and an exception could be lost in somebody's import."""
    os.write(2, b"sonde: interrupted\n")
    os._exit(130)
