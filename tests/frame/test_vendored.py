"""Libraries of others that come along are what their list says: unchanged, with their licences."""

import hashlib
import re

FOLDER = "app/static/dashboard/vendor"


def test_vendored_files_are_those_of_the_list_with_their_licences(root):
    folder = root / FOLDER
    rows = re.findall(r"^\| (\S+) \| .+ \| .+: (\S+) \| ([0-9a-f]{64}) \|$", (folder / "README.md").read_text(), re.M)
    licences = {licence for _, licence, _ in rows}
    assert {path.name for path in folder.iterdir()} == {name for name, _, _ in rows} | licences | {"README.md"}
    for name, _, digest in rows:
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name
