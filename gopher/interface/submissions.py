"""Submissions with files, as the API takes them. The interface of files themselves is in files.py."""

from typing import Any

from gopher.base.names import PART_NAME
from gopher.jobs.fields import whole

BINARY = {"type": "string", "format": "binary"}
#: A submission with files.
SUBMISSIONS = {
    "multipart/form-data": {
        "schema": {
            "type": "object",
            "properties": {"job": {"$ref": "#/components/schemas/Submission"}},
            "required": ["job"],
            "propertyNames": whole(PART_NAME),
            "additionalProperties": BINARY,
        },
        "encoding": {"job": {"contentType": "application/json"}},
    },
}
#: Error codes of what stores files.
STORING = ("payload_too_large", "unsupported_media_type", "upload_limit", "store_full", "store_unavailable")


def with_ids(client: Any, options: Any) -> Any:
    """Return the options of a submission with the ids of its files, which `client.files` uploads."""
    return {**options, "files": client.files.sent(options["files"])} if options.get("files") else options
