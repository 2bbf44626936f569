"""Map the URLs of the web process to views."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import include, path

from r3al_project.api.http import errors
from r3al_project.pages import (
    approval_page,
    calibration_page,
    deploy_page,
    notices_page,
    privacy,
    rollout_act_page,
    rollout_pages,
    synthetic_page,
    timeline_page,
    training_dashboard,
)
from r3al_project.pages.forbidden_page import refused
from r3al_project.pages.front_page import front_page_fragment
from r3al_project.pages.ready_page import ready


def _to_admin(request: HttpRequest) -> HttpResponse:
    return HttpResponseRedirect("/admin/")


def forbidden_answer(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 403: a problem document for the API, a page for everybody else."""
    return errors.forbidden(request, exception) if errors.is_api(request) else refused(request, exception)


def _alive(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok\n", content_type="text/plain")


handler400 = "r3al_project.api.http.errors.bad_request"
handler403 = "r3al_project.urls.forbidden_answer"
handler404 = "r3al_project.api.http.errors.not_found"
handler500 = "r3al_project.api.http.errors.server_error"
urlpatterns = [
    path("api/", include("r3al_project.api.urls")),
    path("", _to_admin),
    path("healthz", _alive),
    path("readyz", ready),
    path("admin/front-page/", admin.site.admin_view(front_page_fragment), name="front-page-fragment"),
    path("admin/privacy-page/", privacy.privacy_page, name="privacy-page"),
    path("admin/", admin.site.urls),
    path("r3al/training-dashboard/", training_dashboard.dashboard_page, name="training-dashboard"),
    path("r3al/training-dashboard/live/", training_dashboard.fragment, name="training-dashboard-live"),
    path("r3al/training-dashboard/train/", training_dashboard.start_training, name="training-dashboard-train"),
    path(
        "r3al/training-dashboard/deploy/<int:version>/",
        deploy_page.deploy_version,
        name="training-dashboard-deploy",
    ),
    path(
        "r3al/training-dashboard/rollback/<int:version>/",
        rollout_pages.rollback,
        name="training-dashboard-rollback",
    ),
    path("r3al/training-dashboard/undo/<int:version>/", rollout_pages.undo, name="training-dashboard-undo"),
    path(
        "r3al/training-dashboard/rollout/<int:rollout>/<str:act>/",
        rollout_act_page.rollout_act,
        name="training-dashboard-rollout",
    ),
    path(
        "r3al/training-dashboard/approval/<int:approval>/<str:act>/",
        approval_page.approval_act,
        name="training-dashboard-approval",
    ),
    path("r3al/timeline/<int:slot>/", timeline_page.timeline_page, name="timeline"),
    path("r3al/notices/", notices_page.notices_list, name="notices"),
    path("r3al/notices/seen/", notices_page.notices_seen, name="notices-seen"),
    path("r3al/calibration/", calibration_page.calibration_page, name="calibration"),
    path("r3al/synthetic/", synthetic_page.synthetic_list, name="synthetic"),
    path("r3al/synthetic/<int:synthetic>/", synthetic_page.synthetic_job, name="synthetic-job"),
    path("r3al/synthetic/<int:synthetic>/live/", synthetic_page.synthetic_live, name="synthetic-live"),
    path("r3al/synthetic/<int:synthetic>/report/", synthetic_page.synthetic_report_page, name="synthetic-report"),
    path("r3al/synthetic/<int:synthetic>/rows/", synthetic_page.synthetic_rows, name="synthetic-rows"),
    path("r3al/synthetic/<int:synthetic>/cancel/", synthetic_page.synthetic_cancel, name="synthetic-cancel"),
    path("r3al/training-dashboard/cancel/<int:turn>/", training_dashboard.cancel, name="training-dashboard-cancel"),
]
