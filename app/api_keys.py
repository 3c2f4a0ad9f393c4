"""/api/v1/keys: the API keys that are kept on the server."""

import msgspec
from flask import Blueprint, Response

from gopher.interface import KeysInterface
from gopher.jobs.api_keys import KeyRequest, KeyRotation
from gopher.jobs.fields import ApiKeyId

from .answers import answer
from .base_path import own_url
from .context import gopher
from .serving import serve, serves

blueprint = Blueprint("keys", __name__)

show_all = serve(blueprint, KeysInterface.all, "all")
revoke = serve(blueprint, KeysInterface.revoke)


@serves(blueprint, KeysInterface.create)
def create(sent: KeyRequest) -> Response:
    made = gopher().keys.create(**msgspec.structs.asdict(sent))
    return answer(made, 201, {"Location": own_url(f"/api/v1/keys/{made.key_id}")})


@serves(blueprint, KeysInterface.rotate)
def rotate(key_id: ApiKeyId, sent: KeyRotation) -> Response:
    made = gopher().keys.rotate(key_id, sent.overlap, sent.expires_in)
    return answer(made, 201, {"Location": own_url(f"/api/v1/keys/{made.key_id}")})
