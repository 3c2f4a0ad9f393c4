"""The middleware that was added, by what it has hooks for: around enqueuing, around attempts, for failures, and for
processes.

Looked at where there is a hot path: nothing is to be done, or imported, when a list is empty.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .registered import Hooked

enqueuing: "list[Hooked]" = []
attempting: "list[Hooked]" = []
failing: "list[Hooked]" = []
processes: "list[Hooked]" = []
