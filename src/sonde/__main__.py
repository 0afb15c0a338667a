"""``python -m sonde`` is the ``sonde`` command."""

from sonde.cli import main

main()
