"""Metadata of an exported study as an RO-Crate 1.1: what each file is, its checksum, licence, citation and software.

Source: https://w3id.org/ro/crate/1.1, Sefton et al. (2020), doi 10.5281/zenodo.4541002.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from bench.citation import AUTHOR, LICENCE, LICENCES, NAME, TITLE, citation
from bench.versions import SOFTWARE as VERSION

CRATE = "ro-crate-metadata.json"
SPECIFICATION = "https://w3id.org/ro/crate/1.1"
CONTEXT = [f"{SPECIFICATION}/context", {"sha256": "https://schema.org/sha256"}]
"""The context of RO-Crate 1.1 lacks schema.org's later `sha256`."""
SOFTWARE, RUN, AUTHORS = "#software", "#run", "#authors"
TYPES = {
    ".jsonl": "application/jsonl",
    ".parquet": "application/vnd.apache.parquet",
    ".md": "text/markdown",
    ".mid": "audio/midi",
    ".tex": "application/x-tex",
}
"""Media types that Python's own table lacks or leaves to the system."""
FILES = {
    "study.json": "Settings of the study and its cells",
    "table.csv": "Result table, one row a measurement",
    "table.parquet": "Result table, one row a measurement",
    "report.md": "Report",
    "report.html": "Report with tables that sort and music that plays",
    "cell.json": "Settings that decide the result of a cell",
    "environment.json": "Machine and libraries of a cell",
    "measurements.jsonl": "Measurements of a cell with their raw values",
    "status.json": "State of a cell and checksums of its files",
    "history.jsonl": "Learning curve of a cell",
    "vectors.parquet": "Values of single windows and pieces of a cell",
}


def crate(
    study: Mapping[str, Any],
    files: Mapping[str, Mapping[str, Any]],
    ended: str,
    environment: Mapping[str, Any],
    licence: str = "",
) -> dict[str, Any]:
    """The JSON-LD of a crate.

    Parameters
    ----------
    study
        The study as `study.json` has it: `name`, `question`.
    files
        Path below the root -> its size in `bytes` and its `sha256`.
    ended
        ISO 8601 date on which the last cell ended.
    environment
        Device and libraries of a cell; may be empty.
    licence
        SPDX identifier of the licence of the results; "": the crate says that none is stated.
    """
    terms = {"@id": f"{LICENCES}{licence}"} if licence else {"@id": "#licence"}
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": f"Results of the study {study['name']}",
        "description": " ".join(
            str(study.get("question") or "A study of denoisers in symbolic-music diffusion").split()
        ),
        "datePublished": ended,
        "license": terms,
        "hasPart": [{"@id": quote(name)} for name in files],
        "citation": {"@id": SOFTWARE},
        "mentions": {"@id": RUN},
    }
    descriptor = {
        "@id": CRATE,
        "@type": "CreativeWork",
        "conformsTo": {"@id": SPECIFICATION},
        "about": {"@id": "./"},
    }
    graph = [descriptor, root, _licence(terms["@id"], licence), *_run(ended, environment)]
    if terms["@id"] != f"{LICENCES}{LICENCE}":
        graph.append(_licence(f"{LICENCES}{LICENCE}", LICENCE))
    return {"@context": CONTEXT, "@graph": [*graph, *(_file(name, entry) for name, entry in files.items())]}


def _licence(identifier: str, name: str) -> dict[str, Any]:
    words = (
        f"Licence {name}, see its SPDX page."
        if name
        else "The exporter states no licence: ask the authors of the study."
    )
    return {"@id": identifier, "@type": "CreativeWork", "name": name or "No licence stated", "description": words}


def _run(ended: str, environment: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The run that made the results, the software it ran, and who wrote that."""
    libraries = environment.get("libraries")
    needs = [f"{name} {version}" for name, version in libraries.items()] if isinstance(libraries, dict) else []
    software = {
        "@id": SOFTWARE,
        "@type": "SoftwareApplication",
        "name": NAME,
        "description": TITLE,
        "version": VERSION,
        "softwareVersion": VERSION,
        "license": {"@id": f"{LICENCES}{LICENCE}"},
        "author": {"@id": AUTHORS},
        "creditText": citation(),
        "softwareRequirements": needs,
    }
    device = environment.get("device")
    run = {
        "@id": RUN,
        "@type": "CreateAction",
        "name": f"Run of {NAME}",
        "description": f"On {device or 'an unknown device'}; described by version {VERSION}",
        "instrument": {"@id": SOFTWARE},
        "result": {"@id": "./"},
        "endTime": ended,
    }
    return [software, run, {"@id": AUTHORS, "@type": "Organization", "name": AUTHOR}]


def _file(name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    path = PurePosixPath(name)
    return {
        "@id": quote(name),
        "@type": "File",
        "name": FILES.get(path.name, path.name),
        "contentSize": str(entry["bytes"]),
        "encodingFormat": TYPES.get(path.suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream",
        "sha256": entry["sha256"],
    }
