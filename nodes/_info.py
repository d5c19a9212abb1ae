"""The `info` output: what was asked, what came, what it cost, as JSON."""

from __future__ import annotations

import json
from typing import Any

from ..nanobanana.calls.models import Outcome
from ..nanobanana.image_request import ImageRequest
from ._runs import Result


def info_json(result: Result, request: ImageRequest | None) -> str:
    """One object: `model`, `ratio`, `format`, then of the first image `pixels` ("1376x768"), `url`, `request_id`,
    `billed` (yes, no, maybe), `source` (gateway, journal), and of all `seconds`, `bytes`, `warnings`; `images` lists
    each image, `failures` each call that brought none.
    """
    images = [entry for outcome in result.outcomes for entry in _images(outcome)]
    failures = [_failure(outcome) for outcome in result.outcomes if outcome.error]
    if result.error:
        failures.append({"variation": None, "error": str(result.error), "request_id": "", "billed": "no"})
    first: dict[str, Any] = images[0] if images else failures[0] if failures else {}
    warnings = dict.fromkeys(warning for outcome in result.outcomes for warning in outcome.warnings)
    return json.dumps(
        {
            "model": request.model if request else "",
            "ratio": request.aspect_ratio if request else "",
            "format": request.output_format if request else "",
            "pixels": first.get("pixels", ""),
            "url": first.get("url", ""),
            "request_id": first.get("request_id", ""),
            "seconds": round(result.seconds, 3),
            "bytes": sum(entry["bytes"] for entry in images),
            "billed": first.get("billed", "no"),
            "source": first.get("source", "gateway"),
            "warnings": list(warnings),
            "pictures": images,
            "failures": failures,
        },
        ensure_ascii=False,
        indent=1,
    )


def _images(outcome: Outcome) -> list[dict[str, Any]]:
    return [
        {
            "id": one.id,
            "variation": outcome.variation,
            "pixels": f"{one.image.rgb.shape[1]}x{one.image.rgb.shape[0]}",
            "url": one.url,
            "request_id": outcome.request_id,
            "seconds": round(outcome.seconds, 3),
            "bytes": one.bytes,
            "billed": outcome.billed,
            "source": outcome.source,
            "warnings": list(outcome.warnings),
        }
        for one in outcome.images
    ]


def _failure(outcome: Outcome) -> dict[str, Any]:
    return {
        "variation": outcome.variation,
        "error": str(outcome.error),
        "request_id": outcome.request_id,
        "billed": outcome.billed,
    }
