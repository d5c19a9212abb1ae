"""Inputs, outputs and checks that nodes share; every list of choices comes from the catalog."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..nanobanana.catalog import ASPECT_RATIOS, DEFAULT_MODEL, MODEL_NAMES, MOST_COUNT, MOST_INPUTS, OUTPUT_FORMATS
from ..nanobanana.errors import ConfigError
from ..nanobanana.settings.profile import Profile
from ._host import io
from ._services import profiles, runs

if TYPE_CHECKING:
    from ._runs import Job

_log = logging.getLogger(__name__)

CATEGORY = "NanoBanana"
MOST_SEED = 2**64 - 1
IMAGE_NAMES = tuple(f"image_{number}" for number in range(1, MOST_INPUTS + 1))
Connection: Any = io.Custom("NANOBANANA_CONNECTION")


def model_names() -> list[str]:
    """The documented models, then those added in the settings of any profile."""
    extra: list[str] = []
    try:
        store = profiles()
        for name in store.names():
            extra.extend(store.stored(name).extra_models)
    except (ConfigError, OSError):
        # Unreadable settings are reported when a node runs; the menu must still open.
        _log.warning("The extra models of the settings could not be read", exc_info=True)
    return list(dict.fromkeys([*MODEL_NAMES, *extra]))


def prompt_input(tooltip: str, placeholder: str) -> Any:
    return io.String.Input("prompt", multiline=True, default="", placeholder=placeholder, tooltip=tooltip)


def model_input() -> Any:
    return io.Combo.Input(
        "model",
        options=model_names(),
        default=DEFAULT_MODEL,
        tooltip="Which model makes the image, and at which size. 1K, 2K and 4K are the longer side in thousands of "
        "pixels. More models can be added in Settings > NanoBanana.",
    )


def aspect_ratio_input(*, auto: bool) -> Any:
    if auto:
        return io.Combo.Input(
            "aspect_ratio",
            options=["auto", *ASPECT_RATIOS],
            default="auto",
            tooltip="Width to height of the result. auto: the listed ratio nearest to the first image's.",
        )
    return io.Combo.Input(
        "aspect_ratio", options=list(ASPECT_RATIOS), default="1:1", tooltip="Width to height of the result."
    )


def closing_inputs() -> list[Any]:
    """`output_format`, `count`, `seed`: the last required inputs of every node that calls the gateway."""
    return [
        io.Combo.Input(
            "output_format",
            options=list(OUTPUT_FORMATS),
            default="png",
            tooltip="The file format that the gateway sends. png loses nothing; jpeg and webp arrive sooner.",
        ),
        io.Int.Input(
            "count",
            default=1,
            min=1,
            max=MOST_COUNT,
            tooltip="How many images. Each one is a call of its own and is paid for; they run side by side. "
            "Raising the count later buys only the images that are missing.",
        ),
        io.Int.Input(
            "seed",
            default=0,
            min=0,
            max=MOST_SEED,
            control_after_generate=True,
            tooltip="Names a variation; it is not sent to the gateway. The same inputs and seed give the same image "
            "again from the history, at no cost, also after a restart. Another seed buys a new image.",
        ),
    ]


def connection_input() -> Any:
    return Connection.Input(
        "connection",
        optional=True,
        tooltip="Which profile of Settings > NanoBanana is used. Not connected: the default profile.",
    )


def image_outputs() -> list[Any]:
    return [
        io.Image.Output(
            "image", display_name="image", is_output_list=True, tooltip="The images, each in the size that came."
        ),
        io.Mask.Output(
            "mask",
            display_name="mask",
            is_output_list=True,
            tooltip="1 where an image is transparent; all zero for an image without transparency.",
        ),
        io.String.Output("text", display_name="text", tooltip="What the model said besides the images."),
        io.String.Output(
            "info",
            display_name="info",
            tooltip="JSON: model, ratio, format, pixels, url, request id, seconds, bytes, billed, source, warnings.",
        ),
    ]


def chosen_profile(connection: str | None) -> Profile:
    """The profile that the connection names, else the default one. Raises `ConfigError`."""
    return profiles().get(connection or "default")


async def outputs(node_id: str, prepare: Callable[[str], Job]) -> io.NodeOutput:
    """One execution of the node `node_id`: image, mask, text, info. Its calls run before the first await.

    `prepare` gets the run's id and returns what is wanted; an error that it raises becomes the execution's.
    """
    # Begun at once: the host may hand the loop to a blocking node right after.
    execution = runs().begin(node_id, prepare)
    result = await execution.result()
    return io.NodeOutput(result.images, result.masks, result.text, result.info(execution.request))
