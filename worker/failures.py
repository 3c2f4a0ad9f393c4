"""An exception as text, whatever it is: its message may raise, be huge, or end in itself."""

import traceback
from types import TracebackType

#: Characters.
MAX_MESSAGE = 2_000
MAX_TRACEBACK = 16_000

#: The module that calls handlers.
_OURS = f"{__package__}.child"


def error_type(error: BaseException) -> str:
    return type(error).__name__[:64]


def message(error: BaseException) -> str:
    """Return what an exception says, cut, with a substitute where `str()` of it raises."""
    try:
        text = str(error)
    except BaseException as second:  # noqa: BLE001 - anything at all may be in a __str__
        return f"<its message can't be shown: {type(second).__name__}>"
    return cut(_encodable(text), MAX_MESSAGE)


def trace(error: BaseException) -> str:
    """Return an exception's traceback from the handler's first frame on, cut to its end."""
    try:
        lines = traceback.format_exception(type(error), error, _without_our_frames(error), limit=-50)
        text = "".join(lines)
    except BaseException as second:  # noqa: BLE001
        return f"<its traceback can't be shown: {type(second).__name__}>"
    text = _encodable(text)
    return text if len(text) <= MAX_TRACEBACK else "[...]\n" + text[-MAX_TRACEBACK:]


def cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[:limit] + f" [{len(text) - limit} more characters]"


def _without_our_frames(error: BaseException) -> TracebackType | None:
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_globals.get("__name__") == _OURS:
        frames = frames.tb_next
    return frames


def _encodable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
