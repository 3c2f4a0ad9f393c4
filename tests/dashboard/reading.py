"""A page as a browser without scripts reads it: its text, its links, its forms; and whatever could run."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

import httpx

#: Attributes that lead somewhere.
_ADDRESSES = ("href", "src", "action", "formaction", "hx-get", "hx-post")


#: Elements that stand within a line.
_INLINE = ("a", "b", "code", "span", "time")


@dataclass
class Form:
    """A form: where it goes, and what it would send."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    button: str = ""
    #: Other addresses that its buttons send it to.
    others: list[str] = field(default_factory=list)


class Page(HTMLParser):
    """What an answer says."""

    def __init__(self, answer: httpx.Response) -> None:
        super().__init__()
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8", answer.headers["Content-Type"]
        self.status = answer.status_code
        self.path = answer.url.raw_path.decode()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.forms: list[Form] = []
        self._text: list[str] = []
        self._rows: list[list[list[str]]] = []
        self._button = False
        self.feed(answer.text)
        self.close()

    @property
    def text(self) -> str:
        """All that is written, with blanks as they are seen."""
        return " ".join("".join(self._text).split())

    def row(self, first: str) -> list[str]:
        """Return the cells of the row of a table that begins with this one."""
        rows = ([" ".join("".join(cell).split()) for cell in row] for row in self._rows if row)
        (found,) = [cells for cells in rows if cells[0] == first]
        return found

    @property
    def links(self) -> list[str]:
        return [attributes["href"] for tag, attributes in self.tags if tag == "a"]

    def form(self, end: str) -> Form:
        """Return the form whose address ends so; there is one."""
        (found,) = [form for form in self.forms if form.action.endswith(end)]
        return found

    def buttons(self, end: str) -> Iterator[tuple[str, dict[str, str]]]:
        """Yield address and fields of each form with a button that sends it to an address with that end."""
        for form in self.forms:
            assert form.method == "post" or not form.action.endswith(end)
            if form.action.endswith(end) or any(other.endswith(end) for other in form.others):
                yield next(each for each in (form.action, *form.others) if each.endswith(end)), form.fields

    def what_could_run(self) -> list[str]:
        """Return everything that is not plain text from here: scripts and styles in the page, foreign addresses."""
        return [f"<{tag} {name}={value!r}>" for tag, attributes in self.tags for name, value in _risky(tag, attributes)]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag not in _INLINE:
            self._text.append(" ")
        self.tags.append((tag, attributes))
        if tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th") and self._rows:
            self._rows[-1].append([])
        if tag == "form":
            self.forms.append(Form(attributes.get("action", ""), attributes.get("method", "get")))
        elif tag == "input" and self.forms and "name" in attributes:
            self.forms[-1].fields[attributes["name"]] = attributes.get("value", "")
        elif "formaction" in attributes:
            self.forms[-1].others.append(attributes["formaction"])
        self._button = tag == "button"

    def handle_endtag(self, tag: str) -> None:
        self._button = False
        if tag == "table":
            self._rows.append([])

    def handle_data(self, data: str) -> None:
        self._text.append(data)
        if self._rows and self._rows[-1]:
            self._rows[-1][-1].append(data)
        if self._button and self.forms and not self.forms[-1].button:
            self.forms[-1].button = data.strip()


def _risky(tag: str, attributes: dict[str, str]) -> list[tuple[str, str]]:
    found = [(name, value) for name, value in attributes.items() if name.startswith(("on", "hx-on", "style"))]
    found += [
        (name, value)
        for name, value in attributes.items()
        if name in _ADDRESSES and not value.startswith(("/dashboard", "#"))
    ]
    if tag in ("style", "iframe", "object", "embed", "base") or (tag == "script" and "src" not in attributes):
        found.append(("element", tag))
    return found
