"""Ranges and conditions of downloads, as RFC 9110 has them."""

import pytest

from tests.app.test_job_files import SAMPLE, api, job_id

__all__ = ["api", "job_id"]


@pytest.fixture(params=["files/sample.bin", "uploads/sample"])
def place(request, job_id) -> str:
    return f"/api/v1/jobs/{job_id}/{request.param}"


@pytest.mark.parametrize(
    "asked", ["bytes=0-1,4-5", "items=0-1", "bytes=abc", "bytes=5-2", "bytes", "", "bytes=-", "bytes=1-x"]
)
def test_what_is_not_one_range_of_bytes_is_ignored(api, place, asked):
    answer = api.get(place, headers={"Range": asked})
    assert (answer.status_code, answer.content) == (200, SAMPLE)
    assert "Content-Range" not in answer.headers


@pytest.mark.parametrize(("asked", "start"), [("BYTES=0-", 0), ("bytes=-99999999", 0), ("bytes=-1", -1)])
def test_a_range_may_be_in_capitals_or_longer_than_the_file(api, place, asked, start):
    answer = api.get(place, headers={"Range": asked})
    assert (answer.status_code, answer.content) == (206, SAMPLE[start:])


@pytest.mark.parametrize("asked", ["bytes=-0", f"bytes={len(SAMPLE)}-", "bytes=99999999-999999999"])
def test_a_range_without_a_byte_of_the_file_is_refused(api, place, asked):
    answer = api.get(place, headers={"Range": asked})
    assert (answer.status_code, answer.headers["Content-Range"]) == (416, f"bytes */{len(SAMPLE)}")


def test_a_range_of_a_file_that_is_known_is_not_sent(api, place):
    etag = api.head(place).headers["ETag"]
    answer = api.get(place, headers={"If-None-Match": etag, "Range": "bytes=0-1"})
    assert (answer.status_code, answer.content) == (304, b"")
    assert api.get(place, headers={"If-None-Match": etag, "Range": "bytes=9999999-"}).status_code == 304


def test_the_head_of_a_file_is_that_of_the_whole(api, place):
    answer = api.head(place, headers={"Range": "bytes=0-1"})
    assert (answer.status_code, answer.headers["Content-Length"]) == (200, str(len(SAMPLE)))


def test_a_file_that_is_not_the_expected_one_is_not_sent(api, place):
    for more in ({}, {"Range": "bytes=0-1"}, {"Range": "bytes=9999999-"}):
        answer = api.get(place, headers={"If-Match": '"other"', **more})
        assert (answer.status_code, answer.json()["code"]) == (412, "precondition_failed"), answer.text
    assert api.head(place, headers={"If-Match": '"other"'}).status_code == 412
    etag = api.head(place).headers["ETag"]
    for known in (etag, f'"other", {etag}', "*"):
        assert api.get(place, headers={"If-Match": known}).content == SAMPLE
    part = api.get(place, headers={"If-Match": etag, "Range": "bytes=0-1"})
    assert (part.status_code, part.content) == (206, SAMPLE[:2])
