"""Run in a copy of the product that has one technique more: asks for it everywhere and prints what was answered, as JSON."""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.test import Client  # noqa: E402
from drf_spectacular.generators import SchemaGenerator  # noqa: E402
from knox.models import AuthToken  # noqa: E402

from jobs.models import Job  # noqa: E402
from jobs.services import job_run  # noqa: E402
from loops.selectors import loop_version_current  # noqa: E402
from privacy.engine.anonymize.request import AnonymizeRequest  # noqa: E402
from privacy.models import Release  # noqa: E402
from privacy.services.anonymize.run import anonymize  # noqa: E402
from r3al_project.api import privacy as api  # noqa: E402

NAME = "microaggregation"
BODY = {"dataType": "pulse", "technique": NAME, "loop": "rows", "fields": ["mood"]}


def computed_at_once(job: Job, *, seconds: float) -> Job:
    """A worker that is there at once."""
    job_run(job.pk)
    return Job.objects.get(pk=job.pk)


def by_service() -> dict[str, Any]:
    request = AnonymizeRequest("pulse", NAME, fields=("mood",), options={"group_size": 20})
    release = anonymize(key="service", loop_version=loop_version_current("rows"), request=request)
    return {"state": release.state, "cost": release.policy_cost, "guarantee": release.guarantee, **release.parameters}


def by_api() -> dict[str, Any]:
    token = AuthToken.objects.create(User.objects.get(username="officer"))[1]
    headers = {"Authorization": f"Token {token}"}

    def sent(path: str, **more: Any) -> Any:
        answer = Client().post(f"/api/v1/{path}", BODY | more, content_type="application/json", headers=headers)
        return {"status": answer.status_code, **answer.json()}

    listed = Client().get(f"/api/v1/privacy/releases?technique={NAME}", headers=headers)
    return {
        "made": sent("training/anonymizations", groupSize=40),
        "preview": sent("privacy/releases/preview", groupSize=40),
        "too_small": sent("training/anonymizations", groupSize=1),
        "for_another": sent("training/anonymizations", groupSize=40, technique="generalization"),
        "listed": [r["technique"] for r in listed.json()["results"]],
    }


def by_admin() -> dict[str, Any]:
    client = Client()
    client.force_login(User.objects.get(username="operator"))
    page = client.get("/admin/privacy/release/").content.decode()
    only = client.get(f"/admin/privacy/release/?technique__exact={NAME}").content.decode()
    one = client.get(f"/admin/privacy/release/{Release.objects.latest('pk').pk}/change/").content.decode()
    return {"offered": sorted(set(re.findall(r"technique__exact=(\w+)", page))), "only": NAME in only, "label": one}


def schema() -> dict[str, Any]:
    made: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)
    body = made["components"]["schemas"]["AnonymizeBody"]["properties"]
    return {"document": json.dumps(made), "group_size": body.get("groupSize")}


def main() -> None:
    settings.ALLOWED_HOSTS = ["*"]
    settings.HTTPS = settings.SECURE_SSL_REDIRECT = False
    vars(api)["job_awaited"] = computed_at_once
    told = {"service": by_service(), "api": by_api(), "admin": by_admin(), "schema": schema()}
    sys.stdout.write("\n" + json.dumps(told, default=str))


main()
