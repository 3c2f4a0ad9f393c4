"""The imports that the documentation promises."""

from importlib import import_module

import pytest

PROMISED = {
    "gopher": (
        "Client",
        "HttpClient",
        "Job",
        "JobFailed",
        "JobHandle",
        "Retry",
        "Schedule",
        "current_job",
        "handler",
        "task",
    ),
    "gopher.errors": ("InvalidJob", "JobNotFound", "UnknownType", "PayloadTooLarge"),
    "gopher.interface": ("Gopher",),
    "gopher.registry": ("load_handlers", "handler", "registry"),
    "gopher.retry": ("Backoff",),
    "gopher.submission": ("InvalidBatch", "Submission"),
    "gopher.testing": ("EagerClient", "Recorder", "run_job"),
    "gopher.views": ("JobView", "Stats", "DeadLetterPage", "ScheduleView"),
}


@pytest.mark.parametrize("module", PROMISED)
def test_a_documented_module_has_its_names(module):
    found = import_module(module)
    assert not [name for name in PROMISED[module] if not hasattr(found, name)]
