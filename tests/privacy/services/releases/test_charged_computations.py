"""Whatever people's records hold or lack, nobody is charged for nothing, and no release stays reserved.

The computations are found in the source: whatever calls the charge must have a driver here.
"""

from __future__ import annotations

import ast
import contextlib
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.utils import timezone

from core.errors import R3alError
from loops.engine.policies.linear import reference_policy
from loops.models import LoopVersion
from privacy.engine.anonymize.registry import TECHNIQUES
from privacy.engine.anonymize.request import AnonymizeRequest
from privacy.engine.evaluation.on_policy import guardrail_clips
from privacy.engine.evaluation.statistics import EvaluationCandidate
from privacy.engine.moments.null_population import LoggingPolicy
from privacy.models import LedgerEntry, Release
from privacy.selectors.trial_decisions import TrialSpan
from privacy.services.anonymize.run import anonymize
from privacy.services.releases import shards
from privacy.services.releases.evaluation import evaluation_release
from privacy.services.releases.moments import moments_release
from privacy.services.releases.reservations import RESERVATION_AGE, reservations_settle
from privacy.services.releases.trial import TrialTerms, trial_release
from tests.factories.charged_worlds import KINDS, bring, spent
from tests.factories.walks import walks_loop
from tests.system import ROOT

pytestmark = pytest.mark.django_db
Driver = Callable[[LoopVersion], Release]
LONG_AGO = timezone.now() - timedelta(days=9)


def _quiet(fraction: float, message: str = "") -> None:
    pass


def moments(version: LoopVersion) -> Release:
    return moments_release(key="m", loop_version=version, epsilon=1.0, delta=1e-5, explored_share=1.0, report=_quiet)


def evaluation(version: LoopVersion) -> Release:
    policy = reference_policy(version.spec, "policy")
    other = replace(policy, weights=np.eye(2, policy.weights.shape[1])[::-1])
    candidate = EvaluationCandidate(other, policy, np.zeros(policy.weights.shape), intervention_rate=0.5)
    return evaluation_release(
        key="e", loop_version=version, candidate=candidate, decisions=8.0, logged=LoggingPolicy(), epsilon=1.0, delta=1e-5,
        report=_quiet,
    )[0]  # fmt: skip


def trial(version: LoopVersion) -> Release:
    clips = guardrail_clips(version.spec, intervention_rate=0.5, exploration=0.1, decisions=8.0)
    terms = TrialTerms(1, 1, TrialSpan(LONG_AGO, 1, None), 0.0, 8.0, clips)
    return trial_release(
        key="t", loop_version=version, terms=terms, in_candidate=lambda key: key.endswith("1"), epsilon=1.0, delta=1e-5,
        share=Fraction(1), report=_quiet,
    )[0]  # fmt: skip


def technique(name: str, mode: str | None) -> Driver:
    request = AnonymizeRequest("pulse", name) if mode is None else AnonymizeRequest("pulse", name, mode=mode)
    return lambda version: anonymize(key="a", loop_version=version, request=replace(request, epsilon=1.0))


# By the module that charges: what drives each of its computations, by name.
DRIVERS: dict[str, dict[str, Driver]] = {
    "privacy/services/releases/moments.py": {"moments": moments},
    "privacy/services/releases/evaluation.py": {"evaluation": evaluation},
    "privacy/services/releases/trial.py": {"trial": trial},
    "privacy/services/anonymize/run.py": {f"{t.name} {t.mode or ''}": technique(t.name, t.mode) for t in TECHNIQUES},
}
EACH = pytest.mark.parametrize(
    "drive", [d for named in DRIVERS.values() for d in named.values()],
    ids=[name for named in DRIVERS.values() for name in named],
)  # fmt: skip


def callers_of(*names: str) -> set[str]:
    """Modules of the program in which one of these functions is called."""
    found = set()
    for folder in ("core", "jobs", "loops", "privacy", "training", "deployments", "r3al_project"):
        for path in (ROOT / folder).rglob("*.py"):
            calls = [n.func for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)]
            if any(isinstance(f, ast.Name) and f.id in names for f in calls):
                found.add(path.relative_to(ROOT).as_posix())
    return found


def test_everything_that_charges_has_a_driver() -> None:
    assert callers_of("cohort_charge") == {"privacy/services/releases/lifecycle.py"}
    charging = callers_of("release_reserve", "release_begin") - {"privacy/services/releases/lifecycle.py"}
    assert charging == set(DRIVERS)


@pytest.fixture
def version(tmp_path: Path, settings: Any) -> LoopVersion:
    settings.MIN_COHORT = 10
    return walks_loop(tmp_path)


def settled(drive: Driver, version: LoopVersion) -> Release | None:
    """The release after the computation, or its refusal, and after what sweeps up; None if there is none."""
    with contextlib.suppress(R3alError):  # a refusal in words; any other exception fails the test
        drive(version)
    reservations_settle(now=timezone.now() + RESERVATION_AGE + timedelta(hours=1))
    return Release.objects.first()


def check(release: Release | None, whole: set[int]) -> None:
    """Nobody is charged for nothing: those who paid are exactly those who were in a committed release, and had something."""
    if release is None or release.state == "refunded":
        assert spent() == {}
        return
    assert release.state == "committed"
    charged = set(LedgerEntry.objects.filter(release=release).values_list("person_id", flat=True))
    assert charged and set(spent()) == charged <= whole


WORLDS: dict[str, list[str]] = {
    "nobody": [],
    "one row": ["whole"],
    "one row each": ["whole"] * 30,
    "the first day: no outcome yet": ["no outcome"] * 30,
    "nobody was ever available": ["unavailable"] * 30,
    "no outcome holds a reward": ["no reward"] * 30,
    "no state is known": ["no state"] * 30,
    "one person brings the only outcome": ["whole"] + ["no outcome"] * 29,
    "one person's numbers are as large as they can be": ["wild"] + ["whole"] * 29,
    "one person's reward is endless": ["endless"] + ["whole"] * 29,
}


@EACH
@pytest.mark.parametrize("kinds", WORLDS.values(), ids=WORLDS)
def test_nobody_is_charged_for_nothing(version: LoopVersion, drive: Driver, kinds: list[str]) -> None:
    ids = bring(version, kinds)
    check(settled(drive, version), set(ids))


@EACH
@pytest.mark.parametrize("told", [True, False], ids=["told", "older outcomes"])
def test_nor_in_a_mixture(version: LoopVersion, drive: Driver, told: bool) -> None:
    chance = random.Random(told)
    ids = bring(version, chance.choices(list(KINDS), k=70), rows=2, told=told)
    check(settled(drive, version), set(ids))


@EACH
def test_the_only_outcome_of_somebody_without_consent_charges_nobody(version: LoopVersion, drive: Driver) -> None:
    bring(version, ["no outcome"] * 30)
    stranger = bring(version, ["whole"], mask=0)
    release = settled(drive, version)
    assert not LedgerEntry.objects.filter(person_id__in=stranger).exists()
    if drive in (moments, evaluation, trial):
        assert release is None and spent() == {}


@pytest.mark.parametrize("drive", [moments, evaluation])
def test_the_people_charged_are_the_people_read(version: LoopVersion, drive: Driver) -> None:
    """Ninety people bring no outcome, or one without a reward, and pay nothing."""
    whole = bring(version, ["whole"] * 60)
    bring(version, ["no outcome", "no reward", "unavailable"] * 30)
    release = settled(drive, version)
    assert release is not None and release.state == "committed"
    assert set(spent()) < set(whole) and len(spent()) >= 20


def test_a_trial_charges_everybody_with_a_decision_because_each_says_whether_people_keep_coming(
    version: LoopVersion,
) -> None:
    whole = bring(version, ["whole"] * 60)
    others = bring(version, ["no outcome", "no reward"] * 30)
    release = settled(trial, version)
    assert release is not None and release.state == "committed"
    assert set(spent()) <= {*whole, *others} and set(spent()) & set(others)


def test_a_shard_without_a_row_changes_nothing(version: LoopVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    """Older outcomes do not say that they hold no reward, so a whole shard of people may turn out to have none."""
    monkeypatch.setattr(shards, "PEOPLE_A_SHARD", 10)
    bring(version, ["no reward"] * 40, told=False)
    bring(version, ["whole"] * 40)
    assert moments(version).state == "committed"
