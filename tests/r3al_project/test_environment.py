"""Settings are read strictly: a wrong variable is named in one sentence, and a secret never is."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from r3al_project import environment as read

pytestmark = pytest.mark.embedded  # knows neither database nor broker

SECRET = "s" * read.SECRET_LENGTH


@pytest.mark.parametrize(
    ("given", "value"), [("true", True), ("0", False), ("Yes", True), ("", True), (" off ", False)]
)
def test_a_switch_knows_the_usual_spellings(given: str, value: bool) -> None:
    assert read.switch({"DEBUG": given}, "DEBUG", default=True) is value


@pytest.mark.parametrize("given", ["maybe", "2", "tru"])
def test_anything_else_is_refused_by_name(given: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=f"DEBUG='{given}'"):
        read.switch({"DEBUG": given}, "DEBUG", default=False)


@pytest.mark.parametrize("given", ["lots", "nan", "inf", "-1", "101"])
def test_a_number_is_finite_and_in_its_range(given: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="MAX_PRIVACY_EPSILON"):
        read.number({"MAX_PRIVACY_EPSILON": given}, "MAX_PRIVACY_EPSILON", 1.0, low=0, high=100)


def test_a_whole_number_is_whole() -> None:
    assert read.whole({"DEFAULT_EPOCHS": "7"}, "DEFAULT_EPOCHS", 100, low=1) == 7
    with pytest.raises(ImproperlyConfigured, match="whole number"):
        read.whole({"DEFAULT_EPOCHS": "7.5"}, "DEFAULT_EPOCHS", 100, low=1)


@pytest.mark.parametrize("given", ["", "brief-1", "your-secret-salt-here"])
def test_production_refuses_a_missing_a_short_and_the_example_secret(given: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="ANONYMIZATION_SALT") as refused:
        read.secret({"ANONYMIZATION_SALT": given}, "ANONYMIZATION_SALT", embedded_file=None)
    assert not given or given not in str(refused.value)


@pytest.mark.parametrize("given", ["", "brief", "1:brief", f"0:{SECRET}", f"1:{SECRET},1:{SECRET}", f"one:{SECRET}"])
def test_production_refuses_master_keys_that_it_cannot_use(given: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="DATA_MASTER_KEYS") as refused:
        read.master_keys({"DATA_MASTER_KEYS": given}, "DATA_MASTER_KEYS", embedded_file=None)
    assert SECRET not in str(refused.value)


def test_master_keys_have_versions_and_the_embedded_default_makes_one_up(tmp_path: Path) -> None:
    given = {"DATA_MASTER_KEYS": f"1:{SECRET}, 2:{SECRET}x"}
    assert read.master_keys(given, "DATA_MASTER_KEYS", embedded_file=None) == {1: SECRET, 2: f"{SECRET}x"}
    first = read.master_keys({}, "DATA_MASTER_KEYS", embedded_file=tmp_path / "master-key")
    assert list(first) == [1] and first == read.master_keys(
        {}, "DATA_MASTER_KEYS", embedded_file=tmp_path / "master-key"
    )


def test_production_takes_a_long_one() -> None:
    assert read.secret({"SECRET_KEY": SECRET}, "SECRET_KEY", embedded_file=None) == SECRET


def test_the_embedded_default_makes_a_secret_up_once_and_keeps_it_to_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "salt"
    first = read.secret({}, "ANONYMIZATION_SALT", embedded_file=path)
    assert first == read.secret({}, "ANONYMIZATION_SALT", embedded_file=path) == path.read_text()
    assert len(first) >= read.SECRET_LENGTH
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["salt"]


@pytest.mark.parametrize("url", ["mysql://a:hidden@h/x", "postgresql://", "nonsense", "postgresql://a:hidden@h:port/x"])
def test_a_database_url_that_cannot_be_used_is_refused_without_its_password(url: str, tmp_path: Path) -> None:
    with pytest.raises(ImproperlyConfigured, match="DATABASE_URL") as refused:
        read.database({"DATABASE_URL": url}, tmp_path)
    assert "hidden" not in str(refused.value)


def test_sqlite_takes_its_write_lock_when_a_transaction_begins(tmp_path: Path) -> None:
    described = read.database({}, tmp_path)
    assert described["NAME"] == str(tmp_path / "r3al.sqlite3")
    assert described["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    assert described["OPTIONS"]["timeout"] == 20


def test_sqlite_overwrites_what_is_deleted_whatever_its_build_does_by_default(tmp_path: Path) -> None:
    assert "PRAGMA secure_delete=ON;" in read.database({}, tmp_path)["OPTIONS"]["init_command"]


def test_postgresql_connections_are_kept_for_a_minute_and_checked(tmp_path: Path) -> None:
    described = read.database({"DATABASE_URL": "postgresql://a:b@h:5433/x"}, tmp_path)
    assert described["CONN_HEALTH_CHECKS"] and described["CONN_MAX_AGE"] == 60
    assert (described["HOST"], described["PORT"], described["NAME"]) == ("h", 5433, "x")


def test_a_postgresql_session_that_goes_silent_is_ended_and_the_operator_may_say_when(tmp_path: Path) -> None:
    options = read.database({"DATABASE_URL": "postgresql://a:b@h/x"}, tmp_path)["OPTIONS"]
    assert options["options"] == "-c idle_in_transaction_session_timeout=60s -c lock_timeout=90s"
    assert (options["keepalives_idle"], options["tcp_user_timeout"]) == (30, 60_000)
    given = "postgresql://a:b@h/x?options=-c%20lock_timeout%3D5s&keepalives_idle=7"
    options = read.database({"DATABASE_URL": given}, tmp_path)["OPTIONS"]
    assert options["options"].endswith("lock_timeout=90s -c lock_timeout=5s") and options["keepalives_idle"] == 7


def test_without_redis_the_broker_is_folders_that_exist(tmp_path: Path) -> None:
    url, options = read.broker({}, tmp_path)
    assert url == "filesystem://"
    assert options["data_folder_in"] == options["data_folder_out"]
    assert Path(options["data_folder_in"]).is_dir() and Path(options["control_folder"]).is_dir()


@pytest.mark.parametrize("url", ["http://h:6379", "redis://", "6379"])
def test_a_redis_url_that_cannot_be_used_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(ImproperlyConfigured, match="REDIS_URL"):
        read.broker({"REDIS_URL": url}, tmp_path)


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ImproperlyConfigured, match="cannot be created"):
        read.folder(tmp_path / "file" / "var")


def test_an_authority_for_time_stamps_needs_its_roots_and_a_folder() -> None:
    names = ("VAULT_TSA_URL", "VAULT_TSA_ROOTS", "VAULT_TSA_FOLDER")
    assert read.beside({}, *names) == ["", ""]
    given = dict(zip(names, ("https://tsa.example", "roots.pem", "tokens"), strict=True))
    assert read.beside(given, *names) == ["roots.pem", "tokens"]
    with pytest.raises(ImproperlyConfigured, match="VAULT_TSA_URL is set, so VAULT_TSA_FOLDER must be set too"):
        read.beside(given | {"VAULT_TSA_FOLDER": " "}, *names)


def test_networks_are_read_and_a_wrong_one_is_named() -> None:
    found = read.networks({"N": "10.0.0.0/8, 127.0.0.1,fd00::/8"}, "N")
    assert [str(network) for network in found] == ["10.0.0.0/8", "127.0.0.1/32", "fd00::/8"]
    assert read.networks({}, "N") == []
    for wrong in ("10.0.0.1/8", "localhost", "10.0.0.0/8;fd00::/8"):
        with pytest.raises(ImproperlyConfigured, match="N cannot be read"):
            read.networks({"N": wrong}, "N")


def test_mail_goes_nowhere_without_a_server_and_a_password_is_never_quoted() -> None:
    assert read.mail({}, "M")["EMAIL_BACKEND"].endswith("dummy.EmailBackend")
    found = read.mail({"M": "smtp+tls://ann%40x.org:p%40ss@mail.example.org:587"}, "M")
    assert (found["EMAIL_HOST"], found["EMAIL_PORT"], found["EMAIL_HOST_USER"]) == (
        "mail.example.org",
        587,
        "ann@x.org",
    )
    assert found["EMAIL_USE_TLS"] is True
    with pytest.raises(ImproperlyConfigured, match="M cannot be read") as error:
        read.mail({"M": "pigeon://ann:secret-word@roof"}, "M")
    assert "secret-word" not in str(error.value)


def test_addresses_of_people_who_are_told_must_be_addresses() -> None:
    assert read.addresses({"A": "a@example.org, b@example.org"}, "A") == ["a@example.org", "b@example.org"]
    with pytest.raises(ImproperlyConfigured, match=r"'example\.org' is not an e-mail address"):
        read.addresses({"A": "a@example.org,example.org"}, "A")
