"""What handlers can't see of the environment, and can't become."""

import sys
from collections.abc import Callable

import msgspec
import pytest

from gopher.client import Client
from gopher.config.settings import Settings
from gopher.errors import ConfigurationError
from tests.worker.processes import Worker

SECRETS = {
    "GOPHER_API_KEYS": "ops:secret-of-ops,shop:secret-of-shop:submit",
    "AWS_ACCESS_KEY_ID": "secret-id",
    "AWS_SECRET_ACCESS_KEY": "secret-of-aws",
    "TOKEN": "secret-token",
}

needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")


@needs_proc
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_secrets_are_hidden_from_handlers_wherever_they_look(
    start_worker: Callable[..., Worker], client: Client, method: str
) -> None:
    start_worker(
        **SECRETS,
        GOPHER_HANDLERS="tests.worker.prying_handlers",
        WORKER_HIDE_ENV="AWS_*, TOKEN",
        WORKER_START_METHOD=method,
        SHOWN="yes",
        TOKENS="shown",
    )
    payload = {"names": [*SECRETS], "secrets": ["secret-"]}
    view = client.wait(client.enqueue("pries", payload), 30)
    assert view.status == "completed", view.error
    assert msgspec.json.decode(view.result) == {"seen": [], "others": True, "no_new_privs": True}


@pytest.mark.parametrize("text", ["A B", "1A", "*", "A*B", "A,A", "A=b"])
def test_what_is_no_name_of_a_variable_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="WORKER_HIDE_ENV=.*names of variables"):
        Settings.from_env({"WORKER_HIDE_ENV": text})
