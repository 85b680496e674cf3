"""The ratios as an SVG: a bar from the smallest to the largest, a mark at the median, a line at the goal.

Green is met: to the right of the goal, or to the left where its label says "at most".
"""

from collections.abc import Sequence
from html import escape
from math import log10

from benchmarks.comparing import Comparison

LABEL, WIDTH, MARGIN, ROW = 620, 1260, 120, 30
LEAST, MOST = 0.1, 1000.0
"""The axis is logarithmic, so that twice as much is as far to the right as half as much to the left."""


def chart(rows: Sequence[Comparison]) -> str:
    """One line a row."""
    height = ROW * (len(rows) + 2)
    ticks = [_tick(times, height) for times in (0.1, 0.3, 1, 2, 4, 10, 30, 100, 1000)]
    bars = [_bar(row, ROW * (number + 1)) for number, row in enumerate(rows)]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            'font-family="sans-serif" font-size="12">',
            "<title>Conveyor's figure divided by the other side's, round by round</title>",
            f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
            *ticks,
            *bars,
            "</svg>\n",
        ]
    )


def _x(times: float) -> float:
    share = log10(min(max(times, LEAST), MOST) / LEAST) / log10(MOST / LEAST)
    return round(LABEL + share * (WIDTH - LABEL - MARGIN), 1)


def _tick(times: float, height: int) -> str:
    stroke = "#888" if times == 1 else "#ddd"
    x, bottom = _x(times), height - ROW
    return (
        f'<line x1="{x}" x2="{x}" y1="8" y2="{bottom}" stroke="{stroke}"/>'
        f'<text x="{x}" y="{bottom + 18}" text-anchor="middle" fill="#555">{times:g} ×</text>'
    )


def _label(row: Comparison) -> str:
    return f"{row.what} / {row.against}{' (at most)' if row.goal.at_most else ''}"


def _said(row: Comparison) -> str:
    return f"{row.middle:.2f} ×{'' if row.is_met else ', missed'}"


def _bar(row: Comparison, y: int) -> str:
    colour = "#2a7f3e" if row.is_met else "#b3372b"
    low, high, middle, goal = map(_x, (min(row.measured), max(row.measured), row.middle, row.goal.times))
    width = round(max(high - low, 1), 1)
    return (
        f'<text x="{LABEL - 10}" y="{y + 4}" text-anchor="end">{escape(_label(row))}</text>'
        f'<rect x="{low}" y="{y - 4}" width="{width}" height="8" fill="{colour}" opacity="0.4"/>'
        f'<circle cx="{middle}" cy="{y}" r="4" fill="{colour}"/>'
        f'<line x1="{goal}" x2="{goal}" y1="{y - 9}" y2="{y + 9}" stroke="black" stroke-dasharray="3 2"/>'
        f'<text x="{WIDTH - 10}" y="{y + 4}" text-anchor="end" fill="{colour}">{_said(row)}</text>'
    )
