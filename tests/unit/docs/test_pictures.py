"""The picture in the README is what the command prints today."""

from pathlib import Path
from xml.etree import ElementTree as ET

from scripts.pictures import FOLDER, picture

ROOT = Path(__file__).parents[3]


def texts(svg: str) -> list[str]:
    return [text for each in ET.fromstring(svg).iter("{*}text") if (text := (each.text or "").strip())]


def test_the_picture_says_what_the_command_prints() -> None:
    kept = (FOLDER / "show.svg").read_text(encoding="utf-8")
    assert texts(kept) == texts(picture()), "draw it again: python -m scripts.pictures"


def test_pictures_fetch_nothing_and_run_nothing() -> None:
    for path in FOLDER.glob("*.svg"):
        picture = path.read_text(encoding="utf-8")
        assert picture.count("http") == 1  # the namespace
        assert not any(word in picture for word in ("@import", "@font-face", "<script", "href", "url(h"))


def test_every_picture_is_shown_and_described() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert 'src="docs/pictures/show.svg" alt="' in readme
    assert "](pictures/show.svg)" in index
    collectors = (ROOT / "docs" / "how-to" / "collectors.md").read_text(encoding="utf-8")
    assert 'src="docs/pictures/phoenix.png" alt="' in readme
    assert "](../pictures/phoenix.png)" in collectors
    assert (FOLDER / "phoenix.png").stat().st_size < 200_000
