"""A certificate authority for tests, and what it signs."""

import subprocess
from pathlib import Path
from typing import NamedTuple

_KEY = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes".split()
#: What servers on this machine are called.
HERE = ("DNS:localhost", "IP:127.0.0.1", "IP:::1")


class Certificate(NamedTuple):
    """Paths of a certificate and its key."""

    path: Path
    key: Path


class Authority:
    """Signs certificates with a key of its own. Needs openssl."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.path, self._key = folder / "ca.pem", folder / "ca.key"
        _openssl("req", "-x509", *_KEY, "-days", "2", "-subj", "/CN=Test CA", "-keyout", self._key, "-out", self.path)

    def sign(self, name: str, *names: str, days: int = 2) -> Certificate:
        """Return a certificate for these names, such as `DNS:localhost`. With negative days it has expired."""
        path, key, request = (self._folder / f"{name}.{kind}" for kind in ("pem", "key", "csr"))
        extensions = self._folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={','.join(names)}\n" if names else "")
        _openssl("req", "-new", *_KEY, "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        signing = ("-CA", self.path, "-CAkey", self._key, "-set_serial", "1", "-days", days, "-extfile", extensions)
        _openssl("x509", "-req", "-in", request, "-out", path, *signing)
        return Certificate(path, key)


def _openssl(*words: object) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)
