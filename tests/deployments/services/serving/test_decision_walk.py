"""A decision goes straight through the house: no file is entered twice over, whoever asks."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterable
from typing import Any

import pytest

from deployments.services.serving import policy_cache
from privacy.services.people.authentication import forget_callers
from r3al_project.api.decisions import LARGEST_REQUEST, decisions
from r3al_project.wsgi_fast_path import FastPath
from tests.call_walks import Walk, walking
from tests.factories.care import CONTEXT, care_loop, person
from tests.factories.users import service_token
from tests.factories.versions import ALWAYS_WALK, TALK_IN_A_GOOD_MOOD, learned, serve
from tests.r3al_project.api.api_calls import URL

pytestmark = pytest.mark.django_db(transaction=True)
MOST = 2
ORCHESTRATOR, PURE = "deployments/services/serving/decide.py", "deployments/services/serving/compute_decision.py"


class Served:
    """A loop with two learned heads, somebody with a device, a service, and the web process's way to an answer."""

    def __init__(self) -> None:
        loop = care_loop()
        serve(learned(loop, "policy", TALK_IN_A_GOOD_MOOD))
        serve(learned(loop, "policy", ALWAYS_WALK))
        serve(learned(loop, "tone", [[0.0] * 4, [1.0, 0.0, 0.0, 0.0]]))
        self.device, self.service, self.count = person("ada")[1], service_token(), 0
        self.lane = FastPath(_refused, {URL: decisions.answer}, largest=LARGEST_REQUEST)
        for token, more in ((self.device, {}), (self.service, {"userId": "ada"})):
            self.ask(token, **more)  # what a process keeps is loaded by its first request

    def ask(self, token: str, **more: Any) -> dict[str, Any]:
        """One decision over HTTP."""
        self.count += 1
        given = {"requestId": f"r{self.count}", "loop": "care", "context": CONTEXT} | more
        environ, status = _environ(token, json.dumps(given).encode()), []
        body = b"".join(self.lane(environ, lambda *said: status.append(said[0])))
        assert status == ["200 OK"], body
        told: dict[str, Any] = json.loads(body)
        return told


def _environ(token: str, body: bytes) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "POST", "PATH_INFO": URL, "HTTP_HOST": "localhost", "HTTP_AUTHORIZATION": f"Token {token}",
        "CONTENT_LENGTH": str(len(body)), "CONTENT_TYPE": "application/json", "wsgi.input": io.BytesIO(body),
        "wsgi.url_scheme": "http",
    }  # fmt: skip


def _refused(environ: Any, start_response: Any) -> Iterable[bytes]:
    raise AssertionError("a decision takes the short way")


@pytest.fixture
def served() -> Served:
    return Served()


def straight(walk: Walk) -> None:
    """Neither by calls from other files, nor in the order of all calls, is control in any file of the floors more than twice.

    ``core`` is left out: what the ground library has, a keyed digest above all, is called where it is needed.
    """
    for counted in (walk.entries, walk.visits):
        assert {file: n for file, n in counted.items() if n > MOST and not file.startswith("core/")} == {}


@pytest.mark.parametrize("context", [CONTEXT, {"mood": 0.5, "place": "work", "gap": 0.5}, {"mood": 7}, {}])
def test_of_a_persons_device(served: Served, context: dict[str, Any]) -> None:
    with walking() as walk:
        served.ask(served.device, context=context)
    straight(walk)
    assert walk.entries[ORCHESTRATOR] == walk.entries[PURE] == walk.visits[ORCHESTRATOR] == walk.visits[PURE] == 1


def test_of_a_service_that_names_the_person(served: Served) -> None:
    with walking() as walk:
        served.ask(served.service, userId="ada")
    straight(walk)


@pytest.mark.parametrize("who", ["device", "service"])
def test_of_a_token_that_was_not_looked_up_lately(served: Served, who: str) -> None:
    forget_callers()
    more = {} if who == "device" else {"userId": "ada"}
    with walking() as walk:
        served.ask(getattr(served, who), **more)
    straight(walk)


def test_of_somebody_who_may_not_be_spoken_to(served: Served) -> None:
    _, bob = person("bob")
    with walking() as walk:
        told = served.ask(bob, context={"place": "home"})
    assert told["reason"] == "no_data"
    straight(walk)


def test_when_slots_are_read_again(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = time.monotonic() + policy_cache.SLOT_SECONDS
    monkeypatch.setattr(time, "monotonic", lambda: clock)
    with walking() as walk:
        served.ask(served.device)
    assert walk.entries["loops/selectors.py"] == 1, "they were read"
    straight(walk)


def test_of_a_retry(served: Served) -> None:
    first = served.ask(served.device, requestId="again")
    with walking() as walk:
        assert served.ask(served.device, requestId="again") == first
    straight(walk)


@pytest.mark.parametrize("who", ["device", "service"])
@pytest.mark.parametrize("looked_up", [True, False])
def test_the_person_is_read_in_one_statement(served: Served, who: str, looked_up: bool) -> None:
    """With the token, where that must be looked up as well."""
    if looked_up:
        forget_callers()
    with walking() as walk:
        served.ask(getattr(served, who), **({} if who == "device" else {"userId": "ada"}))
    assert [call.function for call in walk.entered].count("read_row") == 1
