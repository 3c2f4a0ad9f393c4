"""Those who submit: threads that post jobs to the API, note what it acknowledged, and repeat what it did not.

Each submission has a number and goes with an Idempotency-Key, as a careful client's would. What the API says is
held against it: after "nothing was stored" the repeat must not be told that it is one.
"""

import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx

#: Codes of answers after which a repeat may be told that it is one.
MAY_BE_STORED = ("outcome_unknown", "not_replicated")
#: Seconds for which one submission is repeated.
PATIENCE = 120.0


class Load:
    """Submits `count` jobs from `threads` threads, `pause` seconds between two of a thread. A context manager."""

    def __init__(
        self,
        address: str,
        count: int,
        *,
        job_type: str = "faults.work",
        payload: dict[str, Any] | None = None,
        threads: int = 2,
        pause: float = 0.0,
    ) -> None:
        self.count = count
        #: (number, job id) of each submission that was acknowledged.
        self.accepted: list[tuple[str, str]] = []
        self.answers: Counter[int] = Counter()
        #: Connections that ended before an answer came.
        self.broken = 0
        #: Numbers of submissions of which the API said what was not so.
        self.lies: list[str] = []
        self.strange: list[str] = []
        self._address, self._type, self._payload, self._pause = address, job_type, payload or {}, pause
        self._name = uuid4().hex[:8]
        self._numbers: Iterator[int] = iter(range(count))
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if exc[0] is not None:
            self._stopped.set()
        self.join()

    @property
    def ids(self) -> list[str]:
        return [job_id for _, job_id in self.accepted]

    @property
    def done(self) -> bool:
        return not any(thread.is_alive() for thread in self._threads)

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        with httpx.Client(base_url=self._address, timeout=20) as client:
            while (number := self._next()) is not None:
                self._submit(client, f"{self._name}-{number}")
                time.sleep(self._pause)

    def _next(self) -> int | None:
        with self._lock:
            return None if self._stopped.is_set() else next(self._numbers, None)

    def _submit(self, client: httpx.Client, number: str) -> None:
        body = self._body(number)
        until, may_be_stored = time.monotonic() + PATIENCE, False
        for pause in itertools.chain((0.02, 0.05, 0.1), itertools.repeat(0.2)):
            if time.monotonic() > until or self._stopped.is_set():
                self.strange.append(f"{number} was never accepted")
                return
            sent = time.monotonic()
            try:
                answer = client.post("/api/v1/jobs", json=body, headers={"Idempotency-Key": number})
            except httpx.ConnectError:
                self.broken += 1
            except httpx.TransportError:
                self.broken += 1
                may_be_stored = True
            else:
                if self._accepted(answer, number, may_be_stored, sent):
                    return
                may_be_stored = may_be_stored or answer.json().get("code") in MAY_BE_STORED
            time.sleep(pause)

    def _body(self, number: str) -> dict[str, Any]:
        return {"type": self._type, "payload": {**self._payload, "number": number}}

    def _accepted(self, answer: httpx.Response, number: str, may_be_stored: bool, _sent: float) -> bool:
        """Note an answer to what was sent then (monotonic s); return whether it is the last one."""
        with self._lock:
            self.answers[answer.status_code] += 1
            if answer.status_code == 503:
                return False
            if answer.status_code != 201:
                self.strange.append(f"{number}: {answer.status_code} {answer.text[:300]}")
                return answer.status_code < 500
            if answer.headers.get("Idempotent-Replayed") and not may_be_stored:
                self.lies.append(number)
            self.accepted.append((number, answer.json()["job_id"]))
            return True
