"""Faults by name: what can be made to go wrong, for tests and for anyone who wants to try.

A fault is written `name` or `name:parameter:parameter`, as in `http_500`, `latency:2`, `cut_after_bytes:1000`. It is
set for every request (`Simulator(faults=...)`), for one after the other (`Simulator.script`), or inside a prompt:
`[fault:http_500]`, `[latency:2]`, `[fault:shape_markdown]`; several markers add up, and `[pictures:3]` asks for three
images in one answer. `[times:2]` limits a prompt's markers to the first two calls with that prompt.

Families are independent of each other, so their products are tests: a shape, any framings, a cut, a download fault.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .answers import SHAPES
from .failures import BODIES, STATUSES
from .framing import FRAMINGS
from .hostile import ANSWERS, RAW
from .images import VARIANTS
from .results import DOWNLOADS, HOSTILE_URLS, URL_FORMS

Parameters = tuple[tuple[str, str], ...]

POINTS: dict[str, str] = {
    "before_body": "after the request's headers, its body unread",
    "mid_body": "after half of the request's body",
    "before_headers": "after the request, before any answer",
    "after_headers": "after the answer's headers",
    "after_first_event": "after the answer's first event",
    "inside_event": "in the middle of the event that bears the image",
    "inside_url": "in the middle of the image's URL",
    "after_url": "after the event that bears the image, before the end",
    "before_done": "before data: [DONE]",
}
_ACTIONS = {"cut": "ends the connection", "hang": "falls silent until the client leaves", "reset": "sends a TCP reset"}
UPLOAD_POINTS = ("before_body", "mid_body")


@dataclass(frozen=True)
class FaultKind:
    """What a name stands for. `parameters`: names and default values, in order."""

    name: str
    family: str
    description: str
    parameters: Parameters = ()


def _kinds() -> list[FaultKind]:
    kinds = [
        FaultKind("latency", "timing", "waits before the answer's headers", (("seconds", "1"),)),
        FaultKind("chunk_delay", "timing", "waits before every event", (("seconds", "0.5"),)),
        FaultKind("slow_upload", "timing", "reads the request slowly", (("bytes_per_second", "100000"),)),
        FaultKind("progress", "timing", "progress words and comments while the client waits"),
        FaultKind("pictures", "count", "several images in one answer", (("count", "3"),)),
        FaultKind("split", "split", "the answer's text so many characters an event", (("characters", "1"),)),
    ]
    kinds += [FaultKind(name, "shape", words) for name, (_, words) in SHAPES.items()]
    kinds += [FaultKind(name, "framing", words) for name, (_, words) in FRAMINGS.items()]
    kinds += [
        FaultKind(name, "status", words, (("code", failure.code if isinstance(failure.code, str) else ""),))
        for name, (failure, words) in STATUSES.items()
    ]
    kinds += [FaultKind(name, "body", words) for name, (_, words) in BODIES.items()]
    kinds += [
        FaultKind("retry_after", "retry_after", "Retry-After in seconds", (("seconds", "1"),)),
        FaultKind("retry_after_date", "retry_after", "Retry-After as a date", (("seconds", "2"),)),
        FaultKind("retry_after_text", "retry_after", "a Retry-After that is neither", (("text", "soon"),)),
        FaultKind("error_in_200", "status_200", "an error body under status 200", (("code", "upstream_error"),)),
        FaultKind("error_event", "status_200", "an error as an event of a 200 stream", (("code", "upstream_error"),)),
        FaultKind("echo_key", "echo", "a 401 whose words repeat the whole key"),
        FaultKind("refusal", "empty", "words and no image, finish_reason stop"),
        FaultKind("content_filter", "empty", "words and no image, finish_reason content_filter"),
        FaultKind("content_filter_upper", "empty", "no image, finish_reason CONTENT_FILTER"),
        FaultKind("image_safety", "empty", "no image, finish_reason IMAGE_SAFETY"),
        FaultKind("empty_stream", "empty", "a 200 stream without an event"),
        FaultKind("only_done", "empty", "a 200 stream of [DONE] alone"),
        FaultKind("only_comments", "empty", "a 200 stream of comments alone"),
        FaultKind("no_choices", "empty", "a 200 stream of chunks without choices"),
    ]
    for action, does in _ACTIONS.items():
        kinds += [FaultKind(f"{action}_{point}", "stop", f"{does} {where}") for point, where in POINTS.items()]
        words = f"{does} after so many bytes of the answer's body"
        kinds.append(FaultKind(f"{action}_after_bytes", "stop", words, (("bytes", "100"),)))
    kinds += [FaultKind(name, "download", words, values) for name, (words, values) in DOWNLOADS.items()]
    kinds += [FaultKind(name, "url", words) for name, words in URL_FORMS.items()]
    kinds += [FaultKind(name, "picture", words) for name, (_, words) in VARIANTS.items()]
    kinds += [FaultKind(name, "hostile_url", words) for name, (_, words) in HOSTILE_URLS.items()]
    kinds += [FaultKind(name, "hostile", words) for name, (_, _, words) in ANSWERS.items()]
    kinds += [FaultKind(name, "hostile_raw", words) for name, (_, words) in RAW.items()]
    kinds += [
        FaultKind(f"redirect_{status}", "redirect", f"answers the POST with {status}", (("url", ""),))
        for status in (301, 302, 303, 307, 308)
    ]
    kinds += [
        FaultKind("http_413_early", "upload", "answers 413 and ends the connection, the request's body unread"),
        FaultKind("models_404", "models", "GET /v1/models answers 404"),
        FaultKind("models_html", "models", "GET /v1/models answers with an HTML page"),
        FaultKind("models_500", "models", "GET /v1/models answers 500"),
        FaultKind("models_hang", "models", "GET /v1/models never answers"),
    ]
    return kinds


FAULTS: dict[str, FaultKind] = {kind.name: kind for kind in _kinds()}


@dataclass(frozen=True)
class Fault:
    """One fault with its parameters; ValueError for an unknown name, too many parameters, or one that is no number."""

    name: str
    parameters: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        kind = FAULTS.get(self.name)
        if kind is None:
            raise ValueError(f"There is no fault {self.name!r}")
        if len(self.parameters) > len(kind.parameters):
            raise ValueError(f"{self.name} takes {len(kind.parameters)} parameters, not {len(self.parameters)}")
        for given, (name, default) in zip(self.parameters, kind.parameters, strict=False):
            if _is_number(default) and not _is_number(given):
                raise ValueError(f"{self.name}: {name} must be a number, not {given!r}")

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Read `name:parameter:parameter`; the last parameter may hold colons itself."""
        name, _, rest = text.strip().partition(":")
        kind = FAULTS.get(name)
        return cls(name, tuple(rest.split(":", max(0, len(kind.parameters) - 1))) if rest and kind else ())

    @property
    def kind(self) -> FaultKind:
        return FAULTS[self.name]

    @property
    def values(self) -> dict[str, str]:
        """Every parameter by name, defaults filled in."""
        defaults = self.kind.parameters
        given = {name: value for (name, _), value in zip(defaults, self.parameters, strict=False)}
        return {**dict(defaults), **given}

    def number(self, name: str) -> float:
        """One parameter as a number."""
        return float(self.values[name])

    def __str__(self) -> str:
        return ":".join((self.name, *self.parameters))


def family(name: str) -> list[str]:
    """The names of all faults of a family, in the registry's order."""
    return [kind.name for kind in FAULTS.values() if kind.family == name]


def _is_number(text: str) -> bool:
    return re.fullmatch(r"\d+(\.\d+)?", text) is not None


_MARKER = re.compile(
    r"\s*\[(?:fault:([a-z0-9_]+(?::[^\]]*)?)|((?:latency|chunk_delay|pictures|times|progress)(?::[^\]]*)?))\]"
)


@dataclass(frozen=True)
class Markers:
    """What a prompt asks for: its text without the markers, their faults, and for how many calls (0: all)."""

    text: str
    faults: tuple[Fault, ...]
    times: int


def read_markers(prompt: str) -> Markers:
    """Take the markers out of a prompt; ValueError for a fault that does not exist."""
    faults: list[Fault] = []
    times = 0
    for named, short in _MARKER.findall(prompt):
        if short.startswith("times"):
            times = int(float(short.partition(":")[2] or "1"))
        else:
            faults.append(Fault.parse(named or short))
    return Markers(_MARKER.sub("", prompt).strip() or prompt.strip(), tuple(faults), times)
