"""Define the Celery application."""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "r3al_project.settings")
app = Celery("r3al")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
