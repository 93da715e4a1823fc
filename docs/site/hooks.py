"""What MkDocs is told beyond its configuration: the navigation, and links that leave the pages.

The index in ``docs/README.md`` is the navigation, so that there is one list of pages; a test holds
it to the pages that there are. Files of the repository that pages link to are no pages: in the site
such a link becomes its text, but for the change log, which comes along.
"""

import posixpath
import re
from pathlib import Path, PurePosixPath
from typing import Any

__all__ = ["navigation", "on_config", "on_files", "on_page_markdown"]

_CHANGES = "CHANGELOG.md"
_WORKER = "assets/iframe-worker.js"
_LINK = re.compile(r"\[([^\]\[]+)\]\(([^)\s]+)\)")


def navigation(index: str) -> list[dict[str, Any]]:
    """Return the navigation that an index describes.

    Headings in bold have lists of links below them, or such lists under headings in italics.

    Args:
        index: the Markdown of ``docs/README.md``.
    """
    sections: list[dict[str, Any]] = [{"Start": "README.md"}]
    pages: list[dict[str, Any]] = []
    for line in index.splitlines():
        if heading := re.match(r"\*\*(\w[\w-]*)", line):
            pages = section = []
            sections.append({heading[1]: section})
        elif group := re.fullmatch(r"\*([^*]+)\*", line):
            pages = []
            section.append({group[1]: pages})
        elif entry := re.match(r"- \[([^\]]+)\]\(([^)#]+)\)", line):
            pages.append({entry[1]: entry[2]})
    return [*sections, {"Changes": _CHANGES}]


def on_config(config: Any) -> Any:
    """Make the navigation."""
    config["nav"] = navigation((Path(config["docs_dir"]) / "README.md").read_text("utf-8"))
    return config


def on_files(files: Any, config: Any) -> Any:
    """Take along the change log, which lies at the top, and what search needs in a folder."""
    from mkdocs.structure.files import File

    docs = Path(config["docs_dir"])
    for name, path in ((_CHANGES, docs.parent / _CHANGES), (_WORKER, docs / "site" / "worker.js")):
        files.append(File.generated(config, name, content=path.read_text("utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Leave out links to what is no page."""
    here = PurePosixPath(page.file.src_uri).parent

    def kept(link: re.Match[str]) -> str:
        text, target = link.groups()
        path, _, anchor = target.partition("#")
        if ":" in target or not path:
            return link[0]
        place = posixpath.normpath(here / path)
        if not place.startswith("../"):
            return link[0]
        if place == f"../{_CHANGES}":
            return f"[{text}]({posixpath.relpath(_CHANGES, here)}{'#' * bool(anchor)}{anchor})"
        return text

    # Code is left as it is.
    parts = re.split(r"(^```.*?^```$)", markdown, flags=re.MULTILINE | re.DOTALL)
    return "".join(p if p.startswith("```") else _LINK.sub(kept, p) for p in parts)
