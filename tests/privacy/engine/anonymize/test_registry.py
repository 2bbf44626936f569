"""Every technique is whole before anybody can ask for it, and a request says what is wrong with it."""

from __future__ import annotations

import re
from dataclasses import MISSING, fields, replace
from typing import Any

import pytest

from core.errors import InputError
from privacy.engine.anonymize import central_dp, generalization, k_anonymity, local_dp, marginals, pseudonyms
from privacy.engine.anonymize import registry as registry_module
from privacy.engine.anonymize.protocol import Technique
from privacy.engine.anonymize.registry import (
    TECHNIQUES,
    check_options,
    check_techniques,
    own_parameters,
    technique_labels,
    technique_modes,
    technique_names,
    technique_of,
    techniques_using,
)
from privacy.engine.anonymize.request import AnonymizeRequest, Parameter
from tests.system import ROOT

MONDRIAN, EPOCHS = k_anonymity.technique, pseudonyms.technique
MEMBERS = [field.name for field in fields(Technique)]


class TestWhole:
    def test_no_part_has_a_default(self) -> None:
        assert all(f.default is MISSING and f.default_factory is MISSING for f in fields(Technique))

    @pytest.mark.parametrize("member", MEMBERS)
    def test_one_that_lacks_a_part_cannot_be_made(self, member: str) -> None:
        parts = {name: getattr(MONDRIAN, name) for name in MEMBERS if name != member}
        with pytest.raises(TypeError, match=f"missing 1 required positional argument: '{member}'"):
            Technique(**parts)

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"name": "other", "compute": None}, "'other' declares no compute"),
            ({"name": "other", "table": "rows"}, "'other' declares no table"),
            ({"name": ""}, "name of technique '' must have 1 to 30"),
            ({"name": "other", "mechanism": "m" * 61}, "mechanism of technique 'other' must have 1 to 60"),
            ({"name": "other", "neighbouring": "n" * 41}, "neighbouring of technique 'other' must have 1 to 40"),
            ({"name": "other", "takes": ("k",)}, "only epsilon and delta are possible"),
            ({"name": "other", "exclusive": ("l",)}, "not among its parameters"),
            ({}, "'k_anonymity' is registered twice"),
            ({"mode": "central"}, "'k_anonymity' is registered twice"),
            ({"name": "differential_privacy", "mode": None}, "'differential_privacy' is registered twice"),
            ({"name": "differential_privacy", "mode": "local"}, "'differential_privacy' is registered twice"),
            ({"name": "differential_privacy", "mode": "shuffled"}, "have different labels"),
            ({"name": "other", "parameters": (Parameter("k", int, 3, "k"),), "exclusive": ()}, "'k' differently"),
            (
                {"name": "other", "parameters": (Parameter("rows", int, 3, "r"),), "exclusive": ()},
                "uses a reserved name",
            ),
        ],
    )
    def test_one_that_does_not_fit_is_refused(self, change: dict[str, Any], said: str) -> None:
        with pytest.raises((TypeError, ValueError), match=said):
            check_techniques([*TECHNIQUES, replace(MONDRIAN, **change)])

    def test_what_is_no_technique_is_refused(self) -> None:
        with pytest.raises(TypeError, match="is not a Technique"):
            check_techniques([k_anonymity])

    def test_two_may_share_a_parameter_and_a_name_with_modes(self) -> None:
        more = [replace(MONDRIAN, name="other"), replace(local_dp.technique, mode="shuffled")]
        assert check_techniques([*TECHNIQUES, *more])[-2:] == tuple(more)


class TestNames:
    def test_people_see_them_in_the_order_of_registration(self) -> None:
        assert technique_names() == ("differential_privacy", "k_anonymity", "pseudonymization", "generalization")
        assert technique_modes() == ("central", "local", "marginals")
        assert technique_labels()[:2] == [
            ("differential_privacy", "differential privacy"),
            ("k_anonymity", "k-anonymity"),
        ]
        assert [p.name for p in own_parameters()] == ["k", "diversity", "sensitive", "epoch"]

    def test_a_mode_chooses_among_those_of_one_name_alone(self) -> None:
        assert technique_of("differential_privacy", "central") is central_dp.technique
        assert technique_of("differential_privacy", "local") is local_dp.technique
        assert technique_of("k_anonymity", "local") is technique_of("k_anonymity", None) is MONDRIAN
        assert technique_of("generalization", "central") is generalization.technique

    @pytest.mark.parametrize(
        ("name", "mode", "said"),
        [
            ("magic", None, "technique is 'magic'; it is one of differential_privacy, "),
            ("k_anonymity", "remote", "mode is 'remote'; it is one of central, local, marginals"),
            ("differential_privacy", None, "has no mode None; its modes are central, local, marginals"),
        ],
    )
    def test_an_unknown_one_is_refused(self, name: str, mode: str | None, said: str) -> None:
        with pytest.raises(InputError, match=said):
            technique_of(name, mode)

    def test_each_option_is_of_those_that_heed_it(self) -> None:
        assert (
            techniques_using("epsilon")
            == techniques_using("mode")
            == [central_dp.technique, local_dp.technique, marginals.technique]
        )
        assert techniques_using("delta") == [central_dp.technique, marginals.technique]
        assert techniques_using("epoch") == [EPOCHS]
        assert techniques_using("diversity") == [MONDRIAN]


class TestOptions:
    def test_what_is_left_out_has_its_default(self) -> None:
        request = AnonymizeRequest("pulse", "k_anonymity", options={"diversity": 3})
        assert (request.value(k_anonymity.K), request.value(k_anonymity.DIVERSITY)) == (10, 3)

    @pytest.mark.parametrize(
        ("technique", "options", "said"),
        [
            ("generalization", {"sensitive": "place"}, "sensitive and diversity belong to k_anonymity; leave them out"),
            ("pseudonymization", {"diversity": 2}, "sensitive and diversity belong to k_anonymity; leave them out"),
            ("k_anonymity", {"kk": 5}, "an option is 'kk'; it is one of k, diversity, sensitive, epoch"),
        ],
    )
    def test_what_would_not_be_heeded_is_refused(self, technique: str, options: dict[str, Any], said: str) -> None:
        with pytest.raises(InputError, match=said):
            check_options(AnonymizeRequest("pulse", technique, options=options))

    def test_defaults_of_others_are_let_pass(self) -> None:
        options = {"k": 7, "diversity": 1, "sensitive": None, "epoch": "spring"}
        check_options(AnonymizeRequest("pulse", "generalization", options=options))

    def test_api_and_command_write_a_name_in_their_own_way(self) -> None:
        parameter = Parameter("group_size", int, 5, "of groups")
        assert (parameter.api_name, parameter.flag) == ("groupSize", "--group-size")


def test_every_file_that_defines_a_technique_is_registered() -> None:
    files = (ROOT / "privacy/engine/anonymize").glob("*.py")
    defining = {p.stem for p in files if re.search(r"^technique\b", p.read_text(), re.MULTILINE)}
    assert defining == set(registry_module._FILES), "add the file's name to _FILES, or delete the file"
