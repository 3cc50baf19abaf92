"""Download a corpus from its published address: resumed when it breaks off, checked before it is trusted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from bench.data.adding import Added, add_corpus, contents_hash
from bench.data.catalog import ENTRIES, Listing, corpora_folder
from bench.data.download import PAUSE_S, TIMEOUT_S, BytesProgress, FetchError, download
from bench.data.pieces import Corpus, CorpusError
from bench.files import canonical_hash

POP909_CONTENTS = "aa62be6ef9f31b9072a37e7c62ccc67c01f788c212e99bf2b4cb33f522a592ba"
"""Hash over (id, sha256) of the 909 songs as of commit d83e6edba6872a704f5d3b8b32f5cb540088dae6 of the data set."""


@dataclass(frozen=True)
class Published:
    """Where a data set's archive is published, with what is known of it (None: not published)."""

    address: str
    sha256: str | None
    size_bytes: int | None
    contents: str | None = None


PUBLISHED = {
    # MuSpy's data set table publishes the same address, size and checksum
    "maestro": Published(
        "https://storage.googleapis.com/magentadata/datasets/maestro/v3.0.0/maestro-v3.0.0-midi.zip",
        "70470ee253295c8d2c71e6d9d4a815189e35c89624b76d22fce5a019d5dde12c",
        58_416_533,
    ),
    # GitHub packs archives on demand, so neither size nor checksum is published: the 909 songs are checked instead
    "pop909": Published(
        "https://github.com/music-x-lab/POP909-Dataset/archive/d83e6edba6872a704f5d3b8b32f5cb540088dae6.zip",
        None,
        None,
        POP909_CONTENTS,
    ),
}


def published_as(name: str, address: str | None = None) -> Published:
    """Where a corpus is published, or the same at another address; CorpusError when it cannot be fetched."""
    if name not in PUBLISHED:
        words = "it comes without" if name in ENTRIES else "unknown corpus"
        raise CorpusError(f"{name!r} cannot be fetched ({words}): only {', '.join(PUBLISHED)} can")
    return PUBLISHED[name] if address is None else replace(PUBLISHED[name], address=address)


def fetch_corpus(
    name: str,
    *,
    published: Published | None = None,
    progress: BytesProgress | None = None,
    timeout_s: float = TIMEOUT_S,
    pause_s: float = PAUSE_S,
) -> Added:
    """Download, check and add a corpus; a download that broke off goes on where it stopped, now or in a later call.

    `published` replaces what is known of the archive (a mirror). Raises FetchError, ArchiveError or CorpusError with
    one line; the corpus added before stays.
    """
    published = published or published_as(name)
    archive = corpora_folder() / "downloads" / f"{name}.archive"
    download(
        published.address,
        archive,
        sha256=published.sha256,
        size_bytes=published.size_bytes,
        progress=progress,
        timeout_s=timeout_s,
        pause_s=pause_s,
    )
    try:
        return add_corpus(name, archive, check=_contents_check(published))
    finally:
        archive.unlink(missing_ok=True)


def _contents_check(published: Published) -> Callable[[Listing], None]:
    def check(listing: Listing) -> None:
        if published.contents is not None and contents_hash(listing) != published.contents:
            raise FetchError(
                f"{published.address} gave {len(listing.sources)} pieces that are not the published ones "
                "(their files differ); nothing was added"
            )

    return check


def compare_with_published(corpus: Corpus) -> str:
    """One line on whether these are the published pieces; "" where nothing is published to compare with."""
    published = PUBLISHED.get(corpus.name)
    if published is None or published.contents is None:
        return ""
    found = canonical_hash([[piece.id, piece.sha256] for piece in corpus.pieces], 64)
    if found == published.contents:
        return f"all {len(corpus.pieces)} pieces are byte for byte the published ones"
    return f"the {len(corpus.pieces)} usable pieces are not, or not all, the published ones byte for byte"
