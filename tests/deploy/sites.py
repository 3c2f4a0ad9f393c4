"""The sample configurations of proxies in deploy/proxies, run by the real proxies on ports of this machine."""

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.helpers import free_ports, wait_until
from tests.starting import start_process
from tests.worker.processes import ROOT

_SAMPLES = ROOT / "deploy/proxies"


class Site(NamedTuple):
    """Where a proxy listens: for a site with the API below two paths, and, with TLS, for a host of its own."""

    port: int
    tls_port: int
    certificate: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def own_url(self) -> str:
        return f"https://localhost:{self.tls_port}"


def _nginx(folder: Path, site: Site, change: Callable[[str, dict[str, str]], str]) -> list[str]:
    included = _SAMPLES / "nginx/gopher-proxy.conf"
    sample = change(
        (_SAMPLES / "nginx/gopher.conf").read_text(),
        {
            "listen 443 ": f"listen 127.0.0.1:{site.tls_port} ",
            "listen 80;": f"listen 127.0.0.1:{site.port};",
            "/etc/nginx/gopher-proxy.conf": str(included),
        },
    )
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    path = folder / "nginx.conf"
    path.write_text(f"daemon off; pid {folder}/pid; events {{}} http {{ access_log off; {folders}\n{sample}\n}}")
    return ["-p", str(folder), "-e", "stderr", "-c", str(path)]


def _haproxy(folder: Path, site: Site, change: Callable[[str, dict[str, str]], str]) -> list[str]:
    sample = change(
        (_SAMPLES / "haproxy.cfg").read_text(),
        {
            "bind :443 ": f"bind 127.0.0.1:{site.port}\n    bind 127.0.0.1:{site.tls_port} ",
            " -i gopher.example.com": " -i localhost",
        },
    )
    (folder / "haproxy.cfg").write_text(sample)
    return ["-db", "-f", str(folder / "haproxy.cfg")]


def _caddy(folder: Path, site: Site, change: Callable[[str, dict[str, str]], str]) -> list[str]:
    certificate = str(site.certificate)
    sample = change(
        (_SAMPLES / "Caddyfile").read_text(),
        {
            "\ngopher.example.com {": f"\n{site.own_url} {{\n\ttls {certificate} {certificate}",
            "\nwww.example.com {": f"\n{site.url} {{",
        },
    )
    (folder / "Caddyfile").write_text(f"{{\n\tadmin off\n\tauto_https disable_redirects\n}}\n{sample}")
    return ["run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]


_ARGUMENTS = {"nginx": _nginx, "haproxy": _haproxy, "caddy": _caddy}


def program(name: str) -> str | None:
    return shutil.which(name) or shutil.which(f"/usr/sbin/{name}")


@contextmanager
def proxied(name: str, folder: Path, api_port: int, certificate: Path) -> Iterator[Site]:
    """Run a proxy with its sample in front of an API."""
    site = Site(*free_ports(2), certificate)

    def change(text: str, pairs: dict[str, str]) -> str:
        certificates = {"/etc/ssl/gopher.example.com.pem": str(certificate)} if name != "caddy" else {}
        for old, new in {"127.0.0.1:8080": f"127.0.0.1:{api_port}", **certificates, **pairs}.items():
            assert old in text, f"{old!r} is not in the sample"
            text = text.replace(old, new)
        return text

    folder.mkdir()
    arguments = _ARGUMENTS[name](folder, site, change)
    environ = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    process = start_process([str(program(name)), *arguments], folder / "log", env=environ)
    try:
        wait_until(lambda: _listens(process, site, folder / "log"), 60, f"{name} to listen")
        yield site
    finally:
        process.terminate()
        process.wait(60)


def _listens(process: subprocess.Popen, site: Site, log: Path) -> bool:
    assert process.poll() is None, log.read_text()
    try:
        for port in (site.port, site.tls_port):
            socket.create_connection(("127.0.0.1", port), timeout=60).close()
    except OSError:
        return False
    return True
