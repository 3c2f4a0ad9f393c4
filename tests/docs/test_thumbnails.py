"""The web app of docs/pictures.md takes uploads and shows thumbnails: the text of the page itself is run."""

import io
import re
from pathlib import Path

import pytest
from PIL import Image

from tests.docs.system import ROOT, modules_of, running_system
from tests.helpers import wait_until

PAGE = (ROOT / "docs/pictures.md").read_text()


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    folder: Path = tmp_path_factory.mktemp("thumbnails")
    with running_system(folder, PAGE) as terminal, pytest.MonkeyPatch.context() as patch:
        patch.setenv("GOPHER_URL", terminal.url)
        names: dict = {"__name__": "thumbnails"}
        exec(compile(modules_of(PAGE)["thumbnails"], "thumbnails.py", "exec"), names)
        yield names["app"].test_client()


def test_an_upload_becomes_a_thumbnail_that_the_page_shows(app):
    assert b'enctype="multipart/form-data"' in app.get("/").data
    picture = io.BytesIO()
    Image.effect_noise((1200, 900), 40).save(picture, "JPEG")
    picture.seek(0)
    sent = app.post("/", data={"picture": (picture, "noise.jpg")})
    assert sent.status_code == 303

    def shown():
        return re.search(r'<img src="([^"]+)"', app.get(sent.location).text)

    answer = app.get(wait_until(shown)[1])
    assert answer.content_type == "image/webp"
    assert Image.open(io.BytesIO(answer.data)).size == (300, 300)


def test_what_is_no_picture_is_reported(app):
    empty = app.post("/", data={"picture": (io.BytesIO(b""), "a.jpg")})
    assert (empty.status_code, b"is empty" in empty.data) == (400, True)
    text = app.post("/", data={"picture": (io.BytesIO(b"text"), "a.txt")})
    assert wait_until(lambda: app.get(text.location).status_code == 422)
