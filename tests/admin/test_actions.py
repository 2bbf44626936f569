"""Every action that any admin page offers asks for a permission, and beat's are refused to who may only look."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse
from django_celery_beat.models import PeriodicTask

from jobs.schedules import schedules_sync
from tests.factories.users import staff

UNFOLD_LISTS = ("actions_list", "actions_row", "actions_detail", "actions_submit_line")
SCHEDULES = "admin:django_celery_beat_periodictask_changelist"


def actions() -> Iterator[tuple[str, Any]]:
    """Every action of every registered admin class, those of unfold's own kinds included, with a name to tell it by."""
    for model, page in admin.site._registry.items():
        for act, name, _ in page._get_base_actions():  # type: ignore[attr-defined]
            yield f"{model.__name__}.{name}", act
        for kind in UNFOLD_LISTS:
            for name in _flat(getattr(page, kind, ())):
                yield f"{model.__name__}.{name}", getattr(page, name)


def _flat(names: Any) -> Iterator[str]:
    """Names of actions; unfold also takes groups of them."""
    for name in names:
        if isinstance(name, str):
            yield name
        else:
            yield from _flat(name["items"])


def test_each_asks_for_a_permission() -> None:
    found = dict(actions())
    assert {"PeriodicTask.disable_tasks", "Job.cancel", "User.delete_selected"} <= set(found)
    assert [name for name, act in found.items() if not getattr(act, "allowed_permissions", None)] == []


def act(client: Client, name: str) -> None:
    every = list(PeriodicTask.objects.values_list("pk", flat=True))
    client.post(reverse(SCHEDULES), {"action": name, "_selected_action": every})


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["disable_tasks", "toggle_tasks", "run_tasks", "enable_tasks"])
def test_who_may_only_look_at_schedules_changes_none(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    schedules_sync()
    wanted = name == "enable_tasks"
    PeriodicTask.objects.update(enabled=not wanted)
    run: list[Any] = []
    monkeypatch.setattr("celery.app.task.Task.apply_async", lambda *arguments, **names: run.append(arguments))
    client = staff("django_celery_beat.view_periodictask")
    assert client.get(reverse(SCHEDULES)).status_code == 200
    act(client, name)
    assert PeriodicTask.objects.count() > 5 and not PeriodicTask.objects.filter(enabled=wanted).exists() and not run


@pytest.mark.django_db
def test_who_may_change_them_does() -> None:
    schedules_sync()
    client = staff("django_celery_beat.view_periodictask", "django_celery_beat.change_periodictask")
    act(client, "disable_tasks")
    assert not PeriodicTask.objects.filter(enabled=True).exists()
    act(client, "enable_tasks")
    assert not PeriodicTask.objects.filter(enabled=False).exists()
