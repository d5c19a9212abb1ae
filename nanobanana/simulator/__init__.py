"""An offline gateway: a real HTTP server for the documented API, written independently of the client.

It validates as strictly as the API page documents, streams, serves result URLs, and draws images that say SIMULATED.
It imports nothing of the rest of the package.
"""

from __future__ import annotations

from .ledger import Download, Ledger, Post, Request
from .server import Simulator, in_process
from .validation import DIALECTS

__all__ = ["DIALECTS", "Download", "Ledger", "Post", "Request", "Simulator", "in_process"]
