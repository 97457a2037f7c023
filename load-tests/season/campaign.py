"""The campaign before any order: creators, links, positions, agreements, and the plan of every hop. All from one seed.

What a click must be decided as is worked out here from the table below, not asked of hopgate; the tool that writes the
hops decides each by the real function and stops at the first that differs.
"""

import json
import random
from array import array
from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from heapq import heappop, heappush
from itertools import accumulate
from struct import Struct

BEIJING = timezone(timedelta(hours=8))
SECOND = 1_000_000
HOUR = 3_600 * SECOND
DAY = 86_400 * SECOND


def instant(text):
    """Microseconds since 1970 of a Beijing time."""
    return round(datetime.fromisoformat(text).replace(tzinfo=BEIJING).timestamp()) * SECOND


def beijing_day(at):
    return (at + 8 * 3_600 * SECOND) // DAY


FROM, UNTIL = instant("2022-10-15"), instant("2022-12-15")
# The second version of the policy is in force from here: two windows of attribution are shorter in it.
SWITCH = instant("2022-11-11")
DEFAULT_WINDOW = 15


@dataclass(frozen=True)
class Agreement:
    """One line of the policy, with the window of attribution in each version (None: it does not say)."""

    id: str
    platform: str
    markets: tuple
    effect: str = "allow"
    since: str = "2022-10-01"
    until: str = "2023-06-01"
    surfaces: tuple = ()
    shop_types: tuple = ()
    windows: tuple = (None, None)


# At most one agreement for a pair, and links below fail at most one of its conditions: so the reason of a refusal is plain.
AGREEMENTS = (
    Agreement("season-kuaishou-taobao", "kuaishou", ("taobao", "tmall"), until="2022-12-01", windows=(15, 3)),
    Agreement("season-kuaishou-jd", "kuaishou", ("jd",), shop_types=("self_operated",), windows=(7, 7)),
    Agreement("season-xiaohongshu-tmall", "xiaohongshu", ("tmall",), surfaces=("ad_note",), windows=(30, 20)),
    Agreement("season-xiaohongshu-jd", "xiaohongshu", ("jd",), since="2022-11-01"),
    Agreement("season-douyin-jd", "douyin", ("jd",), effect="deny"),
    Agreement("season-douyin-taobao", "douyin", ("taobao",), windows=(10, 10)),
)
# Instants at which what becomes of some link changes.
ERAS = sorted(at for at in {SWITCH, *(instant(end) for a in AGREEMENTS for end in (a.since, a.until))} if FROM < at < UNTIL)

HEAD, BOT, PREFETCH, DATACENTER, PREVIEW = 1, 2, 4, 32, 128
MACHINES = HEAD | BOT | PREFETCH
RECORD = Struct("<qIIIHBB")
# Why a click of a person is not counted.
DUPLICATE, EXCESSIVE = 1, 2
# Clicks of one visitor on one link in an hour that count; eager ones make more.
MOST_AN_HOUR, EAGER = 60, 75


def policy_yaml(version):
    """The agreements of version 0 or 1 as a policy file."""
    lines = ["agreements:"]
    for a in AGREEMENTS:
        lines += [
            f"  - id: {a.id}", f"    title: {a.platform} and {', '.join(a.markets)} in the generated season",
            f"    platform: {a.platform}", f"    marketplace: [{', '.join(a.markets)}]", f"    effect: {a.effect}",
            f"    from: {a.since}", f"    until: {a.until}",
        ]
        conditions = [f"{name}: [{', '.join(values)}]" for name, values in
                      (("surfaces", a.surfaces), ("shop_types", a.shop_types)) if values]
        if conditions:
            lines.append(f"    when: {{{', '.join(conditions)}}}")
        if a.windows[version] is not None:
            lines.append(f"    attribution: {{window_days: {a.windows[version]}, sampling: 1.0, events: [order]}}")
    return "\n".join(lines) + "\n"


@dataclass
class Link:
    code: str
    creator: str
    platform: str
    surface: str
    marketplace: str
    shop_type: str
    link_kind: str
    item: str
    url: str
    pid: str


@dataclass
class Creator:
    name: str
    adzone: str  # of Taobao, or ""
    relation: str
    jd_position: str
    explicit: bool  # positions given by the file of positions, not only by links


MEMBER, SITE, UNION, JD_SITE = "130012345", "45670001", "1000123456", "4100098765"


def pid_of(adzone):
    return f"mm_{MEMBER}_{SITE}_{adzone}"


class Campaign:
    """Everything that is known before the first order."""

    def __init__(self, seed, hops):
        self.seed, self.hops = seed, hops
        self.dice = random.Random(f"{seed}:campaign")
        creators = max(24, min(400, hops // 2_000))
        self.creators = [self._creator(n) for n in range(creators)]
        self.links = [self._link(n) for n in range(max(150, min(6_000, hops // 400)))]
        self.verdicts, self._codes = [], {}
        self._fates = [[self._fate(link, era) for era in range(len(ERAS) + 1)] for link in self.links]

    # -- who and where

    def _creator(self, n):
        dice = self.dice
        # The last tenth only has positions: it makes no link, so its orders have no click.
        return Creator(f"creator-{n:04}", f"{7_000_000 + n * 17}", f"{2_500_000_000 + n * 31}",
                       f"{3_100_000_000 + n * 13}", dice.random() < 0.8)

    def _link(self, n):
        dice = self.dice
        busy = max(1, len(self.creators) * 9 // 10)
        creator = None if dice.random() < 0.06 else self.creators[int(dice.random() ** 1.6 * busy)]
        platform = dice.choices(("kuaishou", "xiaohongshu", "douyin", "weibo"), (56, 28, 12, 4))[0]
        market, shop = {
            "kuaishou": lambda: dice.choices((("taobao", "c_store"), ("tmall", "flagship"), ("jd", "self_operated"),
                                              ("jd", "pop")), (30, 30, 32, 8))[0],
            "xiaohongshu": lambda: dice.choices((("tmall", "flagship"), ("jd", "self_operated")), (6, 4))[0],
            "douyin": lambda: dice.choices((("taobao", "c_store"), ("jd", "pop")), (7, 3))[0],
            "weibo": lambda: ("tmall", "flagship"),
        }[platform]()
        surface = {
            "kuaishou": lambda: dice.choice(("live_cart", "short_video_cart", "detail_page")),
            "xiaohongshu": lambda: dice.choices(("ad_note", "note"), (8, 2))[0],
            "douyin": lambda: "live_cart", "weibo": lambda: "other",
        }[platform]()
        item = str(600_000_000_000 + dice.randrange(10**11)) if market != "jd" else str(100_000_000_000 + n * 977)
        kind, pid = "item", ""
        if market == "taobao" and (creator is None or dice.random() < 0.35):
            # A coupon page with the promoter's own pid. One without a creator has an adzone of its own.
            pid = pid_of(creator.adzone if creator else f"{9_000_000 + n}")
            url = f"https://uland.taobao.com/coupon/edetail?activityId=a{n}&itemId={item}&pid={pid}&dx=1"
            kind = "alliance"
        else:
            url = {"taobao": f"https://item.taobao.com/item.htm?id={item}",
                   "tmall": f"https://detail.tmall.com/item.htm?id={item}",
                   "jd": f"https://item.jd.com/{item}.html"}[market]
        return Link(f"{n:05d}{'bcdfghjkmn'[n % 10]}x", creator.name if creator else "", platform, surface, market, shop,
                    kind, item, url, pid)

    # -- what becomes of a click

    def _verdict(self, *parts):
        if parts not in self._codes:
            self._codes[parts] = len(self.verdicts)
            self.verdicts.append(parts)
        return self._codes[parts]

    def _fate(self, link, era):
        """The place among the verdicts of (outcome, reason, agreement, window of attribution)."""
        at = ERAS[era - 1] if era else FROM - 1
        version = int(at >= SWITCH)
        pair = [a for a in AGREEMENTS if a.platform == link.platform and link.marketplace in a.markets]
        if not pair:
            return self._verdict("deny", "no_agreement", "", 0)
        (a,) = pair
        failed = []
        if at < instant(a.since):
            failed.append("not_yet_open")
        if at >= instant(a.until):
            failed.append("window_ended")
        if a.surfaces and link.surface not in a.surfaces:
            failed.append("surface_not_covered")
        if a.shop_types and link.shop_type not in a.shop_types:
            failed.append("shop_type_not_covered")
        if a.effect == "deny":
            return self._verdict("deny", "denied_by_agreement", a.id, 0)
        assert len(failed) <= 1, (link, failed)
        if failed:
            return self._verdict("deny", failed[0], a.id, 0)
        window = a.windows[version]
        return self._verdict("allow", "allowed", a.id, DEFAULT_WINDOW if window is None else window)

    # -- the hops

    def plan(self):
        """Fills one array for each field of a hop, in the order of time."""
        dice = random.Random(f"{self.seed}:hops")
        hops, links = self.hops, self.links
        self.at, self.link = array("q"), array("I")
        self.visitor, self.flags, self.verdict = array("I"), array("H"), array("B")
        self.marks, self.late = bytearray(hops), bytearray(hops)
        self.version = bytearray(hops)
        weights = list(accumulate(1.0 / (n + 1) ** 0.8 for n in range(len(links))))
        order = list(range(len(links)))
        dice.shuffle(order)
        crowd = self.crowd = max(1_000, hops // 5)
        kinds = ((BOT, 40), (HEAD, 15), (PREFETCH, 10), (BOT | PREVIEW, 10), (DATACENTER, 25))
        flag_values, flag_weights = [k for k, _ in kinds], list(accumulate(w for _, w in kinds))
        # Eleven times the usual traffic on the day itself, four times on the first and the day before.
        peak = {beijing_day(instant(f"2022-11-{day:02}")): rush for day, rush in ((1, 4), (10, 4), (11, 11))}
        days = (UNTIL - FROM) // DAY + sum(peak.values()) - len(peak)
        step = days * DAY / hops * 0.995
        at, again, recent = float(FROM), [], {}
        drawn, eager = iter(()), 0
        random_ = dice.random
        while len(self.at) < hops:
            now = at + random_() * 2 * step / peak.get(beijing_day(int(at)), 1) + 1
            if again and again[0][0] < now:
                due, link, visitor, first, mark = heappop(again)
                when = max(int(due), (self.at[-1] + 1))
                # Noticed by the visitor's hash, which is another one after midnight.
                self.marks[len(self.at)] = mark if beijing_day(when) == beijing_day(first) else 0
                self._add(when, link, visitor, 0)
                at = max(at, float(when))
                continue
            at = now
            when = max(int(now), self.at[-1] + 1 if self.at else 0)
            if when >= UNTIL:
                break
            link = next(drawn, None)
            if link is None:
                drawn = iter(dice.choices(order, cum_weights=weights, k=4_096))
                link = next(drawn)
            flags = 0 if random_() < 0.9 else dice.choices(flag_values, cum_weights=flag_weights)[0]
            visitor = int(random_() * crowd)
            # Nobody comes twice to a link by chance within ten minutes: who does so does it on purpose, below.
            while when - recent.get((visitor, link), -DAY) < 600 * SECOND:
                visitor = int(random_() * crowd)
            recent[visitor, link] = when
            if len(recent) > 200_000:
                recent = {pair: last for pair, last in recent.items() if when - last < 600 * SECOND}
            self._add(when, link, visitor, flags)
            if flags == 0 and random_() < 0.03:
                heappush(again, (when + (2 + 23 * random_()) * SECOND, link, visitor, when, DUPLICATE))
            if random_() < 100 / hops if hops > 100_000 else len(self.at) in (hops // 3, hops // 2):
                eager += 1
                hour = (when // HOUR + 2) * HOUR
                for click in range(EAGER):
                    due = hour + (60 + 33 * click) * SECOND + int(random_() * SECOND)
                    heappush(again, (due, link, crowd + eager, due, EXCESSIVE if click >= MOST_AN_HOUR else 0))
        self.hops = len(self.at)
        # A few hops were kept back by a gateway that was out of reach: they are written after the first settlement.
        for n in range(self.hops):
            if random_() < 0.04 and not self._in_row(n):
                self.late[n] = 1

    def _add(self, at, link, visitor, flags):
        era = bisect_right(ERAS, at)
        self.version[len(self.at)] = at >= SWITCH
        self.at.append(at)
        self.link.append(link)
        self.visitor.append(visitor)
        self.flags.append(flags)
        self.verdict.append(self._fates[link][era])

    def _in_row(self, n):
        """Whether what counts depends on its place among others of its visitor: such hops are never kept back."""
        if self.marks[n] or self.visitor[n] >= self.crowd:
            return True
        later, link, visitor, end = n + 1, self.link[n], self.visitor[n], self.at[n] + 60 * SECOND
        while later < len(self.at) and self.at[later] < end:
            if self.link[later] == link and self.visitor[later] == visitor:
                return True
            later += 1
        return False

    def counts(self, n):
        """Whether a hop is a touch that may be credited: a redirected click of a person, neither double nor excessive."""
        return self.redirected(n) and not self.flags[n] & MACHINES and not self.marks[n]

    def redirected(self, n):
        return self.verdicts[self.verdict[n]][0] == "allow"

    def click_id(self, n):
        """The 16 bytes of a hop's UUIDv7: its milliseconds, and its number spread over the rest."""
        tail = n * 0x9E3779B97F4A7C15 & (1 << 62) - 1
        return (self.at[n] // 1_000 << 80 | 7 << 76 | 2 << 62 | tail).to_bytes(16, "big")

    # -- files

    def write_plan(self, path, late):
        """What the writer of hops reads: at, number, visitor, link, flags, verdict, version; 24 bytes a hop."""
        count = 0
        with open(path, "wb") as out:
            parts = []
            for n in range(self.hops):
                if self.late[n] == late:
                    parts.append(RECORD.pack(self.at[n], n, self.visitor[n], self.link[n], self.flags[n],
                                             self.verdict[n], self.version[n]))
                    if len(parts) == 65_536:
                        count += len(parts)
                        out.write(b"".join(parts))
                        parts = []
            count += len(parts)
            out.write(b"".join(parts))
        return count

    def write_meta(self, path, folders, segment_bytes):
        meta = {
            "versions": [{"folder": str(folder), "since": since} for folder, since in zip(folders, (FROM, SWITCH))],
            "segment_bytes": segment_bytes,
            "verdicts": [{"outcome": o, "reason": r, "agreement": a} for o, r, a, _ in self.verdicts],
            "links": [{name: getattr(link, name) for name in ("code", "creator", "platform", "surface", "marketplace",
                                                              "shop_type", "link_kind", "item")} for link in self.links],
        }
        path.write_text(json.dumps(meta))

    def write_links(self, path):
        with open(path, "w") as out:
            for link in self.links:
                line = {"code": link.code, "url": link.url, "platform": link.platform, "surface": link.surface,
                        "shop_type": link.shop_type}
                if link.creator:
                    line["creator"] = link.creator
                out.write(json.dumps(line) + "\n")
