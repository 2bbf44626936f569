"""Answer the few most frequent requests directly, without Django's middleware and URL resolution.

This path accepts a POST of known length, without a query, to an exact URL path and an allowed host. Where HTTPS is required, the
request must use it. The request must not come from a browser (no Origin header). Every other request, such as a preflight or a
redirect, passes through Django to the same handler. The response headers equal those that Django's middleware sets.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

from corsheaders.middleware import CorsMiddleware
from django.conf import settings
from django.core.handlers.wsgi import WSGIRequest
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.http.request import split_domain_port, validate_host
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.security import SecurityMiddleware

from core.outages import is_outage
from r3al_project.api.http.errors import unexpected
from r3al_project.api.http.security_headers import SecurityHeaders

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
WsgiApp = Callable[[Environ, StartResponse], Iterable[bytes]]
WsgiAnswer = Callable[[str, bytes | None], HttpResponse]
log = logging.getLogger("django.request")


class FastPath:
    """Route exact paths to handlers, and all other requests to the WSGI application ``app``.

    A handler receives the Authorization header and the body, which is None when it exceeds ``largest`` bytes.
    """

    def __init__(self, app: WsgiApp, answers: Mapping[str, WsgiAnswer], *, largest: int) -> None:
        self._app, self._answers, self._largest = app, answers, largest
        self._headers = {secure: _headers(secure) for secure in (False, True)}

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        answer = self._answers.get(environ["PATH_INFO"])
        if answer is None or not _needs_no_middleware(environ):
            return self._app(environ, start_response)
        length = int(environ["CONTENT_LENGTH"])
        body = environ["wsgi.input"].read(length) if length <= self._largest else None
        response = _respond(answer, environ, body)
        content = response.content
        headers = [*response.items(), ("Content-Length", str(len(content))), *self._headers[_is_secure(environ)]]
        start_response(f"{response.status_code} {response.reason_phrase}", headers)
        return [content]


def _respond(answer: WsgiAnswer, environ: Environ, body: bytes | None) -> HttpResponse:
    connection.close_if_unusable_or_obsolete()
    try:
        return answer(environ.get("HTTP_AUTHORIZATION", ""), body)
    except Exception as error:
        if not is_outage(error):
            log.exception("Internal Server Error: %s", environ["PATH_INFO"])
        return unexpected(error, environ["PATH_INFO"])
    finally:
        connection.close_if_unusable_or_obsolete()


def _needs_no_middleware(environ: Environ) -> bool:
    return (
        environ["REQUEST_METHOD"] == "POST"
        and not environ.get("QUERY_STRING")
        and environ.get("CONTENT_LENGTH", "").isdecimal()
        and "HTTP_ORIGIN" not in environ
        and "r3al.refusal" not in environ
        and _is_allowed(environ.get("HTTP_HOST", ""))
        and (not settings.SECURE_SSL_REDIRECT or _is_secure(environ))
    )


def _is_secure(environ: Environ) -> bool:
    if settings.SECURE_PROXY_SSL_HEADER:
        name, value = settings.SECURE_PROXY_SSL_HEADER
        if name in environ:
            return bool(environ[name].split(",", 1)[0].strip() == value)
    return bool(environ["wsgi.url_scheme"] == "https")


@lru_cache(maxsize=64)
def _is_allowed(host: str) -> bool:
    domain, _ = split_domain_port(host)
    return bool(domain) and validate_host(domain, settings.ALLOWED_HOSTS)


def _headers(secure: bool) -> list[tuple[str, str]]:
    """Return the headers that Django's middleware adds to an API response."""
    environ: Environ = {"REQUEST_METHOD": "POST", "PATH_INFO": "/api/", "wsgi.input": io.BytesIO()}
    environ["wsgi.url_scheme"] = "https" if secure else "http"
    if secure and settings.SECURE_PROXY_SSL_HEADER:
        name, value = settings.SECURE_PROXY_SSL_HEADER
        environ[name] = value

    if settings.SECURE_SSL_REDIRECT and not secure:
        return []  # Django redirects this request to HTTPS
    request, response = WSGIRequest(environ), HttpResponse()
    del response["Content-Type"]
    SecurityMiddleware(_never).process_response(request, response)
    XFrameOptionsMiddleware(_never).process_response(request, response)
    CorsMiddleware(_never).add_response_headers(request, response)
    SecurityHeaders(_never).process_response(request, response)
    return list(response.items())


def _never(request: HttpRequest) -> HttpResponse:
    raise NotImplementedError("this middleware is used for its response headers only")
