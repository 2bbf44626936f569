"""Look at the token of an API request before its body is read."""

from __future__ import annotations

from django.db import Error, connection

from core.errors import Unauthorized
from privacy.services.people.authentication import caller_of, token_read
from r3al_project.http_door import RequestEnviron

_API, _LOGIN = "/api/", "/api/v1/auth/login"


def token_refused(environ: RequestEnviron, *, look_up: bool) -> str:
    """Return why the body of a request must not be read, or an empty text.

    Args: look_up: whether to ask the database for the token too. Otherwise only its presence is checked.
    """
    path = environ["PATH_INFO"]
    if not path.startswith(_API) or path == _LOGIN:
        return ""
    try:
        token = token_read(environ.get("HTTP_AUTHORIZATION", ""))
        if look_up:
            connection.close_if_unusable_or_obsolete()
            caller_of(token)
    except Unauthorized as error:
        return str(error)
    except (Error, UnicodeError):
        return ""  # the view says that the database is away, or the guard that the header is unreadable
    return ""
