"""What tests share: strict numerics, fresh printed seeds, real data where it is, caches of their own."""

import os
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path

_shared = Path(__file__).parents[2] / "shared" / "data"
if "SONDE_DATA" not in os.environ and _shared.exists():
    os.environ["SONDE_DATA"] = str(_shared)
os.environ.setdefault("SONDE_CACHE", tempfile.mkdtemp(prefix="sonde-tests-"))
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jaxtyping  # noqa: E402

jaxtyping.install_import_hook("sonde", "shapes.checked")

import jax  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_num_cpu_devices", 2)  # what `every_core` would say, whatever machine tests run on


@pytest.fixture
def seed() -> int:
    """A seed that nobody chose; pytest prints it when the test fails."""
    seed = secrets.randbits(31)
    print(f"seed {seed}")
    return seed


@pytest.fixture
def rng(seed: int) -> np.random.Generator:
    """NumPy's generator from a fresh seed."""
    return np.random.default_rng(seed)


@pytest.fixture
def key(seed: int) -> jax.Array:
    """A key of JAX from a fresh seed."""
    return jax.random.key(seed)


@pytest.fixture(autouse=True, scope="module")
def programs_end_with_their_module() -> Iterator[None]:
    """Compiled programs take memory: ten GB, if those of all modules are kept."""
    yield
    jax.clear_caches()


def data_folder() -> Path | None:
    """Where the real data sets are, if they are anywhere."""
    given = os.environ.get("SONDE_DATA")
    return Path(given) if given and Path(given).exists() else None


@pytest.fixture
def mnist_is_there() -> None:
    """Skips, and says why, where MNIST cannot be read."""
    folder = data_folder()
    if folder is None or not (folder / "mnist").exists():
        pytest.skip("MNIST is not there: set SONDE_DATA to a folder that has mnist/")


def pytest_terminal_summary(terminalreporter) -> None:
    """Show what tests have to say though they pass: whatever they recorded as the property "summary"."""
    reports = [report for kind in terminalreporter.stats.values() for report in kind]
    said = (property for report in reports for property in getattr(report, "user_properties", ()))
    for line in dict.fromkeys(line for name, line in said if name == "summary"):
        terminalreporter.write_line(f"WARNING {line}", yellow=True)
