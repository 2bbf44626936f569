"""Whoever opens stored outcomes bounds them, because a total may have been stored under another bound or none."""

from __future__ import annotations

from tests.system import ROOT
from tests.walls.source import modules

_AS_STORED = {
    "privacy.engine.sealing",  # says what an outcome is sealed with
    "privacy.services.people.export",  # a person sees their own rows
    "privacy.services.records.close_outcomes",  # seals what ``aggregate`` bounded
    "privacy.services.records.import_write",  # compares a row with the stored one
}


def test_every_reader_of_outcomes_bounds_them() -> None:
    readers = {
        name: text for name, path in modules(ROOT) if "about_outcome(" in (text := path.read_text(encoding="utf-8"))
    }
    assert readers.keys() >= _AS_STORED
    unbounded = [name for name, text in readers.items() if name not in _AS_STORED and "outcomes_bounded(" not in text]
    assert unbounded == []
    assert len(readers) > len(_AS_STORED), "training, trials and health checks read outcomes"
