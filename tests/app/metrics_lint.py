"""What `promtool check metrics` finds fault with, for machines that have none: its rules, by name and by text."""

import re
from collections.abc import Iterator

from prometheus_client.parser import text_string_to_metric_families

_NAME = re.compile(r"[a-z][a-z0-9_]*")
#: Units that are not base units, and what they ought to be.
_UNITS = {"milliseconds": "seconds", "microseconds": "seconds", "minutes": "seconds", "kilobytes": "bytes"}
_OF_HISTOGRAMS = ("_count", "_sum", "_bucket")


def problems(text: str) -> Iterator[str]:
    """Yield what is wrong with metrics as they are scraped. Raises ValueError for what can't be read at all."""
    families = list(text_string_to_metric_families(text))
    names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")]
    yield from (f"{name} is declared twice" for name in set(names) if names.count(name) > 1)
    seen = set()
    for family in families:
        if not family.documentation:
            yield f"{family.name} has no help"
        yield from _about_the_name(family.name, family.type)
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            if key in seen:
                yield f"{key} stands there twice"
            seen.add(key)
            yield from (f"{sample.name} has the label {label}" for label in sample.labels if not _NAME.fullmatch(label))
        if family.type == "histogram":
            yield from _about_buckets(family)


def _about_the_name(name: str, kind: str) -> Iterator[str]:
    if not _NAME.fullmatch(name):
        yield f"{name} is no snake_case"
    if kind in name.split("_"):
        yield f"{name} has its type in its name"
    yield from (f"{name} should be in {base}" for unit, base in _UNITS.items() if unit in name.split("_"))
    if kind == "gauge" and name.endswith("_total"):
        yield f"{name} is no counter but ends in _total"
    if name.endswith(_OF_HISTOGRAMS) and kind != "histogram":
        yield f"{name} ends in what histograms have"


def _about_buckets(family: object) -> Iterator[str]:
    by_labels: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = {}
    counts = {}
    for sample in family.samples:  # type: ignore[attr-defined]
        labels = tuple(sorted((name, text) for name, text in sample.labels.items() if name != "le"))
        if sample.name.endswith("_bucket"):
            by_labels.setdefault(labels, []).append((float(sample.labels["le"]), sample.value))
        elif sample.name.endswith("_count"):
            counts[labels] = sample.value
    for labels, buckets in by_labels.items():
        values = [value for _, value in sorted(buckets)]
        if values != sorted(values):
            yield f"{labels}: the buckets are not cumulated"
        if max(buckets)[0] != float("inf") or values[-1] != counts[labels]:
            yield f"{labels}: the last bucket is not all"
