"""What a loop file is refused for, and how it is told."""

from __future__ import annotations

import pytest

from core.errors import InputError
from loops.engine.parse.loop import parse_loop
from tests.factories.loop_files import parsed, problems

HEAD = "\nactions = ['a', 'b']\nreference = 'a'\nlogging = [0.5, 0.5]"


class TestAnswers:
    def test_text_that_is_no_toml(self) -> None:
        with pytest.raises(InputError, match=r"^x\.toml is not valid TOML: .*line 2"):
            parse_loop("version = 1\nname = ?", source="x.toml")

    def test_a_table_that_is_there_twice(self) -> None:
        with pytest.raises(InputError, match="is not valid TOML"):
            parsed(more="[features.mood]")

    def test_text_that_nests_without_end(self) -> None:
        with pytest.raises(InputError, match="too deeply"):
            parse_loop("name = " + "[" * 100_000, source="x.toml")

    def test_an_empty_file_is_told_all_that_it_lacks(self) -> None:
        with pytest.raises(InputError) as error:
            parse_loop("", source="x.toml")
        for key in ("name", "decisions_per_day", "features", "heads.policy", "reward.scale"):
            assert f"\n  {key} is missing: expected" in str(error.value)

    def test_every_problem_is_told_at_once(self) -> None:
        found = problems(
            ("bounds = [-1, 1]", "bounds = [1, -1]"), ("scale = 0.5", "scale = 0"), ("per_day = 3", "per_day = 0")
        )
        assert [line.split(" = ")[0] for line in found] == ["features.mood.bounds", "decisions_per_day", "reward.scale"]

    def test_a_problem_names_key_value_and_expectation(self) -> None:
        assert problems(("bounds = [-1, 1]", "bounds = [1, -1]")) == [
            "features.mood.bounds = [1, -1]: expected two finite numbers [low, high] with low < high"
        ]

    def test_a_long_value_is_shortened(self) -> None:
        (found,) = problems(('"small"', '"' + "small" * 100 + '"'))
        assert "..." in found and len(found) < 150


class TestRefusals:
    @pytest.mark.parametrize(
        ("old", "new", "said"),
        [
            ('name = "small"', 'name = ""', "name = '': expected a name"),
            ('name = "small"', 'name = "two words"', "name = 'two words': expected a name"),
            ('name = "small"', "name = 3", "name = 3: expected a name"),
            ('name = "small"', 'name = "small"\nversion = 0', "version = 0: expected an integer of at least 1"),
            ('name = "small"', 'name = "small"\nversion = 1.5', "version = 1.5: expected an integer"),
            ('name = "small"', 'name = "small"\nversion = true', "version = True: expected an integer"),
            ('name = "small"', 'name = "small"\nversion = 99999999999', "version = 99999999999: expected an integer"),
            ('name = "small"', 'name = "small"\ntitle = " "', "title = ' ': expected a text"),
            ('name = "small"', 'name = "small"\nexploration = 1.1', "exploration = 1.1: expected a number from 0 to 1"),
            ("per_day = 3", "per_day = 3\nexploration_before = -0.1", "exploration_before = -0.1: expected a number from 0 to 1"),
            ("per_day = 3", "per_day = 3\nexploration_before = 'all'", "exploration_before = 'all': expected a number from 0"),
            ("per_day = 3", "per_day = 3\nlogging_rounds = 0", "logging_rounds = 0: expected an integer of at least 1"),
            ("per_day = 3", "per_day = 3\nlogging_rounds = 1.5", "logging_rounds = 1.5: expected an integer of at least 1"),
            ('name = "small"', 'name = "small"\nevaluation_share = 1', "evaluation_share = 1: expected a number"),
            ('name = "small"', 'name = "small"\nminimum_effect = 0', "minimum_effect = 0: expected a number above 0"),
            ("per_day = 3", "per_day = 5000", "decisions_per_day = 5000: expected an integer of at least 1 and at most 1,440"),
            ("[-1, 1]", "[0, inf]", "features.mood.bounds = [0, inf]: expected two finite numbers"),
            ("[-1, 1]", "[nan, 1]", "features.mood.bounds = [nan, 1]: expected two finite numbers"),
            ("[-1, 1]", "[1, 1]", "features.mood.bounds = [1, 1]: expected two finite numbers"),
            ("[-1, 1]", "[0, 1, 2]", "features.mood.bounds = [0, 1, 2]: expected two finite numbers"),
            ("[-1, 1]", "[-1.7e308, 1.7e308]", "features.mood.bounds"),
            ("[-1, 1]", f"[0, {'9' * 400}]", "features.mood.bounds"),
            ("[-1, 1]", "[false, true]", "features.mood.bounds = [False, True]: expected two finite numbers"),
            ("[-1, 1]", '"wide"', "features.mood.bounds = 'wide': expected two finite numbers"),
            ("bounds = [-1, 1]\n", "", "features.mood: neither is given; expected either bounds"),
            ('["home", "work"]', '["home", "work"]\nbounds = [0, 1]', "features.place: both are given; expected either bounds"),
            ('["home", "work"]', '["home"]', "features.place.categories = ['home']: expected a list of two or more"),
            ('["home", "work"]', '["home", "Home"]', "features.place.categories = ['home', 'Home']: expected"),
            ('["home", "work"]', '["home", 2]', "features.place.categories = ['home', 2]: expected"),
            ('dynamics = "drift"', 'dynamics = "learned"', "features.place.dynamics = 'learned': expected drift, clock"),
            ('"learned"', '"lerned"', "features.mood.dynamics = 'lerned': expected one of learned, drift"),
            ('"learned"', '["learned"]', "features.mood.dynamics = ['learned']: expected one of"),
            ('"learned"', '"learned"\nscale = 0', "features.mood.scale = 0: expected a number above 0"),
            ('"learned"', '"learned"\nscale = -1', "features.mood.scale = -1: expected a number above 0"),
            ('"learned"', '"learned"\nscale = inf', "features.mood.scale = inf: expected a number above 0"),
            ('"learned"', '"since_intervention"\nstep = 0', "features.mood.step = 0: expected a number above 0"),
            ('"learned"', '"recent_load"\ndecay = 1', "features.mood.decay = 1: expected a number from 0 to .9999"),
            ("[features.mood]", "[features.reward]", "the name of a feature = 'reward': expected"),
            ("[features.mood]", '[features.""]', "the name of a feature = '': expected"),
            ("[heads.policy]", "[heads.other]", "heads.policy is missing: expected a table"),
            ('["wait", "speak"]', '["wait"]', "heads.policy.actions = ['wait']: expected a list of two or more"),
            ('["wait", "speak"]', '["wait", "Wait"]', "heads.policy.actions = ['wait', 'Wait']: expected"),
            ('reference = "wait"', 'reference = "stop"', "heads.policy.reference = 'stop': expected one of wait, speak"),
            ('reference = "wait"\n', "", "heads.policy.reference is missing: expected one of wait, speak"),
            ("[0.7, 0.3]", "[0.7, 0.2]", "heads.policy.logging = [0.7, 0.2]: expected 2 probabilities of at least 1e-06 that"),
            ("[0.7, 0.3]", "[1.0, 0.0]", "heads.policy.logging = [1.0, 0.0]: expected 2 probabilities of at least 1e-06"),
            ("[0.7, 0.3]", "[0.5, 0.3, 0.2]", "heads.policy.logging = [0.5, 0.3, 0.2]: expected 2 probabilities"),
            ("[0.7, 0.3]", "[0.70001, 0.3]", "heads.policy.logging = [0.70001, 0.3]: expected 2 probabilities"),
            ("[0.7, 0.3]", "[1.0, 1e-17]", "heads.policy.logging = [1.0, 1e-17]: expected 2 probabilities of at least"),
            ("[0.7, 0.3]", "[nan, 0.3]", "heads.policy.logging = [nan, 0.3]: expected 2 probabilities"),
            ("[0.7, 0.3]", '[0.7, 0.3]\nwhen = "intervening"', "heads.policy.when = 'intervening': expected always"),
            ("[0.7, 0.3]", '[0.7, 0.3]\nwhen = "never"', "heads.policy.when = 'never': expected one of always, intervening"),
        ],
    )  # fmt: skip
    def test_what_cannot_be(self, old: str, new: str, said: str) -> None:
        found = problems((old, new))
        assert len(found) == 1 and found[0].startswith(said), found

    @pytest.mark.parametrize(
        ("more", "said"),
        [
            ("[availability]\ncooldown = 2", "availability.cooldown = 2: expected a duration"),
            ('[availability]\ncooldown = "2 hours"', "availability.cooldown = '2 hours': expected a duration"),
            ('[availability]\ncooldown = "-2h"', "availability.cooldown = '-2h': expected a duration"),
            ('[availability]\ncooldown = "99999999d"', "availability.cooldown = '99999999d': expected a duration"),
            ("[availability]\ndaily_cap = -1", "availability.daily_cap = -1: expected an integer of at least 0"),
            ('[availability]\nquiet_hours = ["24:00", "07:00"]', "availability.quiet_hours = ['24:00', '07:00']: expected"),
            ('[availability]\nquiet_hours = ["7:00", "08:00"]', "availability.quiet_hours = ['7:00', '08:00']: expected"),
            ('[availability]\nquiet_hours = "22:00"', "availability.quiet_hours = '22:00': expected"),
            ("[availability]\nmemory = 7", "availability.memory = 7: expected a duration"),
            ("[availability]\ndistress = 1", "availability.distress = 1: expected a table"),
            ("[availability.distress]\nmood = {}", "availability.distress.mood.at_least is missing: expected a finite number"),
            ("[availability.distress.mood]\nat_most = 'x'\nat_least = 1", "availability.distress.mood.at_most = 'x': expected"),
            ("[availability.distress.mood]\nat_most = 'x'", "availability.distress.mood.at_most = 'x': expected"),
            ("[availability.distress.mood]\nat_most = nan\nat_least = 1", "availability.distress.mood.at_most = nan: expected"),
            ("[availability.distress.mood]\nat_most = -1\nat_least = inf", "availability.distress.mood.at_least = inf: expected"),
            ("[availability.distress.mood]\nat_most = -1\nabove = 0", "availability.distress.mood.above is not a key"),
            ("[availability.distress]\nstress = { at_least = 1 }", "availability.distress.stress is not a key"),
            ("[availability.distress]\nplace = { at_least = 1 }", "availability.distress.place is not a key"),
            ("[release.moments]\nnominal_users = 0", "release.moments.nominal_users = 0: expected an integer of at least 1"),
            ("[release.moments]\nclips = { gram = 0 }", "release.moments.clips.gram = 0: expected a number above 0"),
            ("[release.moments]\nclips = { grams = 1 }", "release.moments.clips.grams is not a key of a loop file; did you"),
            ('[release.moments]\nfeatures = "pairs"', "release.moments.features = 'pairs': expected one of linear, hinges"),
            (f"[heads.{'h' * 21}]{HEAD}", f"the name of a head = '{'h' * 21}': expected a name"),
            ("[avialability]\n", "avialability is not a key of a loop file; did you mean 'availability'?"),
            ("[xyz]\n", "xyz is not a key of a loop file; known here: approvals, availability, "),
        ],
    )  # fmt: skip
    def test_what_cannot_be_added(self, more: str, said: str) -> None:
        found = problems(more=more)
        assert len(found) == 1 and found[0].startswith(said), found

    def test_distress_of_a_feature_is_a_table_with_an_end(self) -> None:
        found = problems(more="[availability.distress]\nmood = 1")
        assert found[0].startswith("availability.distress.mood = 1: expected a table"), found

    @pytest.mark.parametrize(
        ("old", "new", "meant"),
        [
            ('"learned"', '"lerned"', "learned"),
            ('reference = "wait"', 'reference = "wiat"', "wait"),
            ("bounds = [-1, 1]", "bounds = [-1, 1]\nscael = 1", "scale"),
            ("per_day = 3", "per_day = 3\nversoin = 1", "version"),
        ],
    )
    def test_what_is_near_is_suggested(self, old: str, new: str, meant: str) -> None:
        (found,) = problems((old, new))
        assert found.endswith(f"did you mean {meant!r}?")

    @pytest.mark.parametrize("key", ["features", "heads", "reward", "release", "availability", "import"])
    def test_a_section_is_a_table(self, key: str) -> None:
        with pytest.raises(InputError, match=f"{key} = 3: expected a table"):
            parse_loop(f"{key} = 3", source="x.toml")
