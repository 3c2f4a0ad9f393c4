"""Where clients find the API."""

from gopher.config import kinds
from gopher.config.variables import group, setting


@group
class ClientSettings:
    """Where clients find the API."""

    url: str | None = setting(
        "GOPHER_URL",
        kinds.optional(kinds.HTTP_URL),
        "",
        "URL of an API that gopherctl uses instead of REDIS_URL, such as https://gopher.example.com.",
    )
    api_key: str | None = setting(
        "GOPHER_API_KEY", kinds.optional(kinds.SECRET), "", "Secret of gopherctl's key for the API at GOPHER_URL."
    )
