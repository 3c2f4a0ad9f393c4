"""The contenders: environment, driver, and approximate speed of each."""

import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

PEERS = Path(__file__).parent / "peers"
ROOT = Path(__file__).parent.parent
#: Folder of environments and results.
CACHE = ROOT / ".bench"
DOCS = ROOT / "docs"


class LeftOut(Exception):
    """Raised when a contender can't run here; the message has the reason."""


@dataclass(frozen=True)
class Contender:
    """A queue in one configuration."""

    name: str
    driver: str
    #: Approximate jobs per second, for the number to store before a drain: too many cost time, too few end it early.
    expected: int
    #: Packages of its environment; empty for those that run in Gopher's own.
    packages: tuple[str, ...] = ()
    folder: str = ""
    variant: str = ""
    #: Whether it has a bulk call.
    bulk: bool = False
    #: Whether it can run the picture job, i.e. Python functions.
    pictures: bool = True
    environ: dict[str, str] = field(default_factory=dict)

    def command(self, *words: str) -> list[str]:
        return [str(self.program()), str(PEERS / self.driver), *words]

    def program(self) -> Path:
        """Return the interpreter of the driver: its environment's Python, or node."""
        if self.driver.endswith(".mjs"):
            return Path(shutil.which("node") or "node")
        return CACHE / self.folder / "bin" / "python" if self.packages else Path(sys.executable)


_RQ = ("rq", "hiredis", "Pillow")
_BULLMQ = {
    "folder": "bullmq",
    "driver": "with_bullmq.mjs",
    "bulk": True,
    "pictures": False,
    "packages": ("bullmq", "ioredis"),
}

CONTENDERS = (
    Contender("Gopher", "with_gopher.py", 60_000, bulk=True),
    Contender("limit", "with_limit.py", 12_000, bulk=True, pictures=False),
    Contender("BullMQ 50 at once", expected=20_000, variant="50", **_BULLMQ),  # type: ignore[arg-type]
    Contender("BullMQ 1 at once", expected=10_000, variant="1", **_BULLMQ),  # type: ignore[arg-type]
    Contender("taskiq", "with_taskiq.py", 9_000, ("taskiq", "taskiq-redis", "hiredis", "Pillow"), "taskiq"),
    Contender("huey", "with_huey.py", 9_000, ("huey", "redis", "hiredis", "Pillow"), "huey"),
    Contender("saq", "with_saq.py", 5_000, ("saq[redis,hiredis]", "typing_extensions", "Pillow"), "saq"),
    Contender("dramatiq", "with_dramatiq.py", 5_000, ("dramatiq[redis]", "hiredis", "Pillow"), "dramatiq"),
    Contender("celery prefork", "with_celery.py", 2_000, ("celery[redis]", "hiredis", "Pillow"), "celery"),
    Contender("rq without isolation", "with_rq.py", 1_000, _RQ, "rq", variant="simple", bulk=True),
    Contender("rq", "with_rq.py", 300, _RQ, "rq", bulk=True),
)
#: Contenders that are not Python queues: compared only when named.
NOT_PYTHON = ("limit", "BullMQ 50 at once", "BullMQ 1 at once")


def cache_folder() -> Path:
    """Return CACHE, created with a .gitignore."""
    CACHE.mkdir(exist_ok=True)
    (CACHE / ".gitignore").write_text("*\n")
    return CACHE


def prepare(contender: Contender) -> None:
    """Create the contender's environment unless it exists. Raises LeftOut."""
    if not contender.packages:
        return
    home = cache_folder() / contender.folder
    stamp = home / "installed"
    if stamp.exists() and stamp.read_text() == " ".join(contender.packages):
        return
    try:
        _install(contender, home)
    except (OSError, subprocess.CalledProcessError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        raise LeftOut(f"could not be installed ({said[-1][:120] if said else error})") from error
    stamp.write_text(" ".join(contender.packages))


def _install(contender: Contender, home: Path) -> None:
    if contender.driver.endswith(".mjs"):
        if not (shutil.which("node") and shutil.which("npm")):
            raise LeftOut("node and npm are not installed")
        home.mkdir(exist_ok=True)
        _run("npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", str(home), *contender.packages)
        return
    _run(sys.executable, "-m", "venv", "--clear", str(home))
    pip = (str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    _run(*pip, *contender.packages)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)


def version(contender: Contender) -> str:
    """Return the installed version of a peer's main package."""
    if not contender.packages:
        return ""
    package = contender.packages[0].partition("[")[0]
    code = (
        f"process.stdout.write(require('{CACHE}/bullmq/node_modules/bullmq/package.json').version)"
        if contender.driver.endswith(".mjs")
        else f"import importlib.metadata as m; print(m.version('{package}'), end='')"
    )
    flag = "-e" if contender.driver.endswith(".mjs") else "-c"
    told = subprocess.run([contender.program(), flag, code], capture_output=True, text=True, check=False)
    return told.stdout.strip()
