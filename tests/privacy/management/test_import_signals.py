from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from loops.models import LoopVersion
from loops.selectors import loop_specs_builtin
from loops.services import loop_add
from privacy.models import Choice, Decision, Person, PrivacyBudget, SignalImport, VaultEvent
from privacy.selectors.decisions import decision_arrays
from privacy.services.vault.commitments import text_digest
from tests.system import ROOT

pytestmark = pytest.mark.django_db
HEARTSTEPS = ROOT.parent / "shared" / "data" / "heartsteps_v1_suggestions.csv"


@pytest.fixture
def loop() -> LoopVersion:
    """The loop that comes with the project for the HeartSteps trial."""
    path = loop_specs_builtin()["heartsteps"]
    return loop_add(text=path.read_text(encoding="utf-8"), source=str(path))[0]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Two lines as that trial wrote them, and one that cannot be used."""
    path = tmp_path / "log.csv"
    path.write_text(
        "user.index,decision.index,sugg.select.utime,sugg.select.slot,avail,send,response,dec.location.category,"
        "dec.temperature,jbsteps30pre,jbsteps30\n"
        "1,0,2015/7/22 16:30,2,True,True,good,other,23.3,0.0,1311.0\n"
        "1,1,2015/7/22 18:30,3,True,True,bad,work,,418.0,414.0\n"
        "1,2,,3,True,True,bad,work,24.4,418.0,414.0\n"
    )
    return path


def run(*arguments: object) -> str:
    out = StringIO()
    call_command("import_signals", *map(str, arguments), stdout=out, stderr=StringIO())
    return out.getvalue()


def test_an_existing_file_of_rejects_is_refused_before_anything_is_imported(
    loop: LoopVersion, file: Path, tmp_path: Path
) -> None:
    other = tmp_path / "another source.csv"
    other.write_text("precious\n")
    with pytest.raises(CommandError, match=r"--rejects .* exists already; .* or overwrite it with --force"):
        run(file, "--loop", "heartsteps", "--rejects", other)
    assert other.read_text() == "precious\n" and not Decision.objects.exists()
    run(file, "--loop", "heartsteps", "--rejects", other, "--force")
    assert "missing_time" in other.read_text()
    with pytest.raises(CommandError, match="is the input itself"):
        run(file, "--loop", "heartsteps", "--rejects", file, "--force")


def test_the_platforms_own_file_of_rejects_is_replaced_at_every_run(loop: LoopVersion, file: Path) -> None:
    first, again = (json.loads(run(file, "--loop", "heartsteps", "--json")) for _ in range(2))
    assert first["rejects_file"] == again["rejects_file"] and Path(again["rejects_file"]).exists()


def test_it_says_what_it_did(loop: LoopVersion, file: Path, tmp_path: Path) -> None:
    said = run(file, "--loop", "heartsteps", "--rejects", tmp_path / "rejects.csv")
    for name, count in (
        ("rows", 3),
        ("added", 2),
        ("joined", 0),
        ("unchanged", 0),
        ("rejected", 1),
        ("missing_time", 1),
    ):
        assert any(line.split() == [name, str(count)] for line in said.splitlines()), (name, said)
    assert str(tmp_path / "rejects.csv") in said


def test_without_consent_it_says_that_nobody_can_be_in_a_release(loop: LoopVersion, file: Path) -> None:
    assert "--consent training evaluation" in run(file, "--loop", "heartsteps")
    assert PrivacyBudget.objects.get().consent_mask == 0


def test_consents_are_recorded(loop: LoopVersion, file: Path) -> None:
    said = run(file, "--loop", "heartsteps", "--consent", "training", "evaluation", "--consent", "personalization")
    assert "No consent" not in said and PrivacyBudget.objects.get().consent_mask == 7


def test_json_is_one_object_with_the_counts(loop: LoopVersion, file: Path, tmp_path: Path) -> None:
    said = json.loads(run(file, "--loop", "heartsteps", "--json", "--rejects", tmp_path / "r.csv"))
    assert said == {
        "file": "log.csv",
        "rows": 3,
        "added": 2,
        "joined": 0,
        "unchanged": 0,
        "rejected": 1,
        "consents_granted": 0,
        "counts": {"filled": {"dec.temperature": 1}, "rejected": {"missing_time": 1}},
        "rejects_file": str(tmp_path / "r.csv"),
        "propensities": said["propensities"],
        "findings": said["findings"],
        "warnings": ["policy: too few people to check the propensities."],
        "override": "",
        "times": {
            "first": "2015-07-22T16:30:00+00:00", "last": "2015-07-22T18:30:00+00:00", "ahead": 0,
            "sentence": "the rows are from 2015-07-22 16:30 to 2015-07-22 18:30 UTC",
        },
    }  # fmt: skip
    assert [(m["head"], m["action"], m["finding"]) for m in said["propensities"]] == [
        ("policy", "wait", "too few people"), ("policy", "suggest", "too few people"),  # their actions are not told
    ]  # fmt: skip


def test_wrong_use_is_one_sentence(loop: LoopVersion, file: Path) -> None:
    with pytest.raises(CommandError, match=r"no loop 'nothing' \(known: .*heartsteps"):
        run(file, "--loop", "nothing")
    with pytest.raises(CommandError, match="there is no file"):
        run(file.with_name("none.csv"), "--loop", "heartsteps")
    with pytest.raises(CommandError, match="invalid choice: 'fame'"):
        run(file, "--loop", "heartsteps", "--consent", "fame")
    file.write_text("user,time\n1,2\n")
    with pytest.raises(CommandError, match="lacks the columns"):
        run(file, "--loop", "heartsteps")


def test_the_heartsteps_trial_is_read_whole(loop: LoopVersion) -> None:
    """Published numbers of the trial: 37 people, 8,274 rows; 6,590 available, of which 3,915 got a suggestion."""
    if not HEARTSTEPS.exists():
        pytest.skip(f"NOT TESTED: no file {HEARTSTEPS}")
    said = json.loads(run(HEARTSTEPS, "--loop", "heartsteps", "--json"))
    assert said["rows"] == 8_274 and said["rejected"] == 1  # one row has no time
    assert Person.objects.count() == 37 and Decision.objects.count() == said["added"] == 8_273
    arrays = decision_arrays(loop_version=loop, person_ids=None)
    policy = arrays.heads["policy"]
    assert abs(arrays.available.sum() - 6_590) <= 1 and abs((policy.action == 1).sum() - 3_915) <= 1
    assert ((policy.action >= 0) == arrays.available).all()
    assert set(policy.propensity[policy.action == 1]) == {0.6} and set(policy.propensity[policy.action == 0]) == {0.4}
    assert (arrays.harmful == 1).sum() == pytest.approx(602, abs=2)


WAIT_OR_SEND = """
name = "trial"
decisions_per_day = 1
[features.mood]
bounds = [-1, 1]
dynamics = "learned"
[heads.policy]
actions = ["wait", "send"]
reference = "wait"
logging = [0.7, 0.3]
[reward]
scale = 1
[import.csv]
user = "user"
time = "time"
reward = { total = "reward" }
heads = { policy = { action = "action", propensity = "p" } }
"""


def trial(path: Path, rng: np.random.Generator) -> Path:
    """A trial that logs P(send) on every row, as public trials do."""
    lines = ["user,time,mood,action,p,reward"]
    for user in range(40):
        for day in range(1, 11):
            action = "send" if rng.random() < 0.3 else "wait"
            lines.append(f"u{user},2024-05-{day:02d}T09:00,0.1,{action},0.3,1")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_refuted_propensities_are_refused_with_their_convention(tmp_path: Path) -> None:
    loop_add(text=WAIT_OR_SEND, source="trial.toml")
    path = trial(tmp_path / "log.csv", np.random.default_rng(1))
    with pytest.raises(CommandError, match=r'looks like P\(send\) on every row.*say propensity_of = "send"'):
        run(path, "--loop", "trial")
    assert not Person.objects.exists() and not Decision.objects.exists()


def test_an_override_lets_them_through_and_stays_on_record(tmp_path: Path) -> None:
    loop_add(text=WAIT_OR_SEND, source="trial.toml")
    path = trial(tmp_path / "log.csv", np.random.default_rng(1))
    said = run(path, "--loop", "trial", "--override-propensities", "the team checked them")
    assert "which the Trust Vault records: the team checked them" in said and Decision.objects.count() == 400
    assert SignalImport.objects.get().override == "the team checked them"
    event = VaultEvent.objects.get(kind="import")
    assert event.body["override"] == text_digest("the team checked them") and event.body["refuted"][0].startswith(
        "policy.wait: "
    )


def test_an_override_that_nothing_asks_for_is_not_recorded(tmp_path: Path) -> None:
    text = WAIT_OR_SEND.replace('propensity = "p"', 'propensity = "p", propensity_of = "send"')
    loop_add(text=text, source="trial.toml")
    said = run(trial(tmp_path / "log.csv", np.random.default_rng(1)), "--loop", "trial", "--override-propensities", "x")
    assert "policy: the mean of 1/propensity where send was taken is" in said and "Trust Vault" not in said
    assert SignalImport.objects.get().override == "" and not VaultEvent.objects.filter(kind="import").exists()
    kept = Choice.objects.values_list("action", "propensity", "marginal_propensity").distinct().order_by("action")
    assert list(kept) == [(0, 0.7, 0.7), (1, 0.3, 0.3)]


@pytest.mark.parametrize(
    ("second", "first", "last", "ahead"),
    [
        ("2015/7/22 18:30", "2015-07-22T16:30", "2015-07-22T18:30", 0),
        ("2126/7/22 18:30", "2015-07-22T16:30", "2126-07-22T18:30", 1),
        ("1926/7/22 18:30", "1926-07-22T18:30", "2015-07-22T16:30", 0),
    ],
)
def test_a_mistyped_year_is_imported_and_said(
    loop: LoopVersion, file: Path, second: str, first: str, last: str, ahead: int
) -> None:
    """A file may have a calendar of its own, so no year is refused."""
    file.write_text(file.read_text().replace("2015/7/22 18:30", second))
    told = json.loads(run(file, "--loop", "heartsteps", "--json"))
    assert told["added"] == 2 and Decision.objects.count() == 2
    times = told["times"]
    assert (times["first"][:16], times["last"][:16], times["ahead"]) == (first, last, ahead)
    said = next(line for line in run(file, "--loop", "heartsteps").splitlines() if line.startswith("times: "))
    assert said == f"times: {times['sentence']}" and first.replace("T", " ") in said and last.replace("T", " ") in said
    assert ("1 row lies more than a day after now, so check their year" in said) == bool(ahead)
