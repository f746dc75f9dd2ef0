"""Small SVG plots of how a figure grows with size, both axes logarithmic; dashed is linear growth of the whole."""

from __future__ import annotations

import math
from html import escape

from report import Growth, short

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 420, 240, 60, 44, 30, 40
STYLE = "font-family='sans-serif' font-size='12' fill='#555'"


def plot(growth: Growth) -> str:
    """The curve of the medians, with least and most of the rounds as bars."""
    sizes = growth.sizes
    medians = [growth.median(size) for size in sizes]
    linear = [growth.linear(size) for size in sizes]
    low = min(min(growth.rounds[size]) for size in sizes)
    high = max(max(growth.rounds[size]) for size in sizes)
    x = _scale(sizes[0], sizes[-1], LEFT, WIDTH - RIGHT)
    y = _scale(low / 1.5, max(high, low * 10) * 1.5, HEIGHT - BOTTOM, TOP)
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' width='{WIDTH}' height='{HEIGHT}'>",
        "<rect width='100%' height='100%' fill='white'/>",
        f"<text x='10' y='20' {STYLE} font-weight='bold'>{escape(growth.name)} ({escape(growth.unit)})</text>",
        f"<line x1='{LEFT}' y1='{HEIGHT - BOTTOM}' x2='{WIDTH - RIGHT}' y2='{HEIGHT - BOTTOM}' stroke='#999'/>",
        f"<text x='{(LEFT + WIDTH - RIGHT) / 2}' y='{HEIGHT - 6}' {STYLE} text-anchor='middle'>{growth.sized}</text>",
        _line(_inside(sizes, linear, x, y), "stroke='#bbb' stroke-dasharray='4 4'"),
        _line(
            [(x(size), y(median)) for size, median in zip(sizes, medians, strict=True)],
            "stroke='#06c' stroke-width='2'",
        ),
    ]
    for size, median in zip(sizes, medians, strict=True):
        rounds, at = growth.rounds[size], x(size)
        parts += [
            f"<line x1='{at:.1f}' y1='{y(min(rounds)):.1f}' x2='{at:.1f}' y2='{y(max(rounds)):.1f}' stroke='#06c'/>",
            f"<circle cx='{at:.1f}' cy='{y(median):.1f}' r='3' fill='#06c'/>",
            f"<text x='{at:.1f}' y='{y(max(rounds)) - 7:.1f}' {STYLE} text-anchor='middle'>{short(median)}</text>",
            f"<text x='{at:.1f}' y='{HEIGHT - BOTTOM + 15}' {STYLE} text-anchor='middle'>{size:,}</text>",
        ]
    return "\n".join([*parts, "</svg>", ""])


def _scale(first: float, last: float, start: float, end: float):  # type: ignore[no-untyped-def]
    span = math.log(last / first) or 1.0
    return lambda value: start + (end - start) * math.log(value / first) / span


def _inside(sizes: list[int], values: list[float], x, y) -> list[tuple[float, float]]:  # type: ignore[no-untyped-def]
    """The part of the line from the first value on that does not leave the plot."""
    points = [(x(size), y(value)) for size, value in zip(sizes, values, strict=True)]
    (x0, y0), (x1, y1) = points[0], points[-1]
    share = min(1.0, (y0 - TOP) / (y0 - y1)) if y1 < y0 else 1.0
    return [(x0, y0), (x0 + share * (x1 - x0), y0 + share * (y1 - y0))]


def _line(points: list[tuple[float, float]], style: str) -> str:
    text = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f"<polyline points='{text}' fill='none' {style}/>"
