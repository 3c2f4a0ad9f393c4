"""The page of a job lists its files, and shows pictures from the dashboard itself."""

import json
import re

from tests.app.conftest import Api
from tests.app.test_uploads import png
from tests.worker.processes import Worker

JOB = {"type": "image_resize", "payload": {"file": "photo", "sizes": [{"width": 20, "format": "png"}, {"width": 30}]}}


def test_the_page_of_a_job_shows_its_pictures(board: Api, running: Worker, locked: Api) -> None:
    form = {"job": (None, json.dumps(JOB)), "photo": ("<i>cat.png", png(40), "image/png")}
    job = board.post("/api/v1/jobs", params={"wait": 20}, files=form).json()
    assert job["status"] == "completed", job
    page = board.get(f"/dashboard/jobs/{job['job_id']}")
    assert "_i_cat.png" in page.text
    shown = re.findall(r'<img src="([^"]+)" alt="([^"]+)"', page.text)
    assert [name for _, name in shown] == ["20x20.png", "30x30_1.jpg"]
    # The page's policy allows pictures from here only.
    assert "img-src 'self'" in page.headers["Content-Security-Policy"]
    for place, name in shown:
        answer = board.get(place)
        api = board.get(f"/api/v1/jobs/{job['job_id']}/files/{name}")
        assert (answer.status_code, answer.content) == (200, api.content)
        assert "sandbox" in answer.headers["Content-Security-Policy"]
        known = board.get(place, headers={"If-None-Match": answer.headers["ETag"]})
        assert known.status_code == 304
        # Without a session there is only the sign-in.
        assert locked.get(place).status_code == 303
        assert locked.get(place, headers={"X-API-Key": "read-secret"}).status_code == 303
    missing = board.get(f"/dashboard/jobs/{job['job_id']}/files/nothing.png")
    assert (missing.status_code, "has no file" in missing.text) == (404, True)
