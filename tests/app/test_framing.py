"""Where bodies end: the decoders read what gunicorn's own readers read, however it comes in pieces."""

import pytest
from gopher.app.framing import Chunked, Sized
from gunicorn.config import Config
from gunicorn.http.body import ChunkedReader
from gunicorn.http.errors import ChunkMissingTerminator, NoMoreData, ParseException
from gunicorn.http.message import Request
from gunicorn.http.unreader import IterUnreader
from hypothesis import example, given, settings
from hypothesis import strategies as st

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
UNFINISHED = "unfinished"
REFUSED = "refused"


def request():
    return Request(Config(), IterUnreader((HEAD,)), ("127.0.0.1", 1))


def as_gunicorn_reads(sent):
    """Return the body and what follows it."""
    unreader = IterUnreader((sent,) if sent else ())
    reader, data = ChunkedReader(request(), unreader), b""
    try:
        while piece := reader.read(1 << 20):
            data += piece
    except NoMoreData:
        return UNFINISHED
    except ChunkMissingTerminator as error:
        return UNFINISHED if b"\r\n".startswith(error.term) else REFUSED
    except ParseException:
        return REFUSED
    return data, unreader.take_buffered()


def as_we_read(sent, sizes):
    asked = request()
    decoder, buffer, data = Chunked(lambda lines: asked.parse_headers(lines, from_trailer=True)), bytearray(), b""
    at = 0
    try:
        for size in [*sizes, len(sent)]:
            buffer += sent[at : at + size]
            at += size
            data += decoder.decode(buffer)
    except ParseException:
        return REFUSED
    return (data, bytes(buffer)) if decoder.ended else UNFINISHED


SIZES = st.sampled_from(
    ["%x", "%X", "00%x", "%x;a", "%x ; a=b", '%x;a="b;c"', "%x ", "+%x", "0x%x", "%x;", "%x_0", "-%x"]
)
CHUNK = st.builds(
    lambda size, data, end: (size % len(data)).encode() + b"\r\n" + data + end,
    st.sampled_from(["%x"]) | SIZES,
    st.binary(min_size=1, max_size=40),
    st.sampled_from([b"\r\n"] * 9 + [b"\n", b"\r", b"", b"x\r\n"]),
)
END = st.sampled_from(
    [b"0\r\n\r\n"] * 4
    + [
        b"000\r\n\r\n",
        b"0;last\r\n\r\n",
        b"0\r\nA: b\r\nC: d\r\n\r\n",
        b"0\r\nHost: x\r\n\r\n",
        b"0\r\nA b\r\n\r\n",
        b"",
    ]
    + [b"0\r\n", b"0\r\n\r", b"0 \r\n\r\n", b"zz\r\n", b"\r\n", b"0\r\n folded: x\r\n\r\n"]
)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(CHUNK, max_size=5),
    END,
    st.sampled_from([b"", b"GET / HTTP/1.1\r\n\r\n"]),
    st.lists(st.integers(1, 30), max_size=40),
)
@example([b"1\r\na\r\n" * 300], b"0\r\n\r\n", b"", [1] * 2000)
def test_chunks_are_read_as_gunicorn_reads_them(chunks, end, behind, sizes):
    sent = b"".join(chunks) + end + behind
    expected = as_gunicorn_reads(sent)
    found = as_we_read(sent, sizes)
    # gunicorn waits for the rest of some of what can't become a body any more.
    assert found == expected or (found, expected) == (REFUSED, UNFINISHED)


@given(st.binary(max_size=200), st.integers(0, 200), st.lists(st.integers(1, 30), max_size=20))
def test_a_body_of_a_length_is_taken_and_what_follows_is_left(sent, length, sizes):
    decoder, buffer, data, at = Sized(length), bytearray(), b"", 0
    for size in [*sizes, len(sent)]:
        buffer += sent[at : at + size]
        at += size
        data += decoder.decode(buffer)
    assert (data, bytes(buffer)) == (sent[:length], sent[length:])
    assert decoder.ended == (len(sent) >= length)
    assert decoder.missing == max(length - len(sent), 0)


@pytest.mark.parametrize(
    "sent",
    [
        b"1;" + b"a" * 2000,
        b"0\r\nX-A: " + b"a" * 9000,
        b"8" + b"0" * 15 + b"\r\n",
        (b"1;" + b"a" * 500 + b"\r\nx\r\n") * 100,
    ],
)
def test_framing_that_is_longer_than_it_may_be_is_refused(sent):
    assert as_we_read(sent, []) == REFUSED
