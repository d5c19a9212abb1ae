"""Test equipment: a gateway that goes wrong in any of the ways that `FAULTS` names, built on the simulator."""

from __future__ import annotations

from .faults import FAULTS, Fault, FaultKind, family
from .gateway import FaultyGateway

__all__ = ["FAULTS", "Fault", "FaultKind", "FaultyGateway", "family"]
