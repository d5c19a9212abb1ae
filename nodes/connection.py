"""NanoBanana Connection: which profile of the settings a node uses."""

from __future__ import annotations

from ..nanobanana.errors import ConfigError, Log
from ._host import io, schema
from ._inputs import CATEGORY, Connection
from ._services import profiles

_log = Log(__name__)


def _profile_names() -> list[str]:
    try:
        return profiles().names() or ["default"]
    except (ConfigError, OSError):
        _log.warning("The profiles could not be read", exc_info=True)
        return ["default"]


class NanoBananaGatewayConnection(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="NanoBananaGatewayConnection",
            display_name="NanoBanana Connection",
            category=CATEGORY,
            description="Chooses a profile of Settings > NanoBanana: a gateway's base URL and key. "
            "The workflow holds the profile's name only, never the key.",
            search_aliases=["nano banana", "api key", "base url", "gateway", "profile", "endpoint"],
            inputs=[
                io.Combo.Input(
                    "profile",
                    options=_profile_names(),
                    default="default",
                    tooltip="The profile's name, as in Settings > NanoBanana.",
                )
            ],
            outputs=[
                Connection.Output(
                    "connection", display_name="connection", tooltip="To the connection input of a NanoBanana node."
                )
            ],
        )

    @classmethod
    def execute(cls, profile: str) -> io.NodeOutput:
        return io.NodeOutput(profile)
