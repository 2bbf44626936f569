"""Define the RSGI application of the web process: bodies are read here, and each whole request goes to the WSGI application."""

from django.conf import settings

from r3al_project.wsgi import application as wsgi_application

_answer = wsgi_application  # it is loaded, and Django's apps with it

from r3al_project.http_door import HttpDoor  # noqa: E402
from r3al_project.token_first import token_refused  # noqa: E402  models can be imported from here on

application = HttpDoor(_answer, refuse=token_refused, seconds=settings.R3AL_BODY_SECONDS)
