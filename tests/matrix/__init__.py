"""Every fault, and what comes of it: measured by tests, written into docs/dev/fault-matrix.md."""
