"""The versions of distributions in an interpreter: ``versions.py NAME...`` prints them."""

import importlib.metadata
import json
import platform
import sys


def versions(*names: str) -> dict[str, str]:
    """Of Python and of those that are there."""
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


if __name__ == "__main__":
    print(json.dumps(versions(*sys.argv[1:])))
