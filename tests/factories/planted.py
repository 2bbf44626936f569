"""Rows whose truth is planted: two numbers, one of which an action moves; reward and change are linear in the state."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from core.arrays import Floats
from loops.engine.policies.linear import LinearPolicy
from loops.engine.spec import Feature, Head, ImportHead, ImportMap, LoopSpec, MomentsOptions, Reward
from privacy.engine.moments.null_population import LoggingPolicy, null_rows
from privacy.engine.moments.rows import ReleaseRows


def planted_spec(*, subs: bool = True, features: str | None = "linear") -> LoopSpec:
    """Mood (learned) and energy (drift); policy may speak, and if it does, tone chooses."""
    tone = Head("tone", ("warm", "calm"), "warm", (0.5, 0.5), when="intervening")
    return LoopSpec(
        name="planted",
        version=1,
        title="Planted",
        population="planted",
        decisions_per_day=4,
        features=(
            Feature("mood", "learned", bounds=(-1.0, 1.0), scale=0.2),
            Feature("energy", "drift", bounds=(0.0, 1.0), scale=0.2),
        ),
        heads=(Head("policy", ("wait", "speak"), "wait", (0.6, 0.4)), *((tone,) if subs else ())),
        reward=Reward(scale=1.0),
        moments=MomentsOptions(features=features),  # type: ignore[arg-type]
        imports=ImportMap(
            user="u", key=("u",), time="t", features={}, heads={"policy": ImportHead("a")}, reward={"total": "r"},
            next_state="next_row",
        ),
    )  # fmt: skip


REFERENCE = np.array([0.5, 0.2, -0.3])  # of the reward, on (1, mood, energy)
EFFECT = np.array([0.3, 0.0, 0.8])  # of speaking: good with energy, bad without
TONE = np.array([0.0, 0.6, 0.0])  # of calm over warm: good in a good mood


def planted_rows(
    spec: LoopSpec, rng: np.random.Generator, *, copies: int = 5, served: LinearPolicy | None = None, share: float = 1.0
) -> ReleaseRows:
    """Rows of 2,000 people (32 decision points) with the truth above; ``served`` chooses what is not explored."""
    parts = []
    for _ in range(copies):
        parts.append(null_rows(spec, decisions=32, logged=LoggingPolicy(share, served)))
    rows = _together(parts)
    order = rng.permutation(rows.users)
    n = len(rows.state)
    phi = np.column_stack([np.ones(n), rows.state[:, 0], rows.state[:, 1] * 2 - 1])
    reward = phi @ REFERENCE + (rows.action == 1) * (phi @ EFFECT) + rng.normal(size=n) * 0.5
    if "tone" in rows.subs:
        reward = reward + (rows.subs["tone"].action == 1) * (phi @ TONE)
    assert order.size == rows.users
    return replace(rows, reward=reward)


def _together(parts: list[ReleaseRows]) -> ReleaseRows:
    """The people of several parts as one population."""
    first, people = parts[0], [p.users for p in parts]
    offsets = np.cumsum([0, *people[:-1]])

    def joined(values: list[np.ndarray]) -> np.ndarray:
        return np.concatenate(values)

    return ReleaseRows(
        person=joined([p.person + o for p, o in zip(parts, offsets, strict=True)]),
        **{
            name: joined([getattr(p, name) for p in parts])
            for name in ("state", "next_state", "has_next", "dropped_out", "action", "propensity", "explored", "reward")
        },
        subs={
            h: type(s)(
                *(joined([getattr(p.subs[h], part) for p in parts]) for part in ("action", "propensity", "explored"))
            )
            for h, s in first.subs.items()
        },
    )


def conditional(rows: ReleaseRows, spec: LoopSpec) -> ReleaseRows:
    """With propensities given the exploration flag, as a release reads them."""
    logging = np.array(spec.head("policy").logging)
    return replace(rows, propensity=np.where(rows.explored, logging[rows.action], 1.0))


def close(found: Floats, truth: Floats, tolerance: float) -> bool:
    """Whether every coefficient is within ``tolerance`` of the truth."""
    return bool(np.abs(found - truth).max() <= tolerance)
