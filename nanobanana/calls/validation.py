"""What can be known to be wrong before anything is sent."""

from __future__ import annotations

from typing import Final

from ..catalog import ASPECT_RATIOS, MODEL_NAMES, OUTPUT_FORMATS, input_limit
from ..errors import InputError
from ..image_request import ImageRequest
from ..settings.profile import Profile
from ..settings.redaction import looks_like_key

# How many variations one order may ask for.
MOST_COUNT: Final = 16


def checked_prompt(prompt: str, profile: Profile) -> str:
    """`prompt`, unless it is blank or holds a key. Raises `InputError`."""
    if not prompt.strip():
        raise InputError("The prompt is empty.", "Describe the image in the prompt, then run again.")
    shown = looks_like_key(prompt, [profile.api_key] if profile.api_key else [])
    if shown:
        raise InputError(
            f"The prompt holds something that looks like a secret key ({shown}); nothing was sent.",
            "Take it out of the prompt: prompts are saved in workflows and images, and are sent to the gateway.",
        )
    return prompt


def check_choices(profile: Profile, request: ImageRequest, count: int) -> None:
    """Raise `InputError` for a model, ratio, format or count that isn't offered."""
    model, aspect_ratio, output_format = request.model, request.aspect_ratio, request.output_format
    known = [*MODEL_NAMES, *profile.extra_models]
    if model not in known:
        raise InputError(
            f"The model {model!r} is not known.",
            f"Choose one of {', '.join(known)}, or add it to the extra models in Settings > NanoBanana.",
        )
    if aspect_ratio not in ASPECT_RATIOS:
        raise InputError(
            f"The aspect ratio {aspect_ratio!r} is not offered.", f"Choose one of {', '.join(ASPECT_RATIOS)}."
        )
    if output_format not in OUTPUT_FORMATS:
        raise InputError(f"The format {output_format!r} is not offered.", f"Choose one of {', '.join(OUTPUT_FORMATS)}.")
    if not 1 <= count <= MOST_COUNT:
        raise InputError(f"The count is {count}.", f"Choose 1 to {MOST_COUNT}.")


def check_image_count(model: str, images: int) -> None:
    """Raise `InputError` where `model` doesn't take that many input images."""
    limit = input_limit(model)
    if images > limit:
        raise InputError(
            f"{images} images are wired, and {model} takes at most {limit}.",
            "Take images away (a batch counts as that many images), or choose a model that takes more.",
        )
