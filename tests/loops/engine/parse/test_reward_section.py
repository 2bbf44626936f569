"""The [reward] section."""

from __future__ import annotations

import pytest

from tests.factories.loop_files import TIMING, parsed, problems


def test_what_it_says_is_kept() -> None:
    more = """
    weights = { sentiment = 1, uptake = 0.2 }
    appropriateness = { speak = "-mood", wait = "mood" }
    best_delay = { later = "30m", now = "0m" }
    delay_tolerance = "45s"
    deadline = "7d"
    default = -1.5
    aggregate = "mean"
    harmful_labels = ["bad", "Not now"]
    stability_margin = 0.2
    """
    reward = parsed(more=more + TIMING).reward
    assert (
        reward.weights["sentiment"] == 1.0 and reward.weights["uptake"] == 0.2 and reward.weights["engagement"] == 0.4
    )
    assert reward.appropriateness == {"speak": "-mood", "wait": "mood"}
    assert reward.best_delay_seconds == {"later": 1_800, "now": 0}
    assert (reward.delay_tolerance_seconds, reward.deadline_seconds) == (45, 604_800)
    assert (reward.default, reward.aggregate, reward.stability_margin) == (-1.5, "mean", 0.2)
    assert reward.harmful_labels == ("bad", "Not now")


def test_no_label_may_be_harmful() -> None:
    assert parsed(more="harmful_labels = []").reward.harmful_labels == ()


def test_without_a_timing_head_the_best_delay_is_policys() -> None:
    assert parsed(more='best_delay = { speak = "1h" }').reward.best_delay_seconds == {"speak": 3_600}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("weights = { sentimnt = 1 }", "weights.sentimnt is not a key of a loop file; did you mean 'sentiment'?"),
        ('weights = { sentiment = "high" }', "weights.sentiment = 'high': expected a number"),
        ("weights = { sentiment = inf }", "weights.sentiment = inf: expected a number"),
        ("weights = 1", "weights = 1: expected a table"),
        ('appropriateness = { sing = "mood" }', "appropriateness.sing = 'mood': expected on the left an action of policy"),
        ('appropriateness = { speek = "mood" }', "appropriateness.speek = 'mood': expected on the left an action of"),
        ('appropriateness = { speak = "moo" }', "appropriateness.speak = 'moo': expected a feature that is a number"),
        ('appropriateness = { speak = "--mood" }', "appropriateness.speak = '--mood': expected a feature that is a number"),
        ('appropriateness = { speak = "place" }', "appropriateness.speak = 'place': expected a feature that is a number"),
        ("appropriateness = { speak = 1 }", "appropriateness.speak = 1: expected a text"),
        ('best_delay = { sing = "1h" }', "best_delay.sing = '1h': expected on the left an action of policy: wait, speak"),
        ('best_delay = { speak = "1 hour" }', "best_delay.speak = '1 hour': expected a duration"),
        ("best_delay = { speak = 60 }", "best_delay.speak = 60: expected a duration"),
        ('delay_tolerance = "1.5h"', "delay_tolerance = '1.5h': expected a duration"),
        ('deadline = "24"', "deadline = '24': expected a duration"),
        ('deadline = "3651d"', "deadline = '3651d': expected a duration"),
        ("default = nan", "default = nan: expected a number"),
        ('aggregate = "earlyest"', "aggregate = 'earlyest': expected one of earliest, latest, sum, mean; did you"),
        ('harmful_labels = ["bad", "bad"]', "harmful_labels = ['bad', 'bad']: expected a list of different labels"),
        ('harmful_labels = "bad"', "harmful_labels = 'bad': expected a list of different labels"),
        ("stability_margin = 0", "stability_margin = 0: expected a number above 0"),
        ("wieghts = {}", "wieghts is not a key of a loop file; did you mean 'weights'?"),
    ],
)  # fmt: skip
def test_what_cannot_be(more: str, said: str) -> None:
    found = problems(more=more)
    assert len(found) == 1 and found[0].startswith(f"reward.{said}"), found


def test_a_best_delay_speaks_of_the_timing_head_where_there_is_one() -> None:
    (found,) = problems(more='best_delay = { speak = "1h" }' + TIMING)
    assert "expected on the left an action of timing: now, later" in found
