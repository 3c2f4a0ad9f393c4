"""The dashboard in a real browser: nothing is refused by its policy, nothing runs that jobs say, figures stay fresh.

Needs Chromium (Debian: apt-get install chromium-headless-shell; elsewhere GOPHER_TEST_BROWSER=/path/to/chrome) and is
left out where there is none.
"""

from collections.abc import Iterator

import pytest

from tests.app.conftest import EMAIL
from tests.dashboard.browser import launch, program
from tests.dashboard.conftest import sampled
from tests.dashboard.strings import ATTACKS
from tests.helpers import wait_until

sync_api = pytest.importorskip("playwright.sync_api", reason="the tests in a browser need playwright")

#: Notes down what the policy of a page refuses.
_NOTE_VIOLATIONS = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
"""
PAGES = (
    "",
    "/jobs",
    "/jobs?status=failed",
    "/dead",
    "?span=1h",
    "/batches",
    "/schedules",
    "/queues",
    "/types",
    "/types/speak",
    "/types/hold?span=1h",
    "/workers",
    "/limits",
    "/tenants",
    "/webhooks",
    "/audit",
)


@pytest.fixture(scope="module")
def browser() -> Iterator["sync_api.Browser"]:
    if program() is None:
        pytest.skip("no Chromium: apt-get install chromium-headless-shell, or GOPHER_TEST_BROWSER=/path/to/chrome")
    with sync_api.sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


class Tab:
    """A page of the dashboard, and everything that went wrong in it."""

    def __init__(self, browser: "sync_api.Browser", base: str, **options: object) -> None:
        self.context = browser.new_context(base_url=base, **options)
        self.context.add_init_script(_NOTE_VIOLATIONS)
        self.context.set_default_timeout(60_000)
        self.page = self.context.new_page()
        self.wrong: list[str] = []
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        self.page.on("dialog", lambda dialog: (self.wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        self.page.on("request", lambda request: self._check(request.url, base))

    def open(self, path: str) -> "sync_api.Page":
        self.page.goto(f"/dashboard{path}")
        return self.page

    def all_that_is_wrong(self) -> list[str]:
        broken = self.page.evaluate("window.broken === undefined ? [] : [`ran: ${window.broken}`]")
        return [*self.wrong, *self.page.evaluate("window.violations"), *broken]

    def _note(self, message: "sync_api.ConsoleMessage") -> None:
        if message.type in ("error", "warning"):
            self.wrong.append(f"{message.type}: {message.text}")

    def _check(self, url: str, base: str) -> None:
        if not url.startswith(f"{base}/dashboard"):
            self.wrong.append(f"asks for {url}")


@pytest.fixture
def tab(browser, board) -> Iterator[Tab]:
    tab = Tab(browser, str(board.base_url))
    yield tab
    tab.context.close()


def fresh(page: "sync_api.Page") -> None:
    """Wait until the page has brought its figures up to date once more."""
    with page.expect_response(lambda response: response.request.headers.get("hx-request") == "true"):
        page.evaluate("document.body.dispatchEvent(new Event('beat'))")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_every_page_opens_without_a_complaint(browser, board, speaking, scheme, width):
    tab = Tab(browser, str(board.base_url), color_scheme=scheme, viewport={"width": width, "height": 800})
    for path in (*PAGES, *(f"/jobs/{job_id}" for job_id in speaking[:2])):
        page = tab.open(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{path} is wider than the screen"
        assert tab.all_that_is_wrong() == []
    tab.context.close()


def test_the_links_of_jobs_are_on_the_screen_of_a_phone(browser, board, client, speaking):
    client.enqueue("speak", {"texts": []}, queue="a-queue-with-quite-a-long-name")
    tab = Tab(browser, str(board.base_url), viewport={"width": 390, "height": 800})
    for path in ("/jobs", "/jobs?status=failed", "/dead", "/types/speak"):
        page = tab.open(path)
        links = page.locator("main a[href*='/jobs/']").all()
        assert links, path
        for link in links:
            box = link.bounding_box()
            assert box["x"] >= 0, path
            assert box["x"] + box["width"] <= 390, path
    tab.context.close()


def test_nothing_that_jobs_say_is_run(tab, speaking):
    for job_id in speaking:
        tab.open(f"/jobs/{job_id}")
        assert tab.all_that_is_wrong() == []
    for path in ("/jobs", "/dead"):
        fresh(tab.open(path))
        assert tab.all_that_is_wrong() == []


def test_nothing_that_is_refreshed_is_run(tab, client, running, tmp_path):
    """What comes later is put into the page by a script: by another way than what was there from the start."""
    until = tmp_path / "let-go"
    texts = [text.replace("\0", "") for text in ATTACKS]
    job_id = client.enqueue("hold", {"text": "".join(texts), "until": str(until)})
    wait_until(lambda: client.job(job_id).progress, 20)
    page = tab.open(f"/jobs/{job_id}")
    fresh(page)
    assert texts[0] in page.inner_text("#live")
    assert tab.all_that_is_wrong() == []
    until.touch()


def test_figures_are_brought_up_to_date_while_the_page_is_open(tab, client, running, tmp_path):
    until = tmp_path / "let-go"
    job_id = client.enqueue("hold", {"text": "holding on", "until": str(until)})
    wait_until(lambda: client.job(job_id).progress, 20)
    page = tab.open(f"/jobs/{job_id}")
    page.locator("p.progress").wait_for()
    assert page.get_by_text("holding on").locator("visible=true").count()
    assert page.locator("p.progress progress").get_attribute("value") == "0.25"
    until.touch()
    page.get_by_text("let go").wait_for()
    page.locator("h1 .s-completed").wait_for()
    assert tab.all_that_is_wrong() == []


def test_plots_replace_the_drawings_and_are_updated(tab, client, queue, worker):
    sampled(client, queue)
    client.enqueue("email", {}, queue=queue)
    worker.complete(worker.fetch())
    sampled(client, queue)
    page = tab.open("")
    page.locator("#rates canvas").wait_for()
    page.locator("#latencies canvas").wait_for()
    assert not page.locator("#rates svg").is_visible()
    enqueued = page.locator("[data-sum=enqueued]").inner_text()
    client.enqueue("email", {}, queue=queue)
    sampled(client, queue)
    sync_api.expect(page.locator("[data-sum=enqueued]")).not_to_have_text(enqueued, timeout=60_000)
    assert page.locator("#rates canvas").is_visible()
    page.locator("#span-1h").click()
    page.get_by_text("in the last hour").wait_for()
    page.locator("#rates canvas").wait_for()
    assert tab.all_that_is_wrong() == []


def test_a_type_has_plots_of_its_own(tab, client, queue, worker):
    sampled(client, queue)
    jobs = [client.enqueue("email", {}, queue=queue) for _ in range(3)]
    worker.complete(worker.fetch(2))
    worker.dead_letter(worker.fetch()[0], f"Error{queue[-8:]}")
    sampled(client, queue)
    tab.open("/types")
    tab_to(tab.page, "type-email")
    tab.page.keyboard.press("Enter")
    tab.page.get_by_role("heading", name="email").wait_for()
    tab.page.locator("#rates canvas").wait_for()
    fresh(tab.page)
    tab.page.locator("#latencies canvas").wait_for()
    tab.page.get_by_role("link", name=f"Error{queue[-8:]}").wait_for()
    slow = tab.page.locator("#slow-" + jobs[0])
    slow.click()
    tab.page.locator("#its-type").click()
    tab.page.wait_for_url("**/types/email")
    assert tab.all_that_is_wrong() == []


def test_can_be_told_to_hold_still(tab, client, queue):
    page = tab.open(f"/jobs?queue={queue}")
    page.get_by_role("button", name="Live").click()
    assert page.get_by_role("button", name="Paused").get_attribute("aria-pressed") == "false"
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    client.enqueue("email", {}, queue=queue)
    page.wait_for_timeout(2500)
    assert asked == []
    page.get_by_role("button", name="Paused").click()
    page.locator("tbody .s-pending").wait_for()


def tab_to(page: "sync_api.Page", wanted: str) -> None:
    """Press the tabulator until the element of that id has the focus."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == wanted:
            return
    raise AssertionError(f"the keyboard does not reach #{wanted}")


def test_the_keyboard_reaches_every_button_and_asks_before_it_destroys(tab, client, queue, worker):
    job_id = client.enqueue("email", {}, queue=queue)
    worker.dead_letter(worker.fetch()[0])
    page = tab.open(f"/jobs/{job_id}")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    tab_to(page, "discard")
    page.keyboard.press("Enter")
    question = page.get_by_role("dialog", name="Discard this dead letter?")
    question.wait_for()
    page.keyboard.press("Escape")
    question.wait_for(state="hidden")
    assert client.job(job_id).status == "failed"
    page.keyboard.press("Enter")
    tab_to(page, "discard-yes")
    page.keyboard.press("Enter")
    page.get_by_text("Dead letter deleted.").wait_for()
    assert client.inspector.job(job_id) is None
    assert tab.all_that_is_wrong() == []


def test_jobs_are_filtered_and_a_queue_is_resumed_with_the_keyboard(tab, client, queue):
    wanted = client.enqueue("email", {}, queue=queue, tags=["invoice:7"])
    client.enqueue("email", {}, queue=queue)
    page = tab.open(f"/jobs?queue={queue}")
    tab_to(page, "tag")
    page.keyboard.type("invoice:7")
    page.keyboard.press("Enter")
    # Not wait_for_function(): that evaluates strings in the page if it has to wait, which its policy forbids.
    sync_api.expect(page.locator("tbody tr")).to_have_count(1, timeout=60_000)
    assert page.locator(f"#job-{wanted}").is_visible()
    client.flow.pause_queue(queue)
    page = tab.open("")
    tab_to(page, f"resume-queue-{queue}")
    page.keyboard.press("Enter")
    page.get_by_text(f"Queue {queue} resumed.").wait_for()
    assert queue not in client.flow.paused_queues()
    assert tab.all_that_is_wrong() == []


def test_the_focus_stays_where_it_is_when_figures_are_brought_up_to_date(tab, client, queue):
    job_id = client.enqueue("email", {}, queue=queue)
    page = tab.open(f"/jobs?queue={queue}")
    page.focus(f"#job-{job_id}")
    client.enqueue("email", {}, queue=queue)
    fresh(page)
    sync_api.expect(page.locator("tbody tr")).to_have_count(2, timeout=60_000)
    assert page.evaluate("document.activeElement.id") == f"job-{job_id}"


def test_what_was_opened_stays_open_when_figures_are_brought_up_to_date(tab, client, queue, worker):
    # The page shows the largest groups: other tests leave some of one.
    for _ in range(5):
        client.enqueue("email", {}, queue=queue)
        worker.dead_letter(worker.fetch()[0], f"Error{queue[-8:]}")
    page = tab.open("/dead")
    group = client.dead_letters.groups(queue).groups[0].group
    page.locator(f"#retry-{group}").click()
    page.locator(f"#retry-{group}-rate").fill("5/s")
    fresh(page)
    assert page.locator(f"#retry-{group}-ask").is_visible()
    assert page.locator(f"#retry-{group}-rate").input_value() == "5/s"
    assert tab.all_that_is_wrong() == []


def test_the_id_of_a_job_is_copied(tab, client, queue):
    job_id = client.enqueue("email", {}, queue=queue)
    tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = tab.open(f"/jobs/{job_id}")

    def copied():
        page.get_by_role("button", name="Copy the job id").click()
        return page.get_by_text("Copied").is_visible()

    # A click that comes before the page's script does nothing, and what follows one is shown for a moment only.
    wait_until(copied)
    assert page.evaluate("navigator.clipboard.readText()") == job_id
    assert tab.all_that_is_wrong() == []


def test_signs_in_and_out(browser, locked):
    tab = Tab(browser, str(locked.base_url))
    page = tab.open("/jobs")
    # The field has the focus by itself.
    page.locator("input:focus").wait_for()
    page.keyboard.type("read-secret")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Jobs").wait_for()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("API key").wait_for()
    assert tab.all_that_is_wrong() == []
    tab.context.close()


def test_can_be_read_without_scripts(browser, board, speaking):
    tab = Tab(browser, str(board.base_url), java_script_enabled=False)
    page = tab.open("/jobs?status=failed")
    page.get_by_label("Status").select_option("completed")
    page.get_by_role("button", name="Show").click()
    page.get_by_text("speak").first.wait_for()
    page.locator("tbody a").first.click()
    page.get_by_role("heading", name="Payload").wait_for()
    tab.context.close()


def test_a_waiting_job_is_moved_copied_and_run_by_keyboard(tab, client, queue):
    job_id = client.enqueue("email", EMAIL, queue=queue, delay="1h")
    page = tab.open(f"/jobs/{job_id}")
    for button, dialog, confirm, told in (
        ("move", "Move this job?", "move-yes", f"Job moved to queue {queue}, priority normal."),
        ("copy", "Submit a copy of this job?", "copy-yes", "This is the copy."),
    ):
        tab_to(page, button)
        page.keyboard.press("Enter")
        page.get_by_role("dialog", name=dialog).wait_for()
        assert tab.all_that_is_wrong() == []
        tab_to(page, confirm)
        page.keyboard.press("Enter")
        page.get_by_text(told).wait_for()
    assert client.job(job_id).copies
    page = tab.open(f"/jobs/{job_id}")
    tab_to(page, "run-now")
    page.keyboard.press("Enter")
    page.get_by_text("The job is the next to start.").wait_for()
    assert client.job(job_id).status == "pending"
