"""Reports of crashes: the frames of the handler, and of what it called, from the stack printed by `faulthandler`.

The stack begins with the innermost frame and ends, at length, with those of Gopher and of Python's start. The last
lines of a job's output would be just these.
"""

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import gopher
from gopher.jobs.handlers import Handler

from .failures import LIBRARIES, MAX_PLACE

#: Lines that a job has printed before its crash, and frames of the stack, that are shown.
_BEFORE, _FRAMES = 10, 30

_FATAL = "Fatal Python error: "
_THREAD = " (most recent call first):"
_FRAME = re.compile(r'  File "(?P<file>.*)", line (?P<line>\d+) in (?P<function>.*)')
_OURS = str(Path(__file__).parent)
_GOPHER = (f"{Path(gopher.__file__).parent}/", f"{Path(__file__).parents[1]}/")
_SHIPPED = f"{Path(gopher.__file__).parent}/handlers/"


class CrashReport(NamedTuple):
    """What is shown, and where in the handler's code it was, e.g. `shop/mail.py:42 send`; "" when that is not known."""

    text: str
    place: str = ""


def crash_report(lines: Sequence[str], handler: Handler | None) -> CrashReport:
    """Return what the output of a job says of how its child died."""
    fatal = next((at for at in reversed(range(len(lines))) if lines[at].startswith(_FATAL)), None)
    if fatal is None:
        return CrashReport("\n".join(lines[-20:]))
    stack = list(_stack(lines[fatal + 1 :]))
    shown = [*lines[max(fatal - _BEFORE, 0) : fatal], lines[fatal], *(frame[0] for frame in stack[:_FRAMES])]
    if len(stack) > _FRAMES:
        shown.append(f"  [{len(stack) - _FRAMES} more frames]")
    own = (frame for frame in stack if _is_own(frame["file"], handler))
    return CrashReport("\n".join(shown), next(map(_named, own), ""))


def handler_stacks(lines: Sequence[str]) -> str:
    """Return the stacks of a process that `faulthandler` has written: of the thread that runs the handler first.

    Each begins with the innermost frame. The frames that call the handler are omitted.
    """
    threads: list[list[str]] = []
    is_ours = False
    for line in lines:
        frame = _FRAME.fullmatch(line)
        if frame is None:
            is_ours = False
            if line.endswith(_THREAD):
                threads.append([line])
        elif threads:
            is_ours = is_ours or os.path.dirname(frame["file"]) == _OURS
            if not is_ours:
                threads[-1].append(line)
    # The one that was started first, which runs the handlers, is the last.
    return "\n\n".join("\n".join(thread) for thread in reversed(threads))


def place_of(stacks: str, handler: Handler | None) -> str:
    """Return where in the handler's code it runs, e.g. `shop/mail.py:42 send`; "" if that is not known."""
    frames = (frame for line in stacks.partition("\n\n")[0].splitlines() if (frame := _FRAME.fullmatch(line)))
    return next((_named(frame) for frame in frames if _is_own(frame["file"], handler)), "")


def _stack(lines: Sequence[str]) -> list[re.Match[str]]:
    """Return the frames of the handler and of what it has called, the innermost first."""
    frames: list[re.Match[str]] = []
    for line in lines:
        frame = _FRAME.fullmatch(line)
        if frame is None:
            if frames:
                break
        elif os.path.dirname(frame["file"]) == _OURS:
            break
        else:
            frames.append(frame)
    return frames


def _is_own(file: str, handler: Handler | None) -> bool:
    """Return whether a file is of the code that the handler belongs to."""
    if file.startswith(_GOPHER):
        return file.startswith(_SHIPPED)
    return file.startswith(_folder_of(handler)) or not file.startswith(("<", *LIBRARIES))


def _folder_of(handler: Handler | None) -> str:
    """Return the folder of the package, or the file of the module, of a handler, which may be a library."""
    name = handler.function.__module__.partition(".")[0] if handler else ""
    file = getattr(sys.modules.get(name), "__file__", None) or "?"
    return f"{os.path.dirname(file)}/" if os.path.basename(file) == "__init__.py" else file


def _named(frame: re.Match[str]) -> str:
    file = frame["file"]
    folders = [folder.rstrip("/") + "/" for folder in sys.path if folder and file.startswith(folder.rstrip("/") + "/")]
    short = file[len(max(folders, key=len)) :] if folders else os.path.basename(file)
    return f"{short}:{frame['line']} {frame['function']}"[:MAX_PLACE]
