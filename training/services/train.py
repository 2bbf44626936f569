"""Train every head of a loop and register one model version for each.

Training reads released moments and the pool's synthetic rows. By default the policy head uses fitted Q-iteration and every
other head uses a contextual bandit. Each candidate then passes through its model gate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from django.db import transaction

from core.arrays import unpack_arrays
from core.durations import RECORDS_KEPT
from core.errors import Conflict
from core.progress import ReportProgress
from loops.engine.heads import MAIN_HEAD
from loops.engine.policies.linear import LinearPolicy
from loops.engine.thresholds import MODEL_BAR_INCUMBENT, MODEL_BAR_REFERENCE
from privacy.models import Release
from privacy.services.releases.moments import moments_load
from training.engine.trainers.protocol import HeadTrainer, PolicyTrainer
from training.engine.trainers.registry import (
    CONTEXTUAL_BANDITS,
    FITTED_Q,
    HEAD_TRAINERS,
    POLICY_TRAINERS,
    head_trainer_named,
    policy_trainer_named,
)
from training.models import MODEL_GATE, ModelMetric, ModelVersion, SyntheticJob, TrainingEpisode, learned_kinds
from training.selectors.versions import version_policy
from training.services.recorded_versions import judgement_record
from training.services.versions import version_register

GATE_REFERENCE, GATE_INCUMBENT = "model_gate_z", "model_gate_z_incumbent"
Gates = dict[str, tuple[float, float, str]]
_HELD = "the release does not show with enough certainty that the candidate beats {}; keep the deployed policy"


@dataclass(frozen=True)
class TrainOptions:
    """Training options that an operator may set for a turn.

    ``epochs``: most sweeps of fitted Q-iteration. ``gamma``: a discount to try besides the grid. ``exploration``: the share of
    decisions to explore once the new version is deployed. None takes the default, for exploration the loop's declared share.
    ``trainer`` (policy head) and ``head_trainer`` (other heads) are names in ``training.engine.trainers.registry``.
    ``head``: the only head to train. None trains all.
    """

    epochs: int | None = None
    gamma: float | None = None
    exploration: float | None = None
    trainer: str = FITTED_Q
    head_trainer: str = CONTEXTUAL_BANDITS
    head: str | None = None

    def kind_of(self, head: str) -> str:
        """Return the kind of version that the head's trainer makes. Raises InputError for a trainer that is not there."""
        if head == MAIN_HEAD:
            return policy_trainer_named(self.trainer).kind
        return head_trainer_named(self.head_trainer).kind


def kinds_check(trainers: Iterable[PolicyTrainer | HeadTrainer]) -> None:
    """Check the kinds of version that trainers make. Raises ValueError for one that is not declared as learned."""
    if strange := sorted({t.kind for t in trainers} - set(learned_kinds())):
        raise ValueError(f"a trainer makes versions of kind {', '.join(strange)}; declare it as learned in VersionKind")


kinds_check([*POLICY_TRAINERS.values(), *HEAD_TRAINERS.values()])


@dataclass(frozen=True)
class TrainedHead:
    """Hold the training result of one head before it is written.

    ``gates`` maps a metric name to (z, bar, rival). ``episodes`` has a row for each sampled world: the candidate's and the
    reference's mean reward a step (reward scales), and the candidate's intervention rate.
    """

    head: str
    arrays: dict[str, Any]
    config: dict[str, Any]
    gates: Gates
    episodes: list[tuple[float, float, float]] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return all(z >= bar for z, bar, _ in self.gates.values())


def heads_train(
    *,
    release: Release,
    synthetic_job: SyntheticJob,
    seed: int,
    incumbents: Mapping[str, ModelVersion],
    options: TrainOptions,
    report: ReportProgress,
) -> Callable[[], dict[str, Any]]:
    """Train every head of the loop, or one of them alone (``options.head``).

    Args:
        incumbents: deployed learned versions by head, if they still fit the loop's features and actions.
    Returns: a function that registers one version a head with its model gate metrics, and returns a summary.
    Raises: Conflict when pool rows of the synthetic job have expired.
    """
    trained = _train(release, _pool_rows(synthetic_job), seed, incumbents, options, report)

    @transaction.atomic
    def write() -> dict[str, Any]:
        versions = {t.head: _register(release, t, options.kind_of(t.head), incumbents.get(t.head)) for t in trained}
        main = trained[0]
        return {
            "head": main.head,
            "version": versions[main.head].pk,
            "versions": {head: version.pk for head, version in versions.items()},
            **{name: round(z, 3) for name, (z, _, _) in main.gates.items()},
            "model_gate": main.passed,
            "heads": {
                t.head: {name: round(z, 3) for name, (z, _, _) in t.gates.items()} | {"passed": t.passed}
                for t in trained
            },
            **main.config,
        }

    return write


def _train(
    release: Release,
    pool: Mapping[str, np.ndarray],
    seed: int,
    incumbents: Mapping[str, ModelVersion],
    options: TrainOptions,
    report: ReportProgress,
) -> list[TrainedHead]:
    from privacy.engine.moments.baseline import baseline_posterior
    from training.engine.pipeline import train_policy_head, train_single_head

    spec = release.loop_version.spec
    moments = moments_load(release=release)
    policies: dict[str, LinearPolicy] = {head: version_policy(version) for head, version in incumbents.items()}
    if options.head is not None and options.head != MAIN_HEAD:
        alone = train_single_head(
            spec, moments, pool, options.head, seed=seed, incumbents=policies, head_trainer=options.head_trainer
        )
        return [_trained_sub_head(alone, _terms(seed, options.exploration))]
    learned = train_policy_head(
        spec,
        moments,
        baseline_posterior(moments),
        pool,
        seed=seed,
        incumbents=policies,
        sweeps=options.epochs,
        gamma=options.gamma,
        trainer=options.trainer,
        head_trainer=options.head_trainer,
        with_subs=options.head is None,
        report=report,
    )
    return trained_heads(learned, seed, options.exploration)


def trained_heads(learned: Any, seed: int, exploration: float | None = None) -> list[TrainedHead]:
    """Return the training results in the order in which they are written: the policy head, then the others."""
    terms, against_incumbent = _terms(seed, exploration), learned.gate_incumbent
    main = TrainedHead(
        head=MAIN_HEAD,
        arrays=learned.arrays(),
        config=learned.config() | terms,
        gates=_gates(learned.gate.z, None if against_incumbent is None else against_incumbent.z),
        episodes=learned.gate.episodes(),
    )
    return [main, *(_trained_sub_head(sub, terms) for sub in learned.subs.values())]


def _trained_sub_head(sub: Any, terms: Mapping[str, Any]) -> TrainedHead:
    from training.engine.pipeline import evidence_note

    config = {"hinges": False, "gain": float(sub.gain.mean())} | evidence_note(sub.without_evidence)
    return TrainedHead(
        head=sub.head,
        arrays={
            "weights": sub.policy.weights,
            "margin": np.array(0.0),
            "support": np.array(sub.policy.phi.support),
        },
        config=config | dict(terms),
        gates=_gates(sub.z, sub.z_incumbent, sub.bar),
    )


def _terms(seed: int, exploration: float | None) -> dict[str, Any]:
    return {"seed": seed} | ({} if exploration is None else {"exploration": exploration})


def _gates(z: float, incumbent: float | None, bar: float = MODEL_BAR_REFERENCE) -> Gates:
    against_reference = {GATE_REFERENCE: (z, bar, "the reference")}
    if incumbent is None:
        return against_reference
    return against_reference | {GATE_INCUMBENT: (incumbent, MODEL_BAR_INCUMBENT, "the incumbent")}


def _register(release: Release, trained: TrainedHead, kind: str, parent: ModelVersion | None) -> ModelVersion:
    version = version_register(
        loop_version=release.loop_version,
        head=trained.head,
        kind=kind,
        arrays=trained.arrays,
        config=trained.config,
        parent=parent,
        releases=source_releases(release, trained, parent),
    )
    for name, (z, bar, rival) in trained.gates.items():
        ModelMetric.objects.create(
            version=version,
            source=MODEL_GATE,
            name=name,
            value=z,
            threshold=bar,
            verdict="pass" if z >= bar else "insufficient",
            reason="" if z >= bar else _HELD.format(rival),
        )
    TrainingEpisode.objects.bulk_create(
        TrainingEpisode(
            version=version,
            index=i,
            steps=trained.config["gate_steps"],
            candidate_return=candidate,
            reference_return=reference,
            intervention_rate=rate,
        )
        for i, (candidate, reference, rate) in enumerate(trained.episodes)
    )
    judgement_record(version)
    return version


def source_releases(release: Release, trained: TrainedHead, parent: ModelVersion | None) -> set[int]:
    """Return ids of the releases that a version was computed from.

    A policy version also depends on its incumbent's releases, through its step and its stored values.
    """
    releases = {release.pk, *release.parameters.get("earlier", [])}
    if parent is not None and trained.head == MAIN_HEAD:
        releases |= set(parent.releases.values_list("pk", flat=True))
    return releases


def _pool_rows(synthetic_job: SyntheticJob) -> dict[str, np.ndarray]:
    """Load all rows of one synthetic job, in order, and check each chunk against its SHA-256."""
    chunks = [
        unpack_arrays(bytes(c.data), c.data_sha256)
        for c in synthetic_job.chunks.order_by("index").iterator(chunk_size=8)
    ]
    if sum(len(c["action"]) for c in chunks) != synthetic_job.summary["rows"]:
        raise Conflict(
            f"some rows of {synthetic_job} have left the training pool (rows expire after {RECORDS_KEPT.days} days); "
            "run the turn again"
        )
    return {name: np.concatenate([c[name] for c in chunks]) for name in chunks[0]}
