"""Pictures as SVG: what is drawn gives the same bytes each time. On white, so that they can be read on a dark page too."""

import math
from html import escape

INK, GREY, PALE = "#333", "#666", "#ddd"
COLOURS = ("#4477aa", "#ee6677", "#228833", "#aa8800", "#aa3377")


class Picture:
    def __init__(self, width, height, title):
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">',
            f"<title>{escape(title)}</title>",
            f'<rect width="{width}" height="{height}" fill="#fff"/>',
        ]

    def text(self, x, y, text, anchor="start", colour=INK, size=None, more=""):
        more += f' font-size="{size}"' if size else ""
        self.parts.append(f'<text x="{_place(x)}" y="{_place(y)}" text-anchor="{anchor}" fill="{colour}"{more}>{escape(text)}</text>')

    def bar(self, x, y, width, height, colour, more="", about=None):
        about = f"><title>{escape(about)}</title></rect>" if about else "/>"
        sizes = f'x="{_place(x)}" y="{_place(y)}" width="{_place(width)}" height="{_place(height)}"'
        self.parts.append(f'<rect {sizes} fill="{colour}"{more}{about}')

    def line(self, points, colour=PALE, width=1, dashes=None):
        path = "M" + "L".join(f"{_place(x)} {_place(y)}" for x, y in points)
        more = f' stroke-dasharray="{dashes}"' if dashes else ""
        self.parts.append(f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="{width}"{more}/>')

    def dot(self, x, y, colour):
        self.parts.append(f'<circle cx="{_place(x)}" cy="{_place(y)}" r="4" fill="{colour}"/>')

    def write(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join([*self.parts, "</svg>\n"]))


def _place(value):
    return f"{value:.1f}".removesuffix(".0")


class Axis:
    """Where values lie between two places of a picture: evenly, or by their logarithm."""

    def __init__(self, values, begin, end, is_log=False):
        self.low, self.high = _around(values) if is_log else (0, max(values) * 1.05)
        self.begin, self.end = begin, end
        self.scale = math.log if is_log else float

    def __call__(self, value):
        low, high = self.scale(self.low), self.scale(self.high)
        return self.begin + (self.scale(min(max(value, self.low), self.high)) - low) / (high - low) * (self.end - self.begin)

    def ticks(self):
        """Of a logarithmic axis: 1, 2 and 5 of every power of ten; where there are many powers, these alone."""
        steps = (1, 2, 5) if self.high / self.low < 300 else (1,)
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        return [step * 10.0**power for power in powers for step in steps if self.low <= step * 10.0**power <= self.high]


def _around(values):
    """With some room on both sides."""
    return min(values) / 1.25, max(values) * 1.25


class Panel:
    """A plot with two axes, and room for a title above and a legend to the right, if there is one."""

    def __init__(self, picture, title, x, y):
        self.picture, self.x, self.y = picture, x, y
        self.entries = 0
        picture.text(x.begin, y.end - 14, title, size=14)

    def rows(self, label):
        """Lines at the ticks of the vertical axis."""
        for value in self.y.ticks():
            self.picture.line([(self.x.begin, self.y(value)), (self.x.end, self.y(value))])
            self.picture.text(self.x.begin - 6, self.y(value) + 4, label(value), "end", GREY)

    def columns(self, values, label, title):
        """Ticks of the horizontal axis, at what was measured."""
        for value in values:
            self.picture.line([(self.x(value), self.y.begin), (self.x(value), self.y.begin + 5)], GREY)
            self.picture.text(self.x(value), self.y.begin + 19, label(value), "middle", GREY)
        self.picture.line([(self.x.begin, self.y.begin), (self.x.end, self.y.begin)], GREY)
        self.picture.text((self.x.begin + self.x.end) / 2, self.y.begin + 38, title, "middle", GREY)

    def curve(self, points, colour, dashes=None):
        self.picture.line([(self.x(x), self.y(y)) for x, y in points], colour, 2, dashes)

    def dots(self, points, colour):
        for x, y in points:
            self.picture.dot(self.x(x), self.y(y), colour)

    def legend(self, text, colour):
        x, y = self.x.end + 18, self.y.end + 6 + 20 * self.entries
        self.entries += 1
        self.picture.dot(x, y - 4, colour)
        self.picture.text(x + 10, y, text)
