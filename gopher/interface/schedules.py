"""The part of the interface for schedules."""
# A method that is declared as an operation has its body from the decorator.
# mypy: disable-error-code="empty-body"

from gopher.jobs import answers, filters
from gopher.jobs.fields import ScheduleName
from gopher.jobs.models import PreviewRow, SchedulePage, ScheduleView
from gopher.jobs.schedule import ScheduleSpec

from .operation import OF_QUEUES, Operations, operation, takes


class SchedulesInterface(Operations):
    """The schedules of an installation."""

    part = "schedules"

    @operation(
        "PUT", "/api/v1/schedules/<name>", "admin", {200: ScheduleView, 201: ScheduleView},
        "unknown_type", *OF_QUEUES, body=ScheduleSpec, versioned=True,
    )  # fmt: skip
    def put(self, name: ScheduleName, spec: ScheduleSpec, if_version: str | None = None) -> tuple[ScheduleView, str]:
        """Create or replace a schedule; return it, and CREATED, REPLACED or UNCHANGED.

        With `if_version` ("": none), changes raise ScheduleChanged if the schedule has another version by now.
        """

    @operation("GET", "/api/v1/schedules/<name>", "read", None, "not_found", versioned=True)
    def get(self, name: ScheduleName) -> ScheduleView:
        """Show a schedule."""

    @operation("GET", "/api/v1/schedules", "read")
    @takes(filters.ScheduleListing)
    def page(self, asked: filters.ScheduleListing) -> SchedulePage:
        """List the schedules by name."""

    def all(self) -> list[ScheduleView]:
        """Return all schedules by name."""
        found = self.page()
        views = found.schedules
        while found.next_cursor:
            found = self.page(cursor=found.next_cursor)
            views += found.schedules
        return views

    @operation(
        "DELETE", "/api/v1/schedules/<name>", "admin", answers.Deleted, "not_found",
        fixed={"deleted": True}, versioned=True,
    )  # fmt: skip
    def delete(self, name: ScheduleName, if_version: str | None = None) -> None:
        """Delete a schedule. Jobs that it has created are kept."""

    @operation("POST", "/api/v1/schedules/<name>/pause", "admin", None, "not_found", versioned=True)
    def pause(self, name: ScheduleName, if_version: str | None = None) -> ScheduleView:
        """Pause a schedule: it creates no jobs until it is resumed."""

    @operation("POST", "/api/v1/schedules/<name>/resume", "admin", None, "not_found", versioned=True)
    def resume(self, name: ScheduleName, if_version: str | None = None) -> ScheduleView:
        """Resume a paused schedule from its next time on; times missed during the pause are not made up."""

    @operation(
        "GET", "/api/v1/schedules/<name>/preview", "read", answers.Preview, "not_found",
        query=filters.PreviewSize, member="times",
    )  # fmt: skip
    def preview(self, name: ScheduleName, count: int) -> list[PreviewRow]:
        """Show the next times of a schedule, with changes of daylight saving time marked."""
