"""Formats any exception: its message may raise, be huge, or be recursive."""

import sysconfig
import traceback
from collections.abc import Iterator
from types import TracebackType

#: Maximum number of characters.
MAX_MESSAGE = 2_000
MAX_TRACEBACK = 16_000

MAX_PLACE = 200

#: Folders of code that is not the user's, unless the handler is installed there.
LIBRARIES = tuple(f"{sysconfig.get_path(name)}/" for name in ("stdlib", "platstdlib", "purelib", "platlib"))
#: The modules that call handlers, and those in between.
_OURS = (
    f"{__package__}.child",
    f"{__package__}.coroutines",
    "gopher.testing.inline",
    "gopher.testing.replaying",
    "gopher.testing.running",
    "gopher.jobs.arguments",
    "asyncio.runners",
    "asyncio.base_events",
)


def members(error: BaseException) -> list[BaseException]:
    """Return the exceptions of a group, and of the groups in it; an exception that is none is its only member."""
    if isinstance(error, BaseExceptionGroup):
        return [member for each in error.exceptions for member in members(each)]
    return [error]


def _representative(error: BaseException) -> BaseException:
    """Return what an exception is to be called: of a group whose members are of one class its first member."""
    first, *others = members(error)
    return first if all(type(each) is type(first) for each in others) else error


def error_type(error: BaseException) -> str:
    return type(_representative(error)).__name__[:64]


def message(error: BaseException) -> str:
    """Return an exception's message, truncated, or a substitute if `str()` raises."""
    others = len(members(error)) - 1
    shown = _representative(error)
    try:
        text = str(shown)
        if others and shown is not error:
            text += f" (and {others} more of the kind)"
    except BaseException as second:  # noqa: BLE001 - anything at all may be in a __str__
        return f"<its message can't be shown: {type(second).__name__}>"
    return cut(encodable(text), MAX_MESSAGE)


def trace(error: BaseException) -> str:
    """Return an exception's traceback from the handler's first frame on, truncated to its end."""
    try:
        lines = traceback.format_exception(type(error), error, handler_frames(error), limit=-50)
        text = "".join(lines)
    except BaseException as second:  # noqa: BLE001
        return f"<its traceback can't be shown: {type(second).__name__}>"
    text = encodable(text)
    return text if len(text) <= MAX_TRACEBACK else "[...]\n" + text[-MAX_TRACEBACK:]


def place(error: BaseException, module: str) -> str:
    """Return where an exception was raised, e.g. `shop/mail.py:42 Mailer.send`: the innermost frame of the code base
    of the handler, which is in `module`. "" if there is no such frame."""
    try:
        frames = [frame for frame in _frames(_representative(error)) if _is_own(frame, module.partition(".")[0])]
        return cut(encodable(_named(frames[-1])), MAX_PLACE) if frames else ""
    except BaseException:  # noqa: BLE001 - a module's name may be anything
        return ""


def _frames(error: BaseException) -> Iterator[TracebackType]:
    frames = handler_frames(error)
    while frames is not None:
        yield frames
        frames = frames.tb_next


def _is_own(frame: TracebackType, package: str) -> bool:
    module = str(frame.tb_frame.f_globals.get("__name__", ""))
    if module == "gopher" or module.startswith("gopher."):
        return module.startswith("gopher.handlers")
    file = frame.tb_frame.f_code.co_filename
    return module.partition(".")[0] == package or not file.startswith(("<", *LIBRARIES))


def _named(frame: TracebackType) -> str:
    """Return a frame's file relative to its package, line and function."""
    code, module = frame.tb_frame.f_code, str(frame.tb_frame.f_globals.get("__name__", ""))
    parts = code.co_filename.split("/")
    kept = module.count(".") + 1 + (parts[-1] == "__init__.py")
    return f"{'/'.join(parts[-kept:])}:{frame.tb_lineno} {code.co_qualname}"


def cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[:limit] + f" [{len(text) - limit} more characters]"


def handler_frames(error: BaseException) -> TracebackType | None:
    """Return an exception's traceback from the handler's first frame on, None if it has none."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_globals.get("__name__") in _OURS:
        frames = frames.tb_next
    return frames


def encodable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
