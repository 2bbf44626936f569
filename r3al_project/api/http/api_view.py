"""Define the base of every DRF view of the API: it refuses query parameters that the view does not declare."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from rest_framework.request import Request
from rest_framework.views import APIView

from r3al_project.api.http.request_bodies import EmptyBody, StrictBody, read_query


class ApiView(APIView):
    """Check the query of a request before the view answers it.

    ``queries``: the parameters of each method that takes any.
    """

    queries: ClassVar[Mapping[str, type[StrictBody]]] = {}

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Check caller and query. Keeps the checked parameters in ``query``. Raises ValidationError for an unknown parameter."""
        super().initial(request, *args, **kwargs)
        method = "GET" if request.method == "HEAD" else str(request.method)
        known = self.queries.get(method, EmptyBody)
        self.query = {} if method == "OPTIONS" else read_query(known, request)
