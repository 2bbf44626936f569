"""Import the Celery application, so that shared tasks are registered with it."""

from r3al_project.celery import app as celery_app

__all__ = ["celery_app"]
