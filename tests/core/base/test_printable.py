"""One meaning of what a text must not have where people read it."""

import json
import unicodedata

from gopher.base.printable import CONTROL, printable, printable_json

#: The marks of a direction change nobody else's: a message may have them, where people read it they are shown.
MARKS = {"\u200e", "\u200f", "\u061c"}
DIRECTIONS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def test_control_characters_are_those_that_unicode_calls_so_and_what_turns_text_around():
    every = map(chr, (*range(0xD800), *range(0xE000, 0x11000)))
    expected = {
        each
        for each in every
        if unicodedata.category(each) in ("Cc", "Zl", "Zp") or unicodedata.bidirectional(each) in DIRECTIONS
    }
    assert {each for each in map(chr, range(0x11000)) if CONTROL.fullmatch(each)} == expected
    assert not expected & MARKS


def test_what_is_written_out_is_read_by_python_as_it_was():
    text = "a\x1b[31mb\r\x00\u202ec\u2028\x9bz\n\t"
    shown = printable(text, keep="\t")
    assert shown == "a\\x1b[31mb\\r\\x00\\u202ec\\u2028\\x9bz\\n\t"
    assert shown.encode("latin-1").decode("unicode_escape") == text
    assert printable(text, keep="\n\t").endswith("z\n\t")


def test_all_that_unicode_calls_a_control_of_direction_is_written_out():
    assert printable("".join(sorted(MARKS))) == "\\u061c\\u200e\\u200f"
    for each in [*range(0x202A, 0x202F), *range(0x2066, 0x206A)]:
        assert printable(chr(each)) == f"\\u{each:04x}"


def test_json_that_is_written_out_means_the_same():
    texts = ["a\x1b\x7f\x9b\u202e\u200f\u2028z", {"\u2066": "\n"}]
    for indent in (None, 2):
        shown = printable_json(json.dumps(texts, ensure_ascii=False, indent=indent))
        assert json.loads(shown) == texts
        assert "\\u009b\\u202e\\u200f" in shown
        assert not [each for each in shown if not each.isprintable() and each != "\n"]


def test_text_that_needs_nothing_stays_as_it_is():
    assert printable("Größe — 漢字 שלום 🐹") == "Größe — 漢字 שלום 🐹"
