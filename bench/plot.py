# SPDX-License-Identifier: BSD-3-Clause
"""
Draws a run's rates over the size of frames: a panel for each path, a line for each side, through
the medians, and from the least to the most at each point.
"""

import statistics

COLOURS = ("#2b6cb0", "#dd6b20", "#718096", "#38a169", "#805ad5", "#d53f8c", "#0987a0", "#975a16",
           "#e53e3e", "#1a202c")
WIDTH, HEIGHT = 560, 260
LEFT, TOP, BETWEEN, LEGEND = 60, 60, 60, 260
TICKS = 4


def text(x, y, words, anchor="middle", size=12):
    return (f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" font-size="{size}" '
            f'font-family="sans-serif">{words}</text>')


def line(x1, y1, x2, y2, colour="#222"):
    return (f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>')


def group(rows, paths):
    """{path: {side: {size: rates}}}; each in order of appearance."""
    groups = {}
    for row in rows:
        path = row.path if row.path in paths else paths[0]
        name = row.side if row.path in paths else row.path
        name += f" ({row.form})" if row.form else ""
        groups.setdefault(path, {}).setdefault(name, {}).setdefault(row.size, []).append(row.mpps)
    return groups


def draw_side(places, rates, top, scale, colour, name):
    """A side's line. places: where each size is; `rates`: by size."""
    base, parts, points = top + HEIGHT, [], []
    for size, some in sorted(rates.items()):
        x, y = places[size], base - statistics.median(some) * scale
        points.append(f"{x:.1f},{y:.1f}")
        parts += [line(x, base - min(some) * scale, x, base - max(some) * scale, colour),
                  f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"><title>{name}, '
                  f'{size} B: {statistics.median(some):.2f} ({min(some):.2f} to {max(some):.2f})'
                  '</title></circle>']
    return [f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}"/>', *parts]


def draw_panel(path, sides, top, names):
    """Of one path; its own scale."""
    sizes = sorted({size for rates in sides.values() for size in rates})
    most = max(rate for rates in sides.values() for some in rates.values() for rate in some) or 1
    step = WIDTH / len(sizes)
    base, scale = top + HEIGHT, HEIGHT / most
    parts = [text(LEFT, top - 12, f"{path}: million frames a second", "start", 13),
             line(LEFT, base, LEFT + WIDTH, base), line(LEFT, top, LEFT, base)]
    for tick in range(TICKS + 1):
        y = base - HEIGHT * tick / TICKS
        parts += [text(LEFT - 8, y + 4, f"{most * tick / TICKS:.1f}", "end", 11),
                  line(LEFT, y, LEFT + WIDTH, y, "#ddd")]
    parts += [text(LEFT + step * (i + 0.5), base + 18, f"{size} B") for i, size in enumerate(sizes)]
    for i, (name, rates) in enumerate(sides.items()):
        colour = COLOURS[names.index(name) % len(COLOURS)]
        # Side by side, so that their spreads don't hide each other.
        shift = (i - (len(sides) - 1) / 2) * min(8, step / 2 / len(sides))
        places = {size: LEFT + step * (j + 0.5) + shift for j, size in enumerate(sizes)}
        parts += draw_side(places, rates, top, scale, colour, name)
        y = top + 18 * i
        parts += [f'<rect x="{LEFT + WIDTH + 20}" y="{y}" width="12" height="12" '
                  f'fill="{colour}"/>', text(LEFT + WIDTH + 38, y + 10, name, "start")]
    return parts


def draw(rows, paths, file):
    """Write an SVG. `paths`: those that have panels of their own; other rows go to the first."""
    groups = group(rows, paths)
    names = list(dict.fromkeys(name for sides in groups.values() for name in sides))
    title = "Frames through a guest and back" + (f"; {rows[0].run}" if rows else "")
    parts, top = [text(LEFT, 24, title, "start", 14)], TOP
    for path, sides in groups.items():
        parts += draw_panel(path, sides, top, names)
        top += HEIGHT + BETWEEN
    with open(file, "w", encoding="utf-8") as out:
        out.write(f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + LEGEND}" '
                  f'height="{top}">\n<rect width="100%" height="100%" fill="white"/>\n'
                  + "\n".join(parts) + "\n</svg>\n")
