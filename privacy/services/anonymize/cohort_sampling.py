"""Who of the willing is drawn when an anonymisation asks for so many people.

For statistics everybody enters by a coin of their own, at a public rate: whether somebody is in never depends on who else there
is, so adding a person adds at most that person, and nobody's budget is spent or spared because of another. A draw of fixed size
would put one person in another's place. Rows do not hide who is among them, and there are exactly so many.
"""

from __future__ import annotations

import math
import secrets

from django.db.models import F, QuerySet

from core.digests import RELEASE_COINS, keyed
from loops.models import LoopVersion
from privacy.engine.anonymize.registry import technique_of
from privacy.engine.anonymize.request import AnonymizeRequest
from privacy.models import Person, Purpose, Release, ReleaseState
from privacy.selectors.decisions import training_folds
from privacy.services.anonymize.feature_records import people_with_records
from privacy.services.budget.charge import consented

_COINS = 10_007  # the least prime above the number of folds


def public_rate(*, loop_version: LoopVersion, request: AnonymizeRequest) -> float:
    """The share of the willing that enters statistics of about ``samples`` people: by the noised number of people that the loop's
    latest release stated, else by what its file declares. While no number is public, everybody enters.
    """
    if request.samples is None:
        return 1.0
    people = _people_stated(loop_version) or loop_version.spec.moments.nominal_users
    return min(1.0, request.samples / people) if people else 1.0


def cohort_sample(*, key: str, loop_version: LoopVersion, request: AnonymizeRequest, rate: float) -> QuerySet[Person]:
    """Who may be charged for the release of ``key``."""
    people = people_with_records(loop_version=loop_version, data_type=request.data_type)
    if technique_of(request.technique, request.mode).statistics:
        return people if rate >= 1 else _by_coin(people, key, rate)
    return people if request.samples is None else _exactly(people, loop_version, request.samples)


def _people_stated(loop_version: LoopVersion) -> float | None:
    """What the noise of the latest committed release leaves of the number of training people; never an exact count."""
    stated = Release.objects.filter(
        loop_version__loop_id=loop_version.loop_id, purpose=Purpose.TRAINING, state=ReleaseState.COMMITTED,
        noisy_users__gte=1,
    ).order_by("-pk").first()  # fmt: skip
    return None if stated is None else (stated.noisy_users or 0.0) / float(stated.parameters.get("rate", 1.0))


def _by_coin(people: QuerySet[Person], key: str, rate: float) -> QuerySet[Person]:
    """A coin is a line modulo a prime over the person's own fold, its slope and offset keyed by the release: uniform, and any two
    folds' coins are independent.
    """
    line = keyed(RELEASE_COINS, key)
    slope = 1 + int.from_bytes(line[:8], "big") % (_COINS - 1)
    offset = int.from_bytes(line[8:16], "big") % _COINS
    return people.alias(coin=(F("fold") * slope + offset) % _COINS).filter(coin__lt=math.ceil(rate * _COINS))


def _exactly(people: QuerySet[Person], loop_version: LoopVersion, samples: int) -> QuerySet[Person]:
    """So many of those who consent, drawn by the operating system's randomness; all, where there are no more."""
    low, high = training_folds(loop_version.spec)
    willing = people.filter(
        population=loop_version.spec.population, fold__gte=low, fold__lt=high,
        pk__in=consented(Purpose.TRAINING).values("person_id"),
    )  # fmt: skip
    ids = list(willing.values_list("pk", flat=True))
    if len(ids) > samples:
        ids = secrets.SystemRandom().sample(ids, samples)
    return people.filter(pk__in=ids)
