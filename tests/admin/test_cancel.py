"""Cancelling a job in the admin: asked for, confirmed, permitted, and by POST alone."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from jobs.models import Job
from loops.models import LoopVersion
from tests.factories.every_table import NOW
from tests.factories.users import staff

CONFIRMED = {"_form_submitted": "on"}


@pytest.fixture
def running(house: LoopVersion) -> Job:
    return Job.objects.get(state="running")


def url(job: Job) -> str:
    return reverse("admin:jobs_job_cancel", args=[job.pk])


def page(job: Job) -> str:
    return reverse("admin:jobs_job_change", args=[job.pk])


def test_looking_at_the_question_changes_nothing(operator: Client, running: Job) -> None:
    answer = operator.get(url(running))
    assert "Cancel this job?" in answer.content.decode()
    running.refresh_from_db()
    assert not running.cancel_requested


def test_a_post_without_the_confirmation_changes_nothing(operator: Client, running: Job) -> None:
    operator.post(url(running), {"something": "else"})
    running.refresh_from_db()
    assert not running.cancel_requested


def test_a_running_job_is_asked_to_end(operator: Client, running: Job) -> None:
    answer = operator.post(url(running), CONFIRMED, follow=True)
    assert f"Job {running.pk} will end at its next report of progress." in answer.content.decode()
    running.refresh_from_db()
    assert running.cancel_requested and running.state == "running"


def test_a_queued_job_ends_at_once(operator: Client, house: LoopVersion) -> None:
    job = Job.objects.create(kind="turn.train", arguments={})
    operator.post(url(job), CONFIRMED)
    job.refresh_from_db()
    assert job.state == "cancelled"


def test_the_dialog_of_the_page_is_answered_with_where_to_go(operator: Client, running: Job) -> None:
    answer = operator.post(url(running), CONFIRMED, headers={"HX-Request": "true"})
    assert answer["HX-Redirect"] == page(running)


def test_a_job_that_was_over_stays_what_it_was(operator: Client, running: Job) -> None:
    done = Job.objects.get(state="done")
    answer = operator.post(url(done), CONFIRMED, follow=True)
    assert "had already ended" in answer.content.decode()
    done.refresh_from_db()
    assert done.state == "done" and not done.cancel_requested


def test_a_job_that_does_not_exist_is_said_to(operator: Client, running: Job) -> None:
    missing = reverse("admin:jobs_job_cancel", args=[running.pk + 1000])
    assert "there is no job" in operator.post(missing, CONFIRMED, follow=True).content.decode()


def test_who_may_only_look_can_not_cancel(running: Job) -> None:
    viewer = staff("jobs.view_job")
    assert url(running) not in viewer.get(page(running)).content.decode()
    assert viewer.post(url(running), CONFIRMED).status_code == 403
    running.refresh_from_db()
    assert not running.cancel_requested


def test_who_has_the_permission_can_cancel(running: Job) -> None:
    colleague = staff("jobs.view_job", "jobs.cancel_job")
    assert url(running) in colleague.get(page(running)).content.decode()
    colleague.post(url(running), CONFIRMED)
    running.refresh_from_db()
    assert running.cancel_requested


def test_nobody_cancels_without_a_login(client: Client, running: Job) -> None:
    assert client.post(url(running), CONFIRMED).status_code == 302
    running.refresh_from_db()
    assert not running.cancel_requested


def test_a_request_from_elsewhere_is_refused(running: Job) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_superuser("other", password="a long password of tests"))
    assert client.post(url(running), CONFIRMED).status_code == 403


@pytest.mark.parametrize("state", ["done", "asked"])
def test_there_is_no_button_where_there_is_nothing_to_cancel(operator: Client, running: Job, state: str) -> None:
    job = Job.objects.get(state="done") if state == "done" else running
    if state == "asked":
        Job.objects.filter(pk=running.pk).update(cancel_requested=True, started_at=NOW)
    assert url(job) not in operator.get(page(job)).content.decode()
