"""What an installed Gopher is made of: one name in site-packages, every module, every file that they read."""

import configparser
import contextlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from gopher.queue import scripts

#: Folder in the checkout -> package that it becomes.
MAPPED = {
    "gopher": "gopher",
    "app": "gopher.app",
    "worker": "gopher.worker",
    "scheduler": "gopher.scheduler",
    "cli": "gopher.cli",
    "testing": "gopher.testing",
}


@pytest.fixture(scope="module")
def setup_cfg(root) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser()
    parser.read(root / "setup.cfg")
    return parser


def listed(setup_cfg: configparser.RawConfigParser, section: str, option: str) -> list[str]:
    return [line.strip() for line in setup_cfg[section][option].splitlines() if line.strip()]


def source_files(root: Path, suffixes: set[str]) -> dict[str, str]:
    """Return path in the checkout -> path in the wheel."""
    found = {}
    for folder, package in MAPPED.items():
        for path in (root / folder).rglob("*"):
            if path.is_file() and path.suffix in suffixes:
                inside = path.relative_to(root / folder).as_posix()
                found[path.relative_to(root).as_posix()] = f"{package.replace('.', '/')}/{inside}"
    return found


@pytest.fixture(scope="module")
def wheel(root, tmp_path_factory) -> zipfile.ZipFile:
    # Built from a copy: setuptools leaves its own files in the source folder, and reads them the next time.
    source = tmp_path_factory.mktemp("source")
    for name in ["setup.cfg", "setup.py", "pyproject.toml", "LICENSE", "README.md"]:
        if (root / name).exists():
            shutil.copy(root / name, source)
    for folder in MAPPED:
        shutil.copytree(root / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    built = subprocess.run(
        [*command, "--wheel-dir", source / "dist", source], capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    (path,) = (source / "dist").glob("*.whl")
    return zipfile.ZipFile(path)


def test_every_folder_with_code_is_a_listed_package(root, setup_cfg):
    found = {str(Path(path).parent).replace("/", ".") for path in source_files(root, {".py"}).values()}
    missing = found - set(listed(setup_cfg, "options", "packages"))
    assert not missing, f"add to packages in setup.cfg: {sorted(missing)}"


def test_the_wheel_brings_one_name_into_site_packages(wheel):
    names = {name.split("/")[0] for name in wheel.namelist()}
    assert {name for name in names if not name.endswith(".dist-info")} == {"gopher"}


def test_the_wheel_has_every_module_and_every_file_that_they_read(root, wheel):
    suffixes = {".py", ".lua", ".html", ".js", ".css", ".svg", ".typed", ".json", ".txt"}
    missing = set(source_files(root, suffixes).values()) - set(wheel.namelist())
    assert not missing


def test_the_wheel_has_the_script_of_submissions_as_a_checkout_links_it(wheel):
    for name in scripts.LINKED:
        assert wheel.read(f"gopher/queue/lua/linked/{name}.lua").decode() == scripts.script(name).source


def test_the_wheel_has_the_command_and_the_licence(wheel):
    entry_points = next(name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert "gopherctl = gopher.cli.main:main" in wheel.read(entry_points).decode()
    assert any(name.endswith("LICENSE") for name in wheel.namelist())


def pins(root: Path, *, extras: bool) -> dict[str, str]:
    mark = r"(?:#: )?" if extras else ""
    lines = re.findall(rf"^{mark}([a-z0-9.-]+)==(\S+)$", (root / "requirements.txt").read_text(), re.MULTILINE)
    return dict(lines)


def wanted(setup_cfg: configparser.RawConfigParser) -> list[Requirement]:
    lines = listed(setup_cfg, "options", "install_requires")
    return [Requirement(line) for line in lines]


def test_the_lock_pins_all_that_is_needed_to_run_within_the_ranges_of_setup_cfg(root, setup_cfg):
    pinned = pins(root, extras=False)
    for requirement in wanted(setup_cfg):
        assert requirement.specifier.contains(pinned[requirement.name.lower()], prereleases=True), requirement


def test_the_lock_pins_all_that_the_extras_need_within_their_ranges(root, setup_cfg):
    pinned = pins(root, extras=True)
    for extra in setup_cfg["options.extras_require"]:
        for requirement in map(Requirement, listed(setup_cfg, "options.extras_require", extra)):
            if requirement.name != "gopherctl":
                assert requirement.specifier.contains(pinned[requirement.name.lower()]), requirement


def test_the_lock_installs_gopher_itself_so_that_a_platform_runs_the_checkout(root):
    lines = (root / "requirements.txt").read_text().splitlines()
    assert "--editable .[all]" in lines
    assert all(re.fullmatch(r"(#.*|--editable \.\[all\]|[a-z0-9.-]+==\S+|)", line) for line in lines)


def test_the_image_installs_the_same_versions_with_the_hash_of_each_file(root):
    text = (root / "deploy/requirements.hashed.txt").read_text()
    found = re.findall(r"^([a-z0-9.-]+)==(\S+)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$", text, re.MULTILINE)
    everything = pins(root, extras=True)
    expected = {**pins(root, extras=False), "setuptools": everything["setuptools"]}
    assert {name: version for name, version, _ in found} == expected
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert len(lines) == sum(1 + hashes.count("--hash") for _, _, hashes in found)
    dockerfile = (root / "Dockerfile").read_text()
    assert "pip install --require-hashes --requirement requirements.hashed.txt" in dockerfile
    # Nothing else is installed from an index.
    assert dockerfile.count("pip install") == dockerfile.count("--require-hashes") + dockerfile.count("--no-deps") == 2
    assert "--no-build-isolation" in dockerfile


def test_what_runs_here_is_what_the_lock_says(root, setup_cfg):
    from importlib.metadata import version

    pinned = pins(root, extras=True)
    for requirement in wanted(setup_cfg):
        name = requirement.name.lower()
        assert version(name) == pinned[name]


def test_what_the_lock_pins_runs_on_the_oldest_python_too(root, setup_cfg):
    from importlib.metadata import PackageNotFoundError, distribution

    oldest = setup_cfg["options"]["python_requires"].removeprefix(">=")
    pinned = pins(root, extras=True) | pins(root, extras=False)
    looked_at = 0
    for name, pinned_version in pinned.items():
        try:
            found = distribution(name)
        except PackageNotFoundError:
            # Of an extra that is not installed here, or for another Python.
            continue
        if found.version == pinned_version:
            looked_at += 1
            needs = found.metadata.get("Requires-Python", "")
            assert SpecifierSet(needs).contains(f"{oldest}.99"), f"{name} {pinned_version} needs Python {needs}"
    assert looked_at > 40


def test_platform_and_image_run_the_same_python(root):
    chosen = (root / ".python-version").read_text().strip()
    images = re.findall(r"^FROM python:([\d.]+)-slim", (root / "Dockerfile").read_text(), re.MULTILINE)
    assert images == [chosen, chosen]


#: What asks a package index for another project's package: ours is `gopherctl`, only what is imported is `gopher`.
STRANGER = re.compile(
    r"""\bpip3?\b[^\n]*\binstall\b[^\n]*?[\s'"`]gopher(?![\w./:-])   # pip install gopher, pip install -U 'gopher'
    | (?<![\w./-])gopher\\?\[(?!\d)[a-z_][a-z_,\s-]*\\?\]              # gopher[embedded], also in a pattern
    | (?<![\w./-])gopher\s*(?:[=~!]=|[<>]=?|@)\s*(?:\d|https?:|git)  # gopher>=0.1, gopher @ git+https://...
    """,
    re.VERBOSE,
)


def texts(root: Path) -> Iterator[tuple[Path, str]]:
    """Yield every file of the project that is text, but for this one."""
    left_out = {".git", ".venv", ".links", ".gopher", "build", "dist", "__pycache__", "pictures"}
    for folder, folders, names in os.walk(root):
        folders[:] = [each for each in folders if each not in left_out and not each.endswith(("_cache", ".egg-info"))]
        for path in (Path(folder, name) for name in names):
            with contextlib.suppress(UnicodeDecodeError):
                if path != Path(__file__) and path.is_file():
                    yield path.relative_to(root), path.read_text()


@pytest.mark.parametrize(
    ("line", "strange"),
    [
        ("pip install gopher", True),
        (r'match=r"gopher\[embedded\]"', True),
        ("$ python3 -m pip install --quiet -U 'gopher'", True),
        ("pip install 'gopher[embedded]'", True),
        ("the server of `gopher[embedded]`", True),
        ("gopher[demo,tracing]", True),
        ("gopher==0.1.0", True),
        ("gopher >= 0.1", True),
        ("pip install 'gopherctl[all]'", False),
        ("pip install -r pins.txt && /opt/gopher/bin/gopherctl web", False),
        ("gopherctl>=0.1", False),
        ("gopher.app, gopher.worker", False),
    ],
)
def test_the_name_of_the_unrelated_package_is_recognised(line, strange):
    assert bool(STRANGER.search(line)) == strange


def test_no_text_installs_the_unrelated_package_called_gopher(root):
    found = {
        f"{path}:{text.count(chr(10), 0, match.start()) + 1}: {match[0].strip()}"
        for path, text in texts(root)
        for match in STRANGER.finditer(text)
    }
    assert not found


def test_the_distribution_is_called_gopherctl_wherever_it_is_named(root, setup_cfg, wheel):
    assert setup_cfg["metadata"]["name"] == "gopherctl"
    assert any(re.fullmatch(r"gopherctl-[\d.]+\.dist-info/METADATA", name) for name in wheel.namelist())
    own = [
        requirement.name
        for extra in setup_cfg["options.extras_require"]
        for requirement in map(Requirement, listed(setup_cfg, "options.extras_require", extra))
        if requirement.extras & set(setup_cfg["options.extras_require"])
    ]
    assert set(own) == {"gopherctl"}
    assert '"gopherctl"' in (root / ".ci" / "lock").read_text()
    assert "gopherctl-*.whl" in (root / ".ci" / "run").read_text()


def test_the_page_of_installation_has_every_extra_that_users_can_install(root, setup_cfg):
    page = (root / "docs/installation.md").read_text()
    extras = set(setup_cfg["options.extras_require"]) - {"test", "deep", "lint"}
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == extras
