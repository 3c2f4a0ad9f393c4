"""The jobs of rq, which imports them by name."""

import marks


def noop(payload):
    marks.noop()


def stamp(payload):
    marks.stamp(payload["sent"])


def image(payload):
    marks.image()


def warm(payload):
    pass
