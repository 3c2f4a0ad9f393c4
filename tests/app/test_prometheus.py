"""A real Prometheus reads the API, and knows what to make of our alert rules."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from tests.app.conftest import EMAIL, Api
from tests.helpers import free_port, wait_until

#: Queries by which workers are scaled.
AUTOSCALING = Path(__file__).parent.parent.parent / "deploy" / "kubernetes" / "autoscaling.yaml"
RULES = Path(__file__).parent.parent.parent / "deploy" / "gopher-alerts.yml"
PROGRAMS = {name: shutil.which(name) for name in ("prometheus", "promtool")}

pytestmark = pytest.mark.skipif(not all(PROGRAMS.values()), reason="there is no Prometheus here")


class Prometheus:
    """What it has read so far."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def ready(self) -> bool:
        try:
            return self._http.get("/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    def value(self, query: str) -> float | None:
        """Return the value of a query that has one series; None while there is none."""
        found = self._http.get("/api/v1/query", params={"query": query}).json()["data"]["result"]
        return float(found[0]["value"][1]) if found else None

    def targets(self) -> list[dict[str, str]]:
        return self._http.get("/api/v1/targets").json()["data"]["activeTargets"]

    def rules(self) -> list[dict[str, str]]:
        groups = self._http.get("/api/v1/rules").json()["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]


@pytest.fixture(scope="module")
def prometheus(api: Api, tmp_path_factory) -> Iterator[Prometheus]:
    folder, port = tmp_path_factory.mktemp("prometheus"), free_port()
    config = folder / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 300ms, scrape_timeout: 300ms, evaluation_interval: 300ms}\n"
        f"rule_files: ['{RULES}']\n"
        f"scrape_configs: [{{job_name: gopher, static_configs: [{{targets: ['{api.base_url.netloc.decode()}']}}]}}]\n"
    )
    command = [
        str(PROGRAMS["prometheus"]),
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as http:
                found = Prometheus(http)
                wait_until(found.ready, 60, "Prometheus to be ready")
                yield found
        finally:
            process.terminate()


def test_it_reads_how_many_jobs_came(prometheus, api, queue):
    for _ in range(3):
        assert api.post("/api/v1/jobs", json={"type": "email", "payload": EMAIL, "queue": queue}).status_code == 201
    waiting = f'gopher_queue_size{{queue="{queue}",priority="normal"}}'
    wait_until(lambda: prometheus.value(waiting) == 3, 60, f"{waiting} to be 3")
    # While this machine is busy, a scrape may take too long: the next one is read.
    enqueued = 'sum(gopher_jobs_enqueued_total{job_type="email"})'
    wait_until(lambda: (prometheus.value(enqueued) or 0) >= 3, 60, f"{enqueued} to be 3")
    wait_until(lambda: prometheus.value("gopher_up") == 1, 60, "gopher_up to be 1")


def test_it_finds_no_fault_with_a_scrape(prometheus):
    def found():
        return [(target["health"], target["lastError"]) for target in prometheus.targets()]

    # A fault of ours would stay. That a scrape takes too long, while this machine is busy, passes.
    wait_until(lambda: found() == [("up", "")], 60, "a scrape without a fault")


def test_it_takes_our_alert_rules(prometheus):
    assert subprocess.run([str(PROGRAMS["promtool"]), "check", "rules", RULES], check=False).returncode == 0
    wait_until(lambda: all(rule["health"] == "ok" for rule in prometheus.rules()), 60, "all rules to be evaluated")
    assert prometheus.rules()


def test_it_knows_what_the_autoscaler_asks_for(prometheus, api):
    for _ in range(2):
        assert api.submit(priority="high").status_code == 201
    (trigger,) = yaml.safe_load(AUTOSCALING.read_text())["spec"]["triggers"]
    query = trigger["metadata"]["query"]
    wait_until(lambda: (prometheus.value(query) or 0) >= 1, 60, f"{query} to be 1")
