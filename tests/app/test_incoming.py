"""Requests as they arrive: in whatever pieces, they are read the same, and what two servers could read differently is
rejected."""

import io
import json
import os
from types import SimpleNamespace

import pytest
from gopher.app import incoming
from gopher.app.bodies import HeadOnly, Stream, Whole
from gopher.app.refusals import Refused
from gunicorn.config import Config
from hypothesis import example, given, settings
from hypothesis import strategies as st

CFG = Config()
for name, value in (("limit_request_line", 4094), ("limit_request_fields", 60), ("forwarder_headers", "")):
    CFG.set(name, value)
LONGEST = 100_000
HOST = b"Host: x\r\n"
CHUNKS = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


def connection():
    return SimpleNamespace(cfg=CFG, client=("127.0.0.1", 1), buffer=b"", read_timeout=1, sock=None)


def read(sent, sizes=(), longest=LONGEST):
    """Return what is read of a request that comes in pieces: method, path, headers, body, and what follows."""
    conn = connection()
    request, at = incoming.Incoming(conn, longest), 0
    for size in [*sizes, *[16 * 1024] * (len(sent) // 1024 + 1)]:
        piece, at = sent[at : at + size], at + size
        try:
            if request.advance(piece) and not request.has_ended:
                request.request.body.checked = {"who": "me"}
                request.resume(request.request.body)
        except Refused as refusal:
            return refusal.status
        if request.has_ended:
            break
    if not request.has_ended:
        return "unfinished"
    made = request.request
    return made.method, made.path, made.headers, made.body.getvalue(), conn.buffer + sent[at:]


CHUNK = st.builds(
    lambda size, data, end: (size % len(data)).encode() + b"\r\n" + data + end,
    st.sampled_from(["%x"] * 9 + ["%X", "00%x", "%x;a", "%x ; a=b", '%x;a="b;c"', "%x ", "+%x", "0x%x", "%x;", "-%x"]),
    st.binary(min_size=1, max_size=40),
    st.sampled_from([b"\r\n"] * 9 + [b"\n", b"\r", b"", b"x\r\n"]),
)
END = st.sampled_from(
    [b"0\r\n\r\n"] * 4
    + [b"000\r\n\r\n", b"0;last\r\n\r\n", b"0\r\nA: b\r\nC: d\r\n\r\n", b"0\r\nHost: x\r\n\r\n", b""]
    + [b"0\r\n", b"0\r\n\r", b"zz\r\n", b"\r\n"]
)
CHUNKED = st.builds(lambda chunks, end: b"".join(chunks) + end, st.lists(CHUNK, max_size=5), END)
HEAD = st.sampled_from(
    [
        b"POST /a?b=c HTTP/1.1\r\n" + HOST,
        b"\r\nPOST /a HTTP/1.1\r\n" + HOST + b"X-A:  b\t\r\nx-a: c\r\n",
        b"POST http://y/a%20b HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\n",
        b"GET / HTTP/1.1\nHost: x\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"A: b\r\n c\r\n",
    ]
)
MESSAGE = st.one_of(
    st.builds(lambda head, body: head + b"Transfer-Encoding: chunked\r\n\r\n" + body, HEAD, CHUNKED),
    st.builds(
        lambda head, body: head + b"Content-Length: %d\r\n\r\n" % len(body) + body, HEAD, st.binary(max_size=200)
    ),
    st.builds(lambda head: head + b"\r\n", HEAD),
)


@settings(max_examples=400, deadline=None)
@given(MESSAGE, st.sampled_from([b"", b"GET / HTTP/1.1\r\n\r\n"]), st.lists(st.integers(1, 30), max_size=40))
@example(
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 14_000 + b"0\r\n\r\n", b"", []
)
@example(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 90000\r\n\r\n" + b"a" * 90_000, b"GET", [9] * 3000)
def test_a_request_is_read_the_same_in_whatever_pieces_it_comes(message, behind, sizes):
    assert read(message + behind, sizes) == read(message + behind)


def test_a_decoded_body_has_a_length_and_what_follows_it_is_left():
    sent = (
        b"POST /a%2fb?c=d HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\nGET /"
    )
    assert read(sent) == ("POST", "/a%2fb", [("HOST", "x"), ("CONTENT-LENGTH", "3")], b"abc", b"GET /")


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET / HTTP/1.1\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : x\r\n", 400),
        (b"GET / HTTP/1.1\nHost: x\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: \0\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nExpect: 200-ok\r\n", 417),
        (b"GET / HTTP/2.0\r\nHost: x\r\n", 400),
        (b"GET http://[ HTTP/1.1\r\nHost: x\r\n", 400),
        (b"GET /\xe9 HTTP/1.1\r\nHost: x\r\n", 400),
        (b"GET / b HTTP/1.1\r\nHost: x\r\n", 400),
        (b"get / HTTP/1.1\r\nHost: x\r\n", 400),
        (b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 60, 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 9000 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + (b"A: " + b"b" * 8000 + b"\r\n") * 12, 431),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 5\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 5\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1_0\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 5000 + b"\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400),
        (b"POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, chunked\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \x0bchunked\r\n", 400),
    ],
)
def test_a_head_that_two_servers_could_read_differently_is_rejected(head, status):
    assert read(head + b"\r\n") == status


@pytest.mark.parametrize(
    "body",
    [
        *(
            b"1;x=\0\r\n",
            b"-1\r\n",
            b"1_0\r\n",
            b"1 \r\n",
            b" 1\r\n",
            b"1\n",
            b"\r\n",
            b"zz\r\n",
            b"1\r\naXY",
            b"1\r\na\n0",
        ),
        *(b"1;" + b"a" * 9000, b"f" * 9000),
        *(b"0\r\nHost: x\r\n", b"0\r\nContent-Length: 1\r\n", b"0\r\nA: " + b"a" * 9000),
    ],
)
def test_a_chunk_that_two_servers_could_read_differently_is_rejected(body):
    status = read(CHUNKS + body)
    assert status in (400, 431)


def test_a_name_that_could_pass_for_another_one_is_dropped():
    assert read(b"GET / HTTP/1.1\r\nHost: x\r\nX_Forwarded_For: y\r\n\r\n")[2] == [("HOST", "x")]


def test_the_host_of_a_whole_url_is_the_host():
    method, path, headers, *_ = read(b"GET http://a:1/b?c HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\n")
    assert (method, path, headers) == ("GET", "/b", [("HOST", "a:1"), ("A", "b")])


def body_of(head, body=b"", longest=LONGEST):
    conn = connection()
    request = incoming.Incoming(conn, longest)
    return request.request.body if request.advance(b"POST / HTTP/1.1\r\n" + HOST + head + b"\r\n" + body) else None


@pytest.mark.parametrize(
    ("head", "body", "kind"),
    [
        (b"Content-Length: 2\r\n", b"{}", Whole),
        (b"Content-Length: 2\r\nExpect: 100-continue\r\n", b"{}", Whole),
        (b"Content-Length: 2\r\nExpect: 100-continue\r\n", b"", HeadOnly),
        (b"Content-Length: 65536\r\n", b"", None),
        (b"Content-Length: 65537\r\n", b"", HeadOnly),
        (b"Content-Length: 65537\r\n", b"a" * 65537, Whole),
        (b"Content-Length: 100001\r\n", b"", Whole),
        (b"Transfer-Encoding: chunked\r\n", b"", None),
        (b"Transfer-Encoding: chunked\r\n", b"fffff\r\n", None),
        (b"Content-Type: Application/JSONL ;x=y\r\nContent-Length: 2\r\n", b"", Stream),
        (b"Content-Type: application/x-ndjson\r\nContent-Length: 2\r\n", b"{}", Whole),
        (b"Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n", b"", Stream),
    ],
)
def test_a_long_body_is_received_only_after_its_head_has_been_checked(head, body, kind):
    assert type(body_of(head, body)) is (kind or type(None))


def test_a_body_in_chunks_is_checked_once_it_is_long_and_cut_off_once_it_is_too_long():
    conn = connection()
    request = incoming.Incoming(conn, LONGEST)
    assert not request.advance(b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n")
    pieces = 0
    while not request.advance(b"3e8\r\n" + b"a" * 1000 + b"\r\n"):
        pieces += 1
    assert pieces == 65
    assert request.request.should_close()
    request.request.body.checked = {"who": "me"}
    request.resume(request.request.body)
    assert not request.request.should_close()
    while not request.advance(b"3e8\r\n" + b"a" * 1000 + b"\r\n"):
        pieces += 1
    assert pieces < 101
    assert request.request.body.before == {"who": "me"}
    assert request.request.body.getvalue() == b""
    assert request.request.should_close()
    assert int(dict(request.request.headers)["CONTENT-LENGTH"]) > LONGEST


def uploading(length_or_chunks, longest_upload=5_000_000):
    """Return an upload whose head has been checked, and a list that is filled with what arrives in memory."""
    request = incoming.Incoming(connection(), LONGEST, longest_upload)
    head = b"POST / HTTP/1.1\r\n" + HOST + length_or_chunks + b"\r\n"
    while not request.advance(head):
        head = b"10000\r\n" + b"a" * 65536 + b"\r\n"
    assert request.request.body.is_long
    request.request.body.checked = {"longest_body": longest_upload}
    request.resume(request.request.body)
    return request


def test_the_body_of_an_upload_may_be_longer_and_is_kept_on_disk():
    request, content, sizes = uploading(b"Content-Length: 4000000\r\n"), os.urandom(4_000_000), []
    assert request.is_transfer
    for at in range(0, len(content), 65536):
        is_ready = request.advance(content[at : at + 65536])
        sizes.append(request.size)
    assert is_ready
    assert max(sizes) < 400_000
    with request.request.body as body:
        assert body.read() == content
        assert body.before == {"longest_body": 5_000_000}


def test_an_upload_in_chunks_is_kept_on_disk_and_described_by_its_length():
    request = uploading(b"Transfer-Encoding: chunked\r\n")
    sent = size = 65536
    while sent < 3_000_000:
        assert not request.advance(b"10000\r\n" + b"a" * 65536 + b"\r\n")
        sent, size = sent + 65536, max(size, request.size)
    assert request.advance(b"0\r\n\r\n")
    assert size <= 2**20
    with request.request.body as body:
        assert int(dict(request.request.headers)["CONTENT-LENGTH"]) == len(body.read()) >= 3_000_000


def test_an_upload_that_is_longer_than_uploads_may_be_is_cut_off():
    request = uploading(b"Transfer-Encoding: chunked\r\n")
    sent = 65536
    while not request.advance(b"10000\r\n" + b"a" * 65536 + b"\r\n"):
        sent += 65536
    assert 4_900_000 < sent < 5_200_000
    assert (request.request.body.getvalue(), request.on_disk) == (b"", 0)
    assert request.request.should_close()


def test_a_body_that_is_too_long_is_checked_first_if_an_upload_may_have_that_length():
    conn = connection()
    request = incoming.Incoming(conn, 1000, 5_000_000)
    assert request.advance(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 5000\r\n\r\n" + b"a" * 5000)
    assert isinstance(request.request.body, HeadOnly)
    request.request.body.checked = {}
    request.resume(request.request.body)
    # It is no upload.
    assert request.advance(b"")
    assert (request.request.body.getvalue(), dict(request.request.headers)["CONTENT-LENGTH"]) == (b"", "5000")


def test_a_body_that_turns_out_to_be_long_is_checked_again():
    request = incoming.Incoming(connection(), LONGEST)
    head = b"POST / HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert request.advance(head)
    assert not request.request.body.is_long
    request.request.body.checked = {"who": "me"}
    request.resume(request.request.body)
    assert request.wants_continue
    pieces = 0
    while not request.advance(b"3e8\r\n" + b"a" * 1000 + b"\r\n"):
        pieces += 1
    assert 60 < pieces < 70
    assert request.request.body.is_long
    assert request.request.body.before == {"who": "me"}


def test_lines_are_read_as_they_are_parsed_and_what_follows_is_left():
    conn, lines = connection(), [json.dumps({"n": n}).encode() + b"\n" for n in range(50)]
    request = incoming.Incoming(conn, LONGEST)
    head = b"POST / HTTP/1.1\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n"
    sent = b"".join(b"%x\r\n%b\r\n" % (len(line), line) for line in lines) + b"0\r\n\r\nGET /"
    pieces = [sent[at : at + 7] for at in range(0, len(sent), 7)]
    conn.sock = SimpleNamespace(
        settimeout=lambda _: None, setblocking=lambda _: None, recv=lambda _: pieces.pop(0) if pieces else b""
    )
    assert request.advance(head + HOST + b"\r\n" + pieces.pop(0))
    stream = request.request.body
    assert stream.read(1) == b""
    stream.start()
    assert request.request.should_close()
    assert list(io.BufferedReader(stream)) == lines
    assert not request.request.should_close()
    assert conn.buffer + b"".join(pieces) == b"GET /"
