"""The ``sonde`` command."""

from sonde.cli.command import app, main

__all__ = ["app", "main"]
