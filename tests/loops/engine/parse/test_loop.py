from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError
from loops.engine.parse.loop import parse_loop
from loops.engine.spec import Availability, Feature, ImportHead, MomentsOptions
from tests.factories.builtin_loops import FOLDER
from tests.factories.example_loop import EXAMPLE
from tests.factories.loop_files import parsed
from tests.system import ROOT


class TestDefaults:
    def test_of_the_loop(self) -> None:
        spec = parsed()
        assert (spec.version, spec.title, spec.population) == (1, "small", "people")
        assert (spec.evaluation_share, spec.minimum_effect, spec.exploration) == (0.0, None, 0.1)
        assert (spec.exploration_before, spec.logging_rounds) == (1.0, 2)
        assert (spec.moments, spec.availability) == (MomentsOptions(), Availability())
        assert (spec.availability.distress, spec.availability.memory_seconds) == ({}, 7 * 86_400)

    def test_of_moving_features(self) -> None:
        more = """
        [features.heat]
        bounds = [-10, 40]
        dynamics = "drift"
        [features.gap]
        bounds = [0, 6]
        dynamics = "since_intervention"
        [features.load]
        bounds = [0, 6]
        dynamics = "recent_load"
        [features.age]
        bounds = [18, 99]
        dynamics = "constant"
        """
        assert parsed(more=more).features == (
            Feature("mood", "learned", bounds=(-1.0, 1.0), scale=0.2),
            Feature("place", "drift", categories=("home", "work")),
            Feature("heat", "drift", bounds=(-10.0, 40.0), scale=5.0),
            Feature("gap", "since_intervention", bounds=(0.0, 6.0), step=0.5),
            Feature("load", "recent_load", bounds=(0.0, 6.0), decay=0.8),
            Feature("age", "constant", bounds=(18.0, 99.0)),
        )

    def test_of_the_reward(self) -> None:
        reward = parsed().reward
        assert reward.weights == {
            "sentiment": 0.4, "engagement": 0.4, "compliance": 0.2, "empathy": 0.1, "timing": 0.1, "uptake": 0.0,
        }  # fmt: skip
        assert (reward.delay_tolerance_seconds, reward.deadline_seconds) == (3_600, 86_400)
        assert (reward.default, reward.aggregate, reward.harmful_labels) == (None, "earliest", ())

    def test_of_the_import(self) -> None:
        imports = parsed().imports
        assert (imports.user, imports.time, imports.key) == ("user_id", "decided_at", ("user_id", "decided_at"))
        assert imports.features == {"mood": "mood", "place": "place"}
        assert imports.heads == {"policy": ImportHead("action", None)}
        assert (imports.reward, imports.missing) == ({"total": "reward"}, "drop")
        assert {imports.available, imports.explored, imports.label, imports.left} == {None}


class TestTheExample:
    def test_is_accepted_as_it_is(self) -> None:
        spec = parse_loop(EXAMPLE, source="loop-example.toml")
        assert len(spec.features) == 8 and [h.name for h in spec.heads] == ["policy", "timing", "tone", "empathy"]
        assert spec.reward.best_delay_seconds == {
            "now": 0,
            "in_30_minutes": 1_800,
            "in_2_hours": 7_200,
            "this_evening": 21_600,
        }
        assert spec.availability == Availability(4, 7_200, ("22:30", "07:00"))
        assert spec.moments.nominal_users == 1_000
        assert spec.imports.actions == {"policy": {"False": "wait", "True": "check_in"}}
        assert spec.imports.heads == {"policy": ImportHead("action", "prob")}

    def test_every_key_beyond_it(self) -> None:
        more = """
        default = 0.5
        stability_margin = 0.1
        [release.moments]
        nominal_users = 7
        nominal_decisions = 8
        clips = { gram = 1.5, effects = 2 }
        features = "hinges"
        [import.csv]
        explored = "flag"
        left = "gone"
        categories = { place = { office = "work" } }
        missing = { mood = 0, place = "home" }
        """
        spec = parsed(
            ("per_day = 3", 'per_day = 3\npopulation = "clients"\nevaluation_share = 0.5'),
            ('"small"', '"small"\nminimum_effect = 0.1\nexploration = 0.2'),
            more=more,
        )
        assert (spec.population, spec.evaluation_share, spec.minimum_effect, spec.exploration) == (
            "clients",
            0.5,
            0.1,
            0.2,
        )
        assert (spec.reward.default, spec.reward.stability_margin) == (0.5, 0.1)
        assert spec.moments == MomentsOptions(7, 8, {"gram": 1.5, "effects": 2.0}, "hinges")
        assert (spec.imports.explored, spec.imports.left) == ("flag", "gone")
        assert spec.imports.categories == {"place": {"office": "work"}}
        assert spec.imports.missing == {"mood": 0, "place": "home"}


class TestLogging:
    def test_is_kept_as_written(self) -> None:
        assert parsed().head("policy").logging == (0.7, 0.3)

    def test_rounded_thirds_become_a_distribution(self) -> None:
        spec = parsed(
            ('"wait", "speak"]', '"wait", "speak", "sing"]'), ("[0.7, 0.3]", "[0.333333, 0.333333, 0.333333]")
        )
        assert math.fsum(spec.head("policy").logging) == pytest.approx(1.0, abs=1e-15)

    @given(st.lists(st.floats(0.01, 1.0), min_size=2, max_size=8))
    def test_always_sums_to_one(self, weights: list[float]) -> None:
        shares = [w / sum(weights) for w in weights]
        actions = ", ".join(f'"a{i}"' for i in range(len(shares)))
        spec = parsed(
            ('["wait", "speak"]', f"[{actions}]"),
            ('reference = "wait"', 'reference = "a0"'),
            ("[0.7, 0.3]", repr(shares)),
        )
        assert math.fsum(spec.head("policy").logging) == pytest.approx(1.0, abs=1e-12)


_VALUES: st.SearchStrategy[Any] = st.one_of(
    st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.lists(st.integers(), max_size=3)
)


class TestServing:
    """What serving reads of a loop beside its features and heads."""

    @pytest.mark.parametrize(
        ("ends", "expected"),
        [
            ("at_most = -0.9", (-0.9, math.inf)),
            ("at_least = 0.9", (-math.inf, 0.9)),
            ("at_most = -0.9, at_least = 0.9", (-0.9, 0.9)),
            ("at_most = -1", (-1.0, math.inf)),
        ],
    )
    def test_distress_lies_at_either_end_of_a_number(self, ends: str, expected: tuple[float, float]) -> None:
        spec = parsed(more=f"[availability.distress]\nmood = {{ {ends} }}")
        assert spec.availability.distress == {"mood": expected}

    @pytest.mark.parametrize(("text", "seconds"), [("45s", 45), ("12h", 43_200), ("30d", 30 * 86_400)])
    def test_memory_is_a_duration(self, text: str, seconds: int) -> None:
        assert parsed(more=f'[availability]\nmemory = "{text}"').availability.memory_seconds == seconds

    @pytest.mark.parametrize("share", [0, 0.25, 1])
    def test_exploration_before_is_a_share(self, share: float) -> None:
        assert parsed(("per_day = 3", f"per_day = 3\nexploration_before = {share}")).exploration_before == share

    @pytest.mark.parametrize("rounds", [1, 40])
    def test_logging_rounds_is_a_number_of_turns(self, rounds: int) -> None:
        assert parsed(("per_day = 3", f"per_day = 3\nlogging_rounds = {rounds}")).logging_rounds == rounds


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(c):08x}" for c in value if not 0xD800 <= ord(c) < 0xE000) + '"'
    return repr(value)


_KEYS = (
    "name", "version", "title", "population", "decisions_per_day", "evaluation_share", "minimum_effect", "exploration",
    "exploration_before", "logging_rounds", "trial",
    "features", "features.mood", "features.mood.bounds", "features.mood.categories", "features.mood.dynamics",
    "features.mood.scale", "features.mood.step", "features.mood.decay", "heads", "heads.policy", "heads.policy.actions",
    "heads.policy.reference", "heads.policy.logging", "heads.policy.when", "reward", "reward.scale", "reward.weights",
    "reward.appropriateness", "reward.best_delay", "reward.delay_tolerance", "reward.default", "reward.aggregate",
    "reward.harmful_labels", "reward.stability_margin", "reward.limit", "reward.silence",
    "release.moments", "release.moments.clips", "availability",
    "availability.daily_cap", "availability.cooldown", "availability.quiet_hours", "availability.memory",
    "availability.distress", "availability.distress.mood", "import", "import.csv",
    "import.csv.user", "import.csv.key", "import.csv.missing", "import.csv.next_state", "import.csv.features",
    "import.csv.heads", "import.csv.reward", "import.csv.transforms", "import.csv.actions", "import.csv.categories",
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(_KEYS), _VALUES, max_size=4))
def test_whatever_a_file_says_it_is_a_loop_or_refused(values: dict[str, Any]) -> None:
    text = "".join(f"{key} = {_toml(value)}\n" for key, value in values.items())
    try:
        spec = parse_loop(text, source="x.toml")
    except InputError as error:
        assert str(error).startswith("x.toml ")
    else:
        raise AssertionError(f"{spec} lacks what a loop needs")


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.toml")), ids=lambda p: p.stem)
def test_the_files_that_come_with_the_project_are_loops_of_their_names(path: Path) -> None:
    assert parse_loop(path.read_text(encoding="utf-8"), source=path.name).name == path.stem


@pytest.mark.parametrize("key", [k for k in _KEYS if k not in ("features.mood", "heads.policy")])
def test_every_key_is_explained(key: str) -> None:
    pages = ROOT / "docs" / "loops.md"
    assert key.rpartition(".")[2] in pages.read_text(encoding="utf-8")
