"""A bar chart of CPU per request as SVG, readable on light and dark ground."""

from html import escape

WIDTH, LEFT, RIGHT, TOP, ROW, BAR = 900, 340, 90, 64, 34, 18

STYLE = """
    .ground { fill: #ffffff } .ink { fill: #1f2328 } .faint { fill: #59636e } .grid { stroke: #d1d9e0 }
    .peer { fill: #8c959f } .gateway { fill: #0969da } .spread { stroke: #1f2328 }
    text { font: 13px system-ui, -apple-system, 'Segoe UI', sans-serif }
    .title { font-size: 16px; font-weight: 600 } .small { font-size: 12px }
    @media (prefers-color-scheme: dark) {
      .ground { fill: #0d1117 } .ink { fill: #f0f6fc } .faint { fill: #9198a1 } .grid { stroke: #3d444d }
      .peer { fill: #656c76 } .gateway { fill: #4493f8 } .spread { stroke: #f0f6fc }
    }
"""


def step_for(most):
    """A round distance between grid lines that gives four to eight of them."""
    for step in (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500):
        if most / step <= 8:
            return step
    return most


def text(x, y, content, classes="ink", anchor="start"):
    """One line of text."""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{classes}" text-anchor="{anchor}">{escape(content)}</text>'


def chart(summaries, subtitle):
    """One bar a contestant: the median, with a line from the least to the most of its rounds."""
    drawn = [one for one in summaries if one["median"]["cpu_us"] is not None]
    most = max((max(one["rounds"]["cpu_us"]) for one in drawn), default=1.0)
    step = step_for(most)
    top_value = step * (int(most / step) + 1)
    scale = (WIDTH - LEFT - RIGHT) / top_value
    bottom = TOP + ROW * len(drawn)
    height = bottom + 46
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'role="img" aria-label="Server CPU microseconds per request">',
        f"  <style>{STYLE}  </style>",
        f'  <rect class="ground" width="{WIDTH}" height="{height}"/>',
        "  " + text(16, 26, "Server CPU per request, µs (less is better)", "ink title"),
        "  " + text(16, 46, subtitle, "faint small"),
    ]
    lines = int(round(top_value / step))
    for place in range(lines + 1):
        x = LEFT + place * step * scale
        out.append(f'  <line class="grid" x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom}"/>')
        out.append("  " + text(x, bottom + 18, f"{place * step:g}", "faint small", "middle"))
    for row, one in enumerate(drawn):
        middle = TOP + ROW * row + ROW / 2
        median, values = one["median"]["cpu_us"], one["rounds"]["cpu_us"]
        links = "" if one["links"] is None else f", {one['links']:,} links"
        kind = "gateway" if one["kind"] == "hopgate" else "peer"
        low, high = LEFT + min(values) * scale, LEFT + max(values) * scale
        out.append("  " + text(LEFT - 10, middle + 4, one["label"] + links, "ink small", "end"))
        out.append(
            f'  <rect class="{kind}" x="{LEFT}" y="{middle - BAR / 2:.1f}" width="{median * scale:.1f}" '
            f'height="{BAR}" rx="2"/>'
        )
        out.append(f'  <line class="spread" x1="{low:.1f}" y1="{middle:.1f}" x2="{high:.1f}" y2="{middle:.1f}"/>')
        for x in (low, high):
            out.append(
                f'  <line class="spread" x1="{x:.1f}" y1="{middle - 4:.1f}" x2="{x:.1f}" y2="{middle + 4:.1f}"/>'
            )
        out.append("  " + text(max(high, LEFT + median * scale) + 8, middle + 4, f"{median:.2f}"))
    out.append("  " + text(16, height - 8, "Bar: median of the rounds. Line: least to most.", "faint small"))
    out.append("</svg>")
    return "\n".join(out) + "\n"
