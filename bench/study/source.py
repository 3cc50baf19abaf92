"""The content of a study file, with its includes and the overrides of the command line."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.errors import UserError, first_line, quoted
from bench.files import canonical_hash
from bench.study.tuning import is_number
from bench.study.yaml import YAML_TROUBLE, KeyPath, Place, allowed_words, load_yaml, read_yaml

MANY_CELLS = 100_000
"""Above this a study needs `--yes`."""


def read_source(path: Path, overrides: Sequence[str], top: Iterable[str], baseline: Iterable[str]) -> tuple[Any, Place]:
    """Content of a study file with its includes merged in and `KEY=VALUE` overrides applied, and the line of each key.

    An included file is a part of a study; the including file overrides it, mappings are merged key by key,
    lists are replaced. An override's key is a path such as `train.steps` (in the baseline) or `axes.arm`.
    Raises UserError with file and line, or with the override.
    """
    origins: dict[KeyPath, str] = {}
    content = _read(path, (), origins)
    for override in overrides:
        _override(content, override, origins, list(top), list(baseline))
    return content, Place(path, origins=origins)


def axis_name(value: Any) -> Any:
    """The name of an axis value in exclusions: an arm's own name, else the value itself."""
    return value.get("name") if isinstance(value, dict) else getattr(value, "name", value)


def excluded_values(value: Any) -> list[Any]:
    """The values that one entry of an exclusion names: itself, or each of a list."""
    return value if isinstance(value, list) else [value]


def is_combined(key: str, value: Any) -> bool:
    """Whether a value of an axis is a named choice of several settings: `{name: ar, diffusion.objective: ...}`."""
    return isinstance(value, dict) and "." not in key and key != "arm"


def axis_word(key: str, value: Any) -> str:
    """What the value of an axis adds to an arm's name: the name of a choice, `reveal=2`, nothing where it is null."""
    if is_combined(key, value):
        return str(value["name"])
    return "" if value is None else f"{key.partition('.')[2]}={value}"


def axis_values(axes: Mapping[str, Sequence[Any]]) -> dict[str, dict[str, Any]]:
    """What axes add to the names of arms, each with the settings that it stands for: {"steps=8": {"sample.steps": 8}};
    named choices of several settings count in the words alone."""
    varied = {key: values for key, values in axes.items() if "." in key or any(is_combined(key, one) for one in values)}
    found = {}
    for values in itertools.product(*varied.values()):
        chosen = dict(zip(varied, values, strict=True))
        words = [word for key, value in chosen.items() if (word := axis_word(key, value))]
        found[" ".join(words)] = {key: one for key, one in chosen.items() if "." in key and one is not None}
    return found


def check_axes(
    axes: dict[str, list[Any]], exclude: Sequence[dict[str, Any]], settings: Sequence[str], place: Place
) -> None:
    """Raise UserError for an invalid axis or exclusion; `settings`: what can vary, `group.<setting>`."""
    for key, values in axes.items():
        path: KeyPath = ("axes", key)
        if any(is_combined(key, value) for value in values):
            _check_combined(key, axes, settings, place)
        elif not _varies(key, settings):
            raise place.error(
                path, f"is not a setting that can vary, nor a list of named choices; {allowed_words(key, settings)}"
            )
        if not values:
            raise place.error(path, "has no values; give at least one or leave the axis out")
        try:
            distinct = len({_comparable(value) for value in values})
        except TypeError as error:
            raise place.error(path, f"holds a value that is no setting: {error}") from error
        except ValueError:  # of JSON
            raise place.error(path, "holds an infinite number or NaN; allowed: finite numbers") from None
        if distinct != len(values):
            raise place.error(path, "lists a value twice")
        wanted = {"corpus": str, "length": int}.get(key)
        for index, value in enumerate(values):
            if wanted and (not isinstance(value, wanted) or isinstance(value, bool)):
                raise place.error((*path, index), f"must be {wanted.__name__} (given: {quoted(value)})")
    for index, rule in enumerate(exclude):
        for key, value in rule.items():
            if key not in axes:
                raise place.error(("exclude", index, key), f"is not an axis; {allowed_words(key, axes)}")
            names = [axis_name(one) for one in axes[key]]
            for one in excluded_values(value):
                if one not in names:
                    listed = ", ".join(map(str, names))
                    raise place.error(
                        ("exclude", index, key), f"{quoted(one)} is not a value of this axis; values: {listed}"
                    )


def _varies(key: str, settings: Sequence[str]) -> bool:
    """Whether a dotted setting, or a plain one, is among those that can vary."""
    group, dot, name = key.partition(".")
    return key in settings or bool(dot and name and f"{group}.<setting>" in settings)


def _check_combined(key: str, axes: dict[str, list[Any]], settings: Sequence[str], place: Place) -> None:
    """Raise UserError for a choice without a name of its own, or with what is no dotted setting or varies elsewhere."""
    names: list[Any] = []
    for index, value in enumerate(axes[key]):
        path: KeyPath = ("axes", key, index)
        name = value.get("name") if is_combined(key, value) else None
        if key in settings or not isinstance(name, str) or not name.strip() or name in names:
            raise place.error(
                path, "allowed: choices with a name of their own, {name: NAME, group.setting: value, ...}"
            )
        names.append(name)
        for setting in value:
            if setting in axes:
                raise place.error((*path, setting), "varies on an axis of its own")
            if setting != "name" and ("." not in str(setting) or not _varies(str(setting), settings)):
                raise place.error((*path, setting), f"is not a setting of a group; {allowed_words(setting, settings)}")


def _comparable(value: Any) -> Any:
    """Equal for equal values, 1 and 1.0 among them. Raises TypeError or ValueError for what no setting can be."""
    known = is_number(value) and (isinstance(value, int) or math.isfinite(value))
    return value if known else canonical_hash(value)


def check_number(axes: dict[str, list[Any]], seeds: Sequence[int], place: Place) -> None:
    """Raise UserError where axes and seeds multiply to more than MANY_CELLS."""
    cells = math.prod(len(values) for values in axes.values()) * len(seeds)
    if cells > MANY_CELLS:
        sizes = " x ".join([*(f"{len(values)} {key}" for key, values in axes.items()), f"{len(seeds)} seeds"])
        raise place.error(("axes",), f"{cells:,} combinations ({sizes}); if that is meant, give --yes")


def _read(path: Path, above: tuple[Path, ...], origins: dict[KeyPath, str]) -> dict[str, Any]:
    value, lines = read_yaml(path)
    place = Place(path, lines)
    here = (*above, path.resolve())
    names = value.pop("include", [])
    merged: dict[str, Any] = {}
    for index, name in enumerate(names if isinstance(names, list) else [names]):
        if not isinstance(name, str):
            raise place.error(("include",), f"must be a file name or a list of them (given: {quoted(name)})")
        included = path.parent / name
        key: KeyPath = ("include", index) if isinstance(names, list) else ("include",)
        with place.naming(*key, of=(OSError, ValueError)):  # no name that a file can have
            target, is_file = included.resolve(), included.is_file()
        if target in here:
            chain = " -> ".join(one.name for one in (*here[here.index(target) :], included))
            raise place.error(key, f"files include each other: {chain}")
        if not is_file:
            raise place.error(key, f"no file {quoted(str(included))}; the name is read from the folder of this file")
        _merge(merged, _read(included, here, origins))
    _merge(merged, value)
    origins |= {key: f"{path}:{line}" for key, line in lines.items()}
    return merged


def _merge(below: dict[str, Any], above: dict[str, Any]) -> None:
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(below.get(key), dict):
            _merge(below[key], value)
        else:
            below[key] = value


def _override(
    content: dict[str, Any], override: str, origins: dict[KeyPath, str], top: list[str], baseline: list[str]
) -> None:
    key, equals, text = override.partition("=")
    override = " ".join(override.split())  # as it is shown, in one line
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise UserError(f"--set {override}: write KEY=VALUE, as in train.steps=500")
    axes = content.get("axes")
    if isinstance(axes, dict) and key.strip() in axes:
        raise UserError(f"--set {override}: {key.strip()} varies on an axis; set axes.{key.strip()}=[...] instead")
    if parts[0] == "axes" and len(parts) > 1:
        path: list[str] = ["axes", ".".join(parts[1:])]
    elif parts[0] == "tune" and len(parts) > 2:
        path = ["tune", ".".join(parts[1:])]
    elif parts[0] in top:
        path = parts
    elif parts[0] in baseline:
        path = ["baseline", *parts]
    else:
        raise UserError(f"--set {override}: unknown key; {allowed_words(parts[0], [*top, *baseline])}")
    try:
        value = load_yaml(text)
    except YAML_TROUBLE as error:
        raise UserError(f"--set {override}: the value is not valid YAML: {first_line(error)}") from error
    current = content
    for part in path[:-1]:
        if not isinstance(current.get(part), dict):
            current[part] = {}
        current = current[part]
    current[path[-1]] = value
    for known in [known for known in origins if known[: len(path)] == tuple(path)]:
        del origins[known]
    origins[tuple(path)] = f"--set {override}"
