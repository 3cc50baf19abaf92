"""Strict YAML: every error names the file, the line, the key and what is allowed."""

from __future__ import annotations

import difflib
import re
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from bench.errors import UserError, first_line, quoted

DEEPEST = 40
MOST_VALUES = 200_000
KEY_TAGS = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge")
OTHER_KEYS = {"int": "a number", "float": "a number", "bool": "a boolean", "null": "null"}
KeyPath = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)


class Yaml12Loader(yaml.SafeLoader):
    """Plain scalars as the core schema of YAML 1.2 reads them: `yes` and `1:30` are texts, `010` is ten, `1e-3` is a
    number and no scalar is a date."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - as the base declares it

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        """The text of a scalar; a surrogate pair, as JSON escapes a character, is that character."""
        try:
            return super().construct_scalar(node).encode("utf-16-le", "surrogatepass").decode("utf-16-le")
        except UnicodeDecodeError:
            problem = "half of a surrogate pair is no character"
            raise yaml.constructor.ConstructorError(problem=problem, problem_mark=node.start_mark) from None


for tag, pattern, first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", list("-+.0123456789")),
    ("float", r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", list("-+.")),
    ("merge", "<<", ["<"]),
):
    Yaml12Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(f"(?:{pattern})\\Z"), first)


def _integer(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    text = node.value
    return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))


def _number(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float:
    return float(re.sub(r"\.(?=inf|nan)", "", node.value.lower()))


Yaml12Loader.add_constructor("tag:yaml.org,2002:int", _integer)
Yaml12Loader.add_constructor("tag:yaml.org,2002:float", _number)


YAML_TROUBLE = (yaml.YAMLError, ValueError, RecursionError, LookupError, AttributeError)
"""What reading a YAML document raises; the last two of a tag with another value, `!!bool maybe`."""


def load_yaml(text: str) -> Any:
    """The value of a YAML 1.2 document. Raises YAML_TROUBLE."""
    return yaml.load(text, Loader=Yaml12Loader)


def read_yaml(path: Path) -> tuple[dict[str, Any], dict[KeyPath, int]]:
    """The mapping in a YAML file and the line (from 1) of each key path. Raises UserError for any other content."""
    lines: dict[KeyPath, int] = {}
    try:
        loader = Yaml12Loader(path.read_text(encoding="utf-8"))
        node = loader.get_single_node()
        _collect_lines(node, (), lines, path)  # before merge keys are put in
        value = None if node is None else loader.construct_document(node)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not UTF-8 text") from error
    except YAML_TROUBLE as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        problem = getattr(error, "problem", None) or first_line(error)
        raise UserError(f"{place}: not valid YAML: {problem}") from error
    if not isinstance(value, dict):
        raise UserError(f"{path}: a study is a mapping of keys, found {type(value).__name__}")
    return value, lines


def _collect_lines(node: yaml.Node | None, prefix: KeyPath, lines: dict[KeyPath, int], path: Path) -> None:
    if len(prefix) > DEEPEST or len(lines) > MOST_VALUES:  # aliases can unfold into anything
        raise UserError(f"{path}: nested deeper than {DEEPEST} or with more than {MOST_VALUES:,} values")
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else str(key_node.tag)
            if key_node.tag not in KEY_TAGS:
                raise UserError(f"{path}:{key_node.start_mark.line + 1}: {_key_problem(key_node)}")
            if key in seen:
                raise UserError(f"{path}:{key_node.start_mark.line + 1}: key {quoted(key)} is given twice")
            seen.add(key)
            lines[(*prefix, key)] = key_node.start_mark.line + 1
            _collect_lines(value_node, (*prefix, key), lines, path)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            lines[(*prefix, index)] = item.start_mark.line + 1
            _collect_lines(item, (*prefix, index), lines, path)


def _key_problem(node: yaml.Node) -> str:
    """What is wrong with a key that is no text, and what is allowed."""
    if not isinstance(node, yaml.ScalarNode):
        return f"a key that is a {'mapping' if isinstance(node, yaml.MappingNode) else 'list'}; allowed: names"
    if not node.value:
        return "a key that is empty; allowed: names"
    kind = OTHER_KEYS.get(node.tag.rpartition(":")[2], f"of type {node.tag}")
    return f'key {node.value} is {kind}; allowed: names, or "{node.value}" in quotation marks'


class Place:
    """File, or option of the command line, and the lines of its keys, for messages."""

    def __init__(
        self,
        path: Path | str | None,
        lines: dict[KeyPath, int] | None = None,
        origins: dict[KeyPath, str] | None = None,
    ) -> None:
        self.path = path
        self.origins = origins or {key: f"{path}:{line}" for key, line in (lines or {}).items()}

    def error(self, key: KeyPath, problem: str) -> UserError:
        """A UserError that begins with `file:line: key:` as far as they are known."""
        origins = {_dotted(one): at for one, at in self.origins.items()}  # an axis is one key, `train.steps`
        known = next((one for end in range(len(key), 0, -1) if (one := _dotted(key[:end])) in origins), "")
        at = origins[known] if known else self.path or "study"
        name = _dotted(key)
        return UserError(f"{at}: {name + ': ' if name else ''}{problem}")

    @contextmanager
    def naming(
        self, *key: str | int, arm: str = "", of: type[Exception] | tuple[type[Exception], ...] = ValueError
    ) -> Iterator[None]:
        """Errors of these types in the block become a UserError at `key`, with the name of the arm where one is given
        and the first line of their message."""
        try:
            yield
        except of as error:
            raise self.error(key, f"{arm}: {first_line(error)}" if arm else first_line(error)) from error


def _dotted(key: KeyPath) -> str:
    return ".".join(map(str, key))


def allowed_words(word: str, allowed: Iterable[str]) -> str:
    """`allowed: a, b, c`, after the nearest one where `word` is similar to it."""
    names = sorted(allowed)
    near = difflib.get_close_matches(word, names, n=1)
    hint = f"did you mean {quoted(near[0])}? " if near else ""
    return f"{hint}allowed: {', '.join(names)}"


def validate(model: type[Model], value: Any, place: Place, prefix: KeyPath = (), varied: Container[Any] = ()) -> Model:
    """`model.model_validate(value)`; the first problem raises a UserError of one line.

    prefix: the key of `value` in its file. varied: keys of `value` that stand on an axis, where the error then points.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        if first["loc"] and first["loc"][0] in varied:
            prefix = ("axes", *prefix[1:])
        key = (*prefix, *(part for part in first["loc"] if not _is_union_branch(part)))
        if first["type"] == "extra_forbidden":
            if key[-1:] != first["loc"][-1:]:
                key = (*key, first["loc"][-1])
            fields = _fields_at(model, first["loc"][:-1])
            raise place.error(key, f"unknown key; {allowed_words(str(key[-1]), fields)}") from None
        problem = str(first["msg"]).removeprefix("Value error, ")
        given = first.get("input")
        shown = f" (given: {quoted(given)})" if isinstance(given, str | int | float | bool) else ""
        raise place.error(key, problem[0].lower() + problem[1:] + shown) from None


def _is_union_branch(part: str | int) -> bool:
    return isinstance(part, str) and ("[" in part or part in {"int", "str", "float"} or part.endswith("Settings"))


def _fields_at(model: type[BaseModel], location: tuple[str | int, ...]) -> list[str]:
    current: Any = model
    for part in location:
        field = getattr(current, "model_fields", {}).get(part)
        if field is None:
            continue
        current = field.annotation
        for candidate in getattr(current, "__args__", ()):
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                current = candidate
    return list(getattr(current, "model_fields", {}))
