"""The study language as a JSON schema."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter


def study_schema() -> dict[str, Any]:
    """JSON schema of a study file, with the settings of model, tokenizer and trainer in their places.

    Groups may be given in part, and values on axes too, so nothing is required but a name, a question and measures.
    """
    from architectures.catalog import SIZE_KEYS
    from architectures.config import BackboneConfig
    from bench.data import TokenizerSettings
    from bench.study.settings import StudyFile
    from bench.training import TrainSettings

    schema = StudyFile.model_json_schema()
    definitions = schema.setdefault("$defs", {})
    model = TypeAdapter(BackboneConfig).json_schema()
    definitions |= model.pop("$defs", {})
    sizes = (*SIZE_KEYS, "depth", "layers")
    count = {"type": "integer", "minimum": 1}
    known = {key: model["properties"].get(key, count) for key in sizes}
    baseline = definitions["Baseline"]["properties"]
    baseline["model"] = {"type": "object", "properties": known, "additionalProperties": False}
    for name, settings in (("tokenizer", TokenizerSettings), ("train", TrainSettings)):
        part = settings.model_json_schema()
        definitions |= part.pop("$defs", {})
        baseline[name] = part | {"required": []}
    names = {"type": "string"}
    schema["properties"]["include"] = {
        "anyOf": [names, {"type": "array", "items": names}],
        "description": "files whose content this one adds to; names are read from the folder of this file",
    }
    schema["properties"]["match"] = {
        "anyOf": [{"enum": ["params", "flops"]}, *schema["properties"]["match"].get("anyOf", [])]
    }
    schema.pop("required", None)  # an included file may say it
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
