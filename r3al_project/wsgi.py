"""WSGI entry point."""

import os

from django.core.wsgi import get_wsgi_application

from r3al_project.common.memory import settle_memory

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "r3al_project.settings")
os.environ.setdefault("DATABASE_POOL_SIZE", "8")  # threads of the web process share connections; nothing else does
application = get_wsgi_application()
settle_memory()
