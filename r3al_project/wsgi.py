"""Define the WSGI application of the web process."""

import os

from django.core.wsgi import get_wsgi_application

from core.garbage_collection import freeze_garbage_collector

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "r3al_project.settings")
_django = get_wsgi_application()

from r3al_project.api.decisions import LARGEST_REQUEST, decisions  # noqa: E402  models can be imported from here on
from r3al_project.wsgi_fast_path import FastPath  # noqa: E402

application = FastPath(_django, {"/api/v1/optima/decisions": decisions.answer}, largest=LARGEST_REQUEST)
freeze_garbage_collector()
