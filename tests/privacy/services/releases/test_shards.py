"""Shards of people, summed by real processes: the very same integers as in one piece, one draw of noise, one charge."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.db import connections

from loops.models import LoopVersion
from privacy.engine.anonymize import central_dp as central
from privacy.engine.anonymize.central_dp import central_totals
from privacy.engine.dp.mechanisms import Totals, add_totals, noise_once
from privacy.engine.moments.rounds import baseline_totals, count_totals, effect_totals, residual_baseline
from privacy.models import LedgerEntry, Purpose, Release
from privacy.selectors.decisions import charged_person_ids, evaluation_folds
from privacy.selectors.releases import consenting_person_ids
from privacy.services.anonymize.compute import release_columns, shard_records
from privacy.services.anonymize.run import anonymize
from privacy.services.people.consent import consent_withdraw
from privacy.services.records.import_file import signals_import
from privacy.services.releases import moments, shards
from privacy.services.releases.lifecycle import release_reserve, round_load
from privacy.services.releases.moments import BASELINE, moments_release, release_plan
from privacy.services.releases.shards import shard_rows, shards_of
from tests.factories.anonymize import CENTRAL
from tests.factories.walks import walks_csv, walks_loop

pytestmark = pytest.mark.django_db(transaction=True)
SHARDS, PROCESSES = 7, 3


@pytest.fixture
def world(tmp_path: Path, settings: Any) -> LoopVersion:
    """Six hundred people with ten decisions each."""
    settings.MIN_COHORT = 10
    version = walks_loop(tmp_path)
    consents = [Purpose.TRAINING, Purpose.EVALUATION]
    report = signals_import(path=walks_csv(tmp_path / "walks.csv"), loop_version=version, consents=consents)
    assert report.as_dict()["added"] == 6_000
    return version


def seven(release: Release) -> list[np.ndarray]:
    people = charged_person_ids(release=release)
    parts = shards_of(people, size=-(-len(people) // SHARDS))
    assert len(parts) == SHARDS and np.array_equal(np.concatenate(parts), people)
    return parts


def in_processes(work: Any, parts: list[np.ndarray]) -> Iterator[Any]:
    """Each shard in one of several processes with database connections of its own; in whatever order they end."""
    connections.close_all()
    with ProcessPoolExecutor(
        PROCESSES, mp_context=multiprocessing.get_context("fork"), initializer=connections.close_all
    ) as pool:
        yield from [future.result() for future in [pool.submit(work, part) for part in parts][::-1]]


def three_rounds(pk: int, people: np.ndarray) -> tuple[Totals, Totals, Totals]:
    """What a process that knows the release's number alone sums over a shard, by the rounds that are stored."""
    release = Release.objects.select_related("loop_version__loop").get(pk=pk)
    made, earlier = release_plan(release)
    theta = residual_baseline(made, round_load(release=release, index=BASELINE) or {}, earlier)
    rows = shard_rows(release, people)
    return count_totals(made.layout.spec, rows), baseline_totals(made, rows), effect_totals(made, theta, rows)


def statistics(pk: int, people: np.ndarray) -> Totals | None:
    release = Release.objects.select_related("loop_version__loop").get(pk=pk)
    columns = release_columns(release)
    records = shard_records(release, people, columns, 1_000)
    return central_totals(records.values, records.people, columns) if len(records.values) else None


def release_moments(version: LoopVersion, key: str) -> Release:
    return moments_release(
        key=key, loop_version=version, epsilon=1.0, delta=1e-5, explored_share=1.0, report=lambda *_: None
    )


def spied(monkeypatch: pytest.MonkeyPatch, module: Any, *names: str) -> list[Totals]:
    """The totals that are noised, in order."""
    seen: list[Totals] = []
    for name in names:
        noised = getattr(module, name)

        def spy(*given: Any, noised: Any = noised) -> Any:
            seen.extend(a for a in given if isinstance(a, Totals))
            return noised(*given)

        monkeypatch.setattr(module, name, spy)
    return seen


def same(one: Totals, other: Totals) -> None:
    assert list(one.blocks) == list(other.blocks)
    for name, total in one.blocks.items():
        assert total.dtype == np.int64 and np.array_equal(total, other.blocks[name]), name


def test_seven_shards_in_three_processes_sum_to_the_same_integers_as_one(
    world: LoopVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = spied(monkeypatch, moments, "release_counts", "release_baseline", "release_effects")
    release = release_moments(world, "one")
    parts = list(in_processes(partial(three_rounds, release.pk), seven(release)))
    assert len(whole) == 3 and len(parts) == SHARDS
    for index, total in enumerate(whole):
        same(total, add_totals(part[index] for part in parts))
        assert any(t.any() for t in total.blocks.values())


def test_statistics_do_so_too(world: LoopVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = spied(monkeypatch, central, "central_release")
    release = anonymize(key="one", loop_version=world, request=CENTRAL)
    parts = in_processes(partial(statistics, release.pk), seven(release))
    same(whole[0], add_totals(part for part in parts if part is not None))


@pytest.mark.parametrize("kept", [0, 1_000, 1_000_000])
def test_the_service_in_shards_charges_the_same_and_draws_noise_once_a_block(
    world: LoopVersion, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    read, drawn = [], []

    def reading(release: Release, people: np.ndarray) -> Any:
        read.append(len(people))
        return shard_rows(release, people)

    def drawing(total: np.ndarray, **how: Any) -> Any:
        drawn.append(len(total))
        return noise_once(total, **how)

    monkeypatch.setattr(shards, "PEOPLE_A_SHARD", 30)
    monkeypatch.setattr(shards, "ROWS_KEPT", kept)
    monkeypatch.setattr(shards, "shard_rows", reading)
    monkeypatch.setattr("privacy.engine.dp.mechanisms.noise_once", drawing)
    release = release_moments(world, "shards")
    charged = LedgerEntry.objects.filter(release=release)
    pieces = -(-charged.count() // 30)
    fewest, most = {0: (3 * pieces, 3 * pieces), 1_000: (pieces + 1, 3 * pieces - 1), 1_000_000: (pieces, pieces)}[kept]
    assert max(read) == 30 and pieces > SHARDS and fewest <= len(read) <= most
    stored = [round_load(release=release, index=i) or {} for i in range(3)]
    blocks = [name for r in stored for name in r if name.endswith("_rho")]
    assert len(drawn) == len(blocks) and set(charged.values_list("rho", flat=True)) == {release.rho}
    assert sum(float(r[name][0]) for r in stored for name in r if name.endswith("_rho")) <= (release.rho or 0) / 1e9


@pytest.mark.parametrize("kept", [0, 1_000_000])
def test_who_withdraws_between_two_rounds_is_in_no_later_round(
    world: LoopVersion, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    summed: dict[str, list[int]] = {"count_totals": [], "baseline_totals": [], "effect_totals": []}
    monkeypatch.setattr(shards, "PEOPLE_A_SHARD", 30)
    monkeypatch.setattr(shards, "ROWS_KEPT", kept)
    for name, users in summed.items():
        totals = getattr(moments, name)

        def counting(*given: Any, totals: Any = totals, users: list[int] = users) -> Any:
            users.append(given[-1].users)
            return totals(*given)

        monkeypatch.setattr(moments, name, counting)

    def withdraw(_: float, text: str) -> None:
        people = {"baseline moments": slice(0, 20), "action effects": slice(20, 25)}.get(text)
        if people is not None:
            ids = LedgerEntry.objects.order_by("person_id").values_list("person_id", flat=True)[people]
            consent_withdraw(person_ids=list(ids), purposes=[Purpose.TRAINING], source="app")

    release = moments_release(
        key="one", loop_version=world, epsilon=1.0, delta=1e-5, explored_share=1.0, report=withdraw
    )
    charged = LedgerEntry.objects.filter(release=release).count()
    assert [sum(users) for users in summed.values()] == [charged, charged - 20, charged - 25]


def test_who_withdraws_after_the_charge_is_not_judged(world: LoopVersion) -> None:
    release = release_reserve(
        key="one", loop_version=world, purpose=Purpose.EVALUATION, folds=evaluation_folds(world.spec), epsilon=0.5,
        delta=1e-5, mechanism="test", parameters={},
    )  # fmt: skip
    charged = charged_person_ids(release=release)
    gone = charged[:3].tolist()
    consent_withdraw(person_ids=gone, purposes=[Purpose.EVALUATION], source="app")
    consent_withdraw(person_ids=charged[3:6].tolist(), purposes=[Purpose.TRAINING], source="app")
    assert np.array_equal(consenting_person_ids(release=release), charged[3:])
    assert np.array_equal(consenting_person_ids(release=release, among=charged[1:5]), charged[3:5])
    assert len(consenting_person_ids(release=release, among=charged[:0])) == 0
