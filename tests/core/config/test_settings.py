import hashlib
import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from gopher.base.rates import Rate
from gopher.config.settings import Settings
from gopher.errors import ConfigurationError


def read(**variables: str) -> Settings:
    return Settings.from_env(variables)


def complaint(**variables: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read(**variables)
    return str(caught.value)


def test_works_without_any_variable():
    settings = read()
    assert (settings.server_host, settings.server_port) == ("localhost", 8080)
    assert settings.redis_url == "redis://localhost:6379/0"
    assert settings.worker_priority_weights == {"high": 5, "normal": 3, "low": 1}
    assert settings.dead_ttl == 30 * 86400
    assert settings.api_keys == ()


def test_each_default_can_be_written_in_the_environment():
    defaults = {variable.name: variable.default for variable in Settings.variables()}
    assert Settings.from_env(defaults) == read() == Settings()


def test_reads_durations_as_seconds_and_sizes_as_bytes():
    settings = read(WORKER_LEASE="1m30s", WORKER_POLL_INTERVAL="500ms", REDIS_TIMEOUT="2", SERVER_MAX_BODY="512KiB")
    assert settings.worker_lease == 90.0
    assert settings.worker_poll_interval == 0.5
    assert settings.redis_timeout == 2.0
    assert settings.server_max_body == 512 * 1024


@pytest.mark.parametrize(
    ("text", "size"), [("1", 1), ("64b", 64), ("1.5KiB", 1536), ("2 MB", 2_000_000), ("1gib", 2**30), ("3kb", 3000)]
)
def test_reads_a_size(text, size):
    assert read(SERVER_MAX_BODY=text).server_max_body == size


def test_an_empty_variable_counts_as_not_set():
    assert read(WORKER_LEASE="", REDIS_PASSWORD=" ", PORT="") == read()


def test_port_beats_server_port_and_opens_the_api_to_others():
    settings = read(PORT="5000", SERVER_PORT="6000")
    assert (settings.server_host, settings.server_port) == ("0.0.0.0", 5000)
    assert read(PORT="5000", SERVER_HOST="127.0.0.1").server_host == "127.0.0.1"
    assert read(SERVER_PORT="6000").server_host == "localhost"


WRONG = {
    "SERVER_HOST": ["http://localhost", "a b", "user@host"],
    "SERVER_PORT": ["http", "65536", "-1", "80.0"],
    "PORT": ["http"],
    "SERVER_READ_TIMEOUT": ["soon", "0", "-1s"],
    "SERVER_MAX_BODY": ["big", "0", "1TiB", "-1", "9" * 400, "1025GiB"],
    "WEB_CONCURRENCY": ["0", "many", "²"],
    "REDIS_URL": ["localhost:6379", "http://localhost", "redis://h:0", "redis://a,b", "redis://h/one", "redis://h/1/2"],
    "REDIS_DB": ["-1", "a"],
    "REDIS_TLS_VERIFY": ["maybe", "/nowhere/ca.pem"],
    "WORKER_QUEUES": ["Upper", "a,a", "a b", "{a}", ",", "a:b"],
    "WORKER_MAX_RETRIES": ["101"],
    "WORKER_JOB_TIMEOUT": ["25h", "0"],
    "WORKER_MAX_RSS_PER_CHILD": ["1000"],
    "WORKER_PRIORITY_WEIGHTS": ["high:5", "high:5,normal:3,low:0", "high:1,high:2,normal:1,low:1", "loose", "a:1"],
    "GOPHER_HANDLERS": ["my-module", "a..b", "a.b:c", "1a"],
    "GOPHER_NAMESPACE": ["{a}", "a:b", "", "a b"][:2],
    "GOPHER_API_KEYS": [
        *("name:", ":secret", "name:secret:root", "a:same,b:same", "a:b:c:d"),
        # A role where a secret should be makes an admin key that everybody guesses.
        *("ops:read", "frontend:submit", "ops:Admin", "ops:read:read", "ops: admin", "read", "submit", "admin"),
        # A secret with a comma.
        *("ops:pa,ss:admin", "ops:pa,ss", "ops:pa,ss:submit", "8f14e45fceea167a,5f9c4ab08cac7457", "ops:first,second"),
        # A role left out behind its colon, or all but a role; nothing but commas.
        *("x:secret:", "x:secret: ", "::admin", "x::admin", ",", " , ,", ":"),
        # Whoever thinks that the role stands in front has an admin's key.
        *("read:long-enough-secret", "submit:long-enough-secret"),
        # A generated secret with a colon.
        *("s3(r)=t:of-a-generator", "=:x", "a/b#:c"),
    ],
    "GOPHER_ALLOWED_HOSTS": ["http://a", "a:80", "a b", "a,a", ",", "a/b", "user@a", "*.example.com", "a\nb"],
    "GOPHER_API_RATE": ["10", "10/y", "0/s", "-1/s", "9" * 400 + "/s", "1000000001/s"],
    "GOPHER_ALLOW_ANONYMOUS": ["maybe"],
    "GOPHER_CORS_ORIGINS": [
        *(
            "example.com",
            "https://example.com/path",
            "https://example.com/",
            "https://user@example.com",
            "null",
            "ws://a",
        ),
        # What a library would take for a regular expression.
        *("https://*.example.com", "https://shop*.example.com", "http*://example.com", "*.example.com", "https://*"),
        *("https://(shop|blog).example.com", "https://shop.example.com$", "https://[a-z].example.com", "https://a?"),
        *("https://example.com:0", "https://example.com:65536", "https://example.com#", "http://[::g]", "https://a\\b"),
    ],
    "GOPHER_RESULT_TTL": ["a while", "9" * 300, "9" * 400, "36526d"],
    "GOPHER_DEAD_MAX": ["0"],
    "GOPHER_FETCH_ALLOW": ["localhost", "localhost:0", "http://localhost:80"],
    "LOG_LEVEL": ["loud"],
    "LOG_FORMAT": ["xml"],
    "OTEL_EXPORTER_OTLP_ENDPOINT": ["localhost:4318"],
    "SMTP_SENDERS": ["example.com", "Shop <a@example.com>", "@", "a@b@", "*@example.com,a b@c", "a@b,a@b"],
    "SMTP_URL": ["localhost:25", "smtp://", "http://localhost"],
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in WRONG.items() for text in texts])
def test_refuses_invalid_values_and_names_what_is_expected(name, text):
    message = complaint(**{name: text})
    assert name in message
    assert "expected " in message
    assert name == "GOPHER_API_KEYS" or repr(text) in message


def test_secrets_are_read_from_files(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text(" p4ss\n")
    assert read(REDIS_PASSWORD_FILE=str(secret)).server_address.password == "p4ss"
    secret.write_text("ops:secret-of-ops\n")
    (key,) = read(GOPHER_API_KEYS_FILE=str(secret)).api_keys
    assert key.name == "ops"
    assert "not both" in complaint(REDIS_PASSWORD_FILE=str(secret), REDIS_PASSWORD="x")
    assert "No such file" in complaint(GOPHER_API_KEYS_FILE="/nowhere/keys")
    secret.write_text("\n")
    assert "not empty" in complaint(GOPHER_API_KEYS_FILE=str(secret))
    secret.write_bytes(b"\xff")
    assert "not UTF-8" in complaint(GOPHER_API_KEY_FILE=str(secret))
    secret.write_text("ops:read")
    message = complaint(GOPHER_API_KEYS_FILE=str(secret))
    assert "GOPHER_API_KEYS_FILE=(not shown)" in message
    assert "ops" not in message


def test_origins_are_read_as_browsers_send_them():
    origins = "https://Shop.Example:443, http://[0:0::1]:3000, http://localhost:80, *"
    expected = ("https://shop.example", "http://[::1]:3000", "http://localhost", "*")
    assert read(GOPHER_CORS_ORIGINS=origins).cors_origins == expected
    assert "list its subdomains" in complaint(GOPHER_CORS_ORIGINS="https://*.example.com")


def test_reports_all_wrong_variables_at_once():
    message = complaint(WORKER_LEASE="x", LOG_LEVEL="loud", PORT="y", REDIS_DB="z")
    assert [line.split("=")[0].strip() for line in message.splitlines()[1:]] == [
        "PORT",
        "REDIS_DB",
        "WORKER_LEASE",
        "LOG_LEVEL",
    ]


def test_refuses_a_lease_that_an_idle_worker_would_miss():
    assert "three times WORKER_POLL_INTERVAL" in complaint(WORKER_LEASE="2s", WORKER_POLL_INTERVAL="1s")
    assert read(WORKER_LEASE="3s", WORKER_POLL_INTERVAL="1s").worker_lease == 3.0


def test_refuses_a_worker_for_a_queue_that_is_not_allowed():
    message = complaint(GOPHER_QUEUES="a", WORKER_QUEUES="a,b")
    assert "WORKER_QUEUES has 'b', which GOPHER_QUEUES does not list" in message
    assert read(GOPHER_QUEUES="a,b", WORKER_QUEUES="b").queues == ("a", "b")
    assert read(GOPHER_QUEUES="a").queues == ("a",)
    assert read().queues == ()


def test_does_not_report_a_conflict_with_a_variable_that_can_not_be_read():
    message = complaint(WORKER_LEASE="x", WORKER_POLL_INTERVAL="20s", REDIS_URL="redis+cluster://h", REDIS_DB="1")
    assert "three times" not in message
    assert "REDIS_DB=1: expected 0" in message


def test_refuses_a_ca_file_for_a_server_without_tls(tmp_path):
    authority = tmp_path / "ca.pem"
    authority.write_text("...")
    assert "rediss://" in complaint(REDIS_TLS_VERIFY=str(authority))
    assert read(REDIS_URL="rediss://h", REDIS_TLS_VERIFY=str(authority)).redis_tls_verify == str(authority)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("redis://localhost", "redis://localhost:6379/0"),
        ("redis://:p%40ss@h:1/2", "redis://:p%40ss@h:1/2"),
        ("rediss://user:pw@h:6380", "rediss://user:pw@h:6380/0"),
        ("redis://h?db=3", "redis://h:6379/3"),
        ("redis://[::1]:7000", "redis://[::1]:7000/0"),
        ("unix:///run/a%20b.sock?db=2", "unix:///run/a%20b.sock?db=2"),
        ("unix://:pw@/run/a.sock", "unix://:pw@/run/a.sock"),
        ("redis+sentinel://h1:26379,h2/mymaster/1", "redis+sentinel://h1:26379,h2:26379/mymaster/1"),
        ("redis+cluster://:pw@h1:7000,h2:7001", "redis+cluster://:pw@h1:7000,h2:7001"),
        ("valkey://user:pw@h/2", "redis://user:pw@h:6379/2"),
        ("valkeys://h", "rediss://h:6379/0"),
        ("valkey+sentinel://h1,h2/mymaster", "redis+sentinel://h1:26379,h2:26379/mymaster/0"),
        ("valkey+cluster://h1,h2", "redis+cluster://h1:6379,h2:6379"),
    ],
)
def test_reads_every_kind_of_server_url(text, url):
    settings = read(REDIS_URL=text)
    assert settings.redis_url == url
    assert Settings.from_env({"REDIS_URL": url}).redis_url == url


def test_redis_password_and_redis_db_override_the_url():
    settings = read(REDIS_URL="redis://user:old@h:1/2", REDIS_PASSWORD="n/e:w@", REDIS_DB="0")
    assert settings.redis_url == "redis://user:n%2Fe%3Aw%40@h:1/0"
    assert settings.server_address.password == "n/e:w@"
    unix = read(REDIS_URL="unix:///run/a.sock?db=1", REDIS_PASSWORD="pw", REDIS_DB="4")
    assert unix.redis_url == "unix://:pw@/run/a.sock?db=4"


def test_keeps_only_a_digest_of_each_api_key():
    settings = read(GOPHER_API_KEYS="shop:s3cret:submit, board:other:read,ops:third")
    assert [(key.name, key.role) for key in settings.api_keys] == [
        ("shop", "submit"),
        ("board", "read"),
        ("ops", "admin"),
    ]
    assert settings.api_keys[0].digest == hashlib.sha256(b"s3cret").digest()
    assert b"s3cret" not in pickle.dumps(settings)


def test_takes_roles_names_and_blanks_as_people_write_them():
    keys = read(
        GOPHER_API_KEYS=" the shop : s3cret : submit , admin:se/cr=et, read:0ther:read, Jürgen@büro:pw,"
    ).api_keys
    assert [(key.name, key.role) for key in keys] == [
        ("the shop", "submit"),
        ("admin", "admin"),
        ("read", "read"),
        ("Jürgen@büro", "admin"),
    ]
    assert keys[0].digest == hashlib.sha256(b"s3cret").digest()


def test_on_heroku_jobs_are_stopped_before_the_dyno_is_killed_unless_a_time_is_set():
    assert read(DYNO="worker.1").worker_shutdown_timeout == 20
    assert read(DYNO="worker.1", WORKER_SHUTDOWN_TIMEOUT=" ").worker_shutdown_timeout == 20
    assert read(DYNO="worker.1", WORKER_SHUTDOWN_TIMEOUT="5s").worker_shutdown_timeout == 5
    assert read(DYNO="").worker_shutdown_timeout == 30


def test_reads_the_hosts_by_which_the_api_is_called():
    settings = read(GOPHER_ALLOWED_HOSTS="Gopher.Internal., .example.com,10.0.0.7,[2001:DB8::1],web_1,*")
    assert settings.allowed_hosts == ("gopher.internal", ".example.com", "10.0.0.7", "2001:db8::1", "web_1", "*")


def test_takes_a_bare_secret_as_the_owners_key():
    (key,) = read(GOPHER_API_KEYS="8f14e45fceea167a").api_keys
    assert (key.name, key.role) == ("owner", "admin")
    assert key.digest == hashlib.sha256(b"8f14e45fceea167a").digest()


SECRETS = {
    "REDIS_URL": "redis://:geheim@h:6379/0",
    "REDIS_PASSWORD": "geheim",
    "SMTP_URL": "smtp://user:geheim@mail:587",
    "GOPHER_API_KEYS": "shop:geheim",
}


def test_repr_shows_no_secret():
    assert "geheim" not in repr(Settings.from_env(SECRETS))
    assert "geheim" not in repr(Settings.from_env(SECRETS).server_address)
    assert "geheim" not in str(Settings.from_env(SECRETS).server_address)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("REDIS_URL", "redis://:geheim@h:99999"),
        ("REDIS_URL", "redis://:geheim@h/x"),
        ("REDIS_URL", "redis://:a/geheim@h:1/0"),
        ("REDIS_URL", "redis://:a#geheim@h:1/0"),
        ("REDIS_URL", "http://h?password=geheim"),
        ("REDIS_URL", "redis://:geheim@[::1/0"),
        ("SMTP_URL", "http://user:geheim@mail"),
        ("SMTP_URL", "smtp://user:geheim@mail:port"),
        ("GOPHER_API_KEYS", "shop:geheim:root"),
        ("GOPHER_API_KEYS", "shop:geheim:"),
        ("GOPHER_API_KEYS", "geheim(1):geheim"),
        ("GOPHER_API_KEYS", "geheim,admin"),
        ("GOPHER_API_KEYS", "geheim:admin"),
        ("GOPHER_API_KEYS", "a:b:geheim:d"),
        ("GOPHER_API_KEYS", "a:geheim,b:geheim"),
    ],
)
def test_a_complaint_shows_no_secret(name, text):
    assert "geheim" not in complaint(**{name: text})


def test_reads_strict_order_of_priorities():
    assert read(WORKER_PRIORITY_WEIGHTS="strict").worker_priority_weights == "strict"
    weights = read(WORKER_PRIORITY_WEIGHTS="low:2, high:10 ,normal:4").worker_priority_weights
    assert weights == {"high": 10, "normal": 4, "low": 2}


def test_reads_the_rate_of_the_api():
    assert read(GOPHER_API_RATE="600/m").api_rate == Rate(600.0, 60.0)
    assert read(GOPHER_API_RATE="off").api_rate is None


def test_keeps_the_order_of_preference_of_queues():
    assert read(WORKER_QUEUES="mail, default,images").worker_queues == ("mail", "default", "images")


def test_files_are_found_from_any_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert read().files == Path(tmp_path) / "files"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "::1", "[::1]"])
def test_serves_this_machine_without_keys(host):
    read(SERVER_HOST=host).check_listener()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.com"])
def test_refuses_to_serve_other_machines_without_keys(host):
    with pytest.raises(ConfigurationError, match="GOPHER_API_KEYS"):
        read(SERVER_HOST=host).check_listener()
    read(SERVER_HOST=host, GOPHER_API_KEYS="a:0123456789abcdef").check_listener()
    read(SERVER_HOST=host, GOPHER_ALLOW_ANONYMOUS="1").check_listener()


@pytest.mark.parametrize("anonymous", ["0", "1"])
def test_refuses_short_secrets_where_other_machines_can_try_them(anonymous):
    keys = "shop:0123456789abcdef:submit,board:0123456789abcde:read,ops:geheim"
    settings = read(SERVER_HOST="0.0.0.0", GOPHER_API_KEYS=keys, GOPHER_ALLOW_ANONYMOUS=anonymous)
    with pytest.raises(ConfigurationError, match=r"16 characters \(key 2, 3 of 3\)") as raised:
        settings.check_listener()
    assert "geheim" not in str(raised.value)
    assert "0123456789" not in str(raised.value)
    read(SERVER_HOST="127.0.0.1", GOPHER_API_KEYS=keys).check_listener()
    with pytest.raises(ConfigurationError, match="16 characters"):
        read(PORT="5000", GOPHER_API_KEYS="0123456789abcde").check_listener()


def test_settings_can_not_be_changed():
    with pytest.raises(AttributeError):
        read().worker_lease = 1.0
    with pytest.raises(AttributeError):
        del read().worker_lease


def test_settings_are_equal_if_their_values_are_and_have_no_others():
    assert pickle.loads(pickle.dumps(read())) == read() != read(WORKER_LEASE="2m")
    assert read(WORKER_LEASE="2m") == replace(read(), worker_lease=120.0)
    with pytest.raises(TypeError, match=r"^there is no setting worker_leases$"):
        Settings(worker_leases=1.0)


EXTREMES = (
    *(
        "0",
        "-1",
        "9" * 400,
        "9" * 5000,
        "1e400",
        "1e-320",
        "nan",
        "inf",
        "0x10",
        "1_000",
        "\u0663",
        "\u0663s",
        "\u0663MB",
    ),
    *(
        "x" * 5000,
        "[" * 50_000,
        "~nobody-of-this-name/x",
        "\udcff",
        "\u202e",
        "[",
        "http://[",
        "http://h:99999",
        "//",
        ":",
        ",",
        "a:b",
        "*",
        "1/0s",
        "\x1b[2J",
    ),
    *(
        "redis://h:\u0663",
        "redis://h/\u0663",
        "unix:///\udcff",
        "smtp://\u0663:99999",
        "10.0.0.1:\u0663",
        "high:\u0663",
    ),
)


@pytest.mark.parametrize("name", ["PORT", *(variable.name for variable in Settings.variables())])
def test_any_text_is_read_or_refused_by_name_and_what_is_read_can_be_shown(name):
    for text in EXTREMES:
        said = outcome(name, text)
        assert name in said or said.startswith("Settings(")
        said.encode("utf-8", "surrogateescape")


def outcome(name: str, text: str) -> str:
    try:
        return repr(read(**{name: text}))
    except ConfigurationError as refused:
        return str(refused)


@pytest.mark.parametrize("name", ["PORT", "WEB_CONCURRENCY", "SERVER_MAX_BODY", "WORKER_LEASE", "GOPHER_DEAD_MAX"])
def test_digits_of_other_scripts_are_no_number(name):
    assert name in complaint(**{name: "\u0663\u0660"})
