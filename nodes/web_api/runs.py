"""What the page asks of the calls that run."""

from __future__ import annotations

from .._events import told
from .._services import runs
from .http import RouteRequest


def last(request: RouteRequest) -> object:
    """What was told of the last runs of the workflow `workflow`, as the events had it."""
    return {"events": told.of(request.query.get("workflow", ""))}


def stop(_: RouteRequest) -> object:
    """Stop every call of this process. What was sent may have been billed."""
    stopped, sent = runs().stop()
    return {"stopped": stopped, "sent": sent}
