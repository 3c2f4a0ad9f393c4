"""Lines of a file, read alike by the API and by `submit-many`."""

import io

import pytest
from gopher.app import lines as of_the_api
from gopher.cli import lines as of_the_cli

from gopher.jobs.lines import LONGEST_LINE, Line, read_lines

LONG = b"x" * LONGEST_LINE


@pytest.mark.parametrize(
    ("file", "lines"),
    [
        (b"", []),
        (b"a\nb", [Line(1, b"a\n", 2), Line(2, b"b", 1)]),
        (b"\xef\xbb\xbfa\r\n\n", [Line(1, b"a\r\n", 6), Line(2, b"\n", 1)]),
        (LONG, [Line(1, LONG, LONGEST_LINE)]),
        (LONG + b"\nb\n", [Line(1, None, LONGEST_LINE + 1), Line(2, b"b\n", 2)]),
        (LONG * 3 + b"\nb\n", [Line(1, None, 3 * LONGEST_LINE + 1), Line(2, b"b\n", 2)]),
        (LONG * 2, [Line(1, None, 2 * LONGEST_LINE)]),
    ],
)
def test_lines_are_told_with_their_bytes_and_without_what_is_too_long(file, lines):
    assert list(read_lines(io.BytesIO(file))) == lines


def test_the_api_and_the_command_line_find_the_same_jobs_in_a_file():
    file = b'\xef\xbb\xbf{"n": 1}\r\n \n{"n": 2}\n' + LONG + b"\n" + b'{"n": 3}'
    api = [
        (line.number, line.text and line.text.strip())
        for piece in of_the_api.pieces(io.BytesIO(file))
        for line in piece
    ]
    cli = [(line.number, line.text) for batch in of_the_cli.batches(io.BytesIO(file)) for line in batch.lines]
    assert api == cli == [(1, b'{"n": 1}'), (3, b'{"n": 2}'), (4, None), (5, b'{"n": 3}')]
