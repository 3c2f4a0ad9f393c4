"""A handler module that can't be imported."""

raise RuntimeError("this module can't be imported")
