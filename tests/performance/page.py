"""How large a page of ``netproof report`` is, and how soon a browser paints it.

    python tests/performance/page.py [PAGE.html ...] [--made-up N] [--repeat N] [--picture FILE.png] [--from ID] [--verdict WORD] [--slowest]

Opens each page in a headless Chromium of its own, ``--repeat`` times, and prints the first paint and the first paint with content (W3C
Paint Timing, in milliseconds from the start of navigation), and what the browser's console said. ``--made-up`` adds the page of a run
of so many instances that never was, five of fourteen with a witness of 28x28 pixels. ``--picture`` keeps what is
seen of the last page, 1280 by 900 pixels. The extra ``browser`` brings playwright; Chromium is the system's.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from made_up_run import make_up

_PAINTS = "performance.getEntriesByType('paint').map(entry => [entry.name, entry.startTime])"


@dataclass(frozen=True)
class View:
    """What a picture shows: the element on top, one verdict or all, the slowest first or the page's order."""

    place: str
    verdict: str
    slowest: bool


def measured(browser: Browser, page: Path, picture: Path | None, view: View) -> tuple[dict[str, float], list[str]]:
    """Milliseconds until each paint, and what the console said."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    try:
        opened = context.new_page()
        said: list[str] = []
        opened.on("console", lambda message: said.append(message.text))
        opened.on("pageerror", lambda error: said.append(str(error)))
        opened.goto(page.resolve().as_uri())
        opened.wait_for_function("performance.getEntriesByType('paint').length > 1")
        paints = dict(opened.evaluate(_PAINTS))
        if picture is not None:
            if view.verdict:
                opened.select_option("#verdict", view.verdict)
            if view.slowest:
                for _ in range(2):
                    opened.get_by_role("button", name="seconds").click()
            opened.evaluate("place => document.getElementById(place)?.scrollIntoView()", view.place)
            opened.screenshot(path=picture)
        return paints, said
    finally:
        context.close()


def main() -> int:
    parser = argparse.ArgumentParser(description="Size and first paint of pages.")
    parser.add_argument("pages", nargs="*", type=Path, metavar="PAGE.html")
    parser.add_argument("--made-up", type=int, metavar="N", help="and the page of a run of so many instances")
    parser.add_argument("--repeat", type=int, default=3, help="how often each page is opened (default 3)")
    parser.add_argument("--picture", type=Path, metavar="FILE.png", help="keep what is seen of the last page")
    parser.add_argument("--from", dest="place", default="", metavar="ID", help="of the element that is on top of it")
    parser.add_argument("--verdict", default="", metavar="WORD", help="show those of one verdict on it")
    parser.add_argument("--slowest", action="store_true", help="show the slowest first on it")
    options = parser.parse_args()
    view = View(options.place, options.verdict, options.slowest)
    pages, away = options.pages, Path(tempfile.mkdtemp(prefix="netproof-page-"))
    if options.made_up:
        make_up(away / "run", options.made_up)
        page = away / f"{options.made_up} instances.html"
        subprocess.run([sys.executable, "-m", "netproof", "report", away / "run", "--out", page], check=True)
        pages.append(page)
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_playwright() as play:
        for page in pages:
            found, said = [], []
            for _ in range(options.repeat):
                # A browser of its own: nothing is warm.
                browser = play.chromium.launch(executable_path=program, args=["--no-sandbox"])
                paints, told = measured(browser, page, options.picture, view)
                browser.close()
                found.append(paints)
                said += told
            parts = (f"{name} {statistics.median(p[name] for p in found):.0f} ms" for name in found[0])
            sys.stdout.write(
                f"{page}: {page.stat().st_size} bytes, {', '.join(parts)}; the console said {said or 'nothing'}\n"
            )
    shutil.rmtree(away)
    return 0


if __name__ == "__main__":
    sys.exit(main())
