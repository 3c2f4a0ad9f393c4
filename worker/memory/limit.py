"""How much memory the worker may use: WORKER_MEMORY, or what its control group or the machine leaves to it."""

from gopher.config import machine

#: The share of the limit that is given to no job: for what the kernel needs, and growth between two looks.
_RESERVE = 0.02
#: The share of the limit above which a job is killed, before the system does that.
_MOST = 0.99


class Limit:
    """The limit, and what others use of it: all figures are bytes."""

    def __init__(self, setting: int) -> None:
        #: Whether it is that of the container or machine: then what the kernel can drop does not count.
        self.is_shared = setting == 0
        self.bytes = machine.memory() if self.is_shared else setting
        #: What other processes in the control group, or on the machine, were using at the last look.
        self.others = 0

    @property
    def for_jobs(self) -> int:
        """What the worker's processes may use together, by plan."""
        return round(self.bytes * (1 - _RESERVE)) - self.others

    @property
    def most(self) -> int:
        """What they may use before one of them is killed."""
        return round(self.bytes * _MOST) - self.others

    def look(self, own: int) -> None:
        """Look at what others use; `own` is what the worker's processes do. A limit that is set is the worker's own."""
        if self.is_shared:
            self.others = max(machine.memory_in_use() - own, 0)
