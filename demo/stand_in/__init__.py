"""A small stand-in for ComfyUI that loads the pack and runs API graphs, for the demo and the tests only.

It knows the host's names, signatures and rules of execution, is stricter than the host where the host forgives
(an unknown schema argument or schema option is an error), and knows no models, no queue and no browser.
"""

from __future__ import annotations

from .host import InvalidPrompt, Run, StandIn

__all__ = ["InvalidPrompt", "Run", "StandIn"]
