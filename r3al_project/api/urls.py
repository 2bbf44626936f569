"""Map the API's addresses to its views."""

from __future__ import annotations

from django.urls import path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from r3al_project.api import approvals, auth, calibration, decisions, jobs, models, outcomes, people, privacy, rollouts

urlpatterns = [  # Django searches from the top, so the most frequent addresses come first
    path("v1/optima/decisions", decisions.decisions, name="decisions"),
    path("v1/optima/decisions/<uuid:decision>/activate", outcomes.activate, name="activate"),
    path("v1/optima/decisions/<uuid:decision>/rewards", outcomes.rewards, name="rewards"),
    path("v1/signals", outcomes.signals, name="signals"),
    path("v1/auth/login", auth.LoginView.as_view()),
    path("v1/auth/logout", auth.LogoutView.as_view()),
    path("v1/auth/logoutall", auth.LogoutAllView.as_view()),
    path("v1/people", people.PeopleView.as_view()),
    path("v1/me/consents", people.MyConsentsView.as_view()),
    path("v1/me/privacy-budget", people.MyBudgetView.as_view()),
    path("v1/me/vault", people.MyVaultView.as_view()),
    path("v1/me/export", people.MyExportView.as_view()),
    path("v1/me/erasure", people.MyErasureView.as_view()),
    path("v1/training/anonymizations", privacy.AnonymizationsView.as_view()),
    path("v1/privacy/releases", privacy.ReleasesView.as_view()),
    path("v1/privacy/releases/preview", privacy.PreviewView.as_view()),
    path("v1/privacy/releases/<int:release>", privacy.ReleaseView.as_view()),
    path("v1/privacy/releases/<int:release>/rows", privacy.ReleaseRowsView.as_view()),
    path("v1/privacy/budgets", privacy.BudgetsView.as_view()),
    path("v1/training/calibration", calibration.CalibrationView.as_view()),
    path("v1/training/models", models.ModelsView.as_view()),
    path("v1/training/models/<str:version>", models.ModelView.as_view()),
    path("v1/training/models/<str:version>/evaluation", models.EvaluationView.as_view()),
    path("v1/training/models/<str:version>/deploy", models.DeployView.as_view()),
    path("v1/training/models/<str:version>/health", models.HealthView.as_view()),
    path("v1/training/models/<str:version>/rollback", models.RollbackView.as_view()),
    path("v1/training/models/<str:version>/rollback/undo", models.RollbackUndoView.as_view()),
    path("v1/training/rollouts", rollouts.RolloutsView.as_view()),
    path("v1/training/rollouts/<int:rollout>", rollouts.RolloutView.as_view()),
    path("v1/training/rollouts/<int:rollout>/checks", rollouts.RolloutChecksView.as_view()),
    path("v1/training/rollouts/<int:rollout>/approve", rollouts.RolloutApproveView.as_view()),
    path("v1/training/rollouts/<int:rollout>/pause", rollouts.RolloutPauseView.as_view()),
    path("v1/training/rollouts/<int:rollout>/resume", rollouts.RolloutResumeView.as_view()),
    path("v1/training/rollouts/<int:rollout>/promote", rollouts.RolloutPromoteView.as_view()),
    path("v1/training/rollouts/<int:rollout>/abort", rollouts.RolloutAbortView.as_view()),
    path("v1/training/rollouts/<int:rollout>/retry", rollouts.RolloutRetryView.as_view()),
    path("v1/training/rewards/calculate", outcomes.calculate, name="calculate-reward"),
    path("v1/approvals", approvals.ApprovalsView.as_view()),
    path("v1/approvals/<int:approval>", approvals.ApprovalView.as_view()),
    path("v1/approvals/<int:approval>/approve", approvals.ApprovalApproveView.as_view()),
    path("v1/approvals/<int:approval>/decline", approvals.ApprovalDeclineView.as_view()),
    path("v1/jobs/<int:job>", jobs.JobView.as_view()),
    path("v1/jobs/<int:job>/cancel", jobs.JobCancelView.as_view()),
    path("schema/", SpectacularAPIView.as_view(), name="schema"),
    path("docs/", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="api-docs"),
]
