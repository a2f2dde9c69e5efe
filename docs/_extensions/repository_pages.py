"""A hook of mkdocs: pages that lie at the top of the repository, where people look for them, are part of the site, too.

Links stay as they work in the repository. On the way to the site, those between the two folders are mended, and those to
files that are no page (a licence, a module) become plain names.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.nav import Navigation
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
#: pages at the top of the repository, and what the site calls them
PAGES = {"README.md": "index.md", **{name: name for name in ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")}}

_LINK = re.compile(r"\[([^\]]*)\]\(([^)\s#]+)(#[^)\s]*)?\)")
_FENCE = re.compile(r"(^```.*?^```)", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for file, name in PAGES.items():
        files.append(File.generated(config, name, abs_src_path=str(ROOT / file)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    del config, files
    site = {"docs/" + name: name for name in _names_in_docs()} | PAGES
    names = {name: file for file, name in site.items()}
    here = names[page.file.src_uri]

    def mended(link: re.Match[str]) -> str:
        text, target, anchor = link[1], link[2], link[3] or ""
        if "://" in target or target.startswith("mailto:"):
            return link[0]
        file = posixpath.normpath(posixpath.join(posixpath.dirname(here), target))
        if file in site:
            to = posixpath.relpath(site[file], posixpath.dirname(page.file.src_uri) or ".")
            return f"[{text}]({to}{anchor})"
        if (ROOT / file).exists():  # part of the repository, not of the site
            return text
        return link[0]  # mkdocs says that it leads nowhere

    parts = _FENCE.split(markdown)
    return "".join(part if part.startswith("```") else _LINK.sub(mended, part) for part in parts)


def on_nav(nav: Navigation, config: MkDocsConfig, files: Files) -> Navigation:
    del config, files
    nav.pages[0].title = "netproof"
    return nav


def _names_in_docs() -> list[str]:
    folder = ROOT / "docs"
    return [page.relative_to(folder).as_posix() for page in folder.rglob("*.md")]
