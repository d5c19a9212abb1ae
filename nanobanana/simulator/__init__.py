"""An offline gateway: a real HTTP server for the documented API, written independently of the client.

It validates as strictly as the API page documents, streams, serves result URLs, draws images that say SIMULATED, and
goes wrong in any of the ways that `FAULTS` names. It imports nothing of the rest of the package.
"""

from __future__ import annotations

from .faults import FAULTS, Fault, FaultKind, family
from .ledger import Download, Ledger, Post, Request
from .server import Simulator, in_process
from .validation import DIALECTS

__all__ = [
    "DIALECTS",
    "FAULTS",
    "Download",
    "Fault",
    "FaultKind",
    "Ledger",
    "Post",
    "Request",
    "Simulator",
    "family",
    "in_process",
]
