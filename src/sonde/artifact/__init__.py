"""Artifacts: trained networks as files."""

from sonde.artifact.artifact import Artifact, load, names_note

__all__ = ["Artifact", "load", "names_note"]
