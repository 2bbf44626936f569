"""Tell browsers what a page may load and use."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from r3al_project.api.http.errors import is_api

_NOWHERE = "base-uri 'none'; object-src 'none'; frame-ancestors 'none'"
_API = f"default-src 'none'; form-action 'none'; {_NOWHERE}"
# Swagger UI writes styles into its elements.
_DOCS = f"default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; form-action 'none'; {_NOWHERE}"
# The admin theme has scripts and styles in its pages, and Alpine.js evaluates the expressions in its attributes.
_PAGES = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    f"img-src 'self' data:; form-action 'self'; {_NOWHERE}"
)
_PERMISSIONS = ", ".join(
    f"{feature}=()"
    for feature in (
        "accelerometer",
        "camera",
        "geolocation",
        "gyroscope",
        "magnetometer",
        "microphone",
        "payment",
        "usb",
    )
)


class SecurityHeaders:
    """Middleware that adds ``Content-Security-Policy`` and ``Permissions-Policy`` to every response."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.process_response(request, self._get_response(request))

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        """Add the headers to a response."""
        is_docs = request.path_info.startswith("/api/docs/")
        policy = _DOCS if is_docs else _API if is_api(request) else _PAGES
        response.headers.setdefault("Content-Security-Policy", policy)
        response.headers.setdefault("Permissions-Policy", _PERMISSIONS)
        return response
