"""`python -m gopher.cli` is `gopherctl`."""

from .main import main

main()
