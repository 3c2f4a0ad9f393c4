"""The store for files: what clients upload, and what handlers store."""

from pathlib import Path

from gopher.config import kinds
from gopher.config.variables import group, setting


@group
class FileSettings:
    """The store for files: what clients upload, and what handlers store."""

    store: str = setting(
        "GOPHER_STORE",
        kinds.STORE,
        "file:",
        "Where files are stored: file: (the folder GOPHER_FILES), redis: (the server), or a bucket such as "
        "s3://bucket/prefix, gs://bucket/prefix, az://container/prefix.",
    )
    files: Path = setting(
        "GOPHER_FILES",
        kinds.FOLDER,
        "./files",
        "Folder of the store file:, and of file: sources of images.",
    )
    file_max: int = setting("GOPHER_FILE_MAX", kinds.size(), "25MiB", "Maximum size of a stored file.")
    payload_max: int = setting(
        "GOPHER_PAYLOAD_MAX",
        kinds.size(2**18),
        "256KiB",
        "Maximum size of a job's payload. Larger ones than 256 KiB are stored as files of their jobs.",
    )
    upload_ttl: float = setting(
        "GOPHER_UPLOAD_TTL",
        kinds.duration(above=59.0),
        "24h",
        "How long an uploaded file can be used by new jobs; it is kept as long as jobs that use it.",
    )
    store_max: int = setting(
        "GOPHER_STORE_MAX",
        kinds.size(),
        "100MiB",
        "Maximum size of all files together in the store redis:, which also takes at most half of maxmemory.",
    )
