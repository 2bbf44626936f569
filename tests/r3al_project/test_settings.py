"""The settings as a whole, each time in a fresh process with an environment of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system import ROOT

pytestmark = pytest.mark.embedded  # knows neither database nor broker

SECRETS = {"SECRET_KEY": "a k3y, " * 15, "ANONYMIZATION_SALT": "s4lt" * 15, "DATA_MASTER_KEYS": "1:" + "m4ster" * 10}
PRODUCTION = {"DATABASE_URL": "postgresql://a:b@127.0.0.1:1/x", "REDIS_URL": "redis://127.0.0.1:1/0"}


def run(home: Path, *command: str, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {"PATH": os.environ["PATH"], "R3AL_VAR_DIR": str(home)}
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=clean | env, capture_output=True, text=True, timeout=300, check=False
    )


def test_production_passes_the_check_for_deployment(tmp_path: Path) -> None:
    done = run(tmp_path, "manage.py", "check", "--deploy", "--fail-level", "WARNING", **SECRETS, **PRODUCTION)
    assert done.returncode == 0, done.stderr


def test_production_without_secrets_is_refused_in_one_sentence(tmp_path: Path) -> None:
    done = run(tmp_path, "manage.py", "migrate", **PRODUCTION)
    assert done.returncode == 1
    assert done.stderr.startswith("manage.py: SECRET_KEY is missing") and done.stderr.count("\n") == 1


def test_the_web_process_has_nothing_heavy_loaded(tmp_path: Path) -> None:
    code = (
        "import sys, r3al_project.rsgi, r3al_project.urls\n"
        "print(sorted({m.partition('.')[0] for m in sys.modules} & {'scipy', 'opendp', 'sklearn', 'jax'}))"
    )
    done = run(tmp_path, "-c", code)
    assert done.stdout == "[]\n", done.stdout + done.stderr


PAGE = """
import django, re; django.setup()
from django.test import Client
client = Client(SERVER_NAME="localhost")
page = client.get("/admin/login/").content.decode()
names = sorted(set(re.findall(r'/static/(?:r3al|unfold)/[^"]+[.](?:js|css|svg)', page)))
answers = [client.get(name) for name in names]
assert len(names) > 3 and all(answer.status_code == 200 for answer in answers), names
assert all(re.search(r"[.][0-9a-f]{12}[.]\\w+$", name) for name in names), names
assert all("immutable" in answer["Cache-Control"] for answer in answers)
"""


def test_the_embedded_files_are_private_however_it_is_started_and_static_names_are_hashed(tmp_path: Path) -> None:
    home = tmp_path / "var"
    (home / "broker").mkdir(parents=True, mode=0o777)
    (home / "r3al.sqlite3").touch(mode=0o666)
    home.chmod(0o777)
    for command in (("manage.py", "prepare"), ("-c", PAGE)):
        open_to_all = f"import os, sys; os.umask(0); os.execv(sys.executable, [sys.executable, *{command!r}])"
        done = run(home, "-c", open_to_all, DJANGO_SETTINGS_MODULE="r3al_project.settings")
        assert done.returncode == 0, done.stderr
    readable = [path for path in (home, *home.rglob("*")) if path.stat().st_mode & 0o077]
    assert readable == [] and (home / "static" / "staticfiles.json").exists()


def test_every_variable_that_is_read_is_in_the_example() -> None:
    text = "".join((ROOT / "r3al_project" / name).read_text() for name in ("settings.py", "environment.py"))
    names = set(re.findall(r'\(\s*env, "([A-Z0-9_]+)"', text))
    names |= {name for several in re.findall(r"\.beside\(env, (.+)\)", text) for name in re.findall(r"\w+", several)}
    assert len(names) > 15
    example = set(re.findall(r"^(?:# )?([A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), flags=re.MULTILINE))
    assert names <= example, names - example
    assert example <= names | {"POSTGRES_PASSWORD"}, example - names
