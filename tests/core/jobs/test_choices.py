"""A value that is not one of those allowed is told which are."""

import enum
from typing import Annotated, Literal, TypedDict

import msgspec
import pytest

from gopher.errors import InvalidJob
from gopher.jobs.decoding import decode


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Inner(TypedDict):
    size: Literal["small", "large"]


class Outer(msgspec.Struct):
    colour: Colour = Colour.RED
    inner: list[Inner] = []
    named: dict[str, Literal[1, 2]] = {}
    maybe: Annotated[Literal["a", "b"] | None, msgspec.Meta(description="one")] = None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"colour": "green"}', "/colour: 'green' is not one of red, blue"),
        ('{"inner": [{"size": "small"}, {"size": "huge"}]}', "/inner/1/size: 'huge' is not one of large, small"),
        ('{"named": {"x": 3}}', "/named/*: 3 is not one of 1, 2"),
        ('{"maybe": "c"}', "/maybe: 'c' is not one of a, b"),
    ],
)
def test_the_message_lists_the_allowed_values(text: str, message: str) -> None:
    with pytest.raises(InvalidJob) as refused:
        decode(msgspec.json.Decoder(Outer), text.encode())
    assert str(refused.value) == message
