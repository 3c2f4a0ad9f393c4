"""`python -m gopher.worker`: a worker, configured by the environment."""

import sys

from gopher.config.settings import Settings
from gopher.errors import ConfigurationError

from . import run

if __name__ == "__main__":
    try:
        sys.exit(run(Settings.from_env()))
    except ConfigurationError as error:
        sys.exit(str(error))
