"""/api/v1/dlq: dead letters."""

from flask import Blueprint, Response

from gopher.interface import DeadLettersInterface
from gopher.jobs.answers import Count, RedriveStarted
from gopher.jobs.filters import RetryAll

from .answers import answer
from .context import gopher
from .serving import serve, serves

blueprint = Blueprint("dead_letters", __name__)

page = serve(blueprint, DeadLettersInterface.page)
groups = serve(blueprint, DeadLettersInterface.groups)
retry = serve(blueprint, DeadLettersInterface.retry)
redrives = serve(blueprint, DeadLettersInterface.redrives)
stop_redrive = serve(blueprint, DeadLettersInterface.stop_redrive)
discard = serve(blueprint, DeadLettersInterface.discard)
discard_all = serve(blueprint, DeadLettersInterface.discard_all)


@serves(blueprint, DeadLettersInterface.retry_all)
def retry_all(sent: RetryAll) -> Response:
    """Retry matching dead letters: immediately, or gradually with a canary or a rate (202)."""
    which = {name: getattr(sent, name) for name in sent.__struct_fields__}
    if sent.canary is None and sent.rate is None:
        del which["canary"], which["rate"]
        return answer(Count(gopher().dead_letters.retry_all(**which)))
    started = gopher().dead_letters.retry_gradually(**which)
    if not started.redrive_id:
        return answer(Count(0))
    made = RedriveStarted(count=started.total, redrive_id=started.redrive_id, retry_id=started.redrive_id)
    return answer(made, 202)
