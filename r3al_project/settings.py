"""Configure Django for both the embedded default (SQLite, filesystem broker) and production (PostgreSQL, Redis).

All settings come from the environment, and ``.env.example`` lists every variable. Without ``DATABASE_URL`` and ``REDIS_URL``
all data is stored in one folder (``R3AL_VAR_DIR``), and secrets are generated at the first start.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from jobs import queues
from r3al_project import environment as read

BASE_DIR = Path(__file__).resolve().parent.parent
env = os.environ

VAR_DIR = read.var_folder(env, BASE_DIR)
EMBEDDED = not (read.text(env, "DATABASE_URL").startswith("postgres") or read.text(env, "REDIS_URL"))
if EMBEDDED:
    read.private_files(VAR_DIR)

DEBUG = read.switch(env, "DEBUG", default=False)
SECRET_KEY = read.secret(env, "SECRET_KEY", embedded_file=VAR_DIR / "secret-key" if EMBEDDED else None)
ALLOWED_HOSTS = read.words(env, "ALLOWED_HOSTS", ("localhost", "127.0.0.1", "[::1]"))
CSRF_TRUSTED_ORIGINS = read.words(env, "CSRF_TRUSTED_ORIGINS")

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_celery_beat",
    "rest_framework",
    "knox",
    "axes",
    "corsheaders",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "jobs",
    "notices",
    "loops",
    "privacy",
    "training",
    "deployments",
    "r3al_project.turns",
    "r3al_project.ops",
]
MIDDLEWARE = [
    "r3al_project.api.http.security_headers.SecurityHeaders",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
    "r3al_project.api.http.request_guard.RequestGuard",
]
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
ROOT_URLCONF = "r3al_project.urls"
WSGI_APPLICATION = "r3al_project.wsgi.application"
LOGIN_REDIRECT_URL = "admin:index"
CSRF_FAILURE_VIEW = "r3al_project.pages.forbidden_page.csrf_failure"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "r3al_project.pages.bell.bell",
            ]
        },
    }
]
DATABASES = {
    "default": {"CONN_MAX_AGE": 60} | read.database(env, VAR_DIR)
}  # opening a SQLite connection costs as much as a decision
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
LANGUAGE_CODE = "en"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"

STATIC_URL = "static/"
STATIC_ROOT = VAR_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "r3al_project" / "static"]
# Names hold a hash of the content, so that browsers may keep a file for ever and never show an old one.
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = DEBUG
FILE_UPLOAD_PERMISSIONS = 0o600 if EMBEDDED else 0o644  # also of collected static files

# Behind TLS (HTTPS=true) cookies and redirects use HTTPS only. The embedded default serves plain HTTP on this machine.
HTTPS = read.switch(env, "HTTPS", default=not EMBEDDED)
SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
X_FRAME_OPTIONS = "DENY"
# The time in which the body of a request must arrive. No thread waits for it.
R3AL_BODY_SECONDS = read.number(env, "R3AL_BODY_SECONDS", 15.0, low=0.1, high=600.0)

# Proxies in front of the web process. Each adds the address that it hears from to X-Forwarded-For; the rest is the client's word.
NUM_PROXIES = read.whole(env, "NUM_PROXIES", 0, low=0)
# Failed logins of one user name from one address. Failures are rows, forgotten when they are older than AXES_COOLOFF_TIME.
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_HANDLER = "r3al_project.api.http.login_limits.LoginLimits"
AXES_LOCKOUT_CALLABLE = "r3al_project.api.http.login_limits.login_refused"
AXES_CLIENT_IP_CALLABLE = "r3al_project.api.http.client_address.client_address"
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_DISABLE_ACCESS_LOG = True
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
AXES_SENSITIVE_PARAMETERS = ["username", "csrfmiddlewaretoken"]

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["knox.auth.TokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["r3al_project.api.http.request_bodies.StrictJsonParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "r3al_project.api.http.errors.handle",
    "NON_FIELD_ERRORS_KEY": "body",
    "NUM_PROXIES": NUM_PROXIES,
}
REST_KNOX = {"TOKEN_TTL": timedelta(days=90), "AUTO_REFRESH": False, "TOKEN_LIMIT_PER_USER": None}
SPECTACULAR_SETTINGS = {
    "ENUM_NAME_OVERRIDES": {
        "DeploymentStateEnum": "deployments.models.DeploymentState",
        "DeploymentTypeEnum": "deployments.engine.rollouts.strategies.STRATEGIES",
        "JobStateEnum": "jobs.models.JobState",
        "MetricSourceEnum": "r3al_project.api.answers.models.METRIC_SOURCES",
        "MetricVerdictEnum": "r3al_project.api.answers.models.METRIC_VERDICTS",
        "PeriodEnum": "privacy.selectors.budgets.PERIOD_NAMES",
        "PurposeEnum": "privacy.models.Purpose",
        "ReleaseStateEnum": "privacy.models.ReleaseState",
        "StageEnum": "r3al_project.turns.stages.STAGE_NAMES",
        "TurnOutcomeEnum": "r3al_project.turns.models.Turn.Outcome",
        "UnavailableEnum": "privacy.models.Unavailable",
        "VaultKindEnum": "privacy.models.VaultKind",
        "VersionStateEnum": "training.models.VersionState",
        "DataTypeEnum": "privacy.engine.data_types.DATA_TYPES",
        "GateSourceEnum": "r3al_project.api.answers.calibration.GATE_SOURCES",
        "VerdictEnum": "r3al_project.api.answers.models.VERDICTS",
    },
    "TITLE": "R3AL Training Loop",
    "DESCRIPTION": "Decides when, how and in which tone to speak, learned under user-level differential privacy.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "r3al_project.api.plain_schema.complete",
    ],
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}
CORS_ALLOWED_ORIGINS = read.words(env, "CORS_ALLOWED_ORIGINS")
CORS_ALLOW_HEADERS = ["accept", "authorization", "content-type", "idempotency-key"]
# A browser hides every other header from an app: where a job is, when to try again, what is allowed, and the server's time.
CORS_EXPOSE_HEADERS = ["location", "retry-after", "allow", "date", "www-authenticate", "content-disposition"]
CORS_URLS_REGEX = r"^/api/.*$"

# The broker carries only ids. The job row is authoritative, so Celery stores no results.
CELERY_BROKER_URL, CELERY_BROKER_TRANSPORT_OPTIONS = read.broker(env, VAR_DIR)
CELERY_BROKER_TRANSPORT = "jobs.folder_broker:FolderTransport" if CELERY_BROKER_URL == "filesystem://" else None
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_RESULT_BACKEND = None
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_DEFAULT_QUEUE = queues.DEFAULT
CELERY_TASK_CREATE_MISSING_QUEUES = True
CELERY_TIMEZONE = "UTC"
CELERY_ENABLE_UTC = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_BEAT_SCHEDULER = "jobs.beat_scheduler:ClockProofScheduler"
CELERY_BEAT_MAX_LOOP_INTERVAL = 5

# Celery logs a task's arguments at INFO. They are only ids, but no task content belongs in a log.
LOG_LEVEL = read.one_of(env, "LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR"))
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name} {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {
        name: {"level": LOG_LEVEL}
        for name in ("core", "jobs", "notices", "loops", "privacy", "training", "deployments", "r3al_project")
    }
    | {name: {"level": "WARNING"} for name in ("celery", "kombu", "django_celery_beat")}
    | {"axes": {"level": "ERROR"}}  # its warnings name whoever mistyped a password; Django logs each 429
    | (
        {"kombu.connection": {"level": "ERROR"}} if CELERY_BROKER_URL == "filesystem://" else {}
    ),  # the file broker has no host, which kombu reports as a warning
}
if EMBEDDED:  # a user who tries the platform as root knows that
    warnings.filterwarnings("ignore", message="You're running the worker with superuser privileges")

# These variables keep the names of the blueprint.
ANONYMIZATION_SALT = read.secret(env, "ANONYMIZATION_SALT", embedded_file=VAR_DIR / "salt" if EMBEDDED else None)
DATA_MASTER_KEYS = read.master_keys(env, "DATA_MASTER_KEYS", embedded_file=VAR_DIR / "master-key" if EMBEDDED else None)
DEFAULT_EPOCHS = read.whole(env, "DEFAULT_EPOCHS", 100, low=1)
# Of a request alone; r3al_project.turns.limits says what a turn without one takes.
DEFAULT_SYNTHETIC_SAMPLES = read.whole(env, "DEFAULT_SYNTHETIC_SAMPLES", 1000, low=1)
MAX_PRIVACY_EPSILON = read.number(env, "MAX_PRIVACY_EPSILON", 1.0, low=1e-6, high=100.0)
MAX_PRIVACY_DELTA = read.number(env, "MAX_PRIVACY_DELTA", 1e-5, low=1e-12, high=1e-2)
MIN_COHORT = read.whole(env, "MIN_COHORT", 50, low=1)
VAULT_ANCHOR_FILE = read.text(env, "VAULT_ANCHOR_FILE")
VAULT_ANCHOR_URL = read.web_address(env, "VAULT_ANCHOR_URL")
VAULT_TSA_URL = read.web_address(env, "VAULT_TSA_URL")
VAULT_TSA_ROOTS, VAULT_TSA_FOLDER = read.beside(env, "VAULT_TSA_URL", "VAULT_TSA_ROOTS", "VAULT_TSA_FOLDER")
PRIVACY_BUDGET_PERIOD = read.one_of(env, "PRIVACY_BUDGET_PERIOD", "monthly", ("daily", "weekly", "monthly"))

# Notices to operators: where e-mail goes and how, which private networks webhooks may reach, and how links begin.
R3AL_NOTICE_EMAILS = read.addresses(env, "R3AL_NOTICE_EMAILS")
_, R3AL_NOTICE_FROM = read.beside(env, "R3AL_NOTICE_EMAILS", "EMAIL_URL", "R3AL_NOTICE_FROM")
globals().update(read.mail(env, "EMAIL_URL"))
EMAIL_TIMEOUT = 10
R3AL_WEBHOOK_NETWORKS = read.networks(env, "R3AL_WEBHOOK_NETWORKS")
R3AL_KEY_DAYS = read.whole(env, "R3AL_KEY_DAYS", 365, low=1)
R3AL_PUBLIC_URL = read.web_address(env, "R3AL_PUBLIC_URL").rstrip("/")

# Tests and the demo set the clock back by the seconds in this file, which every process reads. Real services leave it unset.
R3AL_CLOCK_FILE = read.clock_file(env, "R3AL_CLOCK_FILE")

# Jobs: the duration of a worker's lease, the interval of its renewal, and the wait before a queued job is dispatched again.
R3AL_JOB_LEASE_SECONDS = read.lease_seconds(env)
R3AL_JOB_HEARTBEAT_SECONDS = read.number(
    env, "R3AL_JOB_HEARTBEAT_SECONDS", min(5.0, R3AL_JOB_LEASE_SECONDS / 3), low=0.1, high=R3AL_JOB_LEASE_SECONDS / 2
)
# Interval of closing outcomes, sealing decisions and checking health. It applies to new schedules, which operators may edit.
R3AL_TICK_SECONDS = read.whole(env, "R3AL_TICK_SECONDS", 60, low=1)
R3AL_JOB_GRACE_SECONDS = read.number(env, "R3AL_JOB_GRACE_SECONDS", 30.0, low=0.5)


def _hashed(name: str) -> Callable[[object], str]:
    """Return what gives a page the address of a static file."""

    def address(request: object) -> str:
        from django.templatetags.static import static  # needs these settings

        return static(name)

    return address


UNFOLD = {
    "SITE_TITLE": "R3AL Training Loop",
    "SITE_HEADER": "R3AL",
    "SITE_SUBHEADER": "Training Loop",
    "SITE_SYMBOL": "all_inclusive",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": _hashed("r3al/favicon.svg")}],
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "DASHBOARD_CALLBACK": "r3al_project.pages.front_page.front_page",
    "STYLES": [_hashed("r3al/admin.css")],
    "SCRIPTS": [_hashed("r3al/admin.js")],
    "SIDEBAR": {"show_search": True, "navigation": "r3al_project.pages.sidebar.sidebar"},
}
