"""Sockets of a V3 schema: each class takes the arguments that ComfyUI's own class takes, and no others.

The arguments are tables, in the host's order. An argument that ComfyUI doesn't know is a TypeError, here as there.
`NEWER_THAN_FLOOR` names what an old release (0.11) doesn't take yet.
"""

from __future__ import annotations

from enum import Enum
from inspect import Parameter, Signature
from typing import Any, ClassVar, Final

NEWER_THAN_FLOOR: Final = frozenset({"gradient_stops"})

_SOCKET: Final = ("id", "display_name", "optional", "tooltip", "lazy")
_SOCKET_END: Final = ("extra_dict", "raw_link", "advanced")
_WIDGET_END: Final = ("socketless", "force_input", *_SOCKET_END)
_NOT_SERVED: Final = frozenset({"id", "optional", "extra_dict", "upload", "image_folder", "template"})
_SERVED_AS: Final = {
    "raw_link": "rawLink",
    "widget_type": "widgetType",
    "force_input": "forceInput",
    "dynamic_prompts": "dynamicPrompts",
    "display_mode": "display",
}


class NumberDisplay(str, Enum):
    number = "number"
    slider = "slider"


class UploadType(str, Enum):
    image = "image_upload"


class FolderType(str, Enum):
    input = "input"
    output = "output"
    temp = "temp"


def signature(arguments: tuple[str, ...], required: int) -> Signature:
    """The signature that a class of the host shows to `inspect`: the first `required` arguments have no default."""
    return Signature(
        [
            Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, default=Parameter.empty if number < required else None)
            for number, name in enumerate(arguments)
        ]
    )


def bind(owner: str, known: Signature, args: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any]:
    """Values by argument name, None for those not given; TypeError for a name that isn't in `known`."""
    try:
        bound = known.bind(*args, **named)
    except TypeError as error:
        raise TypeError(f"{owner}: {error}") from None
    bound.apply_defaults()
    return dict(bound.arguments)


def without_none(values: dict[str, Any]) -> dict[str, Any]:
    """The entries whose value is set: the host leaves the others out of what it serves."""
    return {key: value for key, value in values.items() if value is not None}


class Input:
    """One socket of a node, with or without a widget."""

    io_type: ClassVar[str] = ""
    arguments: ClassVar[tuple[str, ...]] = (*_SOCKET, *_SOCKET_END)
    always: ClassVar[dict[str, Any]] = {}
    __signature__: ClassVar[Signature] = signature(arguments, required=1)

    def __init_subclass__(cls) -> None:
        cls.__signature__ = signature(cls.arguments, required=1)

    def __init__(self, *args: Any, **named: Any) -> None:
        self.values = bind(f"{self.io_type}.Input", self.__signature__, args, named)
        self.id = str(self.values["id"])
        self.optional = bool(self.values["optional"])

    def served_options(self) -> dict[str, Any]:
        """The options as `/object_info` serves them."""
        served = {_SERVED_AS.get(key, key): value for key, value in self.values.items() if key not in _NOT_SERVED}
        plain = {key: value.value if isinstance(value, Enum) else value for key, value in served.items()}
        return self.always | without_none(plain) | without_none(self.values.get("extra_dict") or {})

    def served_type(self) -> str:
        return self.values.get("widget_type") or self.io_type


class WidgetInput(Input):
    """A socket that is a widget on the node while nothing is wired to it."""

    arguments = (*_SOCKET, "default", "socketless", "widget_type", "force_input", *_SOCKET_END)


class BooleanInput(WidgetInput):
    io_type = "BOOLEAN"
    arguments = (*_SOCKET, "default", "label_on", "label_off", *_WIDGET_END)


class IntInput(WidgetInput):
    io_type = "INT"
    arguments = (*_SOCKET, "default", "min", "max", "step", "control_after_generate", "display_mode", *_WIDGET_END)


class FloatInput(WidgetInput):
    io_type = "FLOAT"
    arguments = (*_SOCKET, "default", "min", "max", "step", "round", "display_mode", "gradient_stops", *_WIDGET_END)


class StringInput(WidgetInput):
    io_type = "STRING"
    arguments = (*_SOCKET, "multiline", "placeholder", "default", "dynamic_prompts", *_WIDGET_END)
    always = {"multiline": False}  # noqa: RUF012 - a table, read only


class ComboInput(WidgetInput):
    io_type = "COMBO"
    arguments = (
        "id",
        "options",
        "display_name",
        "optional",
        "tooltip",
        "lazy",
        "default",
        "control_after_generate",
        "upload",
        "image_folder",
        "remote",
        "socketless",
        *_SOCKET_END,
    )
    always = {"multiselect": False}  # noqa: RUF012 - a table, read only

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        options: Any = self.values["options"]
        if isinstance(options, type) and issubclass(options, Enum):
            self.values["options"] = [option.value for option in options]

    def served_options(self) -> dict[str, Any]:
        upload: UploadType | None = self.values["upload"]
        folder: FolderType | None = self.values["image_folder"]
        extra = {upload.value: True} if upload else {}
        return super().served_options() | extra | ({"image_folder": folder.value} if folder else {})


class Output:
    """One result of a node."""

    io_type: ClassVar[str] = ""
    arguments: ClassVar[tuple[str, ...]] = ("id", "display_name", "tooltip", "is_output_list")
    __signature__: ClassVar[Signature] = signature(arguments, required=0)

    def __init_subclass__(cls) -> None:
        cls.__signature__ = signature(cls.arguments, required=0)

    def __init__(self, *args: Any, **named: Any) -> None:
        self.values = bind(f"{self.io_type}.Output", self.__signature__, args, named)
        self.id: str | None = self.values["id"]
        self.display_name: str | None = self.values["display_name"] or self.id
        self.tooltip: str | None = self.values["tooltip"]
        self.is_output_list = bool(self.values["is_output_list"])


class ComboOutput(Output):
    arguments = ("id", "display_name", "options", "tooltip", "is_output_list")


class ComfyType:
    """A socket type: its `Input` and `Output` make sockets of it."""

    io_type: ClassVar[str] = ""
    Type: ClassVar[Any] = object
    Input: ClassVar[type[Input]]
    Output: ClassVar[type[Output]]


def socket_type(io_type: str, input_class: type[Input] = Input, output_class: type[Output] = Output) -> type[ComfyType]:
    """A socket type named `io_type` whose sockets take what `input_class` and `output_class` take."""
    members = {
        "io_type": io_type,
        "Input": type("Input", (input_class,), {"io_type": io_type}),
        "Output": type("Output", (output_class,), {"io_type": io_type}),
    }
    return type(io_type.title(), (ComfyType,), members)


def Custom(io_type: str) -> type[ComfyType]:
    """A socket type of the pack's own."""
    return socket_type(io_type)


def at_floor(input_class: type[Input]) -> type[Input]:
    """`input_class` without the arguments that the oldest supported release doesn't take."""
    kept = tuple(name for name in input_class.arguments if name not in NEWER_THAN_FLOOR)
    return type(input_class.__name__, (input_class,), {"arguments": kept})
