"""What is said of a stage and of exploring: numbers with the sign and the name that belong to them."""

from __future__ import annotations

from io import StringIO

from core.html_format import NOT_ENOUGH_PEOPLE
from loops.engine.parse.loop import parse_loop
from r3al_project.turns.report import print_report
from r3al_project.turns.sentences import logging_sentence
from r3al_project.turns.stages import stage_sentence
from tests.factories.loop_files import SMALL

SPEC = parse_loop(SMALL, source="small.toml")
SCALE = SPEC.reward.scale


def exploring(mean: float, low: float, high: float) -> str:
    return logging_sentence(SPEC, [value / SCALE for value in (mean, low, high)])


def test_a_cost_that_is_a_gain_is_told_as_one_with_its_interval() -> None:
    assert "gains people 0.085 reward per decision (90% interval 0.067 to 0.1," in exploring(-0.085, -0.1, -0.067)


def test_a_cost_is_a_cost() -> None:
    assert "costs people about 0.085 or more reward per decision (90% interval 0.067 to 0.1," in exploring(
        0.085, 0.067, 0.1
    )


def test_what_may_be_either_says_how_much_of_each() -> None:
    for mean in (0.01, -0.01):
        said = exploring(mean, -0.05, 0.07)
        assert "may cost people up to 0.07 or gain them up to 0.05 reward per decision (90% interval," in said


def test_what_was_never_tried_has_no_known_cost() -> None:
    assert logging_sentence(SPEC, None, ["ping", "hug"]) == (
        "What exploring costs is not known. Actions that were hardly ever logged: ping, hug."
    )
    assert logging_sentence(SPEC, None) == ""


def test_a_gate_that_holds_back_shows_every_number_that_it_asked() -> None:
    held = {"model_gate": False, "model_gate_z": 9.37, "model_gate_z_incumbent": -1.54, "intervention_rate": 0.4}
    said = stage_sentence("train", held)
    assert "It failed the model gate (z 9.37 against the reference, -1.54 against the incumbent)" in said
    assert "The candidate intervenes at 40% of decision points. It failed" in said
    assert "moves only part of the way from the incumbent" in stage_sentence("train", held | {"step": 0.5})
    assert "(z 9.37)" in stage_sentence("train", {k: v for k, v in held.items() if k != "model_gate_z_incumbent"})


def test_the_people_it_would_take_are_named_once() -> None:
    reason = "Empathy is 0.8 ...; it would take about 2,972 people to tell."
    said = stage_sentence("evaluate", {"verdict": "insufficient", "reason": reason, "needed_users": 2972.0})
    assert said == f"Insufficient evidence: {reason}"


def test_the_report_has_no_estimate_of_what_may_be_anything() -> None:
    metric = {"name": "empathy", "value": 1.0, "low": 0.0, "high": 1.0, "bar": 0.75, "verdict": "insufficient"}
    out = StringIO()
    print_report(
        {
            "loop": "small v1", "seconds": 1.0, "stages": [], "charged": [], "policy": {},
            "deployed": {"policy": 18, "tone": None},
            "gate": {"verdict": "insufficient", "reason": "Few.", "metrics": [metric]},
        },
        out,
    )  # fmt: skip
    assert NOT_ENOUGH_PEOPLE in out.getvalue() and "1.0000" not in out.getvalue()
    assert "policy: model_18, tone: the reference" in " ".join(out.getvalue().split())


def test_a_release_says_what_one_person_can_have_paid_for_all_releases_of_the_loop() -> None:
    released = {"users": 120, "guarantee": "(0.5, 1e-5)-differential privacy"}

    def said(releases: int, epsilon: float | None) -> str:
        account = {"releases": releases, "epsilon": epsilon, "delta": 1e-5}
        return stage_sentence("release", released | {"loop": account}).partition("privacy. ")[2]

    assert said(3, 0.4255) == (
        "For all 3 releases of this loop so far, one person can have paid at most epsilon 0.426 at delta 1e-5."
    )
    assert said(2, None).endswith("more than any finite epsilon, because not all have a formal guarantee.")
    assert said(1, 0.5) == ""
    judged = {"verdict": "pass", "reason": "it is good", "loop": {"releases": 2, "epsilon": 0.4, "delta": 1e-5}}
    assert stage_sentence("evaluate", judged) == (
        "Pass: it is good. For all 2 releases of this loop so far, one person can have paid at most epsilon 0.4 at delta 1e-5."
    )
    assert "epsilon" not in stage_sentence("release", released | {"rounds": 2, "composed_epsilon": 0.3}), (
        "an older turn"
    )
