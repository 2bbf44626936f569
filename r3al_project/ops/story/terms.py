"""Write the loop of the story: that of the simulated people, with a canary of short stages and an operator who decides."""

from __future__ import annotations

from pathlib import Path

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


def story_loop_text() -> str:
    """Return the loop file of the story. Raises ValueError if the bundled file lacks a line that the story changes."""
    text = loop_text(loop_specs_builtin()[SIMULATED_LOOP])
    for line, changed in _CHANGES:
        if text.count(line) != 1:
            raise ValueError(f"the bundled loop {SIMULATED_LOOP} has {line!r} {text.count(line)} times, not once")
        text = text.replace(line, changed)
    return text


def story_loop_add(folder: Path) -> LoopVersion:
    """Write the loop file into a folder, and add the loop."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "story.toml"
    file.write_text(story_loop_text(), encoding="utf-8")
    return loop_add_file(file)[0]
