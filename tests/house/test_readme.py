"""README and docs: every study is valid, every Python block runs, every command exists."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import typer
import yaml
from pages import PAGES, ROOT, inline, tokens
from typer.testing import CliRunner

import bench
from architectures import denoiser
from architectures import registry as mixers
from bench.cli import app
from bench.data.catalog import CORPORA
from bench.diffusion.samplers import SAMPLERS
from bench.report.figures import FIGURES
from bench.study.grid import find_study, load_study
from metrics import quantities

LANGUAGES = {"sh", "yaml", "python", "text"}
PROGRAMS = {"smdim-bench", "make", "pip", "pytest", "export", "printf"}
REFERENCE = ROOT / "results" / "reference" / "cpu-2-cores" / "quickstart"

# A command that reads stored results or lists what there is runs here. All others train, time, sample, download, wait
# or read files of the user: for them the parser of the program checks name, arguments, options and types.
READING = ("list", "patterns", "figure", "cite", "compare", "claims", "schema", "corpus list")
UsageError = typer.BadParameter.__base__ or Exception  # of the click that typer brings or imports
RUN_ELSEWHERE = {"denoisers.md"}  # its Python runs in test_denoiser_page.py
LONG_OPTIONS = {"--map", "--watch"}  # options that make a reading command compute for minutes or wait
DRAWN = ["figure", "pareto", "quickstart", "--width", "3.3", "-o", "pareto.pdf"]  # others: test_report_figures.py


@cache
def blocks(language: str) -> list[tuple[str, str]]:
    """(page and line, text) of each fenced block."""
    return [
        (f"{page.name}:{token.map[0] + 1}", token.content)
        for page in PAGES
        for token in tokens(page)
        if token.type == "fence" and token.info == language and token.map
    ]


def named(found: list[tuple[str, str]]) -> list:
    return [pytest.param(text, id=where) for where, text in found]


@cache
def commands() -> list[tuple[str, list[str], bool]]:
    """(page, words from the program's name on, whether it stands in running text) of every command shown.

    A line of an `sh` block may end in a comment; variables in front and torchrun's own options are left out.
    """
    lines = [(w, line, False) for w, text in blocks("sh") for line in text.replace("\\\n", " ").splitlines()]
    for page in PAGES:
        spans = [token.content for token in inline(page) if token.type == "code_inline"]
        lines += [(page.name, text, True) for text in spans if text.partition(" ")[0] in PROGRAMS]
    found = []
    for where, line, in_text in lines:
        words = shlex.split(line, comments=True)
        while words and re.fullmatch(r"[A-Z_0-9]+=.*", words[0]):
            words = words[1:]
        if words[:1] == ["torchrun"]:
            words = ["smdim-bench", *words[words.index("bench") + 1 :]]
        if words:
            found.append((where, words, in_text))
    return found


def calls(program: str) -> list:
    """Arguments of each different call of a program, and whether the call stands in running text."""
    found = {tuple(words[1:]): (where, in_text) for where, words, in_text in commands() if words[0] == program}
    return [
        pytest.param(list(arguments), in_text, id=f"{where} {shlex.join(arguments)}")
        for arguments, (where, in_text) in found.items()
    ]


@cache
def program() -> Any:
    """The program's parser with all its commands and options."""
    return typer.main.get_command(app)


def parsed(arguments: list[str], *, mention: bool = False) -> tuple[str, dict[str, Any]]:
    """Command and parameters of a call of `smdim-bench`, by the parser of the program; nothing runs.

    Raises click's UsageError for an unknown option, a missing argument or a value of the wrong type. A mention in
    running text may be the name of a command alone.
    """
    command, path, rest = program(), [], list(arguments)
    while hasattr(command, "commands"):
        assert rest or mention, f"smdim-bench {shlex.join(arguments)}: not a command"
        if not rest:
            return " ".join(path), {}
        assert rest[0] in command.commands, f"smdim-bench {shlex.join(arguments)}: no command {rest[0]!r}"
        command = command.commands[rest[0]]
        path.append(rest.pop(0))
    if mention and not rest:
        return " ".join(path), {}
    return " ".join(path), command.make_context(path[-1], rest).params


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a reader's checkout looks after `make bench`: results/quickstart and the committed references."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "results" / "reference" / "cpu-2-cores").mkdir(parents=True)
    shutil.copytree(REFERENCE, folder / "results" / "reference" / "cpu-2-cores" / "quickstart")
    shutil.copytree(REFERENCE, folder / "results" / "quickstart")
    return folder


@contextmanager
def registrations_undone() -> Iterator[None]:
    """What a block registers or imports from its folder is gone afterwards."""
    mixers.registered_mixers()  # fills its registry on the first call, as does quantities.quantities()
    quantities.quantities()
    denoiser.registered_denoisers()
    registries = (
        *(mixers._BY_LETTER, mixers._BY_NAME, denoiser._BY_NAME, SAMPLERS, FIGURES, CORPORA),
        *(quantities._QUANTITIES, quantities._FUNCTIONS),
    )
    with ExitStack() as stack:
        for registry in registries:
            stack.enter_context(patch.dict(registry))
        yield


def test_pages_are_found_and_each_block_has_a_language_that_is_checked() -> None:
    assert len(PAGES) >= 11
    for page in PAGES:
        for token in tokens(page):
            assert token.type != "code_block", f"{page.name}: an indented block; fence it and give its language"
            assert token.type != "fence" or token.info in LANGUAGES, f"{page.name}: a block of language {token.info!r}"


def test_the_readme_stays_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 220


@pytest.mark.parametrize("text", named(blocks("yaml")))
def test_every_study_shown_is_valid(text: str, tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(text)
    assert load_study(path).combinations()


@pytest.mark.parametrize(
    "text",
    named(
        [
            block
            for block in blocks("python")
            if block[0].partition(":")[0] not in RUN_ELSEWHERE and "register_mixer" not in block[1]
        ]
    ),
)
def test_every_python_block_runs(text: str, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)
    with registrations_undone():
        exec(compile(text, "block", "exec"), {"__name__": "__main__"})


def test_the_mixer_shown_passes_the_contract_and_joins_a_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dichterliebe: Path, cells_here: set[str]
) -> None:
    cells_here.add("XFA*2")  # the module of the mixer is imported in its cell's process too
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with registrations_undone():
        _mixer_in_a_study(tmp_path, f"folder:{dichterliebe}")
    sys.modules.pop("my_block")


def _mixer_in_a_study(folder: Path, corpus: str) -> None:
    (code,) = [text for _, text in blocks("python") if "register_mixer" in text]
    (folder / "my_block.py").write_text(code)
    assert "FAILED" not in smdim_bench("check", "my_block")
    (study,) = [text for _, text in blocks("yaml") if "my_block" in text]
    content = yaml.safe_load(study)
    content["seeds"] = [0]
    content["baseline"] |= {
        "corpus": corpus,
        "length": 256,
        "model": {"width": 64, "layers": 6},
        "train": {"steps": 2, "batch": 2, "warmup_steps": 1, "validations": 0, "final_validation_windows": 4},
        "sample": {"pieces": 2, "steps": 4},
    }
    once = {
        "lengths": [64],
        "rounds": 1,
        "replicates": 1,
        "calls_per_round": 1,
        "time_cap_s": 1,
        "threads": 1,
        "training": False,
    }
    content["measure"]["efficiency"] = once
    (folder / "mine.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    planned = smdim_bench("plan", "mine.yaml")
    assert "5 cells" in planned
    assert re.search(r"XFA\*2: .* in params against smdim", planned)
    smdim_bench("run", "mine.yaml", "--no-report")
    frame = bench.load_results(folder / "results" / "mine").frame
    timed = frame[(frame.metric == "step_latency") & (frame.kind == "efficiency")]
    assert sorted(timed.arm) == ["XFA*2", "smdim"]
    assert (timed.value > 0).all()
    assert {"XFA*2", "smdim"} <= set(frame[frame.kind == "quality"].arm)


def test_every_command_is_of_a_program_that_is_checked() -> None:
    assert {words[0] for _, words, _ in commands()} <= PROGRAMS


@pytest.mark.parametrize("text", named(blocks("sh")))
def test_every_shell_block_parses(text: str) -> None:
    done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("arguments", "in_text"), calls("smdim-bench"))
def test_every_command_exists_and_reading_ones_run(
    arguments: list[str], in_text: bool, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, options = parsed(arguments, mention=in_text)
    if name in ("run", "plan") and options and not str(options["study"]).endswith(".yaml"):
        assert find_study(options["study"]).is_file()
    if name == "figure" and options and arguments != DRAWN:
        assert options["name"] in FIGURES
        return
    stored = [str(options[key]) for key in ("study", "first", "second") if options.get(key)]
    here = all((workplace / name).is_dir() or (workplace / "results" / name).is_dir() for name in stored)
    own = str(options.get("paper")).endswith(".yaml")  # a file of the reader
    if name not in READING or not here or own or LONG_OPTIONS & set(arguments) or (in_text and not options):
        return
    monkeypatch.chdir(workplace)
    assert smdim_bench(*arguments).strip()


@pytest.mark.parametrize(
    "arguments", [["runn", "quickstart"], ["run"], ["run", "quickstart", "--jbs", "2"], ["corpus"]]
)
def test_a_call_that_the_program_would_refuse_is_found(arguments: list[str]) -> None:
    with pytest.raises((AssertionError, UsageError)):
        parsed(arguments)


@pytest.mark.parametrize(("arguments", "in_text"), calls("make"))
def test_every_make_target_exists(arguments: list[str], in_text: bool) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in (word for word in arguments if "=" not in word):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


@pytest.mark.parametrize(("arguments", "in_text"), calls("pip"))
def test_every_extra_that_pip_installs_exists(arguments: list[str], in_text: bool) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for extra in re.findall(r"smdim-bench\[([^]]+)\]", " ".join(arguments)):
        assert extra in extras


@pytest.mark.parametrize(("arguments", "in_text"), calls("pytest"))
def test_every_test_that_pytest_runs_exists(arguments: list[str], in_text: bool) -> None:
    markers = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["markers"]
    for before, word in zip(["", *arguments], arguments, strict=False):
        if before == "-m":
            assert any(marker.startswith(f"{word}:") for marker in markers)
        elif not word.startswith("-"):
            assert (ROOT / word).exists()


def test_the_citation_names_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["version"] == bench.__version__
    assert f"## {bench.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def smdim_bench(*arguments: str) -> str:
    """Output of a command in the working directory."""
    done = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output
