"""The demo corpus as it is shipped: one archive of MIDI files a subset, its index, its licences.

`python tools/pack_demo.py FOLDER` with the unpacked music (README.md, index.csv, LICENSES/, irish/, lieder/) writes
`bench/data/demo/`. The same files give the same archives, byte for byte, with the same xz.
"""

from __future__ import annotations

import argparse
import csv
import io
import lzma
import shutil
import tarfile
from pathlib import Path

DEMO_FOLDER = Path(__file__).parents[1] / "bench" / "data" / "demo"
SUBSETS = ("irish", "lieder")


def pack(files: list[Path]) -> bytes:
    """A tar.xz of the files by name, without dates, owners or folders."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for file in sorted(files):
            member = tarfile.TarInfo(file.name)
            member.size = file.stat().st_size
            with file.open("rb") as stream:
                archive.addfile(member, stream)
    return lzma.compress(raw.getvalue(), preset=9 | lzma.PRESET_EXTREME)


def index_rows(table: Path) -> list[dict[str, str]]:
    """Rows of the index; an Irish tune's title is the name of its track, which its file name leaves out."""
    with table.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        row.update({key: value.strip() for key, value in row.items()})
        if row["file"].startswith("irish/"):
            row["title"] = row["track_names"]
    return rows


def write_demo(music: Path, folder: Path = DEMO_FOLDER) -> None:
    """Write archives, index and licences of the unpacked music to `folder`; its README.md is left as it is."""
    rows = index_rows(music / "index.csv")
    for subset in SUBSETS:
        files = [music / row["file"] for row in rows if row["file"].startswith(f"{subset}/")]
        (folder / f"{subset}.tar.xz").write_bytes(pack(files))
    with (folder / "index.csv").open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    shutil.copytree(music / "LICENSES", folder / "LICENSES", dirs_exist_ok=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Pack the demo corpus for the wheel.")
    parser.add_argument("music", type=Path, help="folder of the unpacked music, with its index.csv")
    write_demo(parser.parse_args().music)
