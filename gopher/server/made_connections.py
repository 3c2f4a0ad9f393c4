"""The connections of a pool that still exist."""

import weakref
from collections.abc import Iterator
from typing import Any


class MadeConnections:
    """Connections that exist until nothing else refers to them. For redis-py a list or a set; threads may share it."""

    def __init__(self) -> None:
        self._by_id: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()

    def add(self, connection: Any) -> None:
        self._by_id[id(connection)] = connection

    append = add

    def remove(self, connection: Any) -> None:
        """Raises KeyError if there is no such connection."""
        del self._by_id[id(connection)]

    def __iter__(self) -> Iterator[Any]:
        # A copy: other threads may add some meanwhile.
        references = self._by_id.valuerefs()
        return (connection for each in references if (connection := each()) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)
