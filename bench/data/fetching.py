"""Download of a corpus from its published address: resumed when it breaks off, checked before it is added."""

from __future__ import annotations

from dataclasses import replace

from bench.data.adding import Added, add_corpus, contents_hash
from bench.data.catalog import CORPORA
from bench.data.download import BytesProgress, FetchError, downloaded
from bench.data.pieces import Corpus, CorpusError
from bench.data.registry import Listing, Published, corpora_folder
from bench.errors import quoted
from bench.files import canonical_hash


def published_as(name: str, address: str | None = None) -> Published:
    """Where a corpus is published, or the same at another address; CorpusError when it cannot be fetched."""
    published = CORPORA[name].published if name in CORPORA else None
    if published is None:
        words = "it comes without" if name in CORPORA else "unknown corpus"
        fetched = ", ".join(sorted(entry.name for entry in CORPORA.values() if entry.published))
        raise CorpusError(f"{quoted(name)} cannot be fetched ({words}): only {fetched} can")
    return published if address is None else replace(published, address=address)


def fetch_corpus(name: str, *, published: Published | None = None, progress: BytesProgress | None = None) -> Added:
    """Download, check and add a corpus; a download that broke off goes on where it stopped, now or in a later call.

    `published` replaces what is known of the archive (a mirror). Raises FetchError, ArchiveError or CorpusError with
    one line; the corpus added before stays.
    """
    published = published or published_as(name)
    archive = corpora_folder() / "downloads" / f"{name}.archive"

    def check(listing: Listing) -> None:
        if published.contents is not None and contents_hash(listing) != published.contents:
            raise FetchError(
                f"{published.address} gave {len(listing.sources)} pieces that are not the published ones "
                "(their files differ); nothing was added"
            )

    with downloaded(
        published.address, archive, sha256=published.sha256, size_bytes=published.size_bytes, progress=progress
    ):
        try:
            return add_corpus(name, archive, check=check)
        finally:
            archive.unlink(missing_ok=True)


def compare_with_published(corpus: Corpus) -> str:
    """One line on whether these are the published pieces; "" where nothing is published to compare with."""
    entry = CORPORA.get(corpus.name)
    published = entry.published if entry else None
    if published is None or published.contents is None:
        return ""
    found = canonical_hash([[piece.id, piece.sha256] for piece in corpus.pieces], 64)
    if found == published.contents:
        return f"all {len(corpus.pieces)} pieces are byte for byte the published ones"
    return f"the {len(corpus.pieces)} usable pieces are not, or not all, the published ones byte for byte"
