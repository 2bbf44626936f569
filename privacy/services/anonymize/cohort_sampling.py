"""Sample the people of an anonymisation that asks for a limited number of them.

For statistics, each person enters by an independent coin at a public rate. So whether a person enters never depends on others:
adding a person adds at most that person, and no budget is spent or spared because of somebody else. A sample of fixed size would
replace one person by another. Rows do not hide who is among them, so for rows the sample has exactly the requested size.
"""

from __future__ import annotations

import math
import secrets

from django.db.models import F, QuerySet

from core.digests import RELEASE_COINS, keyed
from core.id_list import id_list
from loops.models import LoopVersion
from privacy.engine.anonymize.registry import technique_of
from privacy.engine.anonymize.request import AnonymizeRequest
from privacy.models import Person, Purpose, Release, ReleaseState

_COINS = 10_007  # the smallest prime above the number of folds


def public_rate(*, loop_version: LoopVersion, request: AnonymizeRequest) -> float:
    """Return the share of consenting people that enters statistics of about ``samples`` people.

    The total comes from the noised number of people in the loop's latest training release, else from the loop file. While no
    number is public, the rate is 1.
    """
    if request.samples is None:
        return 1.0
    people = people_public(loop_version)
    return min(1.0, request.samples / people) if people else 1.0


def people_public(loop_version: LoopVersion) -> float | None:
    """Return the number of people that the latest training release stated under noise, else that of the loop file, else None."""
    return _people_stated(loop_version) or loop_version.spec.moments.nominal_users


def cohort_sample(*, key: str, people: QuerySet[Person], request: AnonymizeRequest, rate: float) -> QuerySet[Person]:
    """Return who among the contributing ``people`` may be charged for the release with this key."""
    if technique_of(request.technique, request.mode).statistics:
        return people if rate >= 1 else _by_coin(people, key, rate)
    return people if request.samples is None else _exactly(people, request.samples)


def _people_stated(loop_version: LoopVersion) -> float | None:
    """Return the noised number of training people from the latest committed release. An exact count is never used."""
    latest = Release.objects.filter(
        loop_version__loop_id=loop_version.loop_id, purpose=Purpose.TRAINING, state=ReleaseState.COMMITTED,
        noisy_users__gte=1,
    ).order_by("-pk").first()  # fmt: skip
    return None if latest is None else (latest.noisy_users or 0.0) / float(latest.parameters.get("rate", 1.0))


def _by_coin(people: QuerySet[Person], key: str, rate: float) -> QuerySet[Person]:
    """Keep people by a coin at this rate.

    A coin is a line, modulo a prime, over the person's own fold. The release's key determines slope and offset. Coins are
    uniform, and any two folds' coins are independent.
    """
    line = keyed(RELEASE_COINS, key)
    slope = 1 + int.from_bytes(line[:8], "big") % (_COINS - 1)
    offset = int.from_bytes(line[8:16], "big") % _COINS
    return people.alias(coin=(F("fold") * slope + offset) % _COINS).filter(coin__lt=math.ceil(rate * _COINS))


def _exactly(people: QuerySet[Person], samples: int) -> QuerySet[Person]:
    """Draw ``samples`` people with the operating system's randomness; all of them if there are no more."""
    ids = list(people.values_list("pk", flat=True))
    if len(ids) > samples:
        ids = secrets.SystemRandom().sample(ids, samples)
    return Person.objects.filter(pk__in=id_list(ids))
