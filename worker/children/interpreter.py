"""Python's own settings of a child: what a job assigns or sets there, and the next one must not find.

What can be assigned is compared after each job, so what is read there has to be cheap: all of it together takes a
third of a microsecond. What only functions set is compared when one of them was called (see `watch`). Import hooks
and the class of loggers are left alone: a library that is imported late needs what it has installed.
"""

import gc
import logging
import multiprocessing
import sys
import threading
import tracemalloc
import warnings
from collections.abc import Callable
from contextvars import Context, copy_context
from decimal import Context as DecimalContext
from decimal import DefaultContext, getcontext, setcontext
from functools import partial
from operator import attrgetter
from typing import Any

from gopher.compat import event_loop_policy, put_event_loop_policy, thread_counter

_modules = sys.modules
_root = logging.root
_start_method = multiprocessing.get_start_method
_count_threads = thread_counter()

_Put = Callable[[Any], object]


def _assigned() -> tuple[Any, ...]:
    """Read what can be assigned, in the order of `_PUT_ASSIGNED`."""
    asyncio_events = _modules.get("asyncio.events")
    return (
        sys.excepthook,
        sys.unraisablehook,
        threading.excepthook,
        sys.argv,
        sys.path,
        gc.callbacks,
        warnings.filters,
        _root.handlers,
        _start_method(allow_none=True),
        asyncio_events and event_loop_policy(asyncio_events),
        _count_threads(),
        # The first job that imports it may have seeded it, too.
        "numpy.random" in _modules,
    )


def _called() -> tuple[Any, ...]:
    """Read what functions set, in the order of `_PUT_CALLED`."""
    return (
        gc.isenabled(),
        gc.get_threshold(),
        gc.get_debug(),
        sys.getrecursionlimit(),
        sys.getswitchinterval(),
        sys.gettrace(),
        sys.getprofile(),
        threading.gettrace(),
        threading.getprofile(),
        threading.stack_size(),
        sys.get_int_max_str_digits(),
        sys.get_coroutine_origin_tracking_depth(),
        logging.root.manager.disable,
        logging.getLogRecordFactory(),
        logging.raiseExceptions,
        warnings.showwarning,
        sys.displayhook,
        sys.breakpointhook,
        sys.get_asyncgen_hooks(),
        tracemalloc.is_tracing(),
    )


def _attribute(holder: object, name: str) -> _Put:
    return lambda value: setattr(holder, name, value)


def _list(holder: object, name: str) -> _Put:
    def put(values: list[Any]) -> None:
        # Others may have got hold of the list that is there.
        there = getattr(holder, name, None)
        if not isinstance(there, list):
            there = []
            setattr(holder, name, there)
        there[:] = values

    return put


def _put_gc(enabled: bool) -> None:
    (gc.enable if enabled else gc.disable)()


def _put_warnings(filters: list[Any]) -> None:
    # What modules have noted of the filters before is void: this says so to them.
    warnings.resetwarnings()
    _list(warnings, "filters")(filters)


def _put_policy(policy: Any) -> None:
    events = _modules.get("asyncio.events")
    if events is not None:
        put_event_loop_policy(events, policy)


_PUT_ASSIGNED: tuple[_Put, ...] = (
    _attribute(sys, "excepthook"),
    _attribute(sys, "unraisablehook"),
    _attribute(threading, "excepthook"),
    _list(sys, "argv"),
    _list(sys, "path"),
    _list(gc, "callbacks"),
    _put_warnings,
    _list(_root, "handlers"),
    lambda method: multiprocessing.set_start_method(method, force=True),
    _put_policy,
    # Not restored here, but elsewhere.
    bool,
    bool,
)

_PUT_CALLED: tuple[_Put, ...] = (
    _put_gc,
    lambda thresholds: gc.set_threshold(*thresholds),
    gc.set_debug,
    sys.setrecursionlimit,
    sys.setswitchinterval,
    sys.settrace,
    sys.setprofile,
    threading.settrace,
    threading.setprofile,
    threading.stack_size,
    sys.set_int_max_str_digits,
    sys.set_coroutine_origin_tracking_depth,
    logging.disable,
    logging.setLogRecordFactory,
    _attribute(logging, "raiseExceptions"),
    _attribute(warnings, "showwarning"),
    _attribute(sys, "displayhook"),
    _attribute(sys, "breakpointhook"),
    lambda hooks: sys.set_asyncgen_hooks(*hooks),
    lambda tracing: tracemalloc.start() if tracing else tracemalloc.stop(),
)


class Interpreter:
    """What this process's Python is set to. Made when the child is ready for its first job."""

    def __init__(self) -> None:
        self._assigned = tuple(value[:] if isinstance(value, list) else value for value in _assigned())
        self._called = _called()
        self._decimals = _decimals()
        #: What jobs find as their decimal context, where that is not made for each of them anyway.
        self._decimal = _decimal_context()

    def context(self) -> Context:
        """Return the context to run a job in, whose changes do not affect the next one."""
        context = copy_context()
        if self._decimal is not None:
            # A context is copied, what it holds is not.
            context.run(setcontext, self._decimal.copy())
        return context

    def restore_assigned(self) -> bool:
        """Put back what was changed; return whether anything was, threads and numpy among it."""
        try:
            if _assigned() == self._assigned:
                return False
        except AttributeError:
            # Something of it was deleted.
            for put, value in zip(_PUT_ASSIGNED, self._assigned, strict=True):
                put(value)
        _put(_PUT_ASSIGNED, self._assigned, _assigned())
        self._assigned = (*self._assigned[:-1], "numpy.random" in _modules)
        return True

    def restore_called(self) -> None:
        _put(_PUT_CALLED, self._called, _called())

    def restore_decimals(self) -> None:
        """Put back what new decimal contexts are made from."""
        if _decimals() != self._decimals:
            for name, value in zip(_DECIMALS, self._decimals, strict=True):
                setattr(DefaultContext, name, value)


def _put(puts: tuple[_Put, ...], values: tuple[Any, ...], found: tuple[Any, ...]) -> None:
    for put, value, now in zip(puts, values, found, strict=True):
        if value is not now and value != now:
            put(value)


_DECIMALS = ("prec", "rounding", "Emin", "Emax", "capitals", "clamp")
_decimals = partial(attrgetter(*_DECIMALS), DefaultContext)


def _decimal_context() -> DecimalContext | None:
    """Return a copy of this thread's decimal context, if it has one already."""
    has_one = any(variable.name == "decimal_context" for variable in copy_context())
    return getcontext().copy() if has_one else None
