"""Fields of a dataclass as parameters: bounds, YAML values and flags.

Every field is made by `param`. Its type says how a value is read, from YAML and
from a flag alike.
"""

import dataclasses
import difflib
import math
import operator
import types
from collections.abc import Callable
from typing import Any

import yaml
from absl import flags


def param(default, help: str, valid: str = ""):
    """A field of a dataclass.

    Args:
        default: Its value unless given.
        help: Text of its flag.
        valid: Bounds such as "> 0" or ">= 1, <= 8", or choices such as
            "rssm | ssm"; shown in the help and enforced by `check`.
    """
    return dataclasses.field(
        default=default, metadata={"help": help, "valid": valid}
    )


def fields(kind: type) -> dict[str, dataclasses.Field]:
    """The fields of a dataclass by name."""
    return {field.name: field for field in dataclasses.fields(kind)}


def check(instance: Any, prefix: str) -> None:
    """Raises ValueError for a value out of bounds.

    The message names the parameter after `prefix`, its value, and its bounds.
    """
    for name, field in fields(type(instance)).items():
        valid, value = field.metadata["valid"], getattr(instance, name)
        if value is not None and not _is_valid(value, valid):
            raise ValueError(f"{prefix}{name}={value}: must be {valid}")


def converted(kind: type, values: dict, source: str) -> dict[str, Any]:
    """Casts values to the types of their fields.

    Raises:
        ValueError: An unknown name, or a value of another type; the message
            begins with `source`.
    """
    known = fields(kind)
    result = {}
    for name, value in values.items():
        if name not in known:
            raise ValueError(
                f"{source}: there is no parameter {name!r}"
                f"{suggestion(str(name), known, 'parameters')}"
            )
        try:
            result[name] = CONVERT[known[name].type](value)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{source}: {name}: {error}") from error
    return result


def read_yaml(text: str) -> Any:
    """Plain values from YAML; objects are refused.

    Raises:
        ValueError: It is not YAML; says why in one line.
    """
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError) as error:  # 2020-02-30, for example.
        reason = " ".join(str(error).split())
    except RecursionError:
        reason = "it is nested too deeply"
    raise ValueError(f"not YAML: {reason}")


class _Loader(yaml.SafeLoader):
    """Refuses a name that is given twice."""

    def construct_mapping(self, node, deep=False):
        names = [key.value for key, _ in node.value]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"{name} is given twice")
        return super().construct_mapping(node, deep)


def suggestion(name: str, known: Any, kind: str) -> str:
    """The end of a message about an unknown name.

    Args:
        name: What is unknown.
        known: The names that there are.
        kind: What they are, in the plural.

    Returns:
        `; did you mean ...?` if a known name is close, or all of them.
    """
    close = difflib.get_close_matches(name, known, n=3)
    if close:
        return f"; did you mean {' or '.join(close)}?"
    return f". All {kind}: {', '.join(known)}"


def plain(value: Any) -> Any:
    """A value as YAML has it: tuples as lists, dataclasses as what differs."""
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if dataclasses.is_dataclass(value):
        return {
            name: plain(getattr(value, name))
            for name, field in fields(type(value)).items()
            if getattr(value, name) != field.default
        }
    return value


class Parser(flags.ArgumentParser):
    """Reads a flag of a field's type the way YAML values are read."""

    syntactic_help = ""

    def __init__(self, kind: Any):
        super().__init__()
        self.parse = CONVERT[kind]


class Serializer(flags.ArgumentSerializer):
    """Shows a flag's default the way one would type it."""

    def serialize(self, value: Any) -> str:
        """Returns the text, as `Parser` reads it."""
        values = plain(value)
        if not isinstance(values, list):
            return str(value).lower() if value is None else str(value)
        if any(isinstance(item, dict) for item in values):
            return yaml.safe_dump(values, default_flow_style=True).strip()
        return ",".join(str(item) for item in values)


def _is_valid(value: Any, valid: str) -> bool:
    """Whether bounds such as ">= 0, < 1" or choices "a | b" allow a value."""
    if not valid:
        return True
    if "|" in valid:
        return value in valid.split(" | ")
    checks = {
        ">": operator.gt,
        ">=": operator.ge,
        "<": operator.lt,
        "<=": operator.le,
    }
    bounds = (bound.split() for bound in valid.split(", "))
    return all(checks[sign](value, float(limit)) for sign, limit in bounds)


def _float(value) -> float:
    """Accepts strings too, as YAML 1.1 reads `1e-3` as one."""
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is not a finite number")
    return number


def _integer(value) -> int:
    """Accepts 5e7, as the original's defaults are written."""
    number = _float(value)
    if not number.is_integer():
        raise ValueError(f"{value!r} is not a whole number")
    if abs(number) >= 2**31:  # TensorFlow's sizes are int32.
        raise ValueError(f"{value!r} is too large: 2,147,483,647 is the most")
    return int(number)


def _optional(convert: Callable) -> Callable:
    def read(value):
        if value is None or str(value).lower() in ("none", "null"):
            return None
        return convert(value)

    return read


def _boolean(value) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is not true or false")
    return value


def _text(value) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a name")
    return value


def _items(value) -> list:
    """A list, from a flag's text or as it is."""
    if isinstance(value, str):
        return [item.strip() for item in value.split(",") if item.strip()]
    if not isinstance(value, list | tuple):
        raise ValueError(f"{value!r} is not a list")
    return list(value)


def _names(value) -> tuple[str, ...]:
    return tuple(_text(item) for item in _items(value))


def _shape(value) -> tuple[int, int]:
    items = tuple(_integer(item) for item in _items(value))
    if len(items) != 2:
        raise ValueError(f"{value!r} is not a pair such as 50,50")
    return items


# How values are read, by the type of their field; a dataclass that is a field's
# type adds itself.
CONVERT: dict[type | types.UnionType | types.GenericAlias, Callable] = {
    bool: _boolean,
    int: _integer,
    int | None: _optional(_integer),
    float: _float,
    float | None: _optional(_float),
    str: _text,
    str | None: _optional(_text),
    tuple[str, ...]: _names,
    tuple[int, int]: _shape,
}
