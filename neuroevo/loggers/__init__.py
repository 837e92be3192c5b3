"""Loggers: destinations of a run's metrics besides its directory.

A logger is a frozen dataclass of options with two methods. ``build(session)`` makes the
`Logger`. ``check(path)`` raises a `UserError` for problems that can be found before a
run in `path` starts. Packages such as MLflow are imported only in these methods.
"""
