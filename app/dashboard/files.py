"""/dashboard/jobs/<id>/files: the files that a job has stored, for its page."""

from flask import Response
from gopher.app.context import gopher
from gopher.app.downloads import SHOWN, download

from gopher.errors import GopherError
from gopher.files.store import StoreError
from gopher.jobs.files import JobFile
from gopher.jobs.models import JobView
from gopher.telemetry.logs import get_logger

from .frame import blueprint, filters

#: Files that are listed, and pictures among them that are shown.
_LISTED, _SHOWN = 100, 20
#: Bytes up to which a picture is shown in the page.
_LARGEST = 10 * 2**20
_log = get_logger("api")


@blueprint.get("/jobs/<job_id>/files/<name>")
def file(job_id: str, name: str) -> Response:
    filters()
    # Not from the store itself: the page may show only what comes from here.
    return download(job_id, name, redirects=False)


def files_of(view: JobView) -> tuple[list[JobFile], str]:
    """Return the files of a job for its page, and what is wrong if they can't be listed."""
    if not view.attempts:
        return [], ""
    try:
        return gopher().files.all(view.job_id)[:_LISTED], ""
    except StoreError as error:
        # The page shows everything else.
        _log.warning("store", details=str(error))
        return [], error.public
    except GopherError:
        return [], ""


def pictures_in(files: list[JobFile]) -> list[str]:
    """Return the names of the files that the page shows."""
    return [each.name for each in files if each.content_type in SHOWN and each.size <= _LARGEST][:_SHOWN]
