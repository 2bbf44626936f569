"""A generator and a trainer are one file and one line each: a new one is asked by name, an incomplete one does not load."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from core.arrays import Floats, pack_arrays
from core.checksums import sha256_hex
from core.errors import InputError
from jobs.services import job_run
from loops.engine.heads import MAIN_HEAD
from loops.engine.policies.linear import LinearPolicy
from loops.engine.spec import LoopSpec
from privacy.engine.moments.pooled import Moments
from privacy.models import Purpose, Release
from privacy.services.releases.moments import moments_load
from r3al_project.turns.models import Turn
from r3al_project.turns.services import turn_parameters, turn_start
from tests.factories.walks import walks_csv, walks_loop
from tests.factories.worlds import taught
from training.engine.generators.protocol import Posterior
from training.engine.generators.registry import GENERATORS, generator_named, generator_table
from training.engine.generators.world_model import mean_world, synthesize
from training.engine.pipeline import train_policy_head
from training.engine.trainers.protocol import Candidate, HeadTrainer, LearnedSubHead, PolicyTrainer
from training.engine.trainers.registry import (
    HEAD_TRAINERS,
    POLICY_TRAINERS,
    head_trainer_named,
    head_trainer_table,
    policy_trainer_named,
    policy_trainer_table,
)
from training.engine.world.transitions import Chunk, Transitions
from training.engine.world.world import World
from training.models import ModelVersion, SyntheticJob
from training.selectors.versions import version_policy
from training.services.synthesize import pool_synthesize
from training.services.train import TrainOptions, heads_train, kinds_check

SEED = 7


@dataclass(frozen=True)
class Halves:
    """The world model's transitions in two halves, each with a seed of its own."""

    name: str = "halves"

    def chunks(self, posterior: Posterior, *, states: int, seed: int, longest: int) -> Iterator[Chunk]:
        world = mean_world(posterior.moments, posterior.baseline, posterior.effects)
        for part in np.random.SeedSequence(seed).spawn(2):
            yield from synthesize(world, np.random.default_rng(part), states=states // 2).chunks(longest)


def stay(
    spec: LoopSpec, world: World, pool: Transitions, seed: int, /, *, gammas: Sequence[float], sweeps: int | None
) -> Iterator[Candidate]:
    """The reference action, always."""
    head, phi = spec.head(MAIN_HEAD), world.moments.layout.phi
    nothing = LinearPolicy(phi, np.zeros((len(head.actions), phi.width)), 1.0, head.reference_index)
    yield Candidate(nothing, 0.0, 0.0)


def first(
    spec: LoopSpec, worlds: World, candidates: Sequence[Candidate], serving: LinearPolicy, states: Floats,
    rng: np.random.Generator, /,
) -> Candidate:  # fmt: skip
    return candidates[0]


def silent(
    moments: Moments, head: str, states: Floats, rng: np.random.Generator, /, *, incumbent: LinearPolicy | None
) -> LearnedSubHead:
    """What the bandits learn, without its effect."""
    learned = HEAD_TRAINERS["contextual_bandits"].train(moments, head, states, rng, incumbent=incumbent)
    policy = replace(learned.policy, weights=np.zeros_like(learned.policy.weights))
    return replace(learned, policy=policy, gain=np.zeros_like(learned.gain))


STAY = PolicyTrainer(
    "stay", kind="linear_q", gammas=(0.0,), train=stay, choose=lambda candidates: candidates[0], update=first
)


@pytest.fixture
def more(monkeypatch: pytest.MonkeyPatch) -> None:
    """The registries with one line more each."""
    monkeypatch.setitem(GENERATORS, "halves", generator_table(*GENERATORS.values(), Halves())["halves"])
    policies = policy_trainer_table(*POLICY_TRAINERS.values(), STAY)
    monkeypatch.setitem(POLICY_TRAINERS, "stay", policies["stay"])
    heads = head_trainer_table(*HEAD_TRAINERS.values(), HeadTrainer("silent", kind="linear_q", train=silent))
    monkeypatch.setitem(HEAD_TRAINERS, "silent", heads["silent"])


@pytest.fixture
def release(transactional_db: None, tmp_path: Path) -> Release:
    """The moments of a few walkers."""
    parameters = turn_parameters(
        source=walks_csv(tmp_path / "1.csv", people=1_500, days=2), consents=[Purpose.TRAINING, Purpose.EVALUATION]
    )
    turn = turn_start(actor="ann", loop_version=walks_loop(tmp_path), parameters=parameters)
    for stage in ("collect", "release"):
        job_run(turn.stages.get(name=stage).job_id)
    return Release.objects.get()


def synthesized(release: Release, states: int = 3_000, **asked: str) -> SyntheticJob:
    write = pool_synthesize(release=release, seed=SEED, states=states, job_id=None, **asked)
    return SyntheticJob.objects.get(pk=write()["synthetic_job"])


@pytest.mark.alone("embedded")
def test_another_number_of_samples_is_another_generation(release: Release) -> None:
    """Also with the same release and seed, as of two turns without anything new between them."""
    many, few = synthesized(release), synthesized(release, states=500)
    assert (many.sample_count, few.sample_count) == (3_000, 500)
    assert sum(chunk.rows for chunk in few.chunks.all()) == 1_000
    assert synthesized(release, states=500) == few


@pytest.mark.alone("embedded")
@pytest.mark.usefixtures("more")
def test_a_generator_and_a_trainer_of_one_line_are_asked_by_name(release: Release) -> None:
    usual, halves = synthesized(release), synthesized(release, generator="halves")
    assert (usual.generator, halves.generator) == ("world_model", "halves")
    assert usual.sample_count == halves.sample_count == 3_000
    assert sum(chunk.rows for chunk in usual.chunks.all()) == 6_000, "each sample holds the outcome of both actions"
    hashes = [list(job.chunks.order_by("index").values_list("data_sha256", flat=True)) for job in (usual, halves)]
    assert not set(hashes[0]) & set(hashes[1]), "it has seeds of its own"

    versions = [
        ModelVersion.objects.get(
            pk=heads_train(
                release=release, synthetic_job=halves, seed=SEED, incumbents={}, options=asked, report=lambda *_: None
            )()["version"]
        )
        for asked in (TrainOptions(), TrainOptions(trainer="stay"))
    ]
    states = np.array([[0.9, 0.0], [0.1, 1.0]])
    acts = [bool(version_policy(version).actions(states).any()) for version in versions]
    assert acts == [True, False], "fitted Q suggests a walk to who has energy, the other trainer to nobody"
    gates = [version.metrics.get(name="model_gate_z") for version in versions]
    assert (gates[1].value, gates[1].verdict) == (0.0, "insufficient")


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("more")
def test_a_turn_asks_the_generator_and_the_trainers_that_the_command_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    walks_loop(tmp_path)
    call_command(
        "run_loop", "--loop", "walks", "--source", str(walks_csv(tmp_path / "1.csv", people=100, days=2)),
        "--consent", "training", "evaluation", "--generator", "halves", "--trainer", "stay", "--head-trainer", "silent",
    )  # fmt: skip
    asked = Turn.objects.get().parameters
    assert (asked["generator"], asked["trainer"], asked["head_trainer"]) == ("halves", "stay", "silent")
    job, version = SyntheticJob.objects.get(), ModelVersion.objects.learned().get()
    assert (job.generator, version.kind, version.config["training_gamma"]) == ("halves", "linear_q", 0.0)
    assert job.sample_count == 3_000, "nobody gave a number"
    assert not version_policy(version).actions(np.array([[0.9, 0.0], [0.1, 1.0]])).any()


def test_a_turn_keeps_the_usual_names_and_refuses_unknown_ones() -> None:
    usual = turn_parameters()
    assert (usual["generator"], usual["trainer"], usual["head_trainer"]) == (
        "world_model", "fitted_q", "contextual_bandits",
    )  # fmt: skip
    for asked in ({"generator": "dreams"}, {"trainer": "dreams"}, {"head_trainer": "dreams"}):
        with pytest.raises(InputError, match="'dreams'; choose one of: "):
            turn_parameters(**asked)  # type: ignore[arg-type]
    with pytest.raises(CommandError, match=r"invalid choice: 'dreams' \(choose from .*fitted_q"):
        call_command("run_loop", "--loop", "walks", "--trainer", "dreams")


@pytest.mark.usefixtures("more")
@pytest.mark.parametrize("name", ["world_model", "halves", "mixture", "rule_based"])
def test_a_generator_gives_the_same_rows_for_the_same_seed(name: str) -> None:
    made, found = taught(), generator_named(name)
    posterior = Posterior(made.moments, made.baseline, made.effects)

    def drawn(seed: int) -> list[Chunk]:
        return list(found.chunks(posterior, states=100, seed=seed, longest=150))

    for one, two in zip(drawn(SEED), drawn(SEED), strict=True):
        np.testing.assert_equal(one, two)
    assert not np.array_equal(drawn(SEED)[0]["reward"], drawn(SEED + 1)[0]["reward"])
    whole = {name: np.concatenate([chunk[name] for chunk in drawn(SEED)]) for name in drawn(SEED)[0]}
    assert Transitions.of_rows(whole, made.spec).reward.shape == (100, 2)


@pytest.mark.usefixtures("more")
def test_a_trainer_of_the_other_heads_is_asked_by_name() -> None:
    made = taught()
    learned = [
        train_policy_head(made.spec, made.moments, made.baseline, made.pool.rows(), seed=SEED, head_trainer=name).subs
        for name in ("contextual_bandits", "silent")
    ]
    assert [subs["tone"].passed for subs in learned] == [True, False]


@pytest.mark.alone("embedded")
def test_unknown_names_are_refused_before_anything_is_computed(release: Release) -> None:
    with pytest.raises(InputError, match="there is no generator 'dreams'; choose one of: world_model"):
        synthesized(release, generator="dreams")
    job = synthesized(release)
    for asked, kind in ((TrainOptions(trainer="dreams"), "policy"), (TrainOptions(head_trainer="dreams"), "heads")):
        with pytest.raises(InputError, match=f"there is no trainer of {kind} 'dreams'"):
            heads_train(
                release=release, synthetic_job=job, seed=1, incumbents={}, options=asked, report=lambda *_: None
            )
    assert not ModelVersion.objects.filter(kind="linear_q").exists()


def test_the_pool_keeps_what_the_generator_gave_bit_for_bit(release: Release) -> None:
    posterior = Posterior.of(moments_load(release=release))
    chunks = GENERATORS["world_model"].chunks(posterior, states=3_000, seed=SEED, longest=5_000)
    kept = synthesized(release).chunks.order_by("index").values_list("rows", "data_sha256")
    assert list(kept) == [(len(chunk["action"]), sha256_hex(pack_arrays(chunk))) for chunk in chunks]


def test_an_entry_that_lacks_a_part_does_not_load() -> None:
    class Nameless:
        def chunks(self, *_: Any, **__: Any) -> Iterator[Chunk]:
            yield {}

    class Idle:
        name = "idle"

    for incomplete, said in ((Nameless(), "needs a name"), (Idle(), "has no method chunks")):
        with pytest.raises(ValueError, match=said):
            generator_table(incomplete)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="update"):
        PolicyTrainer("stay", train=stay)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="has no method update"):
        policy_trainer_table(replace(STAY, update=None))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="has no method train"):
        head_trainer_table(HeadTrainer("silent", kind="linear_q", train=None))  # type: ignore[arg-type]


def test_a_trainer_of_an_undeclared_kind_of_version_does_not_load() -> None:
    kinds_check([*POLICY_TRAINERS.values(), STAY])
    for kind in ("forest", "reference"):
        with pytest.raises(ValueError, match=f"versions of kind {kind}; declare it as learned"):
            kinds_check([STAY, replace(STAY, kind=kind)])


def test_no_name_is_given_twice() -> None:
    with pytest.raises(ValueError, match="two entries are registered as generator 'world_model'"):
        generator_table(*GENERATORS.values(), *GENERATORS.values())
    assert policy_trainer_named("fitted_q") in POLICY_TRAINERS.values()
    assert head_trainer_named("contextual_bandits") in HEAD_TRAINERS.values()
