"""The distribution of radii over a set of images: as text, as numbers, as a plot."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from netproof.errors import InputError
from netproof.report.text import seconds_text
from netproof.runs.radii.rows import ANSWERED, EXACT, MISCLASSIFIED, OPEN, RadiusRow
from netproof.runs.rows import ERROR

#: columns of the longest bar
_BAR = 50
#: radii that a histogram has lines for; more are put together
_LINES = 40
#: images named where there are many
_NAMED = 8


@dataclass(frozen=True)
class Level:
    """What is known at one radius, in numbers of images.

    Attributes
    ----------
    radius : in grey levels
    exact : images whose largest radius this is
    robust : images proved robust at it
    vulnerable : images with a witness within it
    open : images neither of both
    """

    radius: int
    exact: int
    robust: int
    vulnerable: int
    open: int


@dataclass(frozen=True)
class Distribution:
    """Radii of images.

    Attributes
    ----------
    levels : one for each radius from 0 to the first at which nothing is left to tell
    counts : of images, by verdict
    unlimited : images that are robust at every radius
    open, errors : images
    median : of the exact radii; None where there are none
    seconds : of all images that have a radius: sum, median, largest, and the image of the largest
    """

    levels: tuple[Level, ...]
    counts: dict[str, int]
    unlimited: int
    open: tuple[int, ...]
    errors: dict[int, str]
    median: float | None
    seconds: tuple[float, float, float, int]

    @property
    def images(self) -> int:
        """How many have a radius, known or not."""
        return self.counts[EXACT] + self.counts[OPEN]


def distribution(rows: Sequence[RadiusRow]) -> Distribution:
    """The distribution of the radii in a table."""
    rows = sorted(rows, key=lambda row: row.image)
    answered = [row for row in rows if row.verdict in ANSWERED]
    exact = [row for row in answered if row.verdict == EXACT]
    unlimited = [row for row in exact if row.refuted < 0]
    limited = Counter(row.proved for row in exact if row.refuted >= 0)
    levels = []
    last = max((max(row.evident) for row in answered), default=-1)
    for radius in range(last + 1):
        robust = sum(row.proved >= radius or row in unlimited for row in answered)
        vulnerable = sum(0 <= row.refuted <= radius for row in answered)
        levels.append(Level(radius, limited[radius], robust, vulnerable, len(answered) - robust - vulnerable))
    slowest = max(answered, key=lambda row: row.seconds, default=None)
    times = [row.seconds for row in answered]
    return Distribution(
        tuple(levels),
        {verdict: sum(row.verdict == verdict for row in rows) for verdict in (EXACT, OPEN, MISCLASSIFIED, ERROR)},
        len(unlimited),
        tuple(row.image for row in rows if row.verdict == OPEN),
        {row.image: row.reason for row in rows if row.verdict == ERROR},
        statistics.median(row.proved for row in exact) if exact else None,
        (
            sum(times),
            statistics.median(times) if times else 0.0,
            slowest.seconds if slowest else 0.0,
            slowest.image if slowest else -1,
        ),
    )


def render_distribution(found: Distribution, total: int) -> str:
    """A histogram of the exact radii, and the totals; ``total`` is how many images were asked for."""
    lines = ["radius  images  robust  (share of those classified correctly)"] if found.levels else []
    width = -(-len(found.levels) // _LINES)
    bins = [found.levels[first : first + width] for first in range(0, len(found.levels), width or 1)]
    largest = max((sum(level.exact for level in part) for part in bins), default=0)
    for part in bins:
        count = sum(level.exact for level in part)
        title = str(part[0].radius) if len(part) == 1 else f"{part[0].radius}-{part[-1].radius}"
        bar = "#" * round(_BAR * count / largest) if largest else ""
        share = f"{100 * part[0].robust / found.images:.1f} %"
        lines.append(f"{title:>6}  {count:>6}  {part[0].robust:>6}  {share:>7}  {bar}".rstrip())
    if found.unlimited:
        lines.append(f"{'every':>6}  {found.unlimited:>6}")
    counts = [f"{found.counts[EXACT]} exact"]
    counts += [f"{count} {verdict}" for verdict, count in found.counts.items() if count and verdict != EXACT]
    missing = total - sum(found.counts.values())
    counts += [f"{missing} not run"] if missing else []
    lines.append(f"{total} images: {', '.join(counts)}")
    if found.median is not None:
        lines.append(f"median of the exact radii: {found.median:g}")
    if found.open:
        more = f" and {len(found.open) - _NAMED} more" if found.open[_NAMED:] else ""
        lines.append(f"open: {', '.join(map(str, found.open[:_NAMED]))}{more}")
    if found.images:
        whole, median, longest, image = found.seconds
        lines.append(
            f"time of the images: sum {seconds_text(whole)}, median {seconds_text(median)}, "
            f"largest {seconds_text(longest)} (image {image})"
        )
    return "\n".join(lines) + "\n"


def distribution_csv(found: Distribution) -> str:
    """The levels as CSV."""
    lines = ["radius,exact,robust,vulnerable,open"]
    lines += [f"{v.radius},{v.exact},{v.robust},{v.vulnerable},{v.open}" for v in found.levels]
    return "\n".join(lines) + "\n"


def distribution_document(found: Distribution) -> dict[str, object]:
    """The distribution for JSON."""
    return {
        "counts": dict(found.counts),
        "unlimited": found.unlimited,
        "median": found.median,
        "levels": [vars(level) for level in found.levels],
        "open": list(found.open),
        "errors": [{"image": image, "reason": reason} for image, reason in found.errors.items()],
        "seconds": dict(zip(("sum", "median", "max", "slowest"), found.seconds, strict=True)),
    }


def check_plottable(path: Path) -> None:
    """Refuse a plot that could not be drawn, before hours of work are spent; raises :class:`InputError`."""
    try:
        from matplotlib.backends import backend_agg  # noqa: F401
    except ImportError:
        hint = "pip install 'netproof[report]', or leave it out: distribution.csv has the same numbers"
        raise InputError("--plot", "needs matplotlib, which is not installed", hint) from None
    if path.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise InputError(
            "--plot", f"'{path.name}' is of no known kind", "give a file name that ends with .png, .svg or .pdf"
        )


def plot_distribution(found: Distribution, title: str, path: Path) -> None:
    """Draw how many images have which radius, and which share is robust at it; raises :class:`InputError`.

    :func:`check_plottable` has to have passed.
    """
    from matplotlib.figure import Figure

    from netproof.files.opened import whole_file

    figure = Figure(figsize=(7, 4), layout="constrained")
    bars = figure.add_subplot()
    radii = [level.radius for level in found.levels]
    bars.bar(radii, [level.exact for level in found.levels], color="#9ecae1", label="images with this radius")
    bars.set_xlabel("radius (grey levels)")
    bars.set_ylabel("images")
    bars.set_title(title)
    share = bars.twinx()
    robust = [100 * level.robust / found.images for level in found.levels]
    possible = [100 * (level.robust + level.open) / found.images for level in found.levels]
    share.step(radii, robust, where="mid", color="#08519c", label="proved robust")
    if found.open:
        share.fill_between(radii, robust, possible, step="mid", color="#08519c", alpha=0.2, label="not decided")
    share.set_ylabel("% of images classified correctly")
    share.set_ylim(0, 105)
    handles = [part for axes in (bars, share) for part in axes.get_legend_handles_labels()[0]]
    share.legend(handles=handles, loc="upper right")
    kind = path.suffix.lower().removeprefix(".")
    # Without the time of day, so that the same numbers give the same file.
    metadata: dict[str, dict[str, None]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    with whole_file(path) as stream:
        figure.savefig(stream, format=kind, metadata=metadata.get(kind))
