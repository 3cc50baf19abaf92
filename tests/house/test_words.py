"""Plain words: a list of words and forms that product text, README and docs do not use."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("architectures", "metrics", "bench", "tools")
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]

# Pattern -> what to write instead. Whole words, any case, in docstrings, comments, messages and pages.
WORDS = {
    r"(?<!cannot )tell|tells|told|telling": "say, show, state; distinguish",  # but "cannot tell here", as reports say
    r"mend|mends|mended|mending": "fix, correct",
    r"dearer": "more expensive",
    r"for want of": "without, for lack of",
    r"(?:come|comes|came|coming) to": "is, amounts to; reaches",
    r"hear|hears|heard|hearing": "receive; sound",
    r"forgive|forgives|forgiven": "tolerate, allow",
    r"wish|wishes|wished": "request, option",
    r"weigh|weighs|weighed|weighing|weighings": "weight, measure",
    r"whoever|somebody|nobody": "name who or what it is",
    r"wants": "needs, takes",
    r"believes?|obeys?|foresees?|quarrels?": "personification; name the operation",
    r"speaks?|spoken": "say; contradict",
    r"honest": "name the property",
    r"surest": "most probable",
    r"doors?|seam": "interface, dispatch, choice",
    r"(?:its|their|the last|no) word": "precedence, output",
    r"of (?:ours|yours|theirs)": "our, your, their",
    r"ere|lest|whence|hither|thereof|hereof": "archaic",
}
# Parts of identifiers (kernel_door -> kernel, door; KernelDoor too).
NAMES = re.compile(
    r"tell|tells|told|mend|mended|dearer|hear|hears|heard|forgive|forgiven|wish|wished|weigh|weighed|weighing|weighings|"
    r"doors?|elsewhere|spoken|believes?|obeys?",
    re.IGNORECASE,
)
PLAIN = [
    (re.compile(rf"(?<![\w-])(?:{pattern})(?![\w-])", re.IGNORECASE), instead) for pattern, instead in WORDS.items()
]
ANY = re.compile("|".join(WORDS), re.IGNORECASE)  # a text without it needs no search pattern by pattern

# A module's docstring opens with a noun phrase or an imperative.
RIDDLE = re.compile(r"(?:What|Who|Whose|How|Whether|Where|Why|When|Which|Is|Are|Does|Do|Can)\b")
NOT_IMPERATIVE = re.compile(
    r"(?:Runs|Carries|Writes|Reads|Builds|Makes|Draws|Keeps|Takes|Gives|Holds|Shows|Finds|Turns|Starts|Says|Counts)\b"
)
CRUMB = 12  # characters; a shorter piece of a message is what a reflow left

# A rare word that splits into one of these and a word used often is two words that lost their space.
SMALL = re.compile(
    r"the|an?|is|in|of|to|and|with|under|within|are|on|by|for|as|at|or|that|than|from|it|be|not?|all|each"
)
ENGLISH = {"besides", "forgets", "logit", "shall", "understates"}  # words that split so and are one

Place = tuple[int, str]  # line, what is wrong


def in_text(text: str, line: int = 1) -> Iterator[Place]:
    if not ANY.search(text):
        return
    for pattern, instead in PLAIN:
        for found in pattern.finditer(text):
            yield line + text[: found.start()].count("\n"), f"{found[0]!r}: {instead}"


def in_name(name: str, line: int) -> Iterator[Place]:
    for part in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name):
        if NAMES.fullmatch(part):
            yield line, f"the name {name!r}"


def in_module_docstring(text: str) -> Iterator[Place]:
    sentence = re.split(r"(?<=[.?!])\s", text.strip(), maxsplit=1)[0]
    if RIDDLE.match(sentence) or sentence.endswith("?"):
        yield 1, f"the module's docstring opens with a riddle: {sentence[:60]!r}"
    if NOT_IMPERATIVE.match(sentence):
        yield 1, f"the module's docstring opens with neither a noun phrase nor an imperative: {sentence[:60]!r}"


def literals(tokens: list[tokenize.TokenInfo]) -> Iterator[list[tokenize.TokenInfo]]:
    """Runs of adjacent string literals. From Python 3.12 on an f-string is several tokens; it is joined to one here."""
    run: list[tokenize.TokenInfo] = []
    depth, start = 0, tokens[0]
    opens, closes = getattr(tokenize, "FSTRING_START", -1), getattr(tokenize, "FSTRING_END", -1)
    for token in tokens:
        if token.type == opens:
            depth += 1
            start = start if depth > 1 else token
        elif token.type == closes:
            depth -= 1
            if not depth:
                run.append(token._replace(string="f" + "x" * (token.end[1] - start.start[1] - 1), start=start.start))
        elif depth:
            continue
        elif token.type == tokenize.STRING:
            run.append(token)
        elif token.type not in (tokenize.NL, tokenize.COMMENT):
            if len(run) > 1:
                yield run
            run = []


def in_literals(tokens: list[tokenize.TokenInfo]) -> Iterator[Place]:
    for run in literals(tokens):
        for number, token in enumerate(run):
            characters = len(re.sub(r"^\w*[\"']+|[\"']+$", "", token.string))
            if number and token.start[0] == run[number - 1].end[0]:
                yield token.start[0], f"two literals on one line, {token.string[:40]}"
            elif characters < CRUMB:
                yield token.start[0], f"a crumb of a string, {token.string[:40]}"


@cache
def read(text: str) -> tuple[list[ast.AST], list[tokenize.TokenInfo], list[Place]]:
    """Syntax nodes and tokens of a Python file, and (line, text) of its strings, docstrings and comments."""
    nodes = list(ast.walk(ast.parse(text)))
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    strings = [
        (node.lineno, node.value) for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    comments = [(token.start[0], token.string) for token in tokens if token.type == tokenize.COMMENT]
    return nodes, tokens, strings + comments


def glued(texts: dict[str, list[Place]]) -> list[str]:
    """Words that a reflow glued together, `thereis`, in texts by file."""
    used = Counter(word for text in texts.values() for _, part in text for word in re.findall(r"\b[a-z]+\b", part))
    found = []
    for name, text in texts.items():
        for line, part in text:
            for word in set(re.findall(r"(?<![\w./`'-])[a-z]{5,}(?![\w/=`'(-])", part)) - ENGLISH:
                halves = ((word[:k], word[k:]) for k in range(2, len(word) - 1)) if used[word] <= 2 else ()
                if any(
                    (SMALL.fullmatch(a) or SMALL.fullmatch(b)) and used[a] >= 15 and used[b] >= 15 and len(a + b) > 4
                    for a, b in halves
                ):
                    found.append(f"{name}:{line}: {word!r} is two words")
    return found


def in_source(text: str) -> list[Place]:
    """Every place of a Python file that the lists forbid."""
    nodes, tokens, prose = read(text)
    assert isinstance(nodes[0], ast.Module)
    found = list(in_module_docstring(ast.get_docstring(nodes[0]) or ""))
    found += in_literals(tokens)
    for line, part in prose:
        found += in_text(part, line)
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found += in_name(node.name, node.lineno)
        elif isinstance(node, ast.arg):
            found += in_name(node.arg, node.lineno)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found += in_name(node.id, node.lineno)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found += in_name(node.attr, node.lineno)
        elif isinstance(node, ast.alias):
            found += in_name(node.asname or "", node.lineno)
    return sorted(set(found))


def places_of(room: str) -> list[str]:
    found = []
    for path in sorted((ROOT / room).rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        found += [f"{name}: the file's name: {wrong}" for _, wrong in in_name(path.stem, 0)]
        found += [f"{name}:{line}: {wrong}" for line, wrong in in_source(path.read_text())]
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_product_code_uses_plain_words(room: str) -> None:
    found = places_of(room)
    assert not found, f"{len(found)} places\n" + "\n".join(found)


@cache
def product_prose() -> dict[str, list[Place]]:
    files = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
    return {path.relative_to(ROOT).as_posix(): read(path.read_text())[2] for path in files} | {
        page.name: [(1, page.read_text())] for page in PAGES
    }


def test_no_two_words_are_glued() -> None:
    found = glued(product_prose())
    assert not found, "\n".join(found)


def test_two_glued_words_are_found() -> None:
    planted = {"planted.py": [(7, "empty where thereis none")]}
    assert glued(product_prose() | planted)[-1] == "planted.py:7: 'thereis' is two words"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_use_plain_words(page: Path) -> None:
    text = re.sub(r"`[^`\n]+`", "", page.read_text())  # names of files and commands have tests of their own
    found = [f"{page.name}:{line}: {wrong}" for line, wrong in in_text(text)]
    assert not found, "\n".join(found)


def test_shipped_studies_use_plain_words() -> None:
    files = sorted((ROOT / "bench" / "studies").rglob("*.yaml"))
    found = [f"{path.name}:{line}: {wrong}" for path in files for line, wrong in in_text(path.read_text())]
    assert files and not found, "\n".join(found)


@pytest.mark.parametrize(
    "source",
    [
        '"""What a run came out as."""',
        '"""Is one arm better than another? Paired tests."""',
        '"""Runs a study."""',
        "# the worker tells its parent",
        "def f() -> None:\n    raise ValueError('for want of memory')",
        "class KernelDoor: ...",
        "told = 1",
        "def f(wish: int) -> int: ...",
        "x = f'{1} is dearer'",
        "x = ('twelve characters or more, and then '\n  'over '\n  'again: twelve or more')",
        "x = 'one literal ' 'and another'",
        "x = f'{1} one literal ' 'and another'",
    ],
)
def test_a_planted_fault_is_found(source: str) -> None:
    assert in_source(source)


@pytest.mark.parametrize(
    "source",
    [
        '"""Exact sign-flip test for paired samples."""',
        '"""Write a study\'s report. What is kept is listed below."""',
        "weight = file.tell()  # weights, weighted; the position in the file",
        "x = ('a long line of a message, as the formatter leaves it, '\n 'and its second line')",
        "x = ('over', 'under')",
        "outdoors = mended_in(1)",
    ],
)
def test_plain_text_passes(source: str) -> None:
    assert in_source(source) == []
