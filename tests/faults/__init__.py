"""A campaign of faults: kills, damaged files, broken messages, full disks, another user. `python -m tests.faults`."""
