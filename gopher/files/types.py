"""The content type of an upload: what its first bytes are, what its sender says, or what its name implies."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from gopher.errors import InvalidJob, UnsupportedFile

from .names import content_type_of, is_content_type

#: Bytes of a file by which its type is recognized.
HEAD = 64
OTHER = "application/octet-stream"
#: What senders say that know nothing: curl's --data-binary says the second one.
_SAYS_NOTHING = ("", OTHER, "application/x-www-form-urlencoded", "binary/octet-stream", "multipart/form-data")
_ALIASES = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/x-png": "image/png",
    "image/x-ms-bmp": "image/bmp",
    "image/heif": "image/heic",
    "image/apng": "image/png",
    "application/x-pdf": "application/pdf",
}
#: First bytes of the types that are recognized.
_SIGNATURES = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    # For more than 4 GB, but many programs always write this kind.
    (b"II+\0", "image/tiff"),
    (b"MM\0+", "image/tiff"),
    (b"%PDF-", "application/pdf"),
)
#: Brands of the container that AVIF and HEIC share.
_BRANDS = {
    b"avif": "image/avif",
    b"avis": "image/avif",
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "image/heic"),
}
#: The types of which the first bytes are known. Nothing else is stored as one of them.
RECOGNIZED = frozenset([*(kind for _, kind in _SIGNATURES), *_BRANDS.values(), "image/webp", "image/bmp"])


def checked_type(said: str, head: bytes, name: str, accepted: Sequence[str], field: str) -> str:
    """Return the content type of a file. Raises InvalidJob if it is declared as another one, UnsupportedFile.

    `said` is what its sender says, `head` its first bytes, `accepted` patterns such as image/*.
    """
    said = said.partition(";")[0].strip().lower()
    said = _ALIASES.get(said, said)
    found = recognized(head)
    if said in _SAYS_NOTHING:
        kind = found or _unless_recognized(content_type_of(name))
    elif not is_content_type(said):
        raise InvalidJob(f"has the content type {said!r:.80}: expected one such as image/jpeg, or none", field)
    elif said in RECOGNIZED and said != found:
        what = f"is {found}" if found else "is something else"
        raise InvalidJob(f"is sent as {said}, but its content {what}: send its own content type, or none", field)
    else:
        kind = said
    if accepted and not any(fnmatchcase(kind, pattern) for pattern in accepted):
        raise UnsupportedFile(f"is {kind}: accepted are {', '.join(accepted)} (GOPHER_FILE_TYPES)", field)
    return kind


def recognized(head: bytes) -> str | None:
    """Return the content type that the first bytes of a file show, None if they show none."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head[4:8] == b"ftyp":
        brands = [head[8:12], *(head[at : at + 4] for at in range(16, min(len(head), HEAD) - 3, 4))]
        # The major brand of some is one that both have; the compatible ones tell.
        kinds = [_BRANDS[brand] for brand in brands if brand in _BRANDS]
        return "image/avif" if "image/avif" in kinds else kinds[0] if kinds else None
    if head[:2] == b"BM" and head[6:10] == bytes(4):
        return "image/bmp"
    return next((kind for start, kind in _SIGNATURES if head.startswith(start)), None)


def _unless_recognized(kind: str) -> str:
    """Return a type that a name implies, unless the first bytes would show it."""
    return OTHER if kind in RECOGNIZED else kind
