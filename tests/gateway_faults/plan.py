"""What a list of faults means for one request."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace

from .answers import SHAPES, Shape
from .failures import BODIES, STATUSES, Body, Failure
from .faults import UPLOAD_POINTS, Fault
from .framing import Framing, compose
from .results import HOSTILE_URLS, REDIRECTS, DownloadFault


@dataclass(frozen=True)
class Stop:
    """Where an answer ends too early, and how: `action` is cut, hang or reset."""

    action: str
    point: str
    bytes: int = 0

    @property
    def in_upload(self) -> bool:
        return self.point in UPLOAD_POINTS


@dataclass(frozen=True)
class Plan:
    """All faults of one request. Where a family allows one at a time, the last one holds."""

    faults: tuple[Fault, ...] = ()

    def plus(self, faults: Iterable[Fault]) -> Plan:
        """This plan and further faults."""
        return Plan((*self.faults, *faults))

    def of(self, family: str) -> list[Fault]:
        """The faults of one family, in order."""
        return [fault for fault in self.faults if fault.kind.family == family]

    def last(self, family: str) -> Fault | None:
        """The fault of a family that holds."""
        found = self.of(family)
        return found[-1] if found else None

    def number(self, name: str, parameter: str) -> float | None:
        """A parameter of the fault called `name`; None without such a fault."""
        found = [fault for fault in self.faults if fault.name == name]
        return found[-1].number(parameter) if found else None

    def has(self, name: str) -> bool:
        """Whether the fault called `name` is among them."""
        return any(fault.name == name for fault in self.faults)

    @property
    def stop(self) -> Stop | None:
        fault = self.last("stop")
        if fault is None:
            return None
        action, _, point = fault.name.partition("_")
        return Stop(action, point, int(fault.number("bytes")) if point == "after_bytes" else 0)

    @property
    def shape(self) -> Shape:
        fault = self.last("shape")
        return SHAPES[fault.name if fault else "shape_documented"][0]

    @property
    def framing(self) -> Framing:
        return compose(fault.name for fault in self.of("framing"))

    @property
    def failure(self) -> Failure | None:
        fault = self.last("status")
        if fault is None:
            return None
        failure = STATUSES[fault.name][0]
        code = fault.values["code"]
        return replace(failure, code=code, message=f"{failure.message} ({code})") if fault.parameters else failure

    @property
    def body(self) -> Body:
        fault = self.last("body")
        return BODIES[fault.name if fault else "body_error_message"][0]

    @property
    def retry_after(self) -> str | None:
        fault = self.last("retry_after")
        if fault is None:
            return None
        if fault.name == "retry_after_text":
            return fault.values["text"]
        if fault.name == "retry_after_date":
            return email.utils.formatdate(time.time() + fault.number("seconds"), usegmt=True)
        return fault.values["seconds"]

    @property
    def hostile_url(self) -> str | None:
        fault = self.last("hostile_url")
        return HOSTILE_URLS[fault.name][0] if fault else None

    @property
    def downloads(self) -> tuple[DownloadFault, ...]:
        found: list[DownloadFault] = []
        for fault in self.of("download"):
            values = fault.values
            if fault.name in REDIRECTS:
                values["url"] = REDIRECTS[fault.name][0]
            found.append(DownloadFault(fault.name, values))
        return tuple(found)
