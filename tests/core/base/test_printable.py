"""One meaning of what a text must not have where people read it."""

import unicodedata

from gopher.base.printable import CONTROL, printable

#: Of those that Unicode says to change the direction of text, the marks of a direction change nobody else's.
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


def test_text_that_needs_nothing_stays_as_it_is():
    assert printable("Größe — 漢字 \u200f שלום 🐹") == "Größe — 漢字 \u200f שלום 🐹"
