"""The channel between the supervisor and a child."""

import threading

import pytest
from gopher.worker.channel import PACKET, SupervisorEnd


@pytest.fixture
def ends():
    end = SupervisorEnd()
    yield end, end.child_end()
    end.close()


SIZES = [0, 1, PACKET - 1, PACKET, PACKET + 1, 3 * PACKET, 5 * PACKET + 7]


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
    reader.join(5)
    assert got == [message(size)]


@pytest.mark.parametrize("size", SIZES)
def test_a_message_from_the_child_arrives_as_it_was(ends, size):
    supervisor, child = ends
    writer = threading.Thread(target=lambda: child.send(message(size)))
    writer.start()
    got = None
    while got is None:
        got = supervisor.receive()
    writer.join(5)
    assert got == message(size)


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


def test_nothing_to_receive_is_none(ends):
    assert ends[0].receive() is None


def test_half_a_message_is_no_message(ends):
    supervisor, child = ends
    child._socket.send(b"\x01" + b"the beginning")
    assert supervisor.receive() is None


def test_hanging_up_tells_the_child_that_nothing_more_comes(ends):
    supervisor, child = ends
    supervisor.send(b"last")
    supervisor.hang_up()
    assert child.receive() == b"last"
    assert child.receive() is None
