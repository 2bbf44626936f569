"""WSGI entry point."""

import os

from django.core.wsgi import get_wsgi_application

from r3al_project.common.memory import settle_memory

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "r3al_project.settings")
_django = get_wsgi_application()

from deployments.api_optima import LARGEST, decisions_answer  # noqa: E402  models can be imported from here on
from r3al_project.fast_lane import FastLane  # noqa: E402

application = FastLane(_django, {"/api/v1/optima/decisions": decisions_answer}, largest=LARGEST)
settle_memory()
