"""Schema, ComfyNode and NodeOutput, and what `/object_info` serves about a node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from enum import Enum
from inspect import Signature
from typing import Any, ClassVar, Final

from .io_types import Input, Output, bind, signature

_DEFAULTS: Final[dict[str, Any]] = {
    "node_id": None,
    "display_name": None,
    "category": "sd",
    "inputs": [],
    "outputs": [],
    "hidden": [],
    "description": "",
    "search_aliases": [],
    "is_input_list": False,
    "is_output_node": False,
    "is_deprecated": False,
    "is_experimental": False,
    "is_dev_only": False,
    "is_api_node": False,
    "price_badge": None,
    "not_idempotent": False,
    "enable_expand": False,
    "accept_all_inputs": False,
    "essentials_category": None,
    "has_intermediate_output": False,
}
SCHEMA_NEWER_THAN_FLOOR: Final = frozenset({"is_dev_only", "essentials_category", "has_intermediate_output"})


class Hidden(str, Enum):
    """Values that the host adds to a node's call on request, as `cls.hidden.<name>`."""

    unique_id = "UNIQUE_ID"
    prompt = "PROMPT"
    extra_pnginfo = "EXTRA_PNGINFO"
    dynprompt = "DYNPROMPT"
    auth_token_comfy_org = "AUTH_TOKEN_COMFY_ORG"
    api_key_comfy_org = "API_KEY_COMFY_ORG"


class HiddenHolder:
    """What `cls.hidden` is while a node runs: a value that wasn't asked for is None."""

    def __init__(self, values: dict[Hidden, Any]) -> None:
        self._values = {key.name: value for key, value in values.items()}

    def __getattr__(self, name: str) -> Any:
        return self.__dict__.get("_values", {}).get(name)


class Schema:
    """What a node declares about itself."""

    arguments: ClassVar[tuple[str, ...]] = tuple(_DEFAULTS)
    __signature__: ClassVar[Signature] = signature(arguments, required=1)

    def __init_subclass__(cls) -> None:
        cls.__signature__ = signature(cls.arguments, required=1)

    def __init__(self, *args: Any, **named: Any) -> None:
        given = bind("Schema", self.__signature__, args, named)
        values: dict[str, Any] = dict(_DEFAULTS) | {key: value for key, value in given.items() if value is not None}
        self.node_id: str = values["node_id"]
        self.display_name: str | None = values["display_name"]
        self.inputs: list[Input] = list(values["inputs"])
        self.outputs: list[Output] = list(values["outputs"])
        self.hidden: list[Hidden] = list(values["hidden"])
        self.is_output_node = bool(values["is_output_node"])
        self.is_input_list = bool(values["is_input_list"])
        self.not_idempotent = bool(values["not_idempotent"])
        self.values = values
        self._check()

    def _check(self) -> None:
        for ids in ([one.id for one in self.inputs], [one.id for one in self.outputs if one.id]):
            twice = [name for name, count in Counter(ids).items() if count > 1]
            if twice:
                raise ValueError(f"{self.node_id}: ids must be unique, {twice} are not")
        for hidden in (Hidden.prompt, Hidden.extra_pnginfo) if self.is_output_node else ():
            if hidden not in self.hidden:
                self.hidden.append(hidden)

    @property
    def output_types(self) -> list[str]:
        return [output.io_type for output in self.outputs]

    def served_inputs(self) -> dict[str, dict[str, Any]]:
        """Inputs as `/object_info` serves them: `required`, `optional` and `hidden`, each in the schema's order."""
        served: dict[str, dict[str, Any]] = {"required": {}}
        for one in self.inputs:
            group = served.setdefault("optional" if one.optional else "required", {})
            group[one.id] = (one.served_type(), one.served_options())
        for hidden in self.hidden:
            served.setdefault("hidden", {})[hidden.name] = (hidden.value,)
        return served

    def served(self, python_module: str) -> dict[str, Any]:
        """The node's entry in `/object_info`."""
        inputs = self.served_inputs()
        return {
            "input": inputs,
            "input_order": {group: list(entries) for group, entries in inputs.items()},
            "is_input_list": self.is_input_list,
            "output": self.output_types,
            "output_is_list": [output.is_output_list for output in self.outputs],
            "output_name": [output.display_name or output.io_type for output in self.outputs],
            "output_tooltips": [output.tooltip or None for output in self.outputs],
            "output_matchtypes": None,
            "name": self.node_id,
            "display_name": self.display_name,
            "category": self.values["category"],
            "description": self.values["description"],
            "output_node": self.is_output_node,
            "has_intermediate_output": self.values["has_intermediate_output"],
            "deprecated": self.values["is_deprecated"],
            "experimental": self.values["is_experimental"],
            "dev_only": self.values["is_dev_only"],
            "api_node": self.values["is_api_node"],
            "python_module": python_module,
            "price_badge": self.values["price_badge"],
            "search_aliases": self.values["search_aliases"] or None,
            "essentials_category": self.values["essentials_category"],
        }


class NodeOutput:
    """What `execute` returns."""

    def __init__(
        self, *args: Any, ui: Any = None, expand: dict[str, Any] | None = None, block_execution: str | None = None
    ) -> None:
        if expand is not None or block_execution is not None:
            raise TypeError("the stand-in runs neither node expansion nor execution blockers")
        self.args = args
        self.ui: dict[str, Any] = {} if ui is None else ui if isinstance(ui, dict) else ui.as_dict()

    @property
    def result(self) -> tuple[Any, ...] | None:
        return self.args or None

    def __getitem__(self, index: int) -> Any:
        return self.args[index]


class ComfyNode:
    """Base of every V3 node; all of it is class methods, run on a locked clone."""

    hidden: ClassVar[HiddenHolder | None] = None
    RELATIVE_PYTHON_MODULE: ClassVar[str] = "nodes"

    @classmethod
    def GET_SCHEMA(cls) -> Schema:
        """The node's schema; as in the host, an incomplete node class is an error."""
        for needed in ("define_schema", "execute"):
            required(cls, needed)
        return required(cls, "define_schema")()


def optional(node: type[ComfyNode], name: str) -> Callable[..., Any] | None:
    """The node's own method `name`, or None if it defines none."""
    method: Callable[..., Any] | None = getattr(node, name, None)
    return method


def required(node: type[ComfyNode], name: str) -> Callable[..., Any]:
    """The node's own method `name`; a TypeError if it defines none."""
    method = optional(node, name)
    if method is None:
        raise TypeError(f"No {name} function was defined for node class {node.__name__}.")
    return method


class _Locked(type):
    def __setattr__(cls, name: str, value: Any) -> None:
        raise AttributeError(f"Cannot modify class attribute '{name}' on locked class '{cls.__name__}'")


def locked_clone(node: type[ComfyNode], hidden: dict[Hidden, Any]) -> type[ComfyNode]:
    """The class a call runs on: a fresh one each time, with its hidden values, on which nothing can be set."""
    return _Locked(f"{node.__name__}Clone", (node,), {"hidden": HiddenHolder(hidden)})
