"""Variables that look like misspelt settings are named."""

import pytest

from gopher.config.misspelt import misspelt
from gopher.config.settings import Settings


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("WORKER_QEUES", "WORKER_QUEUES"),
        ("GOPHER_WORKER_QEUES", "GOPHER_WORKER_QUEUES"),
        ("GOPHER_HANDLER", "GOPHER_HANDLERS"),
        ("LOG_LEVLE", "LOG_LEVEL"),
        ("WEB_CONCURENCY", "WEB_CONCURRENCY"),
    ],
)
def test_a_misspelt_variable_is_named_with_the_setting_that_is_like_it(name, meant):
    assert list(misspelt({name: "x"})) == [f"{name} is no setting, and ignored: did you mean {meant!r}?"]


@pytest.mark.parametrize(
    "name",
    [
        *sorted(Settings.names()),
        "REDIS_PASSWORD_FILE",
        # Of platforms and other programs.
        "REDIS_TLS_URL",
        "REDIS_HOST",
        "REDIS_PORT",
        "SERVER_NAME",
        "SERVER_SOFTWARE",
        "GOPHER_SERVICE_HOST",
        "GOPHER_SERVICE_PORT",
        "GOPHER_SERVICE_PORT_HTTP",
        "GOPHER_PORT_80_TCP",
        "OTEL_EXPORTER_OTLP_ENDPOINTS",
        "HOME",
        "ORKER_QUEUES",
    ],
)
def test_other_variables_are_not(name):
    assert list(misspelt({name: "x"})) == []
