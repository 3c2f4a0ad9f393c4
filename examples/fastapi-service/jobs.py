"""The jobs of the service."""

from dataclasses import dataclass, field
from typing import Annotated

from msgspec import Meta

from gopher import Job, handler


@dataclass
class YearOf:
    region: str
    year: Annotated[int, Meta(ge=2000, le=2100)]


@dataclass
class Report:
    region: str
    years: list[int] = field(default_factory=list)


@handler("report.year", timeout="2m", max_retries=3)
def year_of(job: Job, payload: YearOf) -> dict[str, int]:
    """Adds up the sales of a year."""
    return {"year": payload.year, "sold": sum(number % 7 for number in range(payload.year))}


@handler("report.total")
def total(job: Job, payload: Report) -> dict[str, int | str | list[int]]:
    """Adds up the years of a report, once they are all there."""
    years = sorted(job.parents.values(), key=lambda each: each["year"])
    return {
        "region": payload.region,
        "years": [each["year"] for each in years],
        "sold": sum(each["sold"] for each in years),
    }
