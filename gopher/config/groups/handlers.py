"""The handlers that Gopher brings: mail and pictures."""

from gopher.config import kinds
from gopher.config.variables import group, setting


@group
class HandlerSettings:
    """The handlers that Gopher brings: mail and pictures."""

    smtp_url: str = setting("SMTP_URL", kinds.SMTP_URL, "smtp://localhost:25", "Mail server of the email handler.")
    smtp_senders: tuple[str, ...] = setting(
        "SMTP_SENDERS",
        kinds.or_nothing(kinds.SENDERS),
        "",
        "Addresses, or domains such as @example.com, that mail may be from besides the default sender; * for any.",
    )
    picture_max_bytes: int = setting(
        "GOPHER_PICTURE_MAX_BYTES", kinds.size(), "25MiB", "Maximum size of the source of image_resize."
    )
    picture_max_pixels: int = setting(
        "GOPHER_PICTURE_MAX_PIXELS",
        kinds.integer(1, 10**9),
        "64000000",
        "Maximum number of pixels that image_resize decodes, after any downscaling by the decoder; 4 bytes each.",
    )
    picture_max_new_pixels: int = setting(
        "GOPHER_PICTURE_MAX_NEW_PIXELS",
        kinds.integer(1, 10**9),
        "25000000",
        "Maximum number of pixels of a picture that image_resize makes; of an animation, all frames together.",
    )
    picture_presets: str = setting(
        "GOPHER_PICTURE_PRESETS", kinds.PRESETS, "{}", "Options of image_resize by name, for its preset."
    )
    picture_presets_only: bool = setting(
        "GOPHER_PICTURE_PRESETS_ONLY", kinds.BOOLEAN, "0", "Let image_resize take a preset and no other options."
    )
    fetch_allow: tuple[str, ...] = setting(
        "GOPHER_FETCH_ALLOW",
        kinds.or_nothing(kinds.HOST_PORTS),
        "",
        "host:port pairs with private addresses that handlers may fetch from, for an intranet or tests.",
    )
