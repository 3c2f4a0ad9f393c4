"""/dashboard: what the API shows and does, for people with a browser.

Pages are made on the server of the same functions that the API calls, and what a button does is a call of the
API's own view: there is no second way in. Scripts only add: fresh figures, plots, a button to copy.
"""

from . import assets, dead, gate, jobs, limits, overview, problems, queues, schedules, workers  # noqa: F401 - each adds its pages to the blueprint
from .frame import install

__all__ = ["install"]
