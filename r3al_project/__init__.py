"""The project package; importing it makes the Celery application known to shared tasks."""

from r3al_project.celery import app as celery_app

__all__ = ["celery_app"]
