"""Every technique through one service: charged first, over exactly the charged, logged for good; bad input charges nobody."""

from __future__ import annotations

import csv
import io
from collections import Counter
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from django.db.models import F
from django.utils import timezone

from core.arrays import unpack_arrays
from core.checksums import sha256_hex
from core.errors import BudgetExceeded, Conflict, InputError, InsufficientData, KeyReused
from loops.models import LoopVersion
from privacy.engine.anonymize.request import AnonymizeRequest
from privacy.engine.dp.accounting import NANO, charge_pure
from privacy.engine.dp.coarse_counts import two_digits
from privacy.engine.sealing import OVERHEAD, CannotOpen
from privacy.models import Decision, ExportKey, LedgerEntry, PrivacyBudget, Release, ReleaseRound, VaultEvent
from privacy.selectors.decisions import charged_person_ids
from privacy.selectors.exports import round_output
from privacy.services.anonymize.export_tables import export_rows_write, statistics
from privacy.services.anonymize.feature_records import feature_records
from privacy.services.anonymize.preview import anonymize_preview
from privacy.services.anonymize.pseudonyms import pseudonyms
from privacy.services.anonymize.run import anonymize_begin
from privacy.services.people.consent import consent_withdraw
from privacy.services.records.signals import SignalInput, signals_add
from tests.factories.anonymize import (
    ALL,
    CENTRAL,
    COARSE,
    GROUPS,
    LOCAL,
    MARGINALS,
    NAMES,
    PEOPLE,
    make_world,
    run,
    spent,
)
from tests.factories.people import UNIT

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def small_cohorts(settings: Any) -> None:
    settings.MIN_COHORT = 10


@pytest.fixture(scope="module")
def world(rows_of_module: None) -> LoopVersion:
    return make_world()


def table(release: Release) -> list[dict[str, str]]:
    out = io.StringIO()
    export_rows_write(release=release, out=out)
    return list(csv.DictReader(io.StringIO(out.getvalue())))


class TestTechniques:
    def test_statistics_are_near_the_truth_with_the_interval_that_they_state(self, world: LoopVersion) -> None:
        release = run(world, replace(CENTRAL, epsilon=1.0))
        told = statistics(release)
        mean = told["columns"]["mood"]["mean"]
        assert mean["low"] < mean["value"] < mean["high"] and mean["high"] - mean["low"] < 2
        assert abs(told["users"] - PEOPLE) < 60 and release.formal_epsilon == 1.0 and release.formal_delta == 1e-6
        assert sum(told["columns"]["place"]["histogram"].values()) == pytest.approx(1.0)
        with pytest.raises(Conflict, match="statistics, not rows"):
            table(release)

    def test_local_rows_are_one_a_person_within_bounds(self, world: LoopVersion) -> None:
        release = run(world, LOCAL)
        rows = table(release)
        assert len(rows) == PEOPLE and {r["place"] for r in rows} <= {"home", "office", "street"}
        assert all(-1 <= float(r["mood"]) <= 1 for r in rows)
        assert (release.formal_epsilon, release.formal_delta, release.neighbouring) == (
            1.0,
            0.0,
            "replace one user's values",
        )
        assert release.rho == charge_pure(epsilon=1.0, maximum=1.0).rho_nano

    def test_more_rows_of_a_person_share_the_epsilon(self, world: LoopVersion) -> None:
        release = run(world, replace(LOCAL, rows=2, epsilon=0.5))
        assert len(table(release)) == 2 * PEOPLE and release.formal_epsilon == 0.5
        one, two = run(world, replace(LOCAL, epsilon=0.5), "two"), release
        assert (two.information_loss or 0) > (one.information_loss or 0)

    @pytest.mark.parametrize("left", [0, 1])
    def test_how_many_records_somebody_has_changes_no_number_that_is_told(self, world: LoopVersion, left: int) -> None:
        release = run(world, replace(LOCAL, rows=2, epsilon=0.5))
        somebody = charged_person_ids(release=release)[3]
        gone = Decision.objects.filter(person_id=somebody).order_by("decided_at").values("pk")[: 2 - left]
        Decision.objects.filter(pk__in=list(gone.values_list("pk", flat=True))).delete()
        heard = [
            SignalInput("a", "pulse", timezone.now(), {"mood": 0.5})
        ]  # no whole record, but enough to be among the people
        signals_add(loop_version=world, person_id=int(somebody), signals=heard)
        fewer = run(world, replace(LOCAL, rows=2, epsilon=0.5), "two")
        assert len(table(fewer)) == len(table(release)) == 2 * PEOPLE
        assert (fewer.rows_in, fewer.rows_out) == (release.rows_in, release.rows_out)

    def test_local_rows_do_not_keep_the_order_of_people(self, world: LoopVersion) -> None:
        rows = [float(r["mood"]) for r in table(run(world, replace(LOCAL, fields=("mood",))))]
        assert rows == sorted(rows) and len(set(rows)) > 1

    def test_every_class_holds_k_people(self, world: LoopVersion) -> None:
        rows = table(run(world, replace(GROUPS, rows=2)))
        assert len(rows) == 2 * PEOPLE
        classes = Counter((r["mood"], r["place"]) for r in rows)
        assert min(classes.values()) >= 5 and len(classes) > 3

    def test_the_sensitive_value_is_published_and_differs_within_a_class(self, world: LoopVersion) -> None:
        rows = table(run(world, replace(GROUPS, options={"k": 5, "sensitive": "place", "diversity": 2})))
        classes: dict[str, set[str]] = {}
        for row in rows:
            classes.setdefault(row["mood"], set()).add(row["place"])
        assert min(map(len, classes.values())) >= 2

    def test_pseudonyms_tell_nothing_and_differ_from_epoch_to_epoch(self, world: LoopVersion) -> None:
        first, again, other = (
            {r["pseudonym"] for r in table(run(world, replace(NAMES, options={"epoch": epoch}), key))}
            for key, epoch in (("1", "spring"), ("2", "spring"), ("3", "summer"))
        )
        assert len(first) == PEOPLE and first == again and not first & other
        assert all(name.startswith("summer:") and len(name) == 39 for name in other)
        pk = PrivacyBudget.objects.values_list("pk", flat=True)[0]
        by_purpose = [pseudonyms([pk], purpose=p, epoch="e").tolist() for p in ("training", "research")]
        assert by_purpose[0] != by_purpose[1]

    def test_categories_become_their_parents_and_numbers_their_bins(self, world: LoopVersion) -> None:
        assert {r["place"] for r in table(run(world, COARSE))} == {"indoors", "outdoors"}
        rows = table(run(world, replace(COARSE, data_type="feature"), "two"))
        assert {r["mood"] for r in rows} == {"-1..-0.5", "-0.5..0", "0..0.5", "0.5..1"}

    @pytest.mark.parametrize("wanted", ALL)
    def test_the_log_states_all_and_the_vault_knows(self, world: LoopVersion, wanted: AnonymizeRequest) -> None:
        release = run(world, wanted)
        assert (
            release.state == "committed" and release.guarantee and release.parameters["data_type"] == wanted.data_type
        )
        assert LedgerEntry.objects.filter(release=release).count() == PEOPLE
        assert (release.rho is None) == (release.formal_epsilon is None)
        if wanted not in (CENTRAL, MARGINALS):
            assert release.rows_in == release.rows_out == two_digits(PEOPLE) and release.information_loss is not None
        recorded = VaultEvent.objects.filter(kind="release", body__release=release.pk).order_by("pk")
        assert [e.body.get("state") for e in recorded] == ["reserved", None, "committed"], "charged, stored, committed"

    @pytest.mark.parametrize("wanted", [GROUPS, NAMES, COARSE])
    def test_without_a_formal_meaning_the_formal_account_ends(
        self, world: LoopVersion, wanted: AnonymizeRequest
    ) -> None:
        release = run(world, wanted)
        budget = PrivacyBudget.objects.all()[0]
        assert release.rho is None and budget.rho_spent == 0 and budget.formal_void_at == release.created_at
        assert "no differential-privacy meaning" in release.guarantee
        cost = {"k_anonymity": 0.3, "pseudonymization": 0.1, "generalization": 0.2}[wanted.technique]
        assert release.policy_cost == round(cost * NANO) == budget.spent_lifetime


class TestWho:
    def test_at_most_so_many_people_and_only_they_are_charged(self, world: LoopVersion) -> None:
        release = run(world, replace(LOCAL, samples=20))
        assert len(table(release)) == LedgerEntry.objects.count() == 20

    def test_two_samples_differ(self, world: LoopVersion) -> None:
        one, two = (
            set(charged_person_ids(release=run(world, replace(NAMES, samples=40), key)).tolist()) for key in ("1", "2")
        )
        assert one != two  # by chance alike in one of 10^23

    def test_whoever_withdrew_or_has_spent_all_is_left_out(self, world: LoopVersion) -> None:
        some = list(PrivacyBudget.objects.values_list("pk", flat=True)[:10])
        consent_withdraw(person_ids=some[:5], purposes=["training"], source="test")  # type: ignore[list-item]
        PrivacyBudget.objects.filter(pk__in=some[5:]).update(spent_day=9 * UNIT)
        assert len(table(run(world, NAMES))) == 70

    @pytest.mark.parametrize("wanted", [NAMES, GROUPS], ids=["pseudonyms", "classes"])
    def test_where_everybodys_cap_is_full_the_cap_is_named(self, world: LoopVersion, wanted: AnonymizeRequest) -> None:
        PrivacyBudget.objects.update(spent_day=F("cap_day"))
        with pytest.raises(
            BudgetExceeded, match=r"own cap for the day( or the \w+)* has no room; the first budget renews on"
        ):
            run(world, wanted)

    def test_a_preview_charges_nothing(self, world: LoopVersion) -> None:
        found = anonymize_preview(loop_version=world, request=CENTRAL)
        assert found.policy_units == 1.0 and found.formal_epsilon == 1.0 and spent() == (0, 0)
        assert not Release.objects.exists()

    def test_signals_are_records_too(self, world: LoopVersion) -> None:
        pk = PrivacyBudget.objects.values_list("pk", flat=True)[0]
        now = timezone.now()
        heard = [
            SignalInput("a", "emotion", now, {"mood": 0.25, "place": "street"}),
            SignalInput("b", "emotion", now, {"mood": 0.5}),  # lacks the place
        ]
        signals_add(loop_version=world, person_id=pk, signals=heard)
        from privacy.engine.anonymize.columns import columns_of

        found = feature_records(
            loop_version=world, data_type="emotion", person_ids=[pk], columns=columns_of(world.spec), rows=9
        )
        assert found.values.tolist() == [[0.25, 2.0]] and found.left_out == 1


BAD: list[tuple[AnonymizeRequest, str]] = [
    (replace(CENTRAL, epsilon=0.0), "above 0"),
    (replace(CENTRAL, epsilon=-1.0), "above 0"),
    (replace(CENTRAL, epsilon=float("nan")), "finite"),
    (replace(CENTRAL, epsilon=1e-320), "above 0"),
    (replace(CENTRAL, epsilon=1.5), "MAX_PRIVACY_EPSILON"),
    (replace(LOCAL, epsilon=1.5), "MAX_PRIVACY_EPSILON"),
    (replace(LOCAL, epsilon=float("inf")), "finite"),
    (replace(CENTRAL, delta=1.0), "delta"),
    (replace(CENTRAL, delta=2e-5), "MAX_PRIVACY_DELTA"),
    (replace(CENTRAL, epsilon=0.01, delta=0.3), "MAX_PRIVACY_DELTA"),
    (replace(CENTRAL, fields=("weight",)), "no feature"),
    (replace(CENTRAL, fields=()), "fields is empty"),
    (replace(CENTRAL, technique="magic"), "technique is 'magic'"),
    (replace(CENTRAL, data_type="dreams"), "dataType is 'dreams'"),
    (replace(CENTRAL, mode="remote"), "mode is 'remote'"),
    (replace(CENTRAL, samples=0), "sampleCount"),
    (replace(LOCAL, rows=0), "rowsPerPerson"),
    (replace(GROUPS, options={"k": 1}), "k is 1"),
    (replace(GROUPS, options={"k": 81}), "at least 81 people"),
    (replace(GROUPS, options={"k": 30}, samples=20), "k is 30, but sampleCount allows only 20 people"),
    (replace(GROUPS, options={"diversity": 2}), "sensitive"),
    (replace(GROUPS, options={"sensitive": "mood", "diversity": 2}), "categories among the fields"),
    (replace(GROUPS, options={"k": 5, "sensitive": "place", "diversity": 4}), "different|distinct|divers"),
    (replace(NAMES, options={"epoch": "a b"}), "epoch"),
    (replace(COARSE, fields=("mood",)), "category"),
    (replace(NAMES, data_type="emotion"), "emotion|import signals|decision"),
    (replace(NAMES, samples=9), "at least 10 people"),
    (replace(GROUPS, options={"sensitive": "place"}, fields=("place",)), "name at least one other field"),
    *((replace(wanted, data_type="emotion", fields=None, samples=100), "import signals|decision") for wanted in ALL),
]


@pytest.mark.parametrize(("wanted", "said"), BAD)
def test_bad_input_says_what_is_wrong_and_charges_nobody(
    world: LoopVersion, wanted: AnonymizeRequest, said: str
) -> None:
    with pytest.raises((InputError, BudgetExceeded, InsufficientData), match=said):
        run(world, wanted)
    assert spent() == (0, 0)
    assert not PrivacyBudget.objects.filter(formal_void_at__isnull=False).exists()
    assert not Release.objects.exclude(state="refunded").exists()


class TestRetries:
    @pytest.mark.parametrize("wanted", ALL)
    def test_a_retry_is_the_first_again(self, world: LoopVersion, wanted: AnonymizeRequest) -> None:
        first = run(world, wanted)
        blob = bytes(ReleaseRound.objects.get().output)
        before = spent()
        assert run(world, wanted) == first and bytes(ReleaseRound.objects.get().output) == blob and spent() == before

    @pytest.mark.parametrize("wanted", ALL)
    def test_rows_are_stored_sealed_and_statistics_as_they_are(
        self, world: LoopVersion, wanted: AnonymizeRequest
    ) -> None:
        stored = run(world, wanted).rounds.get()
        plain, output = round_output(stored), bytes(stored.output)
        assert sha256_hex(plain) == stored.output_sha256
        if stored.expires_at is None:
            assert output == plain and not ExportKey.objects.exists()
            return
        assert len(output) == len(plain) + OVERHEAD
        numbers = [a.tobytes() for a in unpack_arrays(plain).values() if a.nbytes > 64]
        assert numbers and not any(part[:64] in output for part in numbers)
        ExportKey.objects.all().delete()
        with pytest.raises(CannotOpen, match="the key of the rows"):
            round_output(ReleaseRound.objects.get())

    def test_a_retry_for_something_else_is_refused(self, world: LoopVersion) -> None:
        run(world, LOCAL)
        for other in (replace(LOCAL, epsilon=0.5), GROUPS, replace(LOCAL, rows=2)):
            with pytest.raises(KeyReused, match="use a new key"):
                run(world, other)
        assert Release.objects.count() == 1

    def test_what_was_charged_and_not_finished_is_finished_over_the_same_people(self, world: LoopVersion) -> None:
        release = anonymize_begin(
            key="one", loop_version=world, request=replace(LOCAL, samples=30)
        )  # and then it is killed
        charged, before = charged_person_ids(release=release).tolist(), spent()
        assert release.state == "reserved" and len(charged) == 30
        assert run(world, replace(LOCAL, samples=30)).state == "committed"
        assert charged_person_ids(release=release).tolist() == charged and spent() == before

    def test_a_month_that_ends_between_two_tries_does_not_make_another_request(
        self, world: LoopVersion, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, this_month = run(world, replace(NAMES, options={})), f"{timezone.now():%Y-%m}"
        monkeypatch.setattr("privacy.services.anonymize.run._today", lambda: date(2999, 1, 1))
        assert run(world, replace(NAMES, options={"epoch": ""})) == first and first.parameters["epoch"] == this_month
        with pytest.raises(KeyReused, match="another parameters"):
            run(world, replace(NAMES, options={"epoch": "2999-01"}))
