"""Register people for services, and let people see and change what the platform stores about them."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from core.errors import InputError
from deployments.selectors.slots import evidence_units_of
from loops.selectors import DEFAULT_LOOP, loop_version_current
from privacy.models import Purpose
from privacy.models.consent import OWN_SOURCE
from privacy.services.people.accounts import consents_set, person_register
from privacy.services.people.authentication import own_person
from privacy.services.people.devices import Origin, device_origin
from privacy.services.people.erasure import person_erase
from privacy.services.people.export import person_export, vault_events_of
from r3al_project.api.answers.export import MyExportAnswer, my_export_answer
from r3al_project.api.answers.people import (
    BudgetAnswer,
    ConsentsAnswer,
    ConsentsChangedAnswer,
    ErasureAnswer,
    MyVaultAnswer,
    PersonAnswer,
    budget_answer,
    consents_answer,
    consents_changed_answer,
    erasure_answer,
    event_answer,
    person_answer,
)
from r3al_project.api.answers.shape import page_answer
from r3al_project.api.http.api_view import ApiView
from r3al_project.api.http.idempotency import TokenAnswer, idempotent
from r3al_project.api.http.pagination import PageQuery, page_of_table
from r3al_project.api.http.permissions import HasPermission
from r3al_project.api.http.request_bodies import FlagField, IdentifierField, StrictBody, TextField, read_body
from r3al_project.permissions import SERVE_PEOPLE
from training.selectors.versions import versions_trained_on


class Consents(StrictBody):
    personalization = FlagField(required=False)
    training = FlagField(required=False)
    evaluation = FlagField(required=False)


class PersonBody(StrictBody):
    userId = IdentifierField()
    loop = TextField(default=DEFAULT_LOOP, help_text="Any loop of the population that the person belongs to.")
    consents = Consents(required=False)
    textVersion = TextField(default="1", max_length=40)
    device = FlagField(default=False, help_text="Give another device token to a person who is already registered.")


class PeopleView(ApiView):
    """Register a person and their device.

    A retry (``Idempotency-Key``) revokes the token of the lost answer and shows a new one.
    """

    permission_classes = (HasPermission,)
    may = {"POST": SERVE_PEOPLE}

    @extend_schema(request=PersonBody, responses={201: PersonAnswer, 200: PersonAnswer})
    @idempotent
    def post(self, request: Request) -> Response:
        given = read_body(PersonBody, request)
        made = person_register(
            population=loop_version_current(given["loop"]).spec.population,
            identifier=given["userId"],
            consents={Purpose(p): granted for p, granted in given.get("consents", {}).items()},
            text_version=given["textVersion"],
            source="api",
            device=given["device"],
            reporter=Origin(request.user.pk, request.user.get_username()),
        )
        made.person.refresh_from_db()
        return TokenAnswer(
            person_answer(made.person, new=made.new),
            account=made.person.account.user,
            token=made.token,
            expiry=made.expiry,
            status=201 if made.new else 200,
        )


class ConsentsBody(Consents):
    textVersion = TextField(default="1", max_length=40)


class MyConsentsView(ApiView):
    """Show or change the caller's consents. A withdrawal takes effect before the answer is sent.

    What was refused on a device of one app is granted again on a device of that app. Another app's device gets 403
    (``refused-elsewhere``), grants nothing, and lifts what its own app refused of the named purposes. So whoever refused in
    several apps grants once in each, and the last grant takes effect.
    """

    permission_classes = (HasPermission,)
    may = {"GET": "", "PUT": ""}

    @extend_schema(responses=ConsentsAnswer)
    def get(self, request: Request) -> Response:
        return Response(consents_answer(own_person(request.user)))

    @extend_schema(request=ConsentsBody, responses=ConsentsChangedAnswer)
    def put(self, request: Request) -> Response:
        given = read_body(ConsentsBody, request)
        text = given.pop("textVersion")
        if not given:
            raise InputError(f"name at least one consent to change: {', '.join(Purpose.values)}", field="body")
        consents_set(
            person=own_person(request.user),
            consents={Purpose(p): g for p, g in given.items()},
            text_version=text,
            source=OWN_SOURCE,
            by="person",
            origin=device_origin(request.auth),
        )
        me = own_person(request.user)
        affected = versions_trained_on(person_id=me.pk) if given.get("training") is False else None
        return Response(consents_changed_answer(me, affected))


class MyBudgetView(ApiView):
    """Show the caller's privacy budget: policy units by window, and separately the formal lifetime account."""

    permission_classes = (HasPermission,)
    may = {"GET": ""}

    @extend_schema(responses={200: BudgetAnswer})
    def get(self, request: Request) -> Response:
        return Response(budget_answer(own_person(request.user).budget))


class MyVaultView(ApiView):
    """List the Trust Vault's events about the caller, newest first: consents and budget changes.

    Decisions lie in the Trust Vault in sealed batches.
    """

    permission_classes = (HasPermission,)
    may = {"GET": ""}
    queries = {"GET": PageQuery}

    @extend_schema(parameters=[PageQuery], responses={200: MyVaultAnswer})
    def get(self, request: Request) -> Response:
        page = page_of_table(request, self.query, vault_events_of(own_person(request.user)))
        return Response(page_answer(page.next, [event_answer(e) for e in page.entries]))


class MyExportView(ApiView):
    """Export everything that the platform stores about the caller."""

    permission_classes = (HasPermission,)
    may = {"GET": ""}

    @extend_schema(responses={200: MyExportAnswer})
    def get(self, request: Request) -> Response:
        me = own_person(request.user)
        evidence, trained = list(evidence_units_of(me.pk)), versions_trained_on(person_id=me.pk)
        return Response(my_export_answer(person_export(me), evidence, trained))


class ErasureBody(StrictBody):
    confirm = FlagField(help_text="Must be true: the erasure is permanent.")


class MyErasureView(ApiView):
    """Erase the caller: their data key, their rows and their logins.

    Their spent budget stays, so that a new registration does not restore it.
    """

    permission_classes = (HasPermission,)
    may = {"POST": ""}

    @extend_schema(request=ErasureBody, responses={200: ErasureAnswer})
    def post(self, request: Request) -> Response:
        if not read_body(ErasureBody, request)["confirm"]:
            raise InputError("confirm must be true; an erasure cannot be undone", field="confirm")
        me = own_person(request.user)
        trained = versions_trained_on(person_id=me.pk)
        return Response(erasure_answer(person_erase(person_id=me.pk, source="app"), trained))
