"""The channel between the supervisor and a child."""

import threading

import pytest
from gopher.worker.children.channel import LONGEST, NONSENSE, PIECE, Messages, SupervisorEnd
from hypothesis import given
from hypothesis import strategies as st


@pytest.fixture
def ends():
    end = SupervisorEnd()
    yield end, end.child_end()
    end.close()


SIZES = [0, 1, PIECE, PIECE + 1, 3 * PIECE, 65_531, 65_532, 65_533, 5_000_007]


def message(size):
    return bytes(number % 251 for number in range(size))


@pytest.mark.parametrize("size", SIZES)
def test_a_message_to_the_child_arrives_as_it_was(ends, size):
    supervisor, child = ends
    got = []
    reader = threading.Thread(target=lambda: got.append(child.receive()))
    reader.start()
    supervisor.send(message(size))
    while supervisor.outbox:
        supervisor.flush()
    reader.join(60)
    assert got == [message(size)]


@pytest.mark.parametrize("size", SIZES)
def test_a_message_from_the_child_arrives_as_it_was(ends, size):
    supervisor, child = ends
    writer = threading.Thread(target=lambda: child.send(message(size)))
    writer.start()
    got = []
    while not got:
        got = supervisor.receive()
    writer.join(60)
    assert got == [message(size)]


def test_what_the_child_can_not_take_yet_waits_in_order(ends):
    supervisor, child = ends
    sent = [message(10_000 + number) for number in range(100)]
    for each in sent:
        supervisor.send(each)
    assert supervisor.outbox
    got = []
    while len(got) < len(sent):
        got.append(child.receive())
        supervisor.flush()
    assert got == sent
    assert not supervisor.outbox


def test_what_came_together_is_received_together(ends):
    supervisor, child = ends
    for each in (b"one", b"", b"three"):
        child.send(each)
    assert supervisor.receive() == [b"one", b"", b"three"]


@given(
    sizes=st.lists(st.sampled_from([0, 1, 3, 4, 5, 1000, 70_000]), max_size=6), cuts=st.lists(st.integers(1, 80_000))
)
def test_a_stream_is_cut_into_the_same_messages_however_it_comes(sizes, cuts):
    sent = [message(size) for size in sizes]
    stream = b"".join(len(each).to_bytes(4, "little") + each for each in sent)
    reader, got = Messages(LONGEST), []
    while stream:
        cut = cuts.pop() if cuts else len(stream)
        got += reader.split(stream[:cut])
        stream = stream[cut:]
    assert got == sent


def test_nothing_to_receive_is_none(ends):
    assert ends[0].receive() == []


@pytest.mark.parametrize("end", [1, 3, 4, 10])
def test_part_of_a_message_is_no_message(ends, end):
    supervisor, child = ends
    child._socket.send((b"\x10\x00\x00\x00" + b"the beginning")[:end])
    assert supervisor.receive() == []
    child._socket.close()
    assert supervisor.receive() == []


def test_what_another_speaker_says_may_come_between_the_pieces_of_a_long_message(ends):
    supervisor, child = ends
    long, short = message(5 * PIECE), b"half way"
    got = []
    writers = [
        threading.Thread(target=lambda said=said: [child.send(said) for _ in range(200)]) for said in (long, short)
    ]
    for each in writers:
        each.start()
    while any(each.is_alive() for each in writers):
        got += supervisor.receive()
    got += supervisor.receive()
    assert (got.count(long), got.count(short), len(got)) == (200, 200, 400)


@pytest.mark.parametrize("junk", [b"print me, please", b"abc\n", b"ok\tdo", (PIECE + 1).to_bytes(4, "little")])
def test_what_a_handler_wrote_there_is_nonsense_and_what_came_before_counts(ends, junk):
    supervisor, child = ends
    child.send(b"a result")
    child._socket.send(junk)
    assert supervisor.receive() == [b"a result", NONSENSE]


def test_hanging_up_tells_the_child_that_nothing_more_comes(ends):
    supervisor, child = ends
    supervisor.send(b"last")
    supervisor.hang_up()
    assert child.receive() == b"last"
    assert child.receive() is None
