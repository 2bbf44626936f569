"""URLs of the web process."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path

from deployments import api_optima
from privacy import api_outcomes
from r3al_project.dashboard import front_page_fragment


def _to_admin(request: HttpRequest) -> HttpResponse:
    return HttpResponseRedirect("/admin/")


def _alive(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok\n", content_type="text/plain")


urlpatterns = [
    path("", _to_admin),
    path("healthz", _alive),
    path("api/v1/signals", api_outcomes.signals, name="signals"),
    path("api/v1/optima/decisions", api_optima.decisions, name="decisions"),
    path("api/v1/optima/decisions/<uuid:decision>/activate", api_outcomes.activate, name="activate"),
    path("api/v1/optima/decisions/<uuid:decision>/rewards", api_outcomes.rewards, name="rewards"),
    path("api/v1/training/rewards/calculate", api_outcomes.calculate, name="calculate-reward"),
    path("admin/front-page/", admin.site.admin_view(front_page_fragment), name="front-page-fragment"),
    path("admin/", admin.site.urls),
]
