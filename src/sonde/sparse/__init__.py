"""Sparse models: weights set to zero, and networks that profit from it in size and time."""

from sonde.sparse.csr import CSR, csr
from sonde.sparse.prune import Sparsity, prune, sparsity_of
from sonde.sparse.units import compact, prune_units

__all__ = ["CSR", "Sparsity", "compact", "csr", "prune", "prune_units", "sparsity_of"]
