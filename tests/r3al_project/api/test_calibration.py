"""The calibration endpoint: rows in pages, summaries over all of them, and nothing good about what was not lived."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import call_command

from loops.models import LoopVersion
from tests.factories.calibration import gated, lived
from tests.factories.care import care_loop
from tests.factories.users import token_of
from tests.factories.versions import judged
from tests.r3al_project.api.documented import call

pytestmark = pytest.mark.django_db
CLAIM = (0.1, 0.02, 0.18)


@pytest.fixture(autouse=True)
def loop() -> LoopVersion:
    call_command("roles")
    return care_loop()


def test_gates_beside_what_was_lived(loop: LoopVersion) -> None:
    served = lived(gated(loop, improvement=CLAIM), improvement=(0.06, 0.01, 0.11), users=1_234)
    idle = gated(loop, improvement=CLAIM)
    told = call("GET", "training/calibration?loop=care", token_of("Viewer")).told
    first, second = told["results"]
    assert (first["versionId"], first["state"], first["lived"], first["held"]) == (idle.name, "not lived", None, None)
    assert (second["versionId"], second["state"], second["overlaps"], second["held"]) == (
        served.name,
        "held",
        True,
        True,
    )
    assert second["gate"] == {"source": "outcome_gate", "value": 0.1, "low": 0.02, "high": 0.18}
    assert second["lived"] == {"source": "lived", "value": 0.06, "low": 0.01, "high": 0.11, "users": 1_200}
    assert second["shortfall"] == pytest.approx(0.5)
    assert told["summary"]["sentence"] == "1 of 1 interval held (too few to tell)"
    assert told["summary"]["heldLow"] is None and told["summary"]["tendency"] == "too few to tell"


def test_the_summary_is_about_all_pages(loop: LoopVersion) -> None:
    for truth in (0.05, 0.15, 0.08, 0.12, 0.1, 0.03, 0.17, -0.2):
        lived(gated(loop, improvement=CLAIM), improvement=(truth, truth - 0.01, truth + 0.01))
    told: dict[str, Any] = {"next": "/api/v1/training/calibration?pageSize=3"}
    viewer, seen = token_of("Viewer"), []
    while told["next"]:
        told = call("GET", told["next"].partition("/api/v1/")[2], viewer).told
        seen.append([r["versionId"] for r in told["results"]])
    assert [len(page) for page in seen] == [3, 3, 2] and len({name for page in seen for name in page}) == 8
    assert told["summary"]["sentence"] == "7 of 8 intervals held (47% to 100%)"
    assert told["summary"]["heldLow"] == pytest.approx(0.4735, abs=1e-4)
    assert [(m["source"], m["metric"], m["held"]) for m in told["byMetric"]] == [("outcome_gate", "improvement", 7)]


def test_a_verdict_is_told_without_what_came_after(loop: LoopVersion) -> None:
    """Lived figures belong to the version, and not to the gate's verdict before them."""
    version, viewer = lived(judged(gated(loop, improvement=CLAIM)), improvement=CLAIM), token_of("Viewer")
    told = call("GET", f"training/models/{version.name}/evaluation", viewer).told
    assert {m["source"] for m in told["metrics"]} == {"outcome_gate"}
    listed = call("GET", f"training/models/{version.name}", viewer).told
    assert {m["source"] for m in listed["metrics"]} == {"outcome_gate", "lived"}


@pytest.mark.parametrize("wrong", ["before=0", "pageSize=1000", "Loop=care"])
def test_wrong_parameters_are_refused(wrong: str) -> None:
    assert call("GET", f"training/calibration?{wrong}", token_of("Viewer")).status_code == 422
