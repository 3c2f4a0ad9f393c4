"""How many processes the jobs need: the answer. Times are in seconds."""

import msgspec

from .fields import QueueName, Time, TypeName


class TypeLoad(msgspec.Struct):
    """The load of a job type. `arrivals` are jobs per second, `run` and `cpu` means of an attempt.

    CPU time is measured of attempts of 5 ms or longer; null if all were shorter. `assumed` says that none of its
    attempts has ended yet, so that `run` is a guess.
    """

    type: TypeName
    arrivals: float
    waiting: int
    running: int
    run: float
    cpu: float | None
    assumed: bool


class GroupCapacity(msgspec.Struct):
    """Workers that serve the same queues, such as the dynos of a line of the Procfile.

    `processes` run one job each at a time: `useful_processes` is how many of a worker's its cores and its memory let
    work. Jobs that workers hold until there is memory are `waiting`. Workers that are quiet or stopping are not
    counted. `scale_to` is `needed_workers`, or more if otherwise a dyno of Heroku were stopped that runs a long job.
    """

    name: str
    queues: list[QueueName]
    workers: int
    processes: int
    useful_processes: float
    waiting: int
    running: int
    oldest_waiting_age: float
    arrivals: float
    needed_processes: int
    needed_workers: int
    scale_to: int
    why: list[str]
    types: list[TypeLoad]


class HourLoad(msgspec.Struct):
    """An hour of the week (UTC): the mean of its arrivals per second, and what the busiest one needed.

    `weekday` is 0 on Monday. `hours` is the number of hours that were counted, of the last four weeks.
    """

    weekday: int
    hour: int
    arrivals: float
    needed_processes: int
    hours: int


class Capacity(msgspec.Struct):
    """How many processes and workers let jobs start `within` the given time, now and in each hour of the week."""

    at: Time
    within: float
    workers: int
    processes: int
    needed_processes: int
    needed_workers: int
    scale_to: int
    groups: list[GroupCapacity]
    hours: list[HourLoad]
