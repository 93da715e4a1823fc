"""The documentation as a site: built strictly, links whole, nothing fetched from elsewhere."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from browser import Browser, has_browser

pytest.importorskip("material", reason="mkdocs-material is not installed")

REPOSITORY = Path(__file__).parents[1]
DOCS = REPOSITORY / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `make docs` builds it."""
    folder = tmp_path_factory.mktemp("site")
    # Warnings are errors: a page without navigation, a link or an anchor that leads nowhere.
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict",
         "-f", DOCS / "site" / "mkdocs.yml", "--site-dir", folder],
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    return folder


class Page(HTMLParser):
    """What a page refers to, what it loads, and what can be referred to in it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.ids: set[str] = set()
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.ids |= {values[name] for name in ("id", "name") if name in values}
        for name in ("href", "src"):
            if name in values:
                (self.links if tag == "a" else self.loads).append(values[name])


def test_every_page_is_in_the_site(site: Path) -> None:
    index = Page(site / "index.html")
    pages = [path.relative_to(DOCS) for path in DOCS.rglob("*.md") if path.name != "README.md"]
    for page in pages:
        assert str(page.with_suffix(".html")) in index.links, page
    assert "CHANGELOG.html" in index.links


def test_all_links_lead_somewhere(site: Path) -> None:
    pages = {path: Page(path) for path in site.rglob("*.html") if path.name != "404.html"}
    for path, page in pages.items():
        for link in {*page.links, *page.loads}:
            if re.match(r"(https?|data|mailto):", link):
                continue
            place, _, anchor = link.partition("#")
            target = (path.parent / unquote(place)).resolve() if place else path
            if target.is_dir():
                target /= "index.html"
            assert target.exists(), f"{path.relative_to(site)}: {link}"
            if anchor and target.suffix == ".html":
                assert unquote(anchor) in pages[target].ids, f"{path.relative_to(site)}: {link}"


def test_nothing_comes_from_elsewhere(site: Path) -> None:
    for path in site.rglob("*.html"):
        assert not [place for place in Page(path).loads if re.match(r"(https?:)?//", place)]
    for path in site.rglob("*.css"):
        assert not re.findall(r"url\(.?https?:[^)]*\)|@import[^;]*", path.read_text()), path


@pytest.mark.skipif(not has_browser(), reason="Chromium and its driver are not installed")
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_browser_shows_it_from_a_folder_and_finds_words(site: Path, dark: bool) -> None:
    with Browser(1200, 900, dark=dark) as browser:
        browser.open((site / "index.html").as_uri())
        shade = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g)"
        red = int(browser.run(f"return {shade}[0]"))
        assert red < 80 if dark else red > 200
        browser.run(
            "const box = document.querySelector('.md-search__input');"
            "box.focus(); box.value = 'watermark';"
            "box.dispatchEvent(new KeyboardEvent('keyup', {bubbles: true}));"
        )
        found = browser.until("document.querySelectorAll('.md-search-result__item a').length")
        assert found > 0
        assert browser.complaints() == []
