"""Hostile input: a seeded corpus in nine classes. `nox -s hostile` runs it, or `python -m hostile` in tests/.

Every case has a limit of time and of memory, and must end as the command line promises: an exit code that it knows, a
sentence and no traceback, nothing that a terminal obeys, nothing half-written, no answer from a model that has none.
"""
