"""The name of a request: equal inputs give the same one, anything that shapes the image changes it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

# Raise it when the meaning of a field changes: images of the older meaning are then no longer found.
_VERSION = "nanobanana-request-1"


def fingerprint(
    *,
    model: str,
    dialect: str,
    aspect_ratio: str,
    output_format: str,
    prompt: str,
    image_digests: Sequence[str],
    mask_digest: str | None,
    seed: int,
    base_url: str,
) -> str:
    """64 hexadecimal digits (SHA-256) over everything that shapes the image.

    `image_digests`: one digest of shape and pixels for each input image, in order. `mask_digest`: the same for
    the mask, None without one. `seed`: 0 to 2**64 - 1. `base_url`: as `config.normalise_base_url` gives it. Neither
    the key nor the number of the variation is part of it.

    The values are encoded as one JSON list of fixed length with every non-ASCII character escaped: no two different
    requests have the same text, whatever separators, quotes or lone surrogates a prompt holds.
    """
    values = [
        _VERSION,
        model,
        dialect,
        aspect_ratio,
        output_format,
        prompt,
        list(image_digests),
        mask_digest,
        seed,
        base_url,
    ]
    text = json.dumps(values, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()
