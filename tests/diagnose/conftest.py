import pytest

from sonde.diagnose.pictures import figure


@pytest.fixture
def figures(monkeypatch):
    """The figures that are saved meanwhile, to ask them what they show."""
    kept, png = [], figure.png
    monkeypatch.setattr(figure, "png", lambda drawn: (kept.append(drawn), png(drawn))[1])
    return kept
