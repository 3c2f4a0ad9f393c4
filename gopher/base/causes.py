"""The errors that led to an error."""

from collections.abc import Iterator


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, and what it was raised from or while handling, each once.

    They may form a circle: an error that is raised again from one which it has caused, or while that is handled.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        yield error
        seen.add(id(error))
        error = error.__cause__ or error.__context__
