"""Loggers: where the metrics of a run go besides its directory.

A logger is a frozen dataclass of options with ``build(session)``, which makes the
`Logger`, and ``check(path)``, which raises a `UserError` for what is known to be wrong
before a run in `path` begins. The packages that they write with are imported no
earlier.
"""
