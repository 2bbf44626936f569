"""The [import.csv] section."""

from __future__ import annotations

import pytest

from loops.engine.spec import ImportHead
from tests.factories.loop_files import TIMING, parsed, problems


def csv(lines: str, *, heads: str = "") -> str:
    return f"{heads}\n[import.csv]\n{lines}"


class TestWhatIsLeftOut:
    def test_the_key_follows_the_named_columns(self) -> None:
        imports = parsed(more=csv('user = "who"\ntime = "when"')).imports
        assert imports.key == ("who", "when")

    def test_features_not_named_carry_their_own_name(self) -> None:
        assert parsed(more=csv('features = { mood = "m" }')).imports.features == {"mood": "m", "place": "place"}

    def test_a_head_not_named_is_not_read_except_policy(self) -> None:
        assert parsed(more=csv("", heads=TIMING)).imports.heads == {"policy": ImportHead("action")}

    def test_a_propensity_is_read_only_where_it_is_declared(self) -> None:
        heads = 'heads = { policy = { propensity = "p" }, timing = { action = "t" } }'
        assert parsed(more=csv(heads, heads=TIMING)).imports.heads == {
            "policy": ImportHead("action", "p"),
            "timing": ImportHead("t"),
        }

    def test_named_components_stand_in_place_of_a_total(self) -> None:
        assert parsed(more=csv('reward = { sentiment = "s" }')).imports.reward == {"sentiment": "s"}


THREE = (('actions = ["wait", "speak"]', 'actions = ["wait", "speak", "hug"]'), ("[0.7, 0.3]", "[0.4, 0.3, 0.3]"))


class TestPropensities:
    def test_may_be_those_of_one_action(self) -> None:
        heads = 'heads = { policy = { propensity = "p", propensity_of = "speak" } }'
        assert parsed(more=csv(heads)).imports.heads["policy"].propensity_of == "speak"
        said = 'heads = { policy = { propensity = "p", propensity_of = "taken" } }'
        assert parsed(more=csv(said)).imports.heads["policy"] == ImportHead("action", "p")

    def test_may_have_one_column_an_action(self) -> None:
        heads = 'heads = { policy = { propensities = { wait = "pw", speak = "ps", hug = "ph" } } }'
        head = parsed(*THREE, more=csv(heads)).imports.heads["policy"]
        assert head.propensities == {"wait": "pw", "speak": "ps", "hug": "ph"}
        assert head.propensity_columns == ("pw", "ps", "ph")

    def test_may_be_transformed(self) -> None:
        lines = 'heads = { policy = { propensity = "p" } }\ntransforms = { p = "x / 100", mood = "x / 10" }'
        imports = parsed(more=csv(lines)).imports
        assert imports.heads["policy"].transforms == {"p": "x / 100"} and imports.transforms["mood"] == "x / 10"

    @pytest.mark.parametrize(
        ("head", "said"),
        [
            ('propensity = "p", propensity_of = "speek"', "propensity_of = 'speek': expected one of taken, wait, speak, hug"),
            ('propensity_of = "speak"', "propensity_of = 'speak': expected propensity = \"column\" beside it"),
            ('propensity = "p", propensity_of = "speak"', "propensity_of = 'speak': expected taken, because this head has 3"),
            ('propensities = { wait = "a", speak = "b" }', "one column for each action: wait, speak, hug"),
            ('propensities = { wait = "a", speak = "b", hug = "b" }', "a different column for each action"),
            ('propensity = "p", propensities = { wait = "a", speak = "b", hug = "c" }', "not both"),
        ],
    )  # fmt: skip
    def test_that_contradict_are_refused(self, head: str, said: str) -> None:
        found = problems(*THREE, more=csv(f"heads = {{ policy = {{ {head} }} }}"))
        assert any(said in line for line in found), found

    def test_of_a_column_that_a_feature_is_named_after_take_no_transform(self) -> None:
        lines = (
            'features = { mood = "m" }\nheads = { policy = { propensity = "mood" } }\ntransforms = { mood = "x / 2" }'
        )
        assert "a column whose name is not a feature's" in problems(more=csv(lines))[0]


class TestTransforms:
    def test_by_feature_by_column_or_reward(self) -> None:
        lines = (
            'features = { mood = "m" }\nreward = { total = "steps" }\ntransforms = { m = "x / 2", steps = "log1p(x)" }'
        )
        assert parsed(more=csv(lines)).imports.transforms == {"mood": "x / 2", "reward": "log1p(x)"}
        assert parsed(more=csv('transforms = { mood = "x", reward = "-x" }')).imports.transforms == {
            "mood": "x",
            "reward": "-x",
        }

    def test_a_column_that_the_loop_does_not_read_may_be_there(self) -> None:
        assert parsed(more=csv('transforms = { weather = "x / 10" }')).imports.transforms == {"weather": "x / 10"}


class TestRefusals:
    @pytest.mark.parametrize(
        ("lines", "said"),
        [
            ("user = 3", "user = 3: expected a column"),
            ('user = ""', "user = '': expected a column"),
            ('key = "id"', "key = 'id': expected a list of different columns"),
            ('key = ["id", "id"]', "key = ['id', 'id']: expected a list of different columns"),
            ('missing = "mean"', """missing = 'mean': expected "drop", or a table like"""),
            ("missing = 0.0", """missing = 0.0: expected "drop", or a table like"""),
            ("missing = { moood = 0 }", "missing.moood = 0: expected on the left a feature: mood, place; did"),
            ('missing = { mood = "low" }', "missing.mood = 'low': expected a finite number"),
            ("missing = { mood = nan }", "missing.mood = nan: expected a finite number"),
            ('missing = { place = "hom" }', "missing.place = 'hom': expected one of home, work; did you mean 'home'?"),
            ("missing = { place = 0 }", "missing.place = 0: expected one of home, work"),
            ('next_state = "next_row_sameday"', "next_state = 'next_row_sameday': expected one of next_row, "),
            ('features = { moood = "m" }', "features.moood = 'm': expected on the left one of mood, place; did"),
            ("features = { mood = 3 }", "features.mood = 3: expected a text"),
            ('heads = { polcy = { action = "a" } }', "heads.polcy = {'action': 'a'}: expected a head of this loop: policy;"),
            ('heads = { policy = { acton = "a" } }', "heads.policy.acton is not a key of a loop file; did you mean 'action'?"),
            ('heads = { policy = "a" }', "heads.policy = 'a': expected a table"),
            ('reward = { totl = "r" }', "reward.totl = 'r': expected on the left one of total, "),
            ('reward = { sentiment_before = "b" }', "reward.sentiment_after is missing: expected a column, because sentiment"),
            ('reward = { privacy = "p" }', "reward.consent is missing: expected a column, because privacy is given"),
            ('transforms = { mood = "x ** 2" }', "transforms.mood = 'x ** 2': expected an expression of x, numbers"),
            ('transforms = { moood = "x" }', "transforms.moood = 'x': expected a feature or reward on the left; did"),
            ('transforms = { place = "x" }', "transforms.place = 'x': expected a feature that is a number"),
            ("transforms = { mood = 2 }", "transforms.mood = 2: expected a text"),
            ('actions = { policy = { 1 = "speek" } }', "actions.policy.1 = 'speek': expected one of wait, speak; did you"),
            ('actions = { polcy = { 1 = "speak" } }', "actions.polcy = {'1': 'speak'}: expected a head of this loop: policy;"),
            ('categories = { place = { office = "wrk" } }', "categories.place.office = 'wrk': expected one of home, work;"),
            ('categories = { mood = { low = "home" } }', "categories.mood = {'low': 'home'}: expected a category feature of"),
            ('lable = "l"', "lable is not a key of a loop file; did you mean 'label'?"),
        ],
    )  # fmt: skip
    def test_what_cannot_be(self, lines: str, said: str) -> None:
        found = problems(more=csv(lines))
        assert len(found) == 1 and found[0].startswith(f"import.csv.{said}"), found

    def test_the_action_of_another_head_must_be_named(self) -> None:
        found = problems(more=csv('heads = { timing = { propensity = "p" } }', heads=TIMING))
        assert found == ["import.csv.heads.timing.action is missing: expected a column"]

    def test_another_format_than_csv(self) -> None:
        (found,) = problems(more='[import.parquet]\nuser = "u"')
        assert found.startswith("import.parquet is not a key of a loop file")


class TestHowAFileIsWritten:
    def test_decimals_are_points_unless_declared(self) -> None:
        assert parsed(more=csv("")).imports.decimal == "."
        assert parsed(more=csv('decimal = ","')).imports.decimal == ","
        assert any(
            "import.csv.decimal" in p and "expected one of ., ," in p for p in problems(more=csv('decimal = ";"'))
        )

    def test_the_persons_zone_is_a_column_and_part_of_the_key(self) -> None:
        """An hour occurs twice when clocks go back."""
        imports = parsed(more=csv('time_zone = "tz"')).imports
        assert (imports.time_zone, imports.utc_offset) == ("tz", None) and imports.key == (
            "user_id",
            "decided_at",
            "tz",
        )
        assert imports.time_columns == ("decided_at", "tz")

    def test_an_offset_in_minutes_may_have_a_transform(self) -> None:
        imports = parsed(more=csv('utc_offset = "hours"\ntransforms = { hours = "x * 60" }')).imports
        assert imports.utc_offset == "hours" and imports.transforms == {"hours": "x * 60"}

    def test_a_zone_and_an_offset_exclude_each_other(self) -> None:
        found = problems(more=csv('utc_offset = "o"\ntime_zone = "tz"'))
        assert any("either time_zone or utc_offset, not both" in p for p in found)
