"""Tell the story: a first loop, a canary, an A/B test, a version that does harm, and people who withdraw.

Each chapter says how it ended. Noise is not seeded and people differ, so one may end otherwise than planned, and then says that.
"""

from __future__ import annotations

from core import clock
from deployments.engine.rollouts.strategies import AB_TEST, CANARY
from deployments.models import Deployment, DeploymentState, Incident
from deployments.services.rollouts.operate import rollout_abort
from privacy.models import Person, Purpose, VaultCheck
from privacy.models.consent import OWN_SOURCE
from privacy.services.people.accounts import consents_set, person_register
from privacy.services.people.authentication import caller_of, token_read
from privacy.services.people.devices import Origin, device_origin
from privacy.services.people.erasure import ErasureReason, person_erase
from privacy.services.people.identity import person_key
from privacy.services.vault.anchors import head_anchor
from privacy.services.vault.verify import vault_check
from r3al_project.ops.story.app import APP_ACCOUNT
from r3al_project.ops.story.logs import AppLog
from r3al_project.ops.story.story import Story
from r3al_project.ops.story.terms import story_loop_add
from r3al_project.turns.models import Turn

CHAPTERS = 5
_HARM_SHARE = 0.3


def story_tell(story: Story) -> VaultCheck:
    """Live all chapters, and end at the machine's time."""
    turn = first_loop(story)
    canary(story, turn)
    ab_test(story)
    harm(story)
    withdrawals(story)
    return ending(story)


def first_loop(story: Story) -> Turn:
    """Import what the app logged before, and train the first version from it."""
    size = story.size
    story.teller.chapter(1, CHAPTERS, "a first loop")
    story.say(
        f"{size.people:,} people had used an app for two weeks; its log is imported, and a first turn learns from it"
    )
    return story.turn(story.folder / "sim.csv")


def canary(story: Story, turn: Turn) -> Deployment | None:
    """Roll the first version out by stages, and let its people's answers decide."""
    story.teller.chapter(2, CHAPTERS, "a canary")
    story.say(f"{len(story.community.names):,} people go on; an operator starts a canary: 10%, 50%, everybody")
    rollout = story.begin(turn, CANARY, "a first version; its people will tell")
    _lived(story, rollout, story.size.canary_days)
    story.live(story.size.calm_days)
    return rollout


def ab_test(story: Story) -> Deployment | None:
    """Train again on what people lived meanwhile, and compare the new version with the one that serves."""
    story.teller.chapter(3, CHAPTERS, "a later round, and an A/B test")
    story.say(
        "a turn learns from the weeks that people lived; what it trains meets the version that serves, half and half"
    )
    rollout = story.begin(story.turn(), AB_TEST, "compare it with what serves")
    _lived(story, rollout, story.size.test_days)
    return rollout


def harm(story: Story) -> Deployment | None:
    """Learn from the log of people who are moved by the opposite, and give that version to people whom it harms."""
    story.teller.chapter(4, CHAPTERS, "a version that does harm")
    size = story.size
    story.say(
        f"a partner brings the log of {size.partner:,} other people, whom the opposite helps; nobody knows that yet"
    )
    story.say("it comes with version 2 of the loop file, and so with evidence of its own")
    story.version = story_loop_add(story.folder, version=2)
    log = AppLog(size.partner, story.seed, story.days.today.date(), "partner", "contrary")
    file, _ = log.write(story.version.spec, story.folder)
    turn = story.turn(file)
    story.say(f"an operator gives its version to {_HARM_SHARE:.0%} of the people and goes to bed")
    rollout = story.begin(turn, CANARY, "the partner's log looks convincing", share=_HARM_SHARE)
    _lived(story, rollout, story.size.harm_days)
    return rollout


def withdrawals(story: Story) -> None:
    """Let one person refuse training on their own device, and another be erased, and live on to the present."""
    story.teller.chapter(5, CHAPTERS, "people withdraw")
    refusing, leaving = story.community.names[:2]
    _refuse_training(story, refusing)
    story.say("a person withdraws their consent to training on their own device: no later training is charged to them")
    counts = person_erase(person_id=_person(story, leaving).pk, source="app", reason=ErasureReason.REQUEST)
    story.community.gone.add(1)
    story.say(f"another asks to be erased: {counts.decisions} decisions and their key are gone")
    story.live(story.days.total)


def ending(story: Story) -> VaultCheck:
    """Come to the machine's time, and check the Trust Vault."""
    story.days.end()
    check = vault_check()
    head_anchor(check)
    story.say(f"{story.days.lived} days, {story.days.decisions:,} decisions; {story.serves()} serves")
    held = f"The Trust Vault holds: {check.sequence:,} events, checked one by one."
    story.say(held if not check.broken else f"The Trust Vault is BROKEN: {check.broken}")
    return check


def _lived(story: Story, rollout: Deployment | None, at_most: int) -> None:
    """Live until a rollout has ended, and say how. An operator ends one that takes longer than ``at_most`` days."""
    if rollout is None:
        return
    if not story.live(at_most, lambda: story.has_ended(rollout)):
        reason = "it took longer than the story has time for"
        rollout_abort(rollout=rollout, actor=story.operator, reason=reason)
    _say_ending(story, rollout)


def _say_ending(story: Story, rollout: Deployment) -> None:
    """Say how a rollout ended, and why."""
    version, days = rollout.version, (clock.now() - rollout.created_at).days
    incident = Incident.objects.filter(deployment=rollout).first()
    rollout.refresh_from_db()
    if rollout.state == DeploymentState.SUCCEEDED:
        story.say(f"after {days} days {version.name} is promoted: its people's answers proved enough")
    elif incident is not None and incident.harmful:
        story.say(f"after {days} days {version.name} is taken back by itself: {incident.reason}")
    else:
        story.say(f"after {days} days {version.name} is stopped without harm: {incident.reason if incident else ''}")
    story.say(f"{story.serves()} serves now")


def _refuse_training(story: Story, name: str) -> None:
    population = story.version.spec.population
    app = caller_of(token_read(story.app.header))
    made = person_register(
        population=population, identifier=name, consents={}, text_version="1", source="api", device=True,
        reporter=Origin(app.user_id, APP_ACCOUNT),
    )  # fmt: skip
    device = device_origin(token_read(f"Token {made.token}"))
    consents = {Purpose.TRAINING: False}
    consents_set(person=made.person, consents=consents, text_version="1", source=OWN_SOURCE, by="person", origin=device)


def _person(story: Story, name: str) -> Person:
    key = person_key(population=story.version.spec.population, identifier=name)
    return Person.objects.get(population=story.version.spec.population, key=key)
