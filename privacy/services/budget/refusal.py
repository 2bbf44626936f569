"""Say why nobody was charged: whose cap has no room, in which window, and when the first budget renews."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Any

from django.db.models import F, QuerySet

from privacy.engine.budget_windows import next_days
from privacy.engine.dp.accounting import NANO
from privacy.models import Decision, PrivacyBudget, Purpose, Release
from privacy.models.person import FOLDS
from privacy.selectors.consents import consented
from privacy.selectors.payable import cohort_people, payable


def why_nobody(release: Release, people: QuerySet[Any, Any], purpose: Purpose) -> str:
    """Return why nobody among ``people`` was charged, without revealing how many people there are."""
    loop = release.loop_version.loop.name
    if not people.exists():
        everybody = _everybody(release)
        # An anonymisation reads the records of people who can pay, and no others: where it finds nobody, nobody may be able to.
        if release.data_type and _none_can_pay(release, everybody, purpose):
            return _no_budget(release, consented(purpose).filter(person_id__in=everybody), purpose)
        if Decision.objects.filter(loop_version__loop_id=release.loop_version.loop_id).exists():
            return (
                f"nobody of loop {loop!r} who could be in this release has a record that it can use, so nobody was charged; "
                "training and evaluation use decisions at which the person was available, with an observed reward, and training "
                "uses each of them once"
            )
        return f"nobody who could be in this release has a decision under loop {loop!r}; import signals first"
    willing = consented(purpose).filter(person_id__in=people)
    if not willing.exists():
        return (
            f"nobody of loop {loop!r} who could be in this release has consented to {purpose.label}; record their consent "
            "first"
        )
    return _no_budget(release, willing, purpose)


def _everybody(release: Release) -> QuerySet[Any, Any]:
    """Return the people with a decision who lie within the release's folds."""
    low, high = release.parameters.get("folds", (0, FOLDS))
    version = release.loop_version
    return cohort_people(version, version.spec.population, (low, high), None).values("pk")


def _none_can_pay(release: Release, people: QuerySet[Any, Any], purpose: Purpose) -> bool:
    """Tell whether somebody among ``people`` has consented, and nobody who has can pay."""
    able = payable(policy_nano=release.policy_cost, rho_nano=release.rho or 0, purpose=purpose, at=release.created_at)
    willing = consented(purpose).filter(person_id__in=people)
    return willing.exists() and not able.filter(person_id__in=people).exists()


def _no_budget(release: Release, willing: QuerySet[PrivacyBudget], purpose: Purpose) -> str:
    return (
        f"nobody of loop {release.loop_version.loop.name!r} who consented to {purpose.label} has budget left for a release that "
        f"costs {release.policy_cost / NANO:g} units: {_full_cap(release, willing, purpose)}"
    )


def _full_cap(release: Release, willing: QuerySet[PrivacyBudget], purpose: Purpose) -> str:
    """Return which cap of each person has no room, and when it ends."""
    for first, windows in _renewals(release.created_at.astimezone(UTC).date()):
        at = datetime.combine(first, time(), UTC)
        able = payable(policy_nano=release.policy_cost, rho_nano=release.rho or 0, purpose=purpose, at=at)
        if able.filter(person_id__in=willing.values("person_id")).exists():
            return (
                f"each person's own cap for the {' or the '.join(windows)} has no room; the first budget renews on "
                f"{first.isoformat()} at 00:00 UTC, so wait until then, or ask for less where the technique takes an epsilon"
            )
    return (
        f"{_lifetime_cap(release, willing)}, which waiting does not change; ask for less, or change caps with a reason"
    )


def _renewals(today: date) -> list[tuple[date, list[str]]]:
    """Return the days on which windows renew, earliest first, with the windows that do."""
    found: dict[date, list[str]] = {}
    for window, first in next_days(today).items():
        found.setdefault(first, []).append(window)
    return sorted(found.items())


def _lifetime_cap(release: Release, willing: QuerySet[PrivacyBudget]) -> str:
    """Return which cap never makes room: the lifetime's, the formal account's, or a window's that is below the cost."""
    if not willing.filter(cap_lifetime__gte=F("spent_lifetime") + release.policy_cost).exists():
        return "each person's own cap for the lifetime has no room"
    if not willing.filter(rho_cap__gte=F("rho_spent") + (release.rho or 0)).exists():
        return "each person's own formal cap for the lifetime (rho) has no room"
    return "some cap of each person has no room for it at any time"
