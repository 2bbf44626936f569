"""People: registered by services; each sees and changes their own consents and sees their own budget."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.errors import InputError
from deployments.selectors.slots import evidence_summary
from loops.selectors import loop_version_current
from privacy.models import Purpose
from privacy.selectors.budgets import budget_summary
from privacy.services.people.accounts import consents_of, consents_set, person_register
from privacy.services.people.authentication import SERVE, own_person
from privacy.services.people.erasure import person_erase
from privacy.services.people.export import my_events, person_export
from r3al_project.api.answers import BudgetAnswer, ConsentsAnswer, ErasureAnswer, MyExportAnswer, MyVaultAnswer
from r3al_project.api.http.idempotency import TokenAnswer, idempotent
from r3al_project.api.http.permissions import HasPermission
from r3al_project.api.http.request_bodies import StrictBody, read_body
from training.selectors.versions import versions_trained_on


class Consents(StrictBody):
    personalization = serializers.BooleanField(required=False)
    training = serializers.BooleanField(required=False)
    evaluation = serializers.BooleanField(required=False)


class PersonBody(StrictBody):
    userId = serializers.CharField(max_length=200)
    loop = serializers.CharField(default="r3al", help_text="A loop of the population that the person belongs to.")
    consents = Consents(required=False)
    textVersion = serializers.CharField(default="1", max_length=40)
    device = serializers.BooleanField(default=False, help_text="Give a further device token to somebody known.")


class PersonAnswer(serializers.Serializer[Any]):
    new = serializers.BooleanField()
    token = serializers.CharField(allow_null=True, help_text="A device's token, shown this once.")
    expiry = serializers.DateTimeField(allow_null=True)
    consents = Consents()


class PeopleView(APIView):
    """Register a person and their device. A retry (``Idempotency-Key``) revokes the lost answer's token and shows another."""

    permission_classes = (HasPermission,)
    may = {"POST": SERVE}

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
        )
        made.person.refresh_from_db()
        return TokenAnswer(
            {"new": made.new, "consents": consents_of(made.person)},
            account=made.person.account.user,
            token=made.token,
            expiry=made.expiry,
            status=201 if made.new else 200,
        )


class ConsentsBody(Consents):
    textVersion = serializers.CharField(default="1", max_length=40)


class MyConsentsView(APIView):
    """What I have consented to. A withdrawal holds from the answer on."""

    permission_classes = (HasPermission,)
    may = {"GET": "", "PUT": ""}

    @extend_schema(responses=ConsentsAnswer)
    def get(self, request: Request) -> Response:
        return Response(consents_of(own_person(request.user)))

    @extend_schema(request=ConsentsBody, responses=ConsentsAnswer)
    def put(self, request: Request) -> Response:
        given = read_body(ConsentsBody, request)
        text = given.pop("textVersion")
        consents_set(
            person=own_person(request.user),
            consents={Purpose(p): g for p, g in given.items()},
            text_version=text,
            source="app",
        )
        told: dict[str, Any] = dict(consents_of(own_person(request.user)))
        if given.get("training") is False:
            told["affectedModels"] = _models(own_person(request.user).pk)
        return Response(told)


class MyBudgetView(APIView):
    """What my data has been used for, in policy units by window, and apart from them the formal lifetime account."""

    permission_classes = (HasPermission,)
    may = {"GET": ""}

    @extend_schema(responses={200: BudgetAnswer})
    def get(self, request: Request) -> Response:
        return Response(budget_summary(own_person(request.user).budget))


class MyVaultView(APIView):
    """What the vault holds about me: my consents, changes of my budget; decisions lie there as sealed batches."""

    permission_classes = (HasPermission,)
    may = {"GET": ""}

    @extend_schema(responses={200: MyVaultAnswer})
    def get(self, request: Request) -> Response:
        return Response({"events": my_events(own_person(request.user))})


class MyExportView(APIView):
    """Everything that is kept of me."""

    permission_classes = (HasPermission,)
    may = {"GET": ""}

    @extend_schema(responses={200: MyExportAnswer})
    def get(self, request: Request) -> Response:
        me = own_person(request.user)
        return Response(person_export(me) | {"evidence": evidence_summary(me.pk), "models": _models(me.pk)})


class ErasureBody(StrictBody):
    confirm = serializers.BooleanField(help_text="True: erase me for good.")


class MyErasureView(APIView):
    """Erase me: my key, my rows, my logins. What I spent of my budget stays, so that registering anew gives nothing back."""

    permission_classes = (HasPermission,)
    may = {"POST": ""}

    @extend_schema(request=ErasureBody, responses={200: ErasureAnswer})
    def post(self, request: Request) -> Response:
        if not read_body(ErasureBody, request)["confirm"]:
            raise InputError("send confirm: true to be erased; it cannot be undone")
        me = own_person(request.user)
        trained = _models(me.pk)
        gone = person_erase(person_id=me.pk, source="app")
        told = {"signals": gone.signals, "decisions": gone.decisions, "exports": gone.exports}
        return Response({"erased": told, "releases": list(gone.releases), "affectedModels": trained})


def _models(person_id: int) -> list[dict[str, Any]]:
    """The models that a person's data went into: what was learned stays in them, under the guarantee of their releases."""
    found = versions_trained_on(person_id=person_id)
    return [{"versionId": v.name, "name": str(v), "state": v.state, "trainedAt": v.created_at} for v in found]
