"""Addresses of the API."""

from __future__ import annotations

from django.urls import path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from deployments import api_optima
from privacy import api_outcomes
from r3al_project.api import auth, jobs, models, people, privacy

urlpatterns = [  # looked through from the top, so what is asked most comes first
    path("v1/optima/decisions", api_optima.decisions, name="decisions"),
    path("v1/optima/decisions/<uuid:decision>/activate", api_outcomes.activate, name="activate"),
    path("v1/optima/decisions/<uuid:decision>/rewards", api_outcomes.rewards, name="rewards"),
    path("v1/signals", api_outcomes.signals, name="signals"),
    path("v1/auth/login", auth.Login.as_view()),
    path("v1/auth/logout", auth.Logout.as_view()),
    path("v1/auth/logoutall", auth.LogoutAll.as_view()),
    path("v1/people", people.People.as_view()),
    path("v1/me/consents", people.MyConsents.as_view()),
    path("v1/me/privacy-budget", people.MyBudget.as_view()),
    path("v1/me/vault", people.MyVault.as_view()),
    path("v1/me/export", people.MyExport.as_view()),
    path("v1/me/erasure", people.MyErasure.as_view()),
    path("v1/training/anonymizations", privacy.Anonymizations.as_view()),
    path("v1/privacy/releases", privacy.Releases.as_view()),
    path("v1/privacy/releases/preview", privacy.Preview.as_view()),
    path("v1/privacy/releases/<int:release>", privacy.ReleaseDetail.as_view()),
    path("v1/privacy/releases/<int:release>/rows", privacy.ReleaseRows.as_view()),
    path("v1/privacy/budgets", privacy.Budgets.as_view()),
    path("v1/training/models", models.Models.as_view()),
    path("v1/training/models/<str:version>", models.Model.as_view()),
    path("v1/training/models/<str:version>/evaluation", models.Evaluation.as_view()),
    path("v1/training/models/<str:version>/deploy", models.Deploy.as_view()),
    path("v1/training/models/<str:version>/health", models.Health.as_view()),
    path("v1/training/models/<str:version>/rollback", models.Rollback.as_view()),
    path("v1/training/rewards/calculate", api_outcomes.calculate, name="calculate-reward"),
    path("v1/jobs/<int:job>", jobs.JobDetail.as_view()),
    path("v1/jobs/<int:job>/cancel", jobs.JobCancel.as_view()),
    path("schema/", SpectacularAPIView.as_view(), name="schema"),
    path("docs/", SpectacularSwaggerView.as_view(url_name="schema"), name="api-docs"),
]
