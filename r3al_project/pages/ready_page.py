"""Say whether this process can serve, and what of the platform is late: ``/readyz``."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse

from core import clock
from core.database_writable import write_obstacle
from core.problem_json import RETRY_SECONDS
from jobs.folder_broker import messages_dropped
from jobs.periodic_runs import runs_late


def ready(request: HttpRequest) -> HttpResponse:
    """Answer 200 while the database can be written, with the names of what is late.

    Without the database, or while nothing can be written to it, it is 503, as everywhere: every decision is a row. What is late
    does not make the process unready: decisions are served all the same, and another process would not help.
    """
    late = [{"name": run.title, "reason": run.reason} for run in runs_late()] + _clock()
    obstacle = write_obstacle()
    headers = {"Cache-Control": "no-store"} | ({"Retry-After": str(RETRY_SECONDS)} if obstacle else {})
    return JsonResponse(
        {"ready": not obstacle, "database": obstacle, "late": late, "droppedMessages": _dropped()},
        status=503 if obstacle else 200,
        headers=headers,
    )


def _clock() -> list[dict[str, str]]:
    """Tell of a clock that is set back, as only tests and the demo do: what is stored then speaks of another time."""
    back = clock.set_back_by()
    said = f"R3AL_CLOCK_FILE sets it back by {back}. Unset that variable to serve real people."
    return [{"name": "The clock", "reason": said}] if back else []


def _dropped() -> int:
    """Return how many messages the folder broker dropped; another broker drops none."""
    control = settings.CELERY_BROKER_TRANSPORT_OPTIONS.get("control_folder")
    return 0 if control is None else messages_dropped(Path(control))
