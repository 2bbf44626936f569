"""Training: fitted Q-iteration for policy and bandits for the other heads, from released moments and the pool's synthetic rows;
then the model gates. The result is a model version a head.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
from training.engine.trainers.registry import CONTEXTUAL_BANDITS, FITTED_Q
from training.models import MODEL_GATE, ModelMetric, ModelVersion, SyntheticJob, TrainingEpisode
from training.selectors.versions import version_policy
from training.services.registry import version_register

GATE_REFERENCE, GATE_INCUMBENT = "model_gate_z", "model_gate_z_incumbent"
Gates = dict[str, tuple[float, float, str]]
_HELD = "the release does not make us sure enough that this beats {}; keep what serves"


@dataclass(frozen=True)
class TrainOptions:
    """What an operator asked of a turn: a bound of fitted Q-iteration's sweeps, a discount to try beside the grid, and the share
    to explore once what is trained serves (None: what the loop declares). ``trainer`` and ``sub_trainer``: names of
    ``training.engine.trainers.registry``, of policy's and of the other heads' trainer.
    """

    epochs: int | None = None
    gamma: float | None = None
    exploration: float | None = None
    trainer: str = FITTED_Q
    sub_trainer: str = CONTEXTUAL_BANDITS


@dataclass(frozen=True)
class TrainedHead:
    """What training found for one head, before it is written. ``gates``: metric name -> (z, bar, what it must beat)."""

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
    """Train every head of the loop; the returned write registers a version a head with its model gates.

    ``incumbents``: learned versions that serve now, by head, in the loop's present features and actions.
    """
    trained = _train(release, _pool_rows(synthetic_job), seed, incumbents, options, report)

    @transaction.atomic
    def write() -> dict[str, Any]:
        made = {t.head: _register(release, t, incumbents.get(t.head)) for t in trained}
        main = trained[0]
        return {
            "version": made[MAIN_HEAD].pk,
            "versions": {head: version.pk for head, version in made.items()},
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
    from training.engine.pipeline import train_policy_head

    spec = release.loop_version.spec
    moments = moments_load(release=release)
    serving: dict[str, LinearPolicy] = {head: version_policy(version) for head, version in incumbents.items()}
    learned = train_policy_head(
        spec,
        moments,
        baseline_posterior(moments),
        pool,
        seed=seed,
        incumbents=serving,
        sweeps=options.epochs,
        gamma=options.gamma,
        trainer=options.trainer,
        sub_trainer=options.sub_trainer,
        report=report,
    )
    return trained_heads(learned, seed, options.exploration)


def trained_heads(learned: Any, seed: int, exploration: float | None = None) -> list[TrainedHead]:
    """Policy first, then the other heads, as they will be written."""

    def gates(z: float, incumbent: float | None, bar: float = MODEL_BAR_REFERENCE) -> Gates:
        found = {GATE_REFERENCE: (z, bar, "the reference")}
        if incumbent is None:
            return found
        return found | {GATE_INCUMBENT: (incumbent, MODEL_BAR_INCUMBENT, "what serves now")}

    terms: dict[str, Any] = {"seed": seed} | ({} if exploration is None else {"exploration": exploration})
    against = learned.gate_incumbent
    main = TrainedHead(
        head=MAIN_HEAD,
        arrays=learned.arrays(),
        config=learned.config() | terms,
        gates=gates(learned.gate.z, None if against is None else against.z),
        episodes=learned.gate.episodes(),
    )
    others = [
        TrainedHead(
            head=sub.head,
            arrays={"weights": sub.policy.weights, "margin": np.array(0.0)},
            config={"hinges": False, "gain": float(sub.gain.mean())} | terms,
            gates=gates(sub.z, sub.z_incumbent, sub.bar),
        )
        for sub in learned.subs.values()
    ]
    return [main, *others]


def _register(release: Release, trained: TrainedHead, parent: ModelVersion | None) -> ModelVersion:
    version = version_register(
        loop_version=release.loop_version,
        head=trained.head,
        arrays=trained.arrays,
        config=trained.config,
        parent=parent,
    )
    version.releases.set(learned_from(release, trained, parent))
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
            candidate_return=ours,
            reference_return=theirs,
            intervention_rate=rate,
        )
        for i, (ours, theirs, rate) in enumerate(trained.episodes)
    )
    return version


def learned_from(release: Release, trained: TrainedHead, parent: ModelVersion | None) -> set[int]:
    """Releases of which the version is a function. Policy's is also one of what served: its step and its stored values are."""
    learned = {release.pk, *release.parameters.get("earlier", [])}
    if parent is not None and trained.head == MAIN_HEAD:
        learned |= set(parent.releases.values_list("pk", flat=True))
    return learned


def _pool_rows(synthetic_job: SyntheticJob) -> dict[str, np.ndarray]:
    """All rows of one synthetic job, chunks checked against their hashes and put together in order."""
    chunks = [
        unpack_arrays(bytes(c.data), c.data_sha256)
        for c in synthetic_job.chunks.order_by("index").iterator(chunk_size=8)
    ]
    if sum(len(c["action"]) for c in chunks) != synthetic_job.sample_count:
        raise Conflict(
            f"{synthetic_job} is no longer whole in the pool (rows expire after {RECORDS_KEPT.days} days); run the turn again"
        )
    return {name: np.concatenate([c[name] for c in chunks]) for name in chunks[0]}
