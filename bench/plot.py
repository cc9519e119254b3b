# SPDX-License-Identifier: BSD-3-Clause
"""Draws a run's rates as bars: the median, and a line from the least to the most."""

import statistics

COLOURS = ("#2b6cb0", "#dd6b20", "#718096", "#38a169", "#805ad5")
HEIGHT, BOTTOM, TOP, LEFT = 260, 60, 60, 60
BAR, GAP = 34, 40


def text(x, y, words, anchor="middle", size=12):
    return (f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" font-size="{size}" '
            f'font-family="sans-serif">{words}</text>')


def line(x1, y1, x2, y2, colour="#222"):
    return (f'<line x1="{x1:.0f}" y1="{y1:.0f}" x2="{x2:.0f}" y2="{y2:.0f}" stroke="{colour}"/>')


def draw_bar(x, rates, colour, scale):
    """A bar with its label; the base line is y = TOP + HEIGHT."""
    base, middle = TOP + HEIGHT, x + BAR / 2
    top = base - statistics.median(rates) * scale
    return [f'<rect x="{x:.0f}" y="{top:.0f}" width="{BAR - 4}" height="{base - top:.0f}" '
            f'fill="{colour}"/>',
            line(middle - 2, base - min(rates) * scale, middle - 2, base - max(rates) * scale),
            text(middle - 2, base - max(rates) * scale - 5, f"{statistics.median(rates):.1f}",
                 size=11)]


def group(rows, paths):
    """Rates by (path, size), then by what the bar is of; each in order of appearance."""
    groups = {}
    for row in rows:
        path = row.path if row.path in paths else paths[0]
        name = row.side if row.path in paths else row.path
        name += f" ({row.form})" if row.form else ""
        groups.setdefault((path, row.size), {}).setdefault(name, []).append(row.mpps)
    return groups


def draw(rows, paths, file):
    """Write an SVG. `paths`: those that have groups of their own; other rows go to the first."""
    groups = group(rows, paths)
    names = list(dict.fromkeys(name for bars in groups.values() for name in bars))
    most = max((rate for bars in groups.values() for rates in bars.values() for rate in rates),
               default=0) or 1
    scale, x, parts = HEIGHT / most, LEFT, []
    for (path, size), bars in groups.items():
        start = x
        for name, rates in bars.items():
            parts += draw_bar(x, rates, COLOURS[names.index(name) % len(COLOURS)], scale)
            x += BAR
        parts.append(text((start + x) / 2, TOP + HEIGHT + 20, f"{path}, {size} B"))
        x += GAP
    width = max(x, LEFT + 170 * len(names))
    for i, name in enumerate(names):
        parts.append(f'<rect x="{LEFT + 170 * i}" y="{TOP + HEIGHT + 36}" width="12" height="12" '
                     f'fill="{COLOURS[i % len(COLOURS)]}"/>')
        parts.append(text(LEFT + 18 + 170 * i, TOP + HEIGHT + 46, name, "start"))
    title = "Million frames a second through a guest and back"
    if rows:
        title += f"; {rows[0].run}"
    parts += [line(LEFT, TOP + HEIGHT, width, TOP + HEIGHT), text(LEFT, 24, title, "start", 14)]
    with open(file, "w", encoding="utf-8") as out:
        out.write(f'<svg xmlns="http://www.w3.org/2000/svg" width="{width + 20}" '
                  f'height="{TOP + HEIGHT + BOTTOM}">\n'
                  '<rect width="100%" height="100%" fill="white"/>\n'
                  + "\n".join(parts) + "\n</svg>\n")
