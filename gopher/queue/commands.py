"""Commands of operators to workers: written to a queue that a worker serves, and read by its next heartbeat there."""

import secrets

import msgspec

from gopher.server.calls import Command

from .keys import QueueKeys

QUIET, STOP, STACK = "quiet", "stop", "stack"
#: Milliseconds that the answer to a request for a stack is kept.
_KEPT = 60_000


class WorkerCommand(msgspec.Struct, omit_defaults=True):
    """What a worker is to do. It reads each more than once, and knows it again by `id`."""

    do: str
    #: That of the job, for `stack`.
    job_id: str = ""
    id: str = msgspec.field(default_factory=lambda: secrets.token_hex(8))

    def encode(self) -> str:
        return msgspec.json.encode(self).decode()


def decode_command(text: str) -> WorkerCommand | None:
    """Return a command, None if this release can't read it."""
    try:
        return msgspec.json.decode(text, type=WorkerCommand)
    except msgspec.DecodeError:
        return None


class StackAnswer(msgspec.Struct, omit_defaults=True):
    """What a worker answers to `stack`: the stacks of the job's process, or why there are none. Times in ms."""

    pid: int = 0
    attempt: int = 0
    at: int = 0
    stack: str = ""
    place: str = ""
    problem: str = ""


def answer_stack(keys: QueueKeys, job_id: str, answer: StackAnswer) -> Command:
    """Return the command that makes an answer known."""
    key = keys.stack(job_id)
    return Command(key, ("SET", key, msgspec.json.encode(answer), "PX", _KEPT))
