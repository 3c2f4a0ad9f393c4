"""The manifests for Kubernetes: valid, fitting the settings, and tried as a cluster would run them."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml

from gopher.client import Client
from gopher.config.settings import Settings
from tests.helpers import free_port, wait_until
from tests.worker.processes import ROOT, Process, where

FOLDER = ROOT / "deploy/kubernetes"
#: The oldest version that is still maintained when the manifests were written, and the newest.
VERSIONS = ("1.34", "newest")
#: Objects of others than Kubernetes itself.
FOREIGN = {"keda.sh/v1alpha1", "kustomize.config.k8s.io/v1beta1"}

pytestmark = pytest.mark.deep


def objects() -> Iterator[dict[str, Any]]:
    for path in sorted(FOLDER.glob("*.yaml")):
        yield from yaml.safe_load_all(path.read_text())


def found(kind: str, name: str) -> dict[str, Any]:
    (one,) = [each for each in objects() if (each["kind"], each.get("metadata", {}).get("name")) == (kind, name)]
    return one


def pod_of(part: str) -> dict[str, Any]:
    return found("Deployment", f"gopher-{part}")["spec"]["template"]["spec"]


def container_of(part: str) -> dict[str, Any]:
    (container,) = pod_of(part)["containers"]
    return container


def variables_of(part: str) -> dict[str, str]:
    """Return the environment of a container, with that of the image."""
    image = dict(re.findall(r"^(?:ENV|   ) ([A-Z_]+)=(\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    for source in container_of(part)["envFrom"]:
        if "configMapRef" in source:
            image |= found("ConfigMap", source["configMapRef"]["name"])["data"]
        else:
            image |= found("Secret", source["secretRef"]["name"])["stringData"]
    return {name: text.rstrip("\\").strip() for name, text in image.items()}


@pytest.mark.parametrize("version", VERSIONS)
def test_the_manifests_are_valid(version):
    # Installed for test-deep only.
    import kubernetes_validate

    ours = [each for each in objects() if each["apiVersion"] not in FOREIGN]
    assert len(ours) == 9
    for each in ours:
        kubernetes_validate.validate(
            each, kubernetes_validate.latest_version() if version == "newest" else version, strict=True
        )


def test_everything_that_is_named_exists():
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    text = (FOLDER / "kustomization.yaml").read_text()
    listed = {*kustomization["resources"], *re.findall(r"# - (\S+)", text), "kustomization.yaml"}
    assert listed == {path.name for path in FOLDER.iterdir()}
    for part in ("web", "worker", "scheduler"):
        deployment = found("Deployment", f"gopher-{part}")["spec"]
        labels = deployment["template"]["metadata"]["labels"]
        assert deployment["selector"]["matchLabels"] == labels == {"app": f"gopher-{part}"}
        assert container_of(part)["args"][:2] == ["gopherctl", part]
        assert {each["name"] for each in container_of(part)["volumeMounts"]} == {"tmp"}
    assert found("Service", "gopher")["spec"]["selector"] == {"app": "gopher-web"}
    assert found("ScaledObject", "gopher-worker")["spec"]["scaleTargetRef"] == {"name": "gopher-worker"}


def test_the_settings_are_accepted_and_leave_time_for_the_shutdown():
    for part in ("web", "worker", "scheduler"):
        settings = Settings.from_env(variables_of(part))
        assert settings.trusted_proxies == 1
    Settings.from_env(variables_of("web")).check_listener()
    worker = Settings.from_env(variables_of("worker"))
    last = worker.worker_shutdown_timeout + worker.worker_kill_grace + 5
    assert pod_of("worker")["terminationGracePeriodSeconds"] > last
    # gunicorn's, and the pause before it.
    assert pod_of("web")["terminationGracePeriodSeconds"] > 5 + 27
    assert "GOPHER_API_KEYS" not in variables_of("worker")


@pytest.fixture
def client(redis_url: str, namespace: str) -> Iterator[Client]:
    with Client(redis_url, namespace=namespace) as client:
        yield client


@pytest.fixture
def start(client: Client, tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Start the process of a container as any user, who has no name, with a file system of which only /tmp is writable.

    The user may read everything: the Python of these tests may be in a folder of another one.
    """
    writable = tmp_path / "tmp"
    writable.mkdir()
    writable.chmod(0o777)
    confine = (
        f"mount --bind {writable} {writable} && mount -o remount,bind,ro / && "
        "exec setpriv --reuid 1000650000 --regid 0 --clear-groups --no-new-privs --inh-caps=-all,+dac_override "
        '--ambient-caps=-all,+dac_override "$@"'
    )
    if subprocess.run(["unshare", "--mount", "sh", "-c", confine, "sh", "true"], check=False).returncode:
        pytest.skip("no mounts can be made here")
    started = []

    def _start(part: str, **environ: str) -> Process:
        given = {**where(client), "TMPDIR": str(writable), "HOME": "/", "GOPHER_STORE": "redis:", **environ}
        process = Process(part, given, tmp_path, ["unshare", "--mount", "sh", "-c", confine, "sh"])
        started.append(process)
        return process

    yield _start
    for process in started:
        process.destroy()


def passes(probe: dict[str, Any], folder: Path) -> bool:
    """Run a probe's command, as the kubelet does in the container."""
    command = [word.replace("/tmp/", f"{folder}/") for word in probe["exec"]["command"]]
    assert command[0] in ("test", "sh")
    assert "python" not in command[-1]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("part", ["worker", "scheduler"])
def test_a_worker_or_scheduler_runs_as_any_user_and_its_probes_tell_that_it_does(part, start, client, tmp_path):
    folder = tmp_path / "tmp"
    container = container_of(part)
    assert container["args"][2:] == ["--health-file", "/tmp/health"]
    startup, liveness = container["startupProbe"], container["livenessProbe"]
    assert not passes(startup, folder)
    process = start(part, GOPHER_HEALTH_FILE=f"{folder}/health", WORKER_CONCURRENCY="1")
    wait_until(lambda: passes(startup, folder), 60, f"the probe to pass; the log: {process.log}")
    assert passes(liveness, folder)
    assert os.stat(f"{folder}/health").st_uid == 1000650000
    if part == "worker":
        job_id = client.enqueue("math", {"operation": "prime", "number": 7})
        assert client.wait(job_id, 60).status == "completed"
    # As if it had hung for two minutes.
    process.send(signal.SIGSTOP)
    wait_until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)
    os.utime(folder / "health", (0, 0))
    assert not passes(liveness, folder)
    process.send(signal.SIGCONT)
    assert process.stop(60) == 0


def test_the_api_runs_as_any_user_and_has_the_metrics_that_the_autoscaler_reads(start):
    port = free_port()
    process = start("app", SERVER_PORT=str(port), WEB_CONCURRENCY="1")
    container = container_of("web")
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as http:

        def answers(probe: str) -> bool:
            try:
                return http.get(container[probe]["httpGet"]["path"]).status_code == 200
            except httpx.TransportError:
                assert process.running, process.log
                return False

        wait_until(lambda: answers("startupProbe"), 60, "the API")
        assert answers("livenessProbe")
        # Of these two it says otherwise while the server gets no processor.
        wait_until(lambda: answers("readinessProbe"), 60, "the API to be ready")
        queries = json.dumps(found("ScaledObject", "gopher-worker")["spec"]["triggers"])
        names = set(re.findall(r"gopher_\w+", queries))
        assert names

        def lacks() -> set[str]:
            metrics = http.get("/metrics").text
            return {name for name in names if f"# TYPE {name} gauge" not in metrics}

        wait_until(lambda: not lacks(), 60, f"metrics of {names}")
