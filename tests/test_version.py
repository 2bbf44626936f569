"""The version number stands in pyproject.toml, heads the changelog, and stands nowhere else."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CHANGELOG = "CHANGELOG.md"
VERSION: str = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


def tracked_files() -> list[str]:
    """Names of the files in the repository; where there is none, of every file that is not hidden or made at run time."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    return listed.splitlines() or [str(path) for path in _visible_files()]


def _visible_files() -> Iterator[Path]:
    for path in sorted(ROOT.rglob("*.*")):
        inside = path.relative_to(ROOT)
        if inside.parts[0] != "var" and not any(part.startswith(".") for part in inside.parts):
            yield inside


def names_the_version(text: str) -> bool:
    return re.search(rf"(?<![\d.]){re.escape(VERSION)}(?![\w.]*\w)", text) is not None


def files_that_name_the_version() -> list[str]:
    """Text files that may speak of this product's version: pinned packages and the changelog have versions of their own."""
    found = []
    for name in tracked_files():
        if name == CHANGELOG or Path(name).match("requirements*.txt") or not (ROOT / name).is_file():
            continue
        try:
            text = (ROOT / name).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture
        if names_the_version(text):
            found.append(name)
    return found


def test_the_changelog_begins_with_the_version() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / CHANGELOG).read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert headings[0] == VERSION
    assert len(headings) == len(set(headings))


def test_the_version_stands_nowhere_else() -> None:
    assert files_that_name_the_version() == ["pyproject.toml"]


def test_a_version_in_a_sentence_is_found_and_a_longer_one_is_not() -> None:
    assert names_the_version(f"since {VERSION}.") and names_the_version(f"v{VERSION}")
    assert not names_the_version(f"1{VERSION}") and not names_the_version(f"{VERSION}.1")
