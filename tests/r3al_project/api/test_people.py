"""A service that can name a person can issue itself a device of theirs. Their own refusal and their devices outlast that."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from knox.models import AuthToken

from privacy.models import Consent, DeviceToken, Person, Purpose, VaultEvent
from privacy.services.people.tokens import MOST_DEVICES, tokens_revoke
from privacy.services.vault.verify import vault_audit
from tests.factories.care import care_loop
from tests.factories.users import token_for
from tests.r3al_project.api.documented import call

pytestmark = pytest.mark.django_db
DORA = {"userId": "dora", "loop": "care"}


@pytest.fixture(autouse=True)
def loop() -> None:
    care_loop()


def service(name: str) -> str:
    """The token of an account that may act for people."""
    user = User.objects.create_user(name)
    user.user_permissions.add(Permission.objects.get(codename="serve_people"))
    return token_for(user)


@pytest.fixture
def app() -> str:
    return service("app")


@pytest.fixture
def other() -> str:
    return service("other")


def device(of: str, **more: Any) -> str:
    """A device of dora's that a service registers: its token."""
    return str(call("POST", "people", of, DORA | {"device": True} | more).told["token"])


def say(token: str, **consents: bool) -> Any:
    return call("PUT", "me/consents", token, consents)


def granted() -> dict[str, bool]:
    mask = Person.objects.get().budget.consent_mask
    return {p.value: bool(mask & p.bit) for p in Purpose if mask & p.bit}


def acts() -> list[dict[str, Any]]:
    return [event.body for event in VaultEvent.objects.filter(kind="consent").order_by("sequence")]


class TestOwnRefusal:
    def test_is_not_undone_on_a_device_of_a_service_that_did_not_issue_the_one_that_refused(
        self, app: str, other: str
    ) -> None:
        mine = device(app, consents={"training": True})
        assert say(mine, training=False).status_code == 200
        refused = say(device(other), training=True)
        assert refused.status_code == 403 and refused.told["type"] == "urn:r3al:problem:refused-elsewhere"
        assert list(refused.told["errors"]) == ["training"] and "device of that app" in refused.told["detail"]
        assert granted() == {} and call("GET", "me/consents", mine).told["training"] is False

    def test_is_not_undone_on_a_device_that_the_other_service_issued_before_it(self, app: str, other: str) -> None:
        mine, planted = device(app, consents={"training": True}), device(other)
        say(mine, training=False)
        assert say(planted, training=True).status_code == 403 and granted() == {}

    def test_is_not_undone_after_the_other_service_refused_it_too(self, app: str, other: str) -> None:
        mine, planted = device(app, consents={"training": True}), device(other)
        say(mine, training=False)
        assert say(planted, training=False).status_code == 200
        assert say(planted, training=True).status_code == 403 and granted() == {}

    def test_stands_as_a_whole_if_one_of_several_purposes_is_closed(self, app: str, other: str) -> None:
        say(device(app, consents={"training": True}), training=False)
        assert say(device(other), training=True, evaluation=True).status_code == 403 and granted() == {}

    def test_keeps_nobody_from_withdrawing_in_the_same_form(self, app: str, other: str) -> None:
        mine = device(app, consents={"personalization": True, "training": True, "evaluation": True})
        say(mine, training=False)
        assert say(device(other), personalization=False, training=True, evaluation=False).status_code == 403
        assert granted() == {}

    def test_is_undone_on_the_same_device(self, app: str) -> None:
        mine = device(app, consents={"training": True})
        say(mine, training=False)
        assert say(mine, training=True).status_code == 200 and granted() == {"training": True}

    def test_is_undone_on_a_new_phone_with_the_same_app(self, app: str) -> None:
        """Also when the old phone is gone, and its tokens with it."""
        say(device(app, consents={"training": True}), training=False)
        tokens_revoke(user_ids=[Person.objects.get().account.user_id])
        assert not DeviceToken.objects.exists()
        assert say(device(app), training=True).status_code == 200 and granted() == {"training": True}

    def test_closes_no_other_purpose_and_nothing_after_it_was_undone(self, app: str, other: str) -> None:
        mine = device(app, consents={"training": True})
        say(mine, training=False)
        theirs = device(other)
        assert say(theirs, evaluation=True).status_code == 200
        say(mine, training=True)
        assert say(theirs, training=False).status_code == say(theirs, training=True).status_code == 200

    def test_from_before_issuers_were_stored_is_open_to_every_device(self, app: str, other: str) -> None:
        mine = device(app, consents={"training": True})
        DeviceToken.objects.all().delete()
        say(mine, training=False)
        assert say(device(other), training=True).status_code == 200

    def test_of_a_deleted_account_is_undone_on_any_device_and_of_an_inactive_one_is_not(
        self, app: str, other: str
    ) -> None:
        say(device(app, consents={"training": True}), training=False)
        theirs = device(other)
        User.objects.filter(username="app").update(is_active=False)
        assert say(theirs, training=True).status_code == 403
        User.objects.get(username="app").delete()
        assert say(theirs, training=True).status_code == 200 and granted() == {"training": True}

    def test_in_two_apps_is_undone_by_granting_once_in_each(self, app: str, other: str) -> None:
        mine, theirs = device(app, consents={"training": True}), device(other)
        assert say(mine, training=False).status_code == say(theirs, training=False).status_code == 200
        for _ in range(2):  # a retry gets the same answer, and writes nothing
            refused = say(mine, training=True)
            assert refused.status_code == 403 and "on this app is lifted" in refused.told["detail"]
        assert granted() == {} and [act.get("lifted", False) for act in acts()[1:]] == [False, False, True]
        assert say(theirs, training=True).status_code == 200 and granted() == {"training": True}
        exported = call("GET", "me/export", mine).told["consents"]
        assert [act["lifted"] for act in exported] == [False, False, False, True, False]
        assert vault_audit().broken == ""


class TestTheVault:
    def test_names_the_device_and_who_issued_it(self, app: str, other: str) -> None:
        say(device(app), training=True)
        say(device(other), evaluation=True)
        first, second = acts()
        assert (first["source"], first["issuer"]) == ("app", "app") and second["issuer"] == "other"
        assert len(first["device"]) == 32 and first["device"] != second["device"]
        issued = AuthToken.objects.get(device__issuer_id=User.objects.get(username="other").pk).created
        assert second["issued"].startswith(issued.strftime("%Y-%m-%dT%H:%M:%S"))
        assert not AuthToken.objects.filter(digest__startswith=first["device"]).exists(), "it leads to no token"

    def test_names_the_account_that_reported_a_consent(self, app: str) -> None:
        device(app, consents={"training": True})
        (act,) = acts()
        assert (act["source"], act["account"]) == ("api", "app") and "device" not in act
        assert Consent.objects.get().account_id == User.objects.get(username="app").pk

    def test_shows_the_person_which_device_spoke(self, app: str, other: str) -> None:
        mine = device(app)
        say(device(other), training=True)
        (shown,) = [e["what"] for e in call("GET", "me/vault", mine).told["results"] if e["kind"] == "consent"]
        assert shown["issuer"] == "other"
        exported = call("GET", "me/export", mine).told["consents"][0]
        assert exported["device"] == shown["device"]
        assert exported["account"] == User.objects.get(username="other").pk

    @pytest.mark.parametrize("change", [{"device": "0" * 32}, {"device": ""}, {"account_id": 7}, {"account_id": None}])
    def test_finds_that_somebody_rewrote_who_spoke(self, app: str, change: dict[str, Any]) -> None:
        say(device(app), training=True)
        assert not vault_audit().broken
        Consent.objects.update(**change)
        assert "consents" in vault_audit().broken


class TestDevices:
    def test_of_one_service_put_out_none_of_another(self, app: str, other: str) -> None:
        mine = device(app)
        theirs = [device(other) for _ in range(MOST_DEVICES + 2)]
        works = [call("GET", "me/consents", t).status_code for t in theirs]
        assert works == [401] * 2 + [200] * MOST_DEVICES
        assert call("GET", "me/consents", mine).status_code == 200

    def test_that_a_retry_shows_is_of_the_same_service(self, app: str, other: str) -> None:
        first, again = (
            call("POST", "people", app, DORA | {"device": True}, **{"Idempotency-Key": "k"}).told["token"] for _ in "ab"
        )
        assert first != again and DeviceToken.objects.get().issuer_id == User.objects.get(username="app").pk
        say(again, training=False)
        assert say(device(other), training=True).status_code == 403

    def test_end_with_their_tokens_and_leave_no_row(self, app: str) -> None:
        mine = device(app)
        assert DeviceToken.objects.count() == 1
        call("POST", "me/erasure", mine, {"confirm": True})
        assert not DeviceToken.objects.exists() and not AuthToken.objects.filter(user__username__startswith="person-")
