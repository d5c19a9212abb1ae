"""Every fault, and what comes of it: measured by tests, written into docs/reliability.md."""
