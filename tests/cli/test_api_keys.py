"""`gopherctl keys`: on the server itself, and over the API."""

import re

from tests.app.conftest import running_api


def test_a_key_is_created_listed_replaced_and_revoked(run):
    made = run("keys", "create", "shop", "--role", "read", "--queue", "mail", "-t", "email", "--expires-in", "90d")
    assert made.code == 0
    assert re.fullmatch("gopher_[0-9a-f]{64}\n", made.out), "only the secret is on stdout"
    key_id = re.search("^key ([0-9a-f]{12}): shop, read, limited to queue mail; type email, expires 2", made.err)[1]
    listed = run("keys")
    assert listed.out.splitlines()[0].split()[:3] == ["ID", "NAME", "ROLE"]
    assert [key_id, "shop", "read"] == listed.out.splitlines()[1].split()[:3]
    assert "mail" in listed.out
    assert made.out.strip() not in listed.out + listed.err

    new = run("keys", "rotate", key_id, "--overlap", "1h", "--json").json
    assert (new["name"], new["role"], new["queues"]) == ("shop", "read", ["mail"])
    ids = {row["key_id"]: row for row in run("keys", "list", "--json").json["keys"]}
    assert set(ids) == {key_id, new["key_id"]}
    assert not any("secret" in row for row in ids.values())

    assert run("keys", "revoke", key_id).out == f"{key_id} is revoked\n"
    again = run("keys", "revoke", key_id)
    assert (again.code, again.out) == (1, "")
    assert again.err == f"Error: there is no API key '{key_id}' on the server. `gopherctl keys` lists them.\n"


def test_options_that_can_not_be_are_named(run):
    assert run("keys", "create", "a:b").code == 2
    assert "--role" in run("keys", "create", "shop", "--role", "root").err
    assert "--queue" in run("keys", "create", "shop", "--queue", "No Queue").err
    assert "--expires-in" in run("keys", "create", "shop", "--expires-in", "soon").err
    assert run("keys").err == "no keys: create one with `gopherctl keys create shop --role submit`\n"


def test_an_administrator_creates_keys_over_the_api(run, redis_url, namespace, tmp_path):
    variables = {"GOPHER_NAMESPACE": namespace, "GOPHER_API_KEYS": "ops:configured-secret", "WEB_CONCURRENCY": "1"}
    with running_api(tmp_path, redis_url, **variables) as api:
        over_http = {
            "GOPHER_URL": str(api.base_url).rstrip("/"),
            "GOPHER_API_KEY": "configured-secret",
            "REDIS_URL": "",
        }
        made = run("keys", "create", "board", "--role", "read", **over_http)
        assert made.code == 0, made.err
        over_http["GOPHER_API_KEY"] = made.out.strip()
        assert run("jobs", **over_http).code == 0
        refused = run("keys", **over_http)
        assert (refused.code, "requires admin" in refused.err) == (1, True)
