"""Whether Gopher's clients may start threads in this process. Imports nothing, since every child of a worker does."""

allowed = True


def forbid() -> None:
    """Start no threads: this process is a worker's child, or forks some."""
    global allowed  # noqa: PLW0603 - a property of the process
    allowed = False
