"""Line charts over time as inline SVG: no script, no file beside the page, colours from its style sheet."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 960, 220
LEFT, RIGHT, TOP, BOTTOM = 56, 20, 26, 26
STEPS = (1, 2, 5, 10)


@dataclass(frozen=True, slots=True)
class Line:
    """One curve."""

    label: str
    colour: str
    """Name of a custom property of the page, e.g. ``blue``."""
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Shade:
    """A stretch of time in which something was wrong."""

    label: str
    kind: str
    """Class of the page: ``kill``, ``pause``, ``restart`` or ``drain``."""
    begin_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class _Scale:
    length_s: float
    top: float

    def x(self, at_s: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * min(1.0, max(0.0, at_s / self.length_s))

    def y(self, value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - min(1.0, max(0.0, value / self.top)))


def chart(title: str, unit: str, lines: Sequence[Line], shades: Sequence[Shade], *, length_s: float) -> str:
    """Draw curves over shaded stretches; times in seconds, values not negative."""
    highest = max((value for line in lines for _, value in line.points), default=0.0)
    step = _step(highest)
    scale = _Scale(max(length_s, 1.0), step * max(1, -(-highest // step)))
    parts = [
        f'<figure><figcaption>{escape(title)} <span class="legend">{_legend(lines)}</span></figcaption>',
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">',
        *(_shade(scale, shade) for shade in shades),
        *_grid(scale, step, unit),
        *(_curve(scale, line) for line in lines),
        "</svg></figure>",
    ]
    return "".join(parts)


def _step(highest: float) -> float:
    """Choose round steps, so that about four lines cross the chart."""
    size = 1.0
    while size * 40 < highest:
        size *= 10
    while size * 4 > highest and size > 1e-6:
        size /= 10
    return next((size * factor for factor in STEPS if size * factor * 5 >= highest), size * 10) if highest else 1.0


def _legend(lines: Sequence[Line]) -> str:
    return " ".join(f'<i style="background:var(--{line.colour})"></i>{escape(line.label)}' for line in lines)


def _shade(scale: _Scale, shade: Shade) -> str:
    begin, end = scale.x(shade.begin_s), scale.x(shade.end_s)
    return (
        f'<rect class="shade {shade.kind}" x="{begin:.1f}" y="{TOP}" width="{max(2.0, end - begin):.1f}" '
        f'height="{HEIGHT - TOP - BOTTOM}"><title>{escape(shade.label)}</title></rect>'
        f'<text class="mark" x="{begin + 3:.1f}" y="{TOP - 6}">{escape(shade.label)}</text>'
    )


def _grid(scale: _Scale, step: float, unit: str) -> list[str]:
    parts = []
    value = 0.0
    while value <= scale.top * 1.001:
        y = scale.y(value)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}{unit}</text>')
        value += step
    seconds = 0
    while seconds <= scale.length_s:
        x = scale.x(seconds)
        parts.append(f'<text class="tick" x="{x:.1f}" y="{HEIGHT - 8}" text-anchor="middle">{seconds} s</text>')
        seconds += 10 if scale.length_s <= 130 else 60
    return parts


def _curve(scale: _Scale, line: Line) -> str:
    points = " ".join(f"{scale.x(at_s):.1f},{scale.y(value):.1f}" for at_s, value in line.points)
    return f'<polyline class="curve" style="stroke:var(--{line.colour})" points="{points}"/>'
