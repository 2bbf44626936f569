"""The product's settings in a temporary home, with secrets that are the same in every run.

Which stack is under test follows from ``DATABASE_URL`` and ``REDIS_URL``, as in production; each pytest-xdist process has a
folder, a database and a Redis number of its own.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import tempfile

_process = os.environ.get("PYTEST_XDIST_WORKER", "main")
_number = int(_process[2:]) + 1 if _process.startswith("gw") else 0

if "R3AL_TEST_HOME" not in os.environ:  # the first process; those it starts inherit the folder
    os.environ["R3AL_TEST_HOME"] = tempfile.mkdtemp(prefix="r3al-tests-")
    os.environ.pop("R3AL_VAR_DIR", None)
    atexit.register(shutil.rmtree, os.environ["R3AL_TEST_HOME"], ignore_errors=True)

_home = os.environ["R3AL_TEST_HOME"]
if os.environ.get("R3AL_VAR_DIR") in (None, f"{_home}/main"):
    os.environ["R3AL_VAR_DIR"] = f"{_home}/{_process}"
    if _redis := os.environ.get("REDIS_URL"):
        os.environ["REDIS_URL"] = re.sub(r"/\d*$", "", _redis) + f"/{_number}"

os.environ.setdefault("SECRET_KEY", "secret-key-of-the-tests-and-of-nothing-else")
os.environ.setdefault("ANONYMIZATION_SALT", "salt-of-the-tests-and-of-nothing-else-at-all")
os.environ.setdefault("DATA_MASTER_KEYS", "1:master-key-of-the-tests-and-of-nothing-else")
os.environ.setdefault("HTTPS", "false")

from r3al_project.settings import *  # noqa: E402, F403
from r3al_project.settings import DATABASES, STATIC_ROOT, STORAGES, VAR_DIR  # noqa: E402

STATIC_ROOT.mkdir(parents=True, exist_ok=True)
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}  # nothing is collected
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # A file, so that a worker process can work on the same database as the test.
    DATABASES["default"]["TEST"] = {"NAME": str(VAR_DIR / "test.sqlite3")}
