"""Files that clients send, for jobs."""

from gopher.config import kinds
from gopher.config.variables import group, setting


@group
class UploadSettings:
    """Files that clients send, for jobs."""

    file_types: tuple[str, ...] = setting(
        "GOPHER_FILE_TYPES",
        kinds.or_nothing(kinds.CONTENT_TYPES),
        "",
        "Content types of uploads that are accepted, such as image/*,application/pdf; by default all.",
    )
    uploads_max: int = setting(
        "GOPHER_UPLOADS_MAX",
        kinds.integer(1, 10_000),
        "1000",
        "Maximum number of uploads of an owner that no job uses yet; further ones are rejected with 429.",
    )
    uploads_max_bytes: int = setting(
        "GOPHER_UPLOADS_MAX_BYTES", kinds.size(), "4GiB", "The same, of their sizes together."
    )
