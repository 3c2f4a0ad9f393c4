"""A file does one thing, and is short enough to be read at once."""

#: Lines of a file of source, at most.
LONGEST = 400
FOLDERS = ("gopher", "app", "worker", "scheduler", "cli", "testing", "benchmarks")
KINDS = (".py", ".lua", ".js", ".css", ".html")


def test_no_file_of_source_is_longer_than_can_be_read_at_once(root):
    files = [path for folder in FOLDERS for path in (root / folder).rglob("*") if path.suffix in KINDS]
    lengths = {str(path.relative_to(root)): len(path.read_text().splitlines()) for path in files}
    assert len(lengths) > 300
    assert not {name for name, length in lengths.items() if length > LONGEST}
