"""Faults of the machine: kills, full disks, other writers. `nox -s faults` runs them, `python -m faults` in tests/."""
