"""Settings that override parts of REDIS_URL, and those that do not fit it."""

import pytest

from gopher.client import Client
from gopher.config.settings import Settings
from gopher.errors import ConfigurationError


@pytest.fixture
def files(tmp_path):
    for name in ("ca.pem", "client.pem", "client.key"):
        (tmp_path / name).touch()
    return tmp_path


def read(url: str, **variables: object) -> Settings:
    return Settings.from_env({"REDIS_URL": url, **{name: str(value) for name, value in variables.items()}})


def complaint(url: str, **variables: object) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read(url, **variables)
    return str(caught.value)


def test_settings_override_the_options_of_the_url(files):
    settings = read(
        f"rediss+sentinel://u:p@h1,h2/m?sentinel_password=old&ssl_ca_certs={files}/client.pem&ssl_check_hostname=1",
        REDIS_USERNAME="user",
        REDIS_PASSWORD="pw",
        REDIS_SENTINEL_USERNAME="watcher",
        REDIS_SENTINEL_PASSWORD="a-fresh-password",
        REDIS_SENTINEL_TLS="no",
        REDIS_ADDRESS_MAP="10.0.0.5=h",
        REDIS_TLS_VERIFY=files / "ca.pem",
        REDIS_TLS_CHECK_HOSTNAME="0",
        REDIS_TLS_SERVER_NAME="name.test",
        REDIS_TLS_CERT=files / "client.pem",
        REDIS_TLS_KEY=files / "client.key",
        REDIS_TLS_KEY_PASSWORD="of the key",
    )
    address = settings.server_address
    assert (address.username, address.password) == ("user", "pw")
    assert (address.option("sentinel_username"), address.option("sentinel_password")) == ("watcher", "a-fresh-password")
    assert (address.uses_tls, address.sentinels_use_tls) == (True, False)
    assert address.address_map(("10.0.0.5", 1)) == ("h", 1)
    assert address.tls == (
        str(files / "ca.pem"),
        False,
        "name.test",
        str(files / "client.pem"),
        str(files / "client.key"),
        "of the key",
    )
    # The URL alone says all of it, to processes that get only that.
    assert Settings.from_env({"REDIS_URL": settings.redis_url}).server_address == address
    for shown in (repr(settings), str(address)):
        assert "of the key" not in shown
        assert "a-fresh-password" not in shown


@pytest.mark.parametrize(
    ("option", "setting", "verify"),
    [
        ("", "", "required"),
        ("?ssl_cert_reqs=none", "", "none"),
        ("?ssl_cert_reqs=none", "required", "required"),
        ("?ssl_cert_reqs=required", "none", "none"),
        ("", "none", "none"),
    ],
)
def test_the_setting_of_verification_counts_more_than_the_url_even_if_it_is_the_default(option, setting, verify):
    tls = read(f"rediss://h{option}", REDIS_TLS_VERIFY=setting).server_address.tls
    assert tls is not None
    assert tls.verify == verify


def test_secrets_of_sentinels_and_keys_are_read_from_files(files):
    (files / "secret").write_text("geheim\n")
    settings = read(
        "rediss+sentinel://h/m",
        REDIS_SENTINEL_PASSWORD_FILE=files / "secret",
        REDIS_TLS_CERT=files / "client.pem",
        REDIS_TLS_KEY_PASSWORD_FILE=files / "secret",
    )
    assert settings.server_address.option("sentinel_password") == "geheim"
    assert settings.server_address.option("ssl_password") == "geheim"
    assert "geheim" not in repr(settings)


@pytest.mark.parametrize(
    ("url", "variables", "remedy"),
    [
        ("redis://h", {"REDIS_SENTINEL_PASSWORD": "x"}, "REDIS_SENTINEL_PASSWORD is for redis+sentinel://"),
        ("redis+cluster://h", {"REDIS_SENTINEL_TLS": "1"}, "REDIS_SENTINEL_TLS is for redis+sentinel://"),
        ("redis://h", {"REDIS_ADDRESS_MAP": "a=b"}, "REDIS_ADDRESS_MAP is for redis+sentinel:// or redis+cluster://"),
        ("redis://h", {"REDIS_TLS_SERVER_NAME": "x"}, "REDIS_TLS_SERVER_NAME is for rediss://"),
        ("redis://h", {"REDIS_TLS_VERIFY": "/dev/../etc/hostname"}, "REDIS_TLS_VERIFY is for rediss://"),
        ("unix:///run/a.sock", {"REDIS_TLS_CHECK_HOSTNAME": "0"}, "but REDIS_URL is unix://"),
        ("rediss://h", {"REDIS_TLS_KEY": "/etc/hostname"}, "expected REDIS_TLS_CERT with REDIS_TLS_KEY"),
        ("rediss://h", {"REDIS_TLS_KEY_PASSWORD": "x"}, "expected REDIS_TLS_CERT with REDIS_TLS_KEY_PASSWORD"),
        ("redis+sentinel://h/m", {"REDIS_SENTINEL_USERNAME": "x"}, "expected REDIS_SENTINEL_PASSWORD with"),
        ("redis+cluster://h", {"REDIS_DB": "1"}, "REDIS_DB=1: expected 0"),
        ("redis://geheim@h", {}, "REDIS_URL='redis://***@h:6379/0' is without a password"),
        ("redis://h", {"REDIS_USERNAME": "x"}, "REDIS_USERNAME is without a password"),
        ("redis://h?nonsense=1", {}, "expected no option 'nonsense'"),
    ],
)
def test_what_does_not_fit_the_url_is_reported_with_a_remedy(url, variables, remedy):
    message = complaint(url, **variables)
    assert remedy in message
    assert "geheim" not in message


def test_a_user_name_may_be_in_the_url_and_its_password_in_a_setting():
    address = read("redis+cluster://user@h", REDIS_PASSWORD="pw").server_address
    assert (address.username, address.password) == ("user", "pw")
    assert read("redis://user:@h").server_address.password == ""


def test_verification_may_be_off_where_there_is_no_tls():
    assert read("redis://h", REDIS_TLS_VERIFY="none").server_address.tls is None


def test_the_url_of_a_caller_is_checked_too():
    with pytest.raises(ConfigurationError, match=r"server URL 'redis://:\*\*\*@h\?nonsense=1' is invalid: expected no"):
        Client("redis://:geheim@h?nonsense=1")
