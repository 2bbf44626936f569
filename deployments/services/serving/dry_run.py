"""Compute decisions as they would be served with other versions, for a simulated person and without writing anything."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta

import numpy as np

from core import clock
from core.arrays import Floats
from deployments.services.serving.compute_decision import compute_decision
from deployments.services.serving.policy_cache import ServedLoop, served_loop_with
from deployments.services.serving.requests import DecisionRequest
from loops.engine.spec import Availability, Feature, LoopSpec
from loops.models import LoopVersion
from privacy.engine.sealing import Cipher, about_serving_state, new_key, wrap
from privacy.engine.serving_state import PersonServingState, pack_serving_state
from privacy.models import Purpose
from privacy.selectors.keys import master, master_version_current, serving_state_opened
from privacy.services.records.serving_write import decision_sealed
from training.models import ModelVersion

TIMED_CALLS = 400
_STATES, _NOBODY = 200, 0
_COMPUTED = ("since_intervention", "recent_load", "clock")  # dynamics that the platform fills in for the app


def dry_run(*, loop_version: LoopVersion, versions: Mapping[str, ModelVersion], seed: int) -> Callable[[], None]:
    """Return a function that computes one decision with ``versions`` (by head) deployed to everybody.

    Each call uses another state. It does all the work of a served decision: it parses the context, opens and composes the state,
    runs the arbiter, encodes the answer and seals the new state. Only the two database statements are left out. They do not
    depend on the version. States are drawn within the loop's bounds, and the person is always available.
    """
    serving = served_loop_with(loop_version, versions)
    serving = replace(serving, spec=replace(serving.spec, availability=Availability()))
    rng = np.random.default_rng([seed, 4])
    inputs = itertools.cycle([(_request(serving.spec, i, rng), _person(serving, rng)) for i in range(_STATES)])

    def decide() -> None:
        (request, person), now = next(inputs), clock.now()
        opened = serving_state_opened(person, spec=serving.spec, loop_id=serving.loop_version.loop_id, now=now)
        decided, _ = compute_decision(serving, request, person, opened, b"", now)
        decision_sealed(decided)

    return decide


def decision_times(decide: Callable[[], object]) -> Floats:
    """Time single decisions, here and now. Returns (TIMED_CALLS,) in ms, in the order in which they were made."""
    times = np.empty(TIMED_CALLS)
    for i in range(TIMED_CALLS):
        begun = time.perf_counter()
        decide()
        times[i] = (time.perf_counter() - begun) * 1e3
    return times


def _request(spec: LoopSpec, number: int, rng: np.random.Generator) -> DecisionRequest:
    app_features = [f for f in spec.features if f.dynamics not in _COMPUTED]
    return DecisionRequest(
        request_id=f"dry-run-{number}", loop=spec.name, context={f.name: _value(f, rng) for f in app_features}
    )


def _value(feature: Feature, rng: np.random.Generator) -> float | str:
    if feature.is_category:
        return feature.categories[int(rng.integers(len(feature.categories)))]
    return float(rng.uniform(*feature.range))


def _person(serving: ServedLoop, rng: np.random.Generator) -> PersonServingState:
    """Make a person with a data key, a previous state, reported values, and an intervention an hour ago."""
    now, spec = clock.now(), serving.spec
    state = [float(rng.integers(len(f.categories))) if f.is_category else float(_value(f, rng)) for f in spec.features]
    key, version = new_key(), master_version_current()
    return PersonServingState(
        person_id=_NOBODY,
        population=spec.population,
        person_key="0" * 64,
        consent_mask=sum(purpose.bit for purpose in Purpose),
        wrapped=wrap(master(version), key, version=version, person_id=_NOBODY),
        master_version=version,
        memory=Cipher(key).seal(
            pack_serving_state(spec, state, state), about_serving_state(_NOBODY, serving.loop_version.loop_id)
        ),
        observed_at=now,
        local_day=now.date(),
        interventions_today=1,
        last_intervened=True,
        last_intervention_at=now - timedelta(hours=1),
        state_version=1,
        original=None,
    )
