"""report.html as text: self-contained, escaped, complete."""

from __future__ import annotations

import json
import re

import pandas as pd

from bench.report.pages.content import Content, report_tables
from bench.report.pages.html.page import html_report


def page_of(folder, frame) -> str:
    return html_report(Content(frame, folder, "transformer", report_tables(frame, folder, "transformer"), {}, ["none"]))


def test_the_page_needs_nothing_from_outside(frame, results_folder):
    page = page_of(results_folder, frame)
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)[^\"]*\"|@import|url\(", page)
    assert len(page) < 10_000_000
    for section in (
        "Verdicts",
        "Claims",
        "Quality",
        "Cost",
        "Figures",
        "Caveats",
        "Failures",
        "Configuration",
    ):
        assert f'<span class="title">{section}</span>' in page
    assert "<h3>Summary</h3>" in page and "<h3>Listen</h3>" in page


def test_notes_of_samples_and_of_real_music_are_in_the_page(frame, results_folder):
    page = page_of(results_folder, frame)
    data = re.search(r'id="pieces">(.*?)</script>', page, flags=re.DOTALL)
    pieces = json.loads(data.group(1))
    assert page.count('<article class="sample"') == len(pieces) == 5  # two real pieces, one sample of three arms
    assert pieces[1]["notes"][:2] == [[0.0, 1.0, 48, 80], [1.0, 1.0, 49, 80]]  # the first arm, after one real piece
    assert page[: page.index("<details")].count("<article") == 4


def test_text_from_outside_is_escaped(frame, results_folder):
    name = 'a<script>alert("x")</script>'
    frame["arm"] = frame["arm"].replace("mamba", name)
    page = page_of(results_folder, frame)
    assert "<script>alert" not in page
    assert "a&lt;script&gt;alert" in page


def test_a_study_without_samples_still_has_a_page(frame, tmp_path):
    page = page_of(tmp_path, frame[frame["kind"] == "efficiency"])
    assert "<p>No music to play: " in page
    assert '<span class="title">Quality</span>' not in page


def test_configuration_and_environment_of_cells_are_shown_once(frame, results_folder):
    for arm in ("smdim", "mamba"):
        cell = results_folder / f"quality-{arm}-0"
        (cell / "cell.json").write_text(json.dumps({"id": arm, "settings": {"model": {"width": 192}}}))
        (cell / "environment.json").write_text(json.dumps({"torch": "2.13"}))
    page = page_of(results_folder, frame)
    assert "Environment of 2 cells (quality-smdim-0, quality-mamba-0)" in page
    assert page.count("&quot;torch&quot;") == 1
    assert "Settings of the 2 cells" in page


def test_two_hundred_further_cells_fit_in_ten_megabytes(frame, results_folder):
    quality = frame[(frame["kind"] == "quality") & (frame["arm"] == "smdim")]
    many = [
        quality.assign(arm=f"arm {number}", cell_id=quality["cell_id"] + f"-{number}", length=512)
        for number in range(100)
    ]
    page = page_of(results_folder, pd.concat([frame, *many], ignore_index=True))
    assert "arm 99" in page and len(page) < 10_000_000
