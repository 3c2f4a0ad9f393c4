"""The part of the interface for API keys."""
# A method that is declared as an operation has its body from the decorator.
# mypy: disable-error-code="empty-body"

from gopher.jobs.api_keys import CreatedKey, KeyList, KeyRequest, KeyRevoked, KeyRotation, KeyView
from gopher.jobs.fields import ApiKeyId

from .operation import Operations, operation, takes


class KeysInterface(Operations):
    """The API keys that are kept on the server, beside those of GOPHER_API_KEYS."""

    part = "keys"

    @operation("GET", "/api/v1/keys", "admin", KeyList, member="keys")
    def all(self) -> list[KeyView]:
        """List the API keys that are kept on the server, by name."""

    @operation("POST", "/api/v1/keys", "admin", {201: CreatedKey}, "conflict", body=KeyRequest)
    @takes(KeyRequest)
    def create(self, asked: KeyRequest) -> CreatedKey:
        """Create an API key. Its secret is in this answer only."""

    @operation(
        "POST", "/api/v1/keys/<key_id>/rotate", "admin", {201: CreatedKey}, "not_found", "conflict",
        body=KeyRotation, body_required=False,
    )  # fmt: skip
    def rotate(
        self, key_id: ApiKeyId, overlap: str | float = "1d", expires_in: str | float | None = None
    ) -> CreatedKey:
        """Replace a key by one with the same name, role and limits; the replaced one works for `overlap` longer."""

    @operation("DELETE", "/api/v1/keys/<key_id>", "admin", KeyRevoked, "not_found", fixed={"revoked": True})
    def revoke(self, key_id: ApiKeyId) -> None:
        """Revoke a key: within seconds no process of the API accepts it any more."""
