"""The report: who stands where, and by how much Gopher is better."""

import json

import pytest

from benchmarks.contenders import ROOT
from benchmarks.items import Figure, Item, all_contenders
from benchmarks.numbers import Spread
from benchmarks.results import Results, compared, publish

DRAIN, WAIT = Figure("drain", "no-op jobs/s", "more"), Figure("pick-up p50", "ms", "less")
ITEM = Item("both", (DRAIN, WAIT), all_contenders, lambda contender, seconds: {})


@pytest.fixture
def results() -> Results:
    made = Results({"cores": "2", "server": "Valkey 9.1.2 (libc)"}, 2.0, 3)
    for drain, wait in ((50_000.0, 1.0), (40_000.0, 2.0), (60_000.0, 3.0)):
        made.add("Gopher", {"drain": drain, "pick-up p50": wait})
    for drain, wait in ((5_000.0, 2.0), (8_000.0, 2.0), (5_000.0, 3.0)):
        made.add("huey", {"drain": drain, "pick-up p50": wait})
    for drain in (1_000.0, 1_000.0, 1_000.0):
        made.add("saq", {"drain": drain})
    for drain in (9_000.0, 9_000.0, 9_000.0):
        made.add("limit", {"drain": drain})
    made.versions["huey"] = "3.1"
    return made


def test_a_failure_is_reported_without_the_path_of_the_project(results):
    results.failed("saq", "wake", f'it died.\n  File "{ROOT}/benchmarks/peers/marks.py", line 24')
    assert results.problems == ['saq, wake: it died. File "benchmarks/peers/marks.py", line 24']


def test_a_ratio_is_taken_round_by_round(results):
    assert results.ratio("huey", DRAIN) == (10.0, 5.0, 12.0)


def test_less_is_better_for_what_is_waited_for(results):
    assert results.ratio("huey", WAIT) == (1.0, 1.0, 2.0)


def test_a_contender_that_missed_a_round_has_no_ratio(results):
    results.add("late", {"drain": 1.0})
    assert results.ratio("late", DRAIN) is None


def test_what_was_too_little_to_measure_has_no_ratio(results):
    results.values["Gopher"]["pick-up p50"] = [0.0, 0.0, 0.0]
    assert results.ratio("huey", WAIT) is None
    results.values["huey"]["drain"] = [0.0, 0.0, 0.0]
    assert results.ratio("huey", DRAIN) is None


def test_the_best_peer_is_a_python_queue(results):
    assert results.best_peer(DRAIN) == "huey"


def test_the_table_has_a_row_for_each_the_best_first(results):
    lines = results.table([ITEM]).splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("| drain (no-op jobs/s)"))
    assert lines[at + 2 : at + 6] == [
        "| **Gopher** | 50,000 | 40,000 to 60,000 |  |",
        "| limit | 9,000 |  | 5.56 x better (4.44 to 6.67) |",
        "| huey 3.1 (best Python peer) | 5,000 | 5,000 to 8,000 | 10 x better (5 to 12) |",
        "| saq | 1,000 |  | 50 x better (40 to 60) |",
    ]


@pytest.mark.parametrize(
    ("ratio", "words"),
    [
        (Spread(2.0, 1.5, 3.0), "2 x better (1.5 to 3)"),
        (Spread(0.5, 0.25, 0.8), "2 x worse (1.25 to 4)"),
        (Spread(0.25, 0.25, 0.25), "4 x worse"),
        (Spread(1.1, 0.9, 1.2), "about equal (0.9 to 1.2 x)"),
        (Spread(1.0, 1.0, 1.0), "equal"),
        (Spread(0.0, 0.0, 0.0), "worse"),
    ],
)
def test_a_comparison_is_put_into_words(ratio, words):
    assert compared(ratio) == words


def test_figures_of_a_single_contender_share_one_table(results):
    for lateness in (3.0, 5.0, 4.0):
        results.add("Gopher", {"lateness": lateness})
    item = Item("late", (DRAIN, Figure("lateness", "ms", "less")), all_contenders, lambda contender, seconds: {})
    text = results.table([item])
    assert text.count("| figure | contender | median | range |") == 1
    assert "| lateness (ms) | Gopher | 4 | 3 to 5 |" in text
    assert "| lateness (ms) | median" not in text


def test_the_report_names_the_machine_and_who_is_missing(results):
    results.left_out["rq"] = "could not be installed (no index)"
    results.failed("saq", "wake", "did 0 of 5 jobs")
    text = results.table([ITEM])
    assert text.startswith("cores 2, server Valkey 9.1.2 (libc). 3 rounds of about 2 s")
    assert "rq was skipped: could not be installed (no index)." in text
    assert "Not measured: saq in *wake* (1 of 3 rounds failed)." in text
    assert "did 0 of 5 jobs" not in text, "what peers log is for results.json"


def test_writes_data_table_and_picture(results, tmp_path):
    paths = results.write(tmp_path, [ITEM])
    assert [path.name for path in paths] == ["results.json", "results.md", "results.svg"]
    assert json.loads(paths[0].read_text())["values"]["huey"]["drain"] == [5_000.0, 8_000.0, 5_000.0]
    assert "Jobs enqueued" not in paths[2].read_text(), "nothing was measured of it"
    assert "huey" in paths[2].read_text()


def test_a_whole_run_replaces_the_last_one_in_the_page(results, tmp_path):
    docs = tmp_path / "docs"
    docs.mkdir()
    page = docs / "performance.md"
    page.write_text("before\n<!-- bench -->\nold\n<!-- /bench -->\nafter\n")
    for _ in range(2):
        paths = publish(results.write(tmp_path, [ITEM]), docs)
        text = page.read_text()
        assert text.startswith("before\n<!-- bench -->\n")
        assert text.endswith("\n<!-- /bench -->\nafter\n")
        assert text.count("| **Gopher** | 50,000 |") == 1
        assert "old" not in text
    assert paths == [page, docs / "performance.svg"]
    assert "huey" in paths[1].read_text()
