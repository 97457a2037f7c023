"""Link codes, their destinations, and the files the servers load them from."""

import json

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PAIRS = [a + b for a in ALPHABET for b in ALPHABET]
CODE_LENGTH = 8
SPACE = 62**CODE_LENGTH
MASK = (1 << 48) - 1
# nginx compares map keys without regard to case, so up to this many links the codes differ in that sense as well.
CASE_CHECKED = 2_000_000


def mix(number):
    """A bijection of 48-bit numbers that scatters neighbours."""
    number = (number * 0x9E3779B97F4B) & MASK
    number ^= number >> 23
    number = (number * 0xC2B2AE3D27D5) & MASK
    number ^= number >> 25
    return number


def spell(number):
    """Eight base62 characters for a number below 62^8."""
    number, d = divmod(number, 3844)
    number, c = divmod(number, 3844)
    a, b = divmod(number, 3844)
    return PAIRS[a] + PAIRS[b] + PAIRS[c] + PAIRS[d]


def generate(count):
    """Yields `count` different codes, always the same ones."""
    seen = set() if count <= CASE_CHECKED else None
    number = made = 0
    while made < count:
        number += 1
        scattered = mix(number)
        if scattered >= SPACE:
            continue
        code = spell(scattered)
        if seen is not None:
            folded = code.lower()
            if folded in seen:
                continue
            seen.add(folded)
        made += 1
        yield code


def target(index):
    """Where the link of that index leads."""
    return f"https://item.jd.com/{100_000_000_000 + index}.html"


class Codes:
    """The codes of one size, in memory as one text and on disk as the fixed-width file that wrk reads."""

    def __init__(self, count, folder):
        self.count = count
        self.folder = folder
        self.blob = "".join(generate(count))
        self.path = folder / f"codes-{count}.bin"
        self.path.write_text(self.blob, encoding="ascii")

    def __getitem__(self, index):
        return self.blob[index * CODE_LENGTH : (index + 1) * CODE_LENGTH]

    def write_nginx_map(self, path):
        """One `/code target;` a line."""
        with open(path, "w", encoding="ascii") as out:
            for index in range(self.count):
                out.write(f"/{self[index]} {target(index)};\n")

    def write_haproxy_map(self, path):
        """One `/code target` a line."""
        with open(path, "w", encoding="ascii") as out:
            for index in range(self.count):
                out.write(f"/{self[index]} {target(index)}\n")

    def write_links(self, path):
        """NDJSON for `hopgate link import`: 1,000 creators, all JD's own goods in Kuaishou's short-video cart."""
        shared = json.dumps({"platform": "kuaishou", "surface": "short_video_cart", "shop_type": "self_operated"})[1:-1]
        with open(path, "w", encoding="ascii") as out:
            for index in range(self.count):
                own = f'"code": "{self[index]}", "url": "{target(index)}", "creator": "creator-{index % 1000}"'
                out.write(f"{{{own}, {shared}}}\n")
