"""Two web processes as they are served: a retry to either is the same answer, and both follow a swap."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from django.conf import settings

from deployments.models import ServingSlot
from privacy.models import Decision, PrivacyBudget, Purpose, ServedDecision
from tests.factories.care import CONTEXT, care_loop, person
from tests.factories.versions import ALWAYS_WALK, TALK_IN_A_GOOD_MOOD, learned, serve
from tests.r3al_project.api.api_calls import URL
from tests.races import in_threads
from tests.stack import PATIENCE, Stack, web_processes

pytestmark = pytest.mark.django_db(transaction=True)
CONSENTS = "/api/v1/me/consents"


@pytest.fixture
def port(stack: Stack, tmp_path: Path) -> Iterator[int]:
    with web_processes(stack, tmp_path / "web.log", workers=2) as found:
        yield found


def asked(port: int, token: str, request_id: str) -> bytes:
    """The answer's bytes, over a connection of its own."""
    body = json.dumps({"requestId": request_id, "loop": "care", "context": CONTEXT})
    headers = {"Authorization": f"Token {token}", "Content-Type": "application/json"}
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("POST", URL, body, headers)
        answer = connection.getresponse()
        told = answer.read()
    assert answer.status == 200, told
    return told


def test_a_request_that_is_sent_many_times_at_once_is_decided_once(port: int) -> None:
    care_loop()
    _, token = person("ann")
    answers = in_threads(lambda i: asked(port, token, f"r{i // 12}"), range(48), threads=12)
    assert [len(set(answers[i : i + 12])) for i in range(0, 48, 12)] == [1, 1, 1, 1]
    assert Decision.objects.count() == ServedDecision.objects.count() == 4


def test_both_processes_follow_a_swap(port: int) -> None:
    """Each re-reads its slots once a second; waited for, not timed, since a busy machine proves nothing."""
    loop = care_loop()
    _, token = person("ann")
    one, two = learned(loop, "policy", TALK_IN_A_GOOD_MOOD), learned(loop, "policy", ALWAYS_WALK)
    serve(one)

    def serving(name: str) -> set[int]:
        return {json.loads(asked(port, token, f"{name}-{i}"))["versions"]["policy"] for i in range(12)}

    assert serving("before") == {one.pk}
    ServingSlot.objects.filter(head="policy").update(stable=two, generation=99)
    end, turn = time.monotonic() + PATIENCE, 0
    while serving(f"after-{turn}") != {two.pk}:
        assert time.monotonic() < end
        turn += 1


def test_a_body_whose_length_is_not_said_is_read_and_not_taken_for_an_empty_one(port: int) -> None:
    care_loop()
    pk, token = person("ann")
    headers = {"Authorization": f"Token {token}", "Content-Type": "application/json", "Transfer-Encoding": "chunked"}
    for method, path, body in (
        ("PUT", CONSENTS, {"training": False}),
        ("POST", URL, {"requestId": "r1", "loop": "care", "context": CONTEXT}),
    ):
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
            connection.request(method, path, iter([json.dumps(body).encode()]), headers, encode_chunked=True)
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
    assert not PrivacyBudget.objects.get(person_id=pk).consent_mask & Purpose.TRAINING.bit
    assert Decision.objects.count() == 1


def test_neither_a_second_process_nor_a_header_resets_the_limit_of_failed_logins(port: int) -> None:
    def login(number: int) -> tuple[int, str | None]:
        body = json.dumps({"username": "nobody", "password": "wrong"})
        headers = {"Content-Type": "application/json", "X-Forwarded-For": f"203.0.113.{number}"}
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
            connection.request("POST", "/api/v1/auth/login", body, headers)
            answer = connection.getresponse()
            answer.read()
            return answer.status, answer.getheader("Retry-After")

    found = [login(number) for number in range(settings.AXES_FAILURE_LIMIT + 6)]
    assert [status for status, _ in found[: settings.AXES_FAILURE_LIMIT - 1]] == [401] * (
        settings.AXES_FAILURE_LIMIT - 1
    )
    assert all(status == 429 and int(wait or 0) > 0 for status, wait in found[settings.AXES_FAILURE_LIMIT :])
