"""Study files damaged as text, as YAML and as values, and as settings of the command line."""

from __future__ import annotations

import json
import random
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from mutation import GIVEN, change_within, mutated, some_value
from pydantic import BaseModel

from bench.files import canonical_hash
from bench.study.content import Baseline, StudyFile
from bench.study.grid import STUDIES_FOLDER, Study, load_study
from bench.study.yaml import load_yaml

SCALARS = (
    "0", "1", "-1", "2", "1.5", "1e-3", "0.001", "010", "0o17", "0x1F", "1_000", "1:30", ".inf", "-.inf", ".nan",
    "yes", "no",
    "on", "true", "True", "null", "~", "2026-11-22", "99999999999999999999999", "1e400", "''", '"0"', "'yes'",
    '"\\n"', '"\\ud83d"',
    "[ours]", "[]", "{}", "[1, 1]", "[1, 1.0]", "[0, yes]", "{a: 1}", '"\\0"', '"\\ud83c\\udfb5"', "{1: 2}",
    "{null: 2}", "{[a]: b}", "&a 1", "*a",
    "!!str 1", "!!int x",
    "!!python/object:os.system x", "!!binary aGk=", "!!set {a}", "!!omap [a: 1]", "!x y", "? a", "|\n  x", ">-\n  x",
    "日本", "$x$", "@", "`", "%",
    "#", "'", '"', "-", ":", "MFA*8", "M" * 99, "(MF)99999999A", "((((", "smdim", "transformer", "mamba", "demo",
    "demo/lieder",
    "folder:/nonexistent", "params", "none", "cached", "ancestral", "linear", "cosine", "17%", "-5 %", "float32",
)  # fmt: skip
LINES = (
    "include: other.yaml", "include: study.yaml", "include: [../../../etc/passwd]", "include: /dev/null",
    "include: .", 'include: "\\0"', f"include: {'x' * 300}", "include: [other.yaml, other.yaml]",
    "<<: {seeds: [5]}", "<<: *a", "<<: [{name: x}]", "--- ", "...", "%YAML 1.1", "\tname: x", "seeds: [1, 2]",
    "name: ../x", "name: x\u2028y", "? ",
    "x: &a [*a]", "x: &a {b: *a}", "axes: {arm: [smdim, smdim]}", "exclude: [{arm: smdim}]", "matters: {nll: 1}",
    "limits: {}", "plugins: [os]",
)  # fmt: skip
OVERRIDES = (
    "train.steps=500", "axes.arm=[smdim, mamba]", "seeds=[0, 1]", "match=flops", "tune={}", "model.width=64",
    "measure.quality={}", "name=x",
    "sample.pieces=4", "limits.cell_hours=1", "axes.train.steps=[1, 2]", "baseline.arm=smdim",
    "tokenizer.preset=remi_m",
)  # fmt: skip


@cache
def texts() -> tuple[str, ...]:
    """The shipped studies."""
    return tuple(path.read_text() for path in sorted(STUDIES_FOLDER.rglob("*.yaml")) if "papers" not in path.parts)


def changed_lines(text: str, draw: random.Random) -> str:
    """A text in which lines were given other values, doubled, indented, dropped or added."""
    lines = text.split("\n")
    for _ in range(draw.choice((1, 1, 2, 4))):
        at = draw.randrange(len(lines))
        key, colon, _ = lines[at].partition(":")
        kind = draw.randrange(7)
        if kind < 3 and colon:
            lines[at] = f"{key}: {draw.choice(SCALARS)}"
        elif kind == 3:
            lines.insert(draw.randrange(len(lines)), lines[at])
        elif kind == 4:
            lines[at] = " " * draw.choice((1, 2, 4)) + lines[at] if draw.random() < 0.5 else lines[at].lstrip()
        elif kind == 5:
            del lines[at]
            lines = lines or [""]
        else:
            lines.insert(at, draw.choice(LINES))
    return "\n".join(lines)


def deep(draw: random.Random) -> str:
    """Nesting and aliases without end."""
    depth = draw.choice((10, 39, 41, 200, 2000))
    kind = draw.randrange(4)
    if kind == 0:
        return "x: " + "[" * depth + "]" * depth
    if kind == 1:
        return "x: " + "{a: " * depth + "1" + "}" * depth
    if kind == 2:
        levels = draw.choice((3, 8, 30))
        return "\n".join(
            ["a0: &a0 [1, 2]", *(f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 9)}]" for n in range(levels))]
        )
    return "\n".join(" " * level + "a:" for level in range(min(depth, 200)))


@cache
def settings_known() -> tuple[str, ...]:
    """Every key of a baseline's groups, dotted."""
    found = []
    for group, field in Baseline.model_fields.items():
        fields = getattr(field.annotation, "model_fields", None)
        found += [f"{group}.{name}" for name in fields] if fields else [group]
    return tuple(found)


def with_value(value: Any, draw: random.Random) -> Any:
    """The content of a study with values that its settings may take or refuse."""
    if draw.random() < 0.5:
        return change_within(value, draw)
    key = draw.choice(settings_known())
    values = [load_safely(draw.choice(SCALARS), draw) for _ in range(draw.choice((1, 2, 3)))]
    place = draw.randrange(4)
    if place == 0:
        value.setdefault("axes", {})[key] = values
    elif place == 1:
        value["tune"] = {key: values, **({"seeds": [7, 8]} if draw.random() < 0.5 else {})}
    elif place == 2 and "." in key and isinstance(value.get("baseline"), dict):
        group, name = key.split(".")
        inside = value["baseline"].setdefault(group, {})
        if isinstance(inside, dict):
            inside[name] = values[0]
    else:
        value[draw.choice(list(StudyFile.model_fields))] = values[0] if draw.random() < 0.5 else some_value(draw)
    return value


def with_other_numbers(value: Any, draw: random.Random) -> Any:
    """The content of a study with numbers that its settings mostly take, and with lists in another order."""
    if isinstance(value, dict):
        return {key: with_other_numbers(one, draw) for key, one in value.items()}
    if isinstance(value, list):
        some = draw.sample(value, draw.randint(1, len(value))) if value and draw.random() < 0.3 else value
        return [with_other_numbers(one, draw) for one in some]
    if isinstance(value, bool) or draw.random() < 0.85:
        return value
    if isinstance(value, int):
        return draw.choice((value + 1, value + 1, value * 2, value * 2, 1, value * 2**40 + 1))
    return draw.choice((value / 2, value / 3, 1e-7, value)) if isinstance(value, float) else value


def load_safely(text: str, draw: random.Random) -> Any:
    """A value from YAML, or another one where the text is no YAML."""
    try:
        return load_yaml(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return some_value(draw)


def read_study(draw: random.Random, folder: Path) -> bool:
    """A study whose canonical settings, written as `study.json` holds them, are read again as the same study."""
    text = draw.choice(texts())
    kind = draw.random()
    path = folder / GIVEN / "study.yaml"
    if kind < 0.2:
        content = changed_lines(text, draw).encode(errors="replace")
    elif kind < 0.8:
        value = with_other_numbers(load_yaml(text), draw)
        if kind > 0.6:
            value = with_value(value, draw)
        content = (
            json.dumps(value, default=str).encode()
            if draw.random() < 0.7
            else yaml.dump(value, allow_unicode=True).encode(errors="replace")
        )
    elif kind < 0.9:
        content = mutated(text.encode(), draw)
    elif kind < 0.93:
        content = f"{text}\n{deep(draw)}\n".encode()
    else:
        content = text.encode()
    path.write_bytes(content)
    path.with_name("other.yaml").write_bytes(
        b"seeds: [3]\n" if draw.random() < 0.5 else changed_lines(text, draw).encode(errors="replace")
    )
    if not path.with_name("quickstart.yaml").exists():  # what studies include
        for one in STUDIES_FOLDER.glob("**/*.yaml"):
            path.with_name(one.name).write_bytes(one.read_bytes())
    words = []
    if kind > 0.93 or draw.random() < 0.1:
        words = [mutated(draw.choice(OVERRIDES).encode(), draw).decode(errors="replace"), draw.choice(OVERRIDES)]
    study = load_study(path, words)
    written = study.content.model_dump(mode="json")
    path.write_text(json.dumps(written, indent=2))
    again = load_study(path, many=True)
    assert again.content.model_dump(mode="json") == written, "its settings were read as others"
    assert ids(again) == ids(study), "its combinations were read as others"
    return True


def ids(study: Study) -> list[tuple[str, str]]:
    """Label and hash of the settings of each combination."""
    return [(one.label, canonical_hash([_plain(part) for part in vars(one).values()])) for one in study.combinations()]


def _plain(part: Any) -> Any:
    return part.model_dump(mode="json") if isinstance(part, BaseModel) else part
