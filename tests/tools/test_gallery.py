"""The page of all figures is what its tool writes."""

import gallery


def test_the_page_holds_every_registered_figure_as_it_is_described() -> None:
    assert gallery.PAGE.read_text() == gallery.page(), "run: python tools/gallery.py"
    for name in gallery.FIGURES:
        assert f"smdim-bench figure {name} " in gallery.page()


def test_the_image_is_that_of_the_first_study_that_has_one() -> None:
    assert gallery.image_of("cost").parts[-3] == "quickstart"
    assert gallery.image_of("tuning").parts[-3] == "quickstart_rates"
    assert gallery.image_of("no-such-figure") is None
