"""Write the loop of the story: that of the simulated people, with a canary of short stages and an operator who decides."""

from __future__ import annotations

from pathlib import Path

from core.atomic_files import atomic_file
from loops.models import LoopVersion
from loops.selectors import loop_specs_builtin
from r3al_project.turns.add_loop import loop_add_file, loop_text
from simulator import SIMULATED_LOOP

_CHANGES = (
    ('retrain_every = "30d"', 'deploy = "by hand"         # an operator rolls out what turns train\nretrain_every = "30d"'),
    ("harmful_labels = ", 'silence = "harmless"       # these people dismiss what they do not like\nharmful_labels = '),
    (
        "[import.csv] ",
        '[rollout]\nstrategy = "canary"\nstages = [0.1, 0.5]\ndwell_weeks = 1            # short, because the story is short\n'
        "extensions = 1\nweeks = 3                  # of an A/B test\n\n[import.csv] ",
    ),
)  # fmt: skip


def story_loop_text(version: int = 1) -> str:
    """Return a version of the loop file of the story. Raises ValueError if the bundled file lacks a changed line."""
    text = loop_text(loop_specs_builtin()[SIMULATED_LOOP])
    for line, changed in (*_CHANGES, ("\nversion = 1\n", f"\nversion = {version}\n")):
        if text.count(line) != 1:
            raise ValueError(f"the bundled loop {SIMULATED_LOOP} has {line!r} {text.count(line)} times, not once")
        text = text.replace(line, changed)
    return text


def story_loop_add(folder: Path, version: int = 1) -> LoopVersion:
    """Write a version of the loop file into a folder, and add it. Each version begins its evidence anew."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "story.toml"
    with atomic_file(file, replace=True) as out:
        out.write(story_loop_text(version))
    return loop_add_file(file)[0]
