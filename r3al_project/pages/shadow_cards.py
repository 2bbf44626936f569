"""Cards of the training dashboard about shadow tests: what is known of one in progress, and how the last ones ended."""

from __future__ import annotations

from typing import Any

from core.html_format import number_text
from deployments.engine.rollouts.off_policy import OffPolicyValue
from deployments.engine.rollouts.shadow import SEES_NO_OUTCOMES, ShadowCounts
from deployments.engine.rollouts.strategies import SHADOW_TEST
from deployments.engine.rollouts.transitions import ACTIVE_STATES
from deployments.models import Deployment
from deployments.selectors.shadow import last_check, shadow_counts
from deployments.selectors.slots import rollouts_now
from r3al_project.turns.rollout_progress import beside_ends
from training.models import VersionState

_ENDED = 2


def shadow_cards() -> list[dict[str, Any]]:
    """Return a card for each shadow test in progress, and one for the newest that ended while their version still waits."""
    ended = Deployment.objects.filter(strategy=SHADOW_TEST, version__state=VersionState.EVALUATING)
    ended = ended.exclude(state__in=ACTIVE_STATES).exclude(slot__shadow__isnull=False)
    related = ended.select_related("slot__loop", "version__loop_version__loop", "previous__loop_version__loop")
    return [_card(test) for test in (*rollouts_now(SHADOW_TEST), *related.order_by("-pk")[:_ENDED])]


def _card(test: Deployment) -> dict[str, Any]:
    counts, check, active = shadow_counts(test), last_check(test), test.state in ACTIVE_STATES
    value = OffPolicyValue.from_json(check.facts["value"]) if check else OffPolicyValue(0, "no tick has looked yet")
    return {
        "test": test,
        "active": active,
        "state": test.get_state_display(),
        "against": test.previous.name if test.previous and test.previous.is_learned else "the reference",
        "made": _made(counts),
        "agreement": _agreement(counts),
        "time": _time(counts),
        "value": value.sentence,
        "blind": SEES_NO_OUTCOMES,
        "result": f"{check.label[:1].upper()}{check.label[1:]}. {' '.join(check.reasons)}" if check else "",
        "until": _until(test) if active else "",
    }


def _made(counts: ShadowCounts) -> str:
    return (
        f"{counts.scored:,} choices, {counts.late:,} of them slow. {counts.errors:,} decisions failed, and "
        f"{counts.dropped:,} were dropped under load."
    )


def _agreement(counts: ShadowCounts) -> str:
    share = counts.share(counts.agreed)
    if share is None:
        return "Too few choices were compared."
    ours, stable = counts.intervened / counts.compared, counts.stable_intervened / counts.compared
    return (
        f"{share:.1%} of {counts.compared:,} greedy choices are the same. It would intervene in {ours:.1%}, and the stable "
        f"version in {stable:.1%}."
    )


def _time(counts: ShadowCounts) -> str:
    if counts.mean_us is None:
        return "No choice was timed yet."
    return f"{number_text(counts.mean_us / 1e3)} ms a choice, at most {number_text(counts.slowest_us / 1e3)} ms."


def _until(test: Deployment) -> str:
    if test.state == "paused":
        return "It is paused. Its time begins anew when it is resumed."
    return f"It ends by itself on {beside_ends(test):%Y-%m-%d at %H:%M} UTC."
