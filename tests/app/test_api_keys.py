"""API keys that are kept on the server: who they let in, for how long, and what they cost the server."""

import hashlib
import re
import threading
import time
from contextlib import contextmanager, suppress
from functools import partial
from uuid import uuid4

import msgspec
import pytest
import redis
from gopher.app.keyring import Keyring
from redis.exceptions import ResponseError

from gopher.api_client.client import HttpClient
from gopher.base.times import from_rfc3339
from gopher.client import Client
from gopher.config.settings import Settings
from gopher.errors import InvalidJob, JobConflict, KeyNotFound, QueueUnavailable
from gopher.jobs import api_keys
from gopher.queue.api_keys import USE_NOTED_FOR, read_keys
from gopher.queue.store import Server
from gopher.server.embedded import EmbeddedServer
from tests.app.conftest import running_api
from tests.core.proxy import Proxy
from tests.helpers import wait_until

BOOT = "a-configured-secret"
JOB = {"type": "math", "payload": {"operation": "prime", "number": 7}}


def bearer(secret):
    return {"Authorization": f"Bearer {secret}"}


@pytest.fixture(scope="module")
def key_namespace():
    return f"keys-{uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def api(folder, redis_url, key_namespace):
    """An API of two processes, with an administrator's key of its own."""
    variables = {"GOPHER_API_KEYS": f"ops:{BOOT}", "WEB_CONCURRENCY": "2", "GOPHER_NAMESPACE": key_namespace}
    with running_api(folder, redis_url, **variables) as api:
        yield api


@pytest.fixture(scope="module")
def client(redis_url, key_namespace):
    with Client(redis_url, namespace=key_namespace) as client:
        yield client


def status(api, secret, path="/api/v1/jobs", method="GET", **more):
    # A connection of its own, so that any of the processes may answer.
    return api.request(method, path, headers={**bearer(secret), "Connection": "close"}, **more).status_code


def statuses(api, secret, path="/api/v1/jobs"):
    return {status(api, secret, path) for _ in range(12)}


def test_a_key_is_256_random_bits_that_only_its_creator_sees(client):
    one, other = client.keys.create("shop"), client.keys.create("shop")
    assert re.fullmatch("gopher_[0-9a-f]{64}", one.secret)
    assert one.secret != other.secret
    stored = b"".join(b"%s %s" % pair for pair in client.server.client.hgetall(client.server.keys.api_keys).items())
    assert one.secret.encode() not in stored
    assert one.secret.removeprefix("gopher_").encode() not in stored
    digest = hashlib.sha256(one.secret.encode()).hexdigest()
    assert digest.encode() in stored
    assert one.key_id == digest[:12]
    assert "secret" not in msgspec.json.encode(client.keys.all()).decode()


@pytest.mark.parametrize(
    ("role", "expected"), [("submit", (201, 403, 403)), ("read", (201, 200, 403)), ("admin", (201, 200, 200))]
)
def test_a_key_may_what_its_role_covers(api, client, role, expected):
    secret = client.keys.create("shop", role).secret
    found = (
        status(api, secret, method="POST", json=JOB),
        status(api, secret, "/api/v1/workers"),
        status(api, secret, "/api/v1/keys"),
    )
    assert found == expected


def test_the_name_of_a_key_owns_its_jobs_beside_configured_keys_of_that_name(api, client):
    secret = client.keys.create("ops", "submit").secret
    made = api.post("/api/v1/jobs", headers=bearer(secret), json=JOB).json()
    assert client.job(made["job_id"]).owner == "ops"


def test_a_revoked_key_stops_within_seconds_in_every_process(api, client):
    key = client.keys.create("shop", "read")
    assert statuses(api, key.secret) == {200}
    client.keys.revoke(key.key_id)
    began = time.monotonic()
    wait_until(lambda: statuses(api, key.secret) == {401}, 10, "both processes to reject the key")
    assert time.monotonic() - began < 9
    with pytest.raises(KeyNotFound):
        client.keys.revoke(key.key_id)


def test_an_expired_key_is_rejected_and_listed_as_expired(api, client):
    key = client.keys.create("shop", "read", expires_in="4s")
    assert status(api, key.secret) == 200
    wait_until(lambda: statuses(api, key.secret) == {401}, 60, "the key to expire")
    (view,) = (view for view in client.keys.all() if view.key_id == key.key_id)
    assert view.expired


def test_a_replaced_key_works_for_the_overlap_and_the_new_one_at_once(api, client):
    old = client.keys.create("shop", "read", ["mail"], ["email"], "30d")
    new = client.keys.rotate(old.key_id, overlap="3s")
    assert (new.name, new.role, new.queues, new.types) == ("shop", "read", ["mail"], ["email"])
    assert abs(remaining(new) - remaining(old)) < 60
    path = "/api/v1/jobs?queue=mail&type=email"
    assert statuses(api, new.secret, path) == {200}
    assert status(api, old.secret, path) in (200, 401)
    wait_until(lambda: statuses(api, old.secret, path) == {401}, 60, "the overlap to end")
    assert statuses(api, new.secret, path) == {200}


def remaining(view):
    return from_rfc3339(view.expires_at) / 1000 - time.time()


def test_a_key_that_is_replaced_without_overlap_is_gone(client):
    old = client.keys.create("shop")
    new = client.keys.rotate(old.key_id, overlap=0, expires_in="1h")
    ids = {view.key_id: view for view in client.keys.all()}
    assert old.key_id not in ids
    assert 3500 < remaining(ids[new.key_id]) < 3700


def test_rotating_never_extends_the_life_of_the_replaced_key(client):
    old = client.keys.create("shop", expires_in="1h")
    client.keys.rotate(old.key_id, overlap="7d")
    (view,) = (view for view in client.keys.all() if view.key_id == old.key_id)
    assert view.expires_at == old.expires_at


def test_the_last_use_is_written_at_most_once_a_minute(api, client):
    key = client.keys.create("shop", "read")
    (view,) = (view for view in client.keys.all() if view.key_id == key.key_id)
    assert view.last_used_at is None
    statuses(api, key.secret)
    used = last_use(client, key)
    assert used is not None
    statuses(api, key.secret)
    assert last_use(client, key) == used
    # Nor by another process, or one that was just started.
    field = "used:" + hashlib.sha256(key.secret.encode()).hexdigest()
    earlier = round(from_rfc3339(used)) - 5000
    client.server.client.hset(client.server.keys.api_keys, field, earlier)
    statuses(api, key.secret)
    assert from_rfc3339(last_use(client, key)) == earlier
    assert USE_NOTED_FOR == 60


def last_use(client, key):
    return next(view.last_used_at for view in client.keys.all() if view.key_id == key.key_id)


def test_administrators_manage_keys_over_the_api(api, client):
    with HttpClient(str(api.base_url), BOOT) as over_http:
        made = over_http.keys.create("board", role="read", queues=["mail"], expires_in="1d")
        assert (made.name, made.role, made.queues, made.types) == ("board", "read", ["mail"], [])
        listed = {view.key_id: view for view in over_http.keys.all()}
        assert listed == {view.key_id: view for view in client.keys.all()}
        new = over_http.keys.rotate(made.key_id, overlap="1h")
        assert new.key_id != made.key_id
        over_http.keys.revoke(new.key_id)
        with pytest.raises(KeyNotFound):
            over_http.keys.rotate(new.key_id)
        with pytest.raises(KeyNotFound):
            over_http.keys.revoke("nothing")
        with pytest.raises(InvalidJob, match="/role"):
            over_http.keys.create("board", role="root")
        with pytest.raises(InvalidJob, match="/queues/1"):
            over_http.keys.create("board", queues=["mail", "No Queue"])


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": "a:b"}, "/name"),
        ({"name": ""}, "/name"),
        ({"name": "a", "role": "Admin"}, "/role"),
        ({"name": "a", "types": ["a b"]}, "/types/0"),
        ({"name": "a", "expires_in": "soon"}, "/expires_in"),
        ({"name": "a", "expires_in": 0}, "/expires_in"),
        ({"name": "a", "expires_in": "9" * 400}, "/expires_in"),
    ],
)
def test_a_key_that_can_not_be_is_rejected_by_its_field(api, client, fields, field):
    with pytest.raises(InvalidJob) as raised:
        client.keys.create(**fields)
    assert raised.value.field == field
    answer = api.post("/api/v1/keys", headers=bearer(BOOT), json=fields)
    assert (answer.status_code, answer.json()["field"]) == (400, field)


def test_there_is_a_bound_on_keys(redis_url, namespace):
    with Client(redis_url, namespace=namespace) as client:
        keys = {
            hashlib.sha256(str(number).encode()).hexdigest(): msgspec.json.encode(api_keys.KeyRecord("a", "read", 1))
            for number in range(api_keys.MAX_KEYS - 1)
        }
        client.server.client.hset(client.server.keys.api_keys, mapping=keys)
        last = client.keys.create("last")
        with pytest.raises(JobConflict, match="revoke one"):
            client.keys.create("one-more")
        client.keys.revoke(last.key_id)
        client.keys.create("again")


def test_keys_that_have_expired_long_ago_are_removed(redis_url, namespace):
    with Client(redis_url, namespace=namespace) as client:
        long_ago = {"name": "old", "role": "read", "created": 1, "expires": 2}
        client.server.client.hset(client.server.keys.api_keys, "00" * 32, msgspec.json.encode(long_ago))
        assert [view.name for view in client.keys.all()] == ["old"]
        client.keys.create("new")
        assert [view.name for view in client.keys.all()] == ["new"]


def test_a_record_that_can_not_be_read_lets_nobody_in_and_is_a_row_that_says_so(api, client):
    secret = "gopher_" + "ab" * 32
    digest = hashlib.sha256(secret.encode()).hexdigest()
    for value in (b"\xff", b'{"name":"x"}', b'{"name":"x","role":"root","created":1}'):
        client.server.client.hset(client.server.keys.api_keys, digest, value)
        client.server.client.hset(client.server.keys.api_keys, "version", uuid4().hex)
        (view,) = (view for view in client.keys.all() if view.key_id == digest[:12])
        assert view.corrupt == ["record"]
    assert statuses(api, client.keys.create("ok", "read").secret) == {200}
    assert status(api, secret) == 401
    client.keys.revoke(digest[:12])


def test_revoking_and_rotating_at_the_same_time_leaves_no_key_behind(redis_url, namespace):
    """A rotation that has read a key before it was revoked must not bring it back."""
    with Client(redis_url, namespace=namespace) as client:
        key = client.keys.create("shop")
        stale = read_keys(client.server)
        real, client.keys._read = client.keys._read, lambda: (stale.now, stale.keys)
        real_again = iter([(stale.now, stale.keys)])
        client.keys._read = lambda: next(real_again, None) or real()
        with Client(redis_url, namespace=namespace) as other:
            other.keys.revoke(key.key_id)
        with pytest.raises(KeyNotFound):
            client.keys.rotate(key.key_id)
        assert client.keys.all() == []


# What it costs


@contextmanager
def counted(server):
    """Count the commands that the server has run in between."""
    found = {}
    before = commands(server)
    yield found
    after = commands(server)
    found.update({name: after[name] - before.get(name, 0) for name in after if after[name] > before.get(name, 0)})


def commands(client):
    return {name: row["calls"] for name, row in client.info("commandstats").items()}


def test_requests_cost_the_server_no_lookup_of_their_key_nor_do_guesses(tmp_path):
    with EmbeddedServer(tmp_path) as server, Client(server.url) as client:
        key = client.keys.create("shop", "read")
        with running_api(tmp_path, server.url, GOPHER_API_KEYS=f"ops:{BOOT}", WEB_CONCURRENCY="1") as api:
            assert api.get("/api/v1/jobs/types", headers=bearer(key.secret)).status_code == 200
            began = time.monotonic()
            with counted(client.server.client) as found:
                for _ in range(100):
                    assert api.get("/api/v1/jobs/types", headers=bearer(key.secret)).status_code == 200
                    assert api.get("/api/v1/jobs/types", headers=bearer("guess")).status_code == 401
            # 200 requests: one question every two seconds.
            assert questions(found) <= (time.monotonic() - began) / 2 + 1
            began = time.monotonic()
            with counted(client.server.client) as found:
                for number in range(300):
                    guess = f"gopher_{number:064x}"
                    assert api.get("/api/v1/jobs/types", headers=bearer(guess)).status_code == 401
            # Each of these could be a new key: ten questions at once, and two a second.
            assert questions(found) <= 10 + (time.monotonic() - began) * 2.5 + 1
            assert "cmdstat_hgetall" not in found


def questions(found):
    return found.get("cmdstat_evalsha", 0) + found.get("cmdstat_eval", 0)


def test_with_the_server_away_configured_keys_work_kept_ones_end_and_nothing_opens(tmp_path):
    with EmbeddedServer(tmp_path) as server:
        with Client(server.url) as client:
            kept = client.keys.create("shop", "read").secret
        variables = {"GOPHER_API_KEYS": f"ops:{BOOT}", "WEB_CONCURRENCY": "1"}
        with (
            running_api(tmp_path, server.url, **variables) as api,
            running_api(tmp_path, server.url, WEB_CONCURRENCY="1") as keyless,
        ):
            types = "/api/v1/jobs/types"
            assert (status(api, kept, types), status(keyless, kept, types)) == (200, 200)
            assert keyless.get(types).status_code == 401
            server.stop()
            wait_until(lambda: status(api, kept, types) == 503, 60, "the kept key to end")
            assert status(api, BOOT, types) == 200
            assert status(api, "guess", types) == 401
            assert status(api, "gopher_" + "00" * 32, types) == 503
            assert keyless.get(types).status_code == 401
            began = time.monotonic()
            for _ in range(100):
                assert status(api, kept, types) == 503
            assert time.monotonic() - began < 60, "each of 100 requests has tried to reach the server"


@pytest.fixture
def proxy(server):
    with Proxy(server.socket_path) as proxy:
        yield proxy


@pytest.fixture
def keyring(proxy, namespace):
    """The keys as a process of the API knows them that reaches the server through a proxy."""
    settings = Settings(redis_url=proxy.url, namespace=namespace, redis_timeout=0.5)
    with Server(settings, connections=2) as server:
        yield Keyring(settings, lambda: server)


def test_a_server_that_hesitates_for_a_moment_keeps_no_request_out(proxy, keyring):
    proxy.delay(0.8)
    assert keyring.required() is False


def test_a_probe_is_not_kept_waiting_by_keys_that_can_not_be_read(proxy, keyring):
    proxy.leave()
    began = time.monotonic()
    with pytest.raises(QueueUnavailable):
        keyring.required(waits=False)
    assert time.monotonic() - began < 1.5


def test_a_new_key_is_not_refused_because_the_server_could_not_be_asked(proxy, keyring, redis_url, namespace):
    with Client(redis_url, namespace=namespace) as client:
        client.keys.create("old", "read")
        assert keyring.required()
        secret = client.keys.create("new", "read").secret.encode()
    proxy.away = True
    proxy.hang_up()
    # Also a client that does not give up, when no more may be asked for.
    for _ in range(30):
        with pytest.raises(QueueUnavailable):
            keyring.find(secret)
    proxy.away = False
    assert wait_until(lambda: found(keyring, secret)).name == "new"


def found(keyring, secret):
    with suppress(QueueUnavailable):
        return keyring.find(secret)


def test_an_api_that_has_never_reached_its_server_is_not_open(tmp_path):
    with running_api(tmp_path, f"unix://{tmp_path}/nothing.sock", WEB_CONCURRENCY="1") as api:
        answer = api.get("/api/v1/jobs/types")
        assert (answer.status_code, answer.json()["code"]) == (503, "queue_unavailable")
        assert api.get("/docs").status_code == 200


def test_an_api_that_cannot_read_its_keys_says_what_is_wrong_with_the_server(tmp_path):
    with EmbeddedServer(tmp_path) as server, redis.Redis.from_url(server.url, socket_timeout=None) as client:
        client.config_set("lua-time-limit", 10)
        with busy(client), running_api(tmp_path, server.url, WEB_CONCURRENCY="1") as api:
            answer = api.get("/api/v1/jobs/types")
            problem = answer.json()
        assert (answer.status_code, problem["code"]) == (503, "busy"), problem
        assert "the API keys that it keeps can't be read: try again later" in problem["details"]


@contextmanager
def busy(client):
    """Let a script that does not end keep the server from doing anything else."""
    script = threading.Thread(target=partial(pytest.raises, ResponseError, client.eval, "while true do end", 0))
    script.start()
    try:
        wait_until(lambda: is_busy(client), 60, "the server to be busy")
        yield
    finally:
        client.script_kill()
        script.join()


def is_busy(client):
    try:
        return not client.ping()
    except ResponseError as error:
        return "BUSY" in str(error)


def test_the_first_key_closes_an_api_without_keys_and_revoking_it_does_not_open_it(folder, redis_url, namespace):
    with (
        running_api(folder, redis_url, GOPHER_NAMESPACE=namespace, WEB_CONCURRENCY="1") as api,
        Client(redis_url, namespace=namespace) as client,
    ):
        assert api.get("/api/v1/jobs").status_code == 200
        key = client.keys.create("me", "admin")
        wait_until(lambda: api.get("/api/v1/jobs").status_code == 401, 20, "the API to require a key")
        assert status(api, key.secret) == 200
        client.keys.revoke(key.key_id)
        wait_until(lambda: status(api, key.secret) == 401, 20, "the key to be revoked")
        assert api.get("/api/v1/jobs").status_code == 401
    with running_api(folder, redis_url, GOPHER_NAMESPACE=namespace, WEB_CONCURRENCY="1") as again:
        assert again.get("/api/v1/jobs").status_code == 401


def test_an_api_may_be_told_to_require_a_key_before_there_is_one(folder, redis_url, namespace):
    Settings.from_env({"SERVER_HOST": "0.0.0.0", "GOPHER_REQUIRE_API_KEY": "1"}).check_listener()
    variables = {"GOPHER_NAMESPACE": namespace, "GOPHER_REQUIRE_API_KEY": "1", "WEB_CONCURRENCY": "1"}
    with running_api(folder, redis_url, **variables) as api, Client(redis_url, namespace=namespace) as client:
        assert api.get("/api/v1/jobs").status_code == 401
        assert api.get("/api/v1/jobs", headers={"Host": "gopher.example.com"}).status_code == 401
        key = client.keys.create("me", "admin")
        assert status(api, key.secret) == 200
        client.server.client.delete(client.server.keys.api_keys)
        wait_until(lambda: status(api, key.secret) == 401, 20, "the emptied server to be noticed")
        assert api.get("/api/v1/jobs").status_code == 401
