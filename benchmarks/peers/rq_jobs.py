"""The jobs of rq: it finds them by their names in an importable module."""

import marks


def noop(payload):
    marks.noop()


def stamp(payload):
    marks.stamp(payload["sent"])


def image(payload):
    marks.image()


def warm(payload):
    pass
