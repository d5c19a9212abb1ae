"""docs/reliability.md from the fault matrix: the guarantees, the rules, and every row with what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway_faults import FAULTS, Fault

from .row import Measured, Row

HEAD = """# Reliability

What happens to a paid call when something goes wrong. Everything below is measured: `python scripts/fault_matrix.py`
writes this page, and the tests measure the same rows each time they run.

## What is guaranteed

1. **Each step is on disk before the next begins**: asked, sent, answered (with every image's address, the moment it
   arrives), kept (the original bytes, synced). A crash, a power cut or a full disk at any point loses no step.
2. **A call that may have been billed is never sent again by itself.** Within one run of the graph it is said to have
   failed, with whether it was billed. When *you* run the graph again it is asked anew, and the node names the earlier
   call: when it was, its request id, and whether it was or may have been billed.
3. **What was kept comes from disk, what was answered is downloaded again**, both without asking the gateway. Only what
   was never sent, or what you ask for again, is a new call.
4. **Bytes are kept before they are looked at.** An image that can't be read stays on disk, and the error names its
   file.
5. **Two ComfyUI processes may share one folder.** The second waits for an image that the first is making, and takes
   over within a second when the first one dies.
6. **No failure yields a made-up image.**

## When a call is sent again

A call is repeated only where the gateway's answer, or its absence, means that nothing was done:

| what came | billed | sent again |
|---|---|---|
| DNS, TCP, TLS or the proxy failed; the connection was lost while the request was going out | no | twice |
| 429, 503 | no | 4 times; Retry-After is honoured up to 120 s, and all calls to that gateway slow down |
| 503 with `model_not_found` | no | once |
| 500, 502, 521, 522, 523 | usually no | once |
| 413 | no | once, with smaller images |
| any status with a code that names the balance, the key, the prompt or the request | no | never |
| 400, 401, 402, 403, 404, 405, 409, 422 and the other 4xx | no | never |
| 408, 504, 520, 524 | maybe | never |
| the connection was lost, or timed out, after the request had gone out | maybe | never |
| 200 with words and no image | yes | never |
| a result's address: 403, 404, 408, 425, 429, 5xx, short, no image, no connection | paid | 5 tries over about 30 s |

Pauses are `min(0.5 * 2**n, 8)` seconds with jitter. A redirect of the request itself is never followed, since the key
would go with it. A stream that has brought its image and then falls silent is ended after 20 seconds.

## What a gateway can't do

A result's address is named by a server, so it is checked like an attack: only http and https, no user name in it, at
most 5 redirects and none from https to http. The host is resolved once, every address it has is checked (loopback,
private, link-local, carrier-grade NAT, unique-local, mapped and embedded IPv4, multicast), and the connection goes to
the address that was checked. The base URL's own origin is allowed, and hosts that you list as private hosts;
link-local addresses never are. Neither the key nor cookies nor netrc credentials go with a download. Behind a proxy
the names are resolved by the proxy; addresses in figures, and names of this computer, are refused there too.

An answer is read up to 192 MB, a line up to 160 MB, JSON up to 64 levels; an image up to 128 MiB and 200 megapixels,
checked before it is decoded. Files are named by their own hash and signature, never by anything the gateway sends.

## The fault matrix

Each row is one call through the whole client against the built-in simulator, or against what the row names, with an
empty data folder. The columns:

- **POSTs**: requests that the gateway received. **paid**: calls that it charged for, by its own account (a gateway of
  the worst kind, which charges as soon as it has begun).
- **told**: what the person is told about the bill. **kept / got**: images on disk, and images delivered.
- **ends as**: the error, or nothing when the image came. A second call within the same run made no POST in any row
  whose bill is not "no".
- **again**: POSTs, and images, when a person runs the graph again at once and the gateway is well (in rows marked
  with *, when it still is not).
- **s**: seconds to the verdict on the machine that wrote this page, with pauses shortened to 1/250 and, in rows that
  hang, a total timeout of 0.6 s. All other figures are the same on every machine.
"""

_HEADINGS = (
    "| fault | what the gateway does | POSTs | paid | told | kept / got | ends as | again | s |\n"
    "|---|---|---|---|---|---|---|---|---|\n"
)


def _does(row: Row) -> str:
    if row.gateway:
        return row.gateway
    if row.steps:
        return "one after the other"
    words = [FAULTS[Fault.parse(fault).name].description for fault in row.faults if fault]
    return "; ".join(words)


def line(row: Row) -> str:
    """The row's cells that are the same on every machine, up to the seconds."""
    ending = row.ending or "-"
    again = f"{row.again[0]}, {row.again[1]}{'*' if row.stays else ''}"
    cells = [
        f"`{row.name}`",
        _does(row).replace("|", "\\|"),
        str(row.posts),
        str(row.paid),
        row.billed,
        f"{row.kept} / {row.delivered}",
        ending,
        again,
    ]
    return "| " + " | ".join(cells) + " |"


def render(rows: Sequence[Row], measured: Mapping[str, Measured]) -> str:
    """The whole page."""
    parts = [HEAD, f"{len(rows)} rows.\n"]
    for section in dict.fromkeys(row.section for row in rows):
        parts.append(f"\n### {section}\n\n{_HEADINGS}")
        parts += [f"{line(row)} {measured[row.name].seconds:.1f} |\n" for row in rows if row.section == section]
    return "".join(parts)


def without_seconds(page: str) -> str:
    """The page without its last column, to be compared."""
    lines = [text.rsplit("|", 2)[0] if text.startswith("| `") else text for text in page.splitlines()]
    return "\n".join(text.rstrip() for text in lines)
