"""Pictures that come in and go out without the worker's disk: the job's files, and URLs to PUT them to."""

import io
from pathlib import Path
from typing import Any

import matplotlib
import msgspec
import pytest
from gopher.testing import run_job
from PIL import Image

from gopher.errors import Discard, InvalidJob
from gopher.files.job_files import StoredJobFiles
from gopher.jobs.handlers import registry
from gopher.jobs.job import Job, new_job_id
from gopher.outbound.fetching import FetchFailed
from gopher.outbound.guard import FetchRefused

from .conftest import Site

PHOTOGRAPH = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"


@pytest.fixture
def source(files_folder: Path) -> str:
    (files_folder / "photo.jpg").write_bytes(PHOTOGRAPH.read_bytes())
    return "file:photo.jpg"


def test_a_file_of_the_job_is_resized(files_folder: Path) -> None:
    result = run_job("image_resize", {"file": "cat", "width": 100}, files={"cat": PHOTOGRAPH})
    assert (result["file"], result["width"], result["source_width"]) == ("100x117.jpg", 100, 512)
    assert Path(result["path"]).is_relative_to(files_folder / "jobs")


def test_a_file_that_the_job_does_not_have_is_an_error_that_names_those_it_has(files_folder: Path) -> None:
    with pytest.raises(Discard, match="has no file 'dog'.*there are: cat, cow"):
        run_job("image_resize", {"file": "dog", "width": 9}, files={"cat": PHOTOGRAPH, "cow": PHOTOGRAPH})


def test_a_file_of_too_many_bytes_is_refused(files_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOPHER_PICTURE_MAX_BYTES", "1000")
    with pytest.raises(Discard, match="61306 bytes, more than the 1000 allowed"):
        run_job("image_resize", {"file": "cat", "width": 9}, files={"cat": PHOTOGRAPH})


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({"width": 1}, "/payload/url: is required, or file"),
        ({"width": 1, "url": "http://a.example/", "file": "x"}, "/payload/file: can't be given together with url"),
        ({"width": 1, "file": ""}, "/payload/file"),
        ({"file": "x", "output": {"put_url": "http://a.example/"}, "sizes": [{"width": 1}]}, "output belongs"),
        ({"file": "x", "width": 1, "output": {"put_url": "ftp://a.example/"}}, "/payload/output/put_url"),
        ({"file": "x", "width": 1, "output": {}}, "/payload/output/put_url: is required"),
    ],
)
def test_a_payload_that_contradicts_itself_is_refused(payload: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidJob, match=field):
        registry.require("image_resize").validated(msgspec.json.encode(payload))


def test_a_picture_is_sent_to_its_url_and_not_stored(run: Any, source: str, allowed_site: Site) -> None:
    url = allowed_site.url("/bucket/new.webp?X-Amz-Signature=secret")
    job = Job(id=new_job_id(), type="image_resize")
    payload = {"url": source, "width": 50, "format": "webp", "output": {"put_url": url}}
    result = run("image_resize", payload, job)
    headers, body = allowed_site.received["/bucket/new.webp?X-Amz-Signature=secret"]
    assert (headers["Content-Type"], len(body)) == ("image/webp", result["bytes"])
    assert Image.open(io.BytesIO(body)).size == (50, 59)
    # The signature is nobody's business.
    assert result["put_url"] == allowed_site.url("/bucket/new.webp")
    assert "file" not in result
    assert StoredJobFiles(job).stored_path("50x59.webp") is not None
    assert not StoredJobFiles(job).stored_path("50x59.webp").exists()  # type: ignore[union-attr]


def test_each_size_has_an_output_of_its_own(run: Any, source: str, allowed_site: Site) -> None:
    sizes = [{"width": 20, "output": {"put_url": allowed_site.url("/20.jpg")}}, {"width": 30}]
    small, large = run("image_resize", {"url": source, "sizes": sizes})["pictures"]
    assert list(allowed_site.received) == ["/20.jpg"]
    assert ("file" in small, large["file"]) == (False, "30x35_1.jpg")


def test_a_put_is_repeated_while_the_store_fails(run: Any, source: str, allowed_site: Site) -> None:
    payload = {"url": source, "width": 20, "output": {"put_url": allowed_site.url("/new.jpg")}}
    allowed_site.failures = 2
    run("image_resize", payload)
    assert "/new.jpg" in allowed_site.received
    allowed_site.failures = 9
    with pytest.raises(FetchFailed, match="answered 503"):
        run("image_resize", payload)
    assert len(allowed_site.requests) == 6


@pytest.mark.parametrize("length", ["1000", str(10**15)])
def test_the_body_of_the_answer_to_a_put_does_not_matter(
    run: Any, source: str, allowed_site: Site, length: str
) -> None:
    """Here it ends before it is complete; one that never ends would fill the memory of the child."""
    url = allowed_site.serve("/new.jpg", b"", Content_Length=length)
    run("image_resize", {"url": source, "width": 20, "output": {"put_url": url}})
    assert list(allowed_site.received) == ["/new.jpg"]
    assert len(allowed_site.requests) == 1


@pytest.mark.parametrize(("status", "headers"), [(403, {}), (400, {}), (302, {"Location": "http://127.0.0.1:1/"})])
def test_a_put_that_is_refused_or_redirected_fails_for_good(
    run: Any, source: str, allowed_site: Site, status: int, headers: dict[str, str]
) -> None:
    url = allowed_site.serve("/new.jpg?signature=secret", b"", status, **headers)
    with pytest.raises(FetchRefused, match=f"answered {status} to a PUT") as caught:
        run("image_resize", {"url": source, "width": 20, "output": {"put_url": url}})
    assert "secret" not in str(caught.value)
    assert len(allowed_site.requests) == 1


@pytest.mark.parametrize("url", ["http://169.254.169.254/", "http://[::1]/", "http://localhost/x"])
def test_a_put_into_the_network_behind_the_worker_is_refused(run: Any, source: str, url: str) -> None:
    with pytest.raises(FetchRefused, match="is not public"):
        run("image_resize", {"url": source, "width": 20, "output": {"put_url": url}})
