"""`corpus`: see, add, fetch, describe and check the music."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.terminal import print_document, print_line, terminal

if TYPE_CHECKING:
    from bench.data import TokenCorpus
    from bench.data.adding import Added
    from bench.data.download import BytesProgress
    from bench.data.pieces import Corpus

NameArgument = Annotated[
    str, typer.Argument(help="A name from `corpus list`, such as demo or maestro, or folder:PATH.")
]
SubsetOption = Annotated[str | None, typer.Option(help="Only this part: a folder or book, as lieder, 2018, han1.abc.")]


commands = typer.Typer(help="See, add, fetch, describe and check the music.", no_args_is_help=True)


@commands.command("list")
def list_corpora() -> None:
    """Show the corpora known by name, their licences, and whether they are here."""
    from rich.table import Table

    from bench.data.catalog import CORPORA, FOLDER_WORDS
    from bench.data.names import FOLDER_PREFIX
    from bench.data.pieces import CorpusError

    table = Table("name", "here", "what it is", "licence", box=None, pad_edge=False)
    for entry in CORPORA.values():
        try:
            entry.find()
            here = "yes"
        except CorpusError:
            here = entry.origin
        table.add_row(entry.name, here, entry.words, entry.licence)
    table.add_row(f"{FOLDER_PREFIX}PATH", "", FOLDER_WORDS, "yours")
    terminal().print(table)


@commands.command()
def add(
    name: Annotated[str, typer.Argument(help="A corpus that is not shipped, such as pop909 or maestro.")],
    origin: Annotated[
        Path, typer.Option("--from", help="Archive (zip, tar) or folder in the data set's own layout; a part will do.")
    ],
) -> None:
    """Add a corpus such as POP909 or MAESTRO from a copy that you have."""
    from bench.data.adding import add_corpus

    with _counting("copying") as progress:
        added = add_corpus(name, origin, progress=progress)
    _report_added(added)


@commands.command()
def fetch(
    name: Annotated[str, typer.Argument(help="A published corpus, such as pop909 or maestro.")],
    address: Annotated[
        str | None, typer.Option(help="Another address of the same archive; it is checked all the same.")
    ] = None,
) -> None:
    """Download a corpus such as POP909 or MAESTRO from its published address; resumes a download that broke off."""
    from bench.data.catalog import entry_of
    from bench.data.fetching import fetch_corpus, published_as

    source = published_as(name, address)
    console = terminal()
    console.print(f"{name}: {entry_of(name).words}")
    console.print(f"licence: {entry_of(name).licence}")
    console.print(f"from {source.address}", soft_wrap=True)
    with _counting("downloading", in_bytes=True) as progress:
        added = fetch_corpus(name, published=source, progress=progress)
    _report_added(added)


@commands.command()
def info(
    name: NameArgument,
    subset: SubsetOption = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
    figure: Annotated[
        Path | None, typer.Option("--figure", "-o", help="Also draw the card: .png, .svg or .pdf.")
    ] = None,
    tokenizer: Annotated[
        list[str] | None,
        typer.Option(
            help="Describe this tokenizer on the corpus instead: default, remi-m, or settings such as "
            "'velocities=16 tempos=true'; repeatable, side by side."
        ),
    ] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="With --tokenizer: also write the table as CSV.")] = None,
) -> None:
    """Describe a corpus: pieces, notes, tokens, windows, entropies, pitches, density.

    With --tokenizer: what its tokens are on this corpus, and what the way through them changes in the notes.
    """
    from rich.table import Table

    from bench.data.card import check_suffix, corpus_card, draw_card
    from bench.errors import UserError

    if tokenizer:
        if figure is not None:
            raise UserError("--figure is of the corpus's own card; allowed with --tokenizer: --markdown, --csv")
        return _describe_tokenizers(name, subset, tokenizer, csv, markdown)
    if csv is not None:
        raise UserError("--csv is of a tokenizer's table; allowed: --tokenizer remi-m --csv FILE")
    if figure is not None:
        check_suffix(figure)
    tokens = _tokens(name, subset)
    with _counting("notes") as progress:
        card = corpus_card(tokens, progress=progress)
    if markdown:
        print_document(card.as_markdown())
    else:
        table = Table(title=card.name, title_justify="left", show_header=False, box=None, pad_edge=False)
        table.add_column(no_wrap=True)
        table.add_column()
        for fact, value in card.rows():
            table.add_row(fact, value)
        terminal().print(table)
    if figure is not None:
        draw_card(card, figure)
        print_line(f"figure: {figure}", error=markdown)


def _describe_tokenizers(name: str, subset: str | None, wanted: list[str], csv: Path | None, markdown: bool) -> None:
    """Print the table of tokenizers on a corpus, a column each, and write it as CSV."""
    from bench.cli.options import tokenizer_of
    from bench.data import corpus_notes, load_corpus, tokenize
    from bench.files import write_atomically
    from bench.measure.quality.tokeniser_card import tokeniser_card
    from bench.report.pages.terminal import print_table
    from bench.report.tables.tokeniser import tokeniser_table

    settings = [tokenizer_of(words.split(), "--tokenizer") for words in wanted]
    with _counting("reading") as progress:
        corpus = load_corpus(name, subset=subset, progress=progress)
    with _counting("notes") as progress:
        originals = corpus_notes(corpus, progress=progress)
    cards = {}
    for words, one in zip(wanted, settings, strict=True):
        with _counting(f"tokens, {words}") as progress:
            tokens = tokenize(corpus, one, progress=progress)
        cards[words] = tokeniser_card(tokens, originals)
    table = tokeniser_table(corpus.label, cards)
    if markdown:
        print_document(table.to_markdown())
    else:
        print_table(terminal(), table)
    if csv is not None:
        write_atomically(csv, table.to_csv())


@commands.command()
def check(
    name: NameArgument,
    subset: SubsetOption = None,
    strict: Annotated[bool, typer.Option("--strict", help="End with status 1 when any file is skipped.")] = False,
    near: Annotated[
        bool, typer.Option("--near", help="Also name near-duplicates, transposed ones among them.")
    ] = False,
) -> None:
    """List every file of a corpus that cannot be used, with the reason, and pieces with improbably long notes."""
    from bench.data import corpus_notes
    from bench.data.fetching import compare_with_published
    from bench.data.music import long_notes, unended_in_words

    tokens = _tokens(name, subset)
    corpus = tokens.corpus
    for item in tokens.skipped:
        print_line(f"skipped {item.id}: {item.reason}")
    for remark in corpus.notes:
        print_line(f"note: {remark}")
    if subset is None and (words := compare_with_published(corpus)):
        print_line(f"note: {words}")
    with _counting("notes") as progress:
        pieces = corpus_notes(corpus, progress=progress)
    if words := unended_in_words(pieces):
        print_line(f"note: {words}")
    for words in long_notes(pieces):
        print_line(f"long notes in {words}")
    if near:
        _name_near_duplicates(corpus)
    usable = len(tokens.pieces_in_order)
    print_line(f"{corpus.label}: {usable} of {usable + len(tokens.skipped)} pieces can be used")
    if strict and tokens.skipped:
        raise typer.Exit(1)


def _name_near_duplicates(corpus: Corpus) -> None:
    from bench.data.near import MOST_PIECES, near_duplicates, too_many

    if too_many(piece.content for piece in corpus.pieces):
        print_line(f"near-duplicates are sought among {MOST_PIECES:,} pieces at most")
        return
    sides = {piece.id: piece.split for piece in corpus.pieces}
    with _counting("near-duplicates") as progress:
        pairs = near_duplicates(corpus.pieces, {piece.id: piece.content for piece in corpus.pieces}, progress)
    for pair in pairs:
        higher = f", the second {abs(pair.semitones)} semitones {'higher' if pair.semitones > 0 else 'lower'}"
        print_line(
            f"near: {pair.first} ({sides[pair.first]}) and {pair.second} ({sides[pair.second]}) share "
            f"{pair.share:.0%} of their passages" + (higher if pair.semitones else "")
        )
    across = sum(sides[pair.first] != sides[pair.second] for pair in pairs)
    print_line(f"{len(pairs)} pairs of near-duplicates, {across} across the split")


def _report_added(added: Added) -> None:
    absent = f" ({added.without_file} listed without a file)" if added.without_file else ""
    print_line(f"{added.name}: {added.pieces} pieces{absent} now in {added.folder}")


def _tokens(name: str, subset: str | None) -> TokenCorpus:
    """A corpus as tokens, with a bar for each stage."""
    from bench.data import load_corpus, tokenize

    with _counting("reading") as progress:
        corpus = load_corpus(name, subset=subset, progress=progress)
    with _counting("tokens") as progress:
        return tokenize(corpus, progress=progress)


@contextmanager
def _counting(what: str, *, in_bytes: bool = False) -> Iterator[BytesProgress]:
    """A bar on stderr that counts pieces, or bytes with their speed; it shows from the first step on and goes away at
    the end."""
    from rich import progress as rich

    counts = (rich.DownloadColumn(), rich.TransferSpeedColumn()) if in_bytes else (rich.MofNCompleteColumn(),)
    columns = (
        rich.TextColumn("{task.description}", markup=False),
        rich.BarColumn(),
        *counts,
        rich.TimeRemainingColumn(),
    )
    console = terminal(error=True)
    with rich.Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None, visible=False)
        yield lambda done, total: bar.update(task, completed=done, total=total, visible=True)
