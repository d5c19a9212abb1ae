"""`io.Autogrow`: sockets that grow as they are wired. Prompt keys are dotted (`images.image_1`), a node gets a dict."""

from __future__ import annotations

import copy
from typing import Any, ClassVar

from .io_types import Input, WidgetInput, without_none

IO_TYPE = "COMFY_AUTOGROW_V3"


class _Template:
    """What each grown socket looks like and how they are named."""

    def __init__(self, input: Input, names: list[str], min: int) -> None:
        if min < 0 or not names or len(names) > 100:
            raise AssertionError("Autogrow takes min >= 0 and 1 to 100 names")
        self.input = copy.copy(input)
        if isinstance(self.input, WidgetInput):
            self.input.values = self.input.values | {"force_input": True}
        self.names = names
        self.min = min

    def served(self) -> dict[str, Any]:
        group = "optional" if self.input.optional else "required"
        inputs: dict[str, Any] = {"required": {}}
        inputs.setdefault(group, {})[self.input.id] = (self.input.served_type(), self.input.served_options())
        return {"input": inputs, "min": self.min}

    def grown(self, number: int) -> tuple[str, dict[str, Any]]:
        """(`required` or `optional`, options) of the socket at `number`."""
        needed = number < self.min and not self.input.optional
        return "required" if needed else "optional", self.input.served_options()


class TemplateNames(_Template):
    def __init__(self, input: Input, names: list[str], min: int = 1) -> None:
        super().__init__(input, names[:100], min)

    def served(self) -> dict[str, Any]:
        return super().served() | {"names": self.names}


class TemplatePrefix(_Template):
    def __init__(self, input: Input, prefix: str, min: int = 1, max: int = 10) -> None:
        super().__init__(input, [f"{prefix}{number}" for number in range(max)], min)
        self.prefix = prefix

    def served(self) -> dict[str, Any]:
        return super().served() | {"prefix": self.prefix, "max": len(self.names)}


class AutogrowInput(Input):
    io_type = IO_TYPE
    arguments = ("id", "template", "display_name", "optional", "tooltip", "lazy", "extra_dict")

    @property
    def template(self) -> _Template:
        template = self.values["template"]
        if not isinstance(template, _Template):
            raise TypeError("Autogrow.Input takes a TemplateNames or a TemplatePrefix")
        return template

    def served_options(self) -> dict[str, Any]:
        return super().served_options() | without_none({"template": self.template.served()})


class Autogrow:
    io_type: ClassVar[str] = IO_TYPE
    Type: ClassVar[Any] = dict[str, Any]
    Input = AutogrowInput
    TemplateNames = TemplateNames
    TemplatePrefix = TemplatePrefix
