"""What must come out, reckoned from what is true of the season and from the documented rules alone: nothing that hopgate
wrote is read here, and no line of it is shared.

Rules: a line's worth is that of the youngest report of its life; what a report changes is booked in the Beijing month of
its change. An order is credited to the click whose id it carries, if that lies within its window; else, by the first of
pid, position and relation that is registered, to the last click of a person, no duplicate, to a marketplace of the order's
network, within its agreement's window.
"""

from array import array
from bisect import bisect_left
from collections import Counter, defaultdict

from campaign import DAY, DUPLICATE, EXCESSIVE, HOUR, MACHINES, SECOND, beijing_day
from orders import text_of

RANK = {"pending": 0, "paid": 1, "completed": 2, "settled": 3, "invalid": 4}
PEOPLE, MACHINE, DOUBLE, EAGER = range(4)
NETWORKS = {"taobao": "taobao", "tmall": "taobao", "jd": "jd"}


class Match:
    __slots__ = ("method", "click", "runner_up", "reason", "party")

    def __init__(self, method, click=None, runner_up=None, reason="", party=""):
        self.method, self.click, self.runner_up = method, click, runner_up
        self.reason, self.party = reason, party


class Truth:
    def __init__(self, campaign, orders):
        self.campaign, self.orders = campaign, orders
        self._hops()
        self._touches()
        self._ledger()

    # -- hops

    def _hops(self):
        """Counts of hops by link, hour, outcome and sort; and visitors told apart, day by day."""
        c = self.campaign
        self.counts = Counter()
        self.visitors = {by: Counter() for by in ("link", "creator", "placement", "marketplace", "all")}
        seen, today = set(), None
        outcomes = [outcome for outcome, *_ in c.verdicts]
        sort_of = {0: PEOPLE, DUPLICATE: DOUBLE, EXCESSIVE: EAGER}
        for n in range(c.hops):
            at, link = c.at[n], c.link[n]
            day = beijing_day(at)
            if day != today:
                self._close_day(today, seen)
                seen, today = set(), day
            sort = MACHINE if c.flags[n] & MACHINES else sort_of[c.marks[n]]
            self.counts[link, at // HOUR, outcomes[c.verdict[n]], sort] += 1
            if sort == PEOPLE:
                seen.add((link, c.visitor[n]))
        self._close_day(today, seen)

    def sums(self, key):
        """Hops by whatever `key(link, hour, outcome, sort)` makes of them; None: left out."""
        sums = Counter()
        for (link, hour, outcome, sort), count in self.counts.items():
            name = key(self.campaign.links[link], hour, outcome, sort)
            if name is not None:
                sums[name] += count
        return sums

    def _close_day(self, day, seen):
        if day is None:
            return
        links, visitors = self.campaign.links, self.visitors
        apart = {"creator": set(), "placement": set(), "marketplace": set(), "all": set()}
        for number, visitor in seen:
            link = links[number]
            visitors["link"][link.code, day] += 1
            apart["creator"].add((link.creator, visitor))
            apart["placement"].add((f"{link.platform}/{link.surface}", visitor))
            apart["marketplace"].add((link.marketplace, visitor))
            apart["all"].add(("", visitor))
        for by, pairs in apart.items():
            for name, _ in pairs:
                visitors[by][name, day] += 1

    # -- touches

    def _touches(self):
        """Redirected clicks by creator and by link and by the network whose orders they can lead to, in the order of time: those
        that count, and the others."""
        c = self.campaign
        self.of = {True: defaultdict(lambda: array("I")), False: defaultdict(lambda: array("I"))}
        self.windows = [window * DAY for *_, window in c.verdicts]
        for n in range(c.hops):
            if c.redirected(n):
                link, of = c.links[c.link[n]], self.of[c.counts(n)]
                network = NETWORKS[link.marketplace]
                of["link", link.code, network].append(n)
                if link.creator:
                    of["creator", link.creator, network].append(n)

    def _within(self, n, upper):
        return upper - self.windows[self.campaign.verdict[n]] <= self.campaign.at[n] < upper

    def _latest(self, subject, network, upper, counting=True):
        """Clicks of a subject that led to a marketplace of the network, before `upper` and within their windows, the latest first."""
        at = self.campaign.at
        numbers = self.of[counting].get((*subject, network), ()) if subject else ()
        longest = upper - max(self.windows)
        for place in range(bisect_left(numbers, upper, key=at.__getitem__) - 1, -1, -1):
            n = numbers[place]
            if at[n] < longest:
                return
            if self._within(n, upper):
                yield n

    def match(self, line):
        c = self.campaign
        created = line.created * SECOND
        upper = created if line.clicked is None else min(created, (line.clicked + 60) * SECOND)
        for method, text in (("pid", line.pid), ("position", line.position), ("relation", line.relation)):
            subject = self.known.get((line.network, method, text))
            if subject:
                break
        if line.click is not None and c.counts(line.click) and self._within(line.click, created):
            others = (n for n in self._latest(subject, line.network, upper) if n != line.click)
            return Match("click_id", line.click, next(others, None), party=c.links[c.link[line.click]].creator)
        if not subject:
            return Match("none", reason="unknown_position")
        found = self._latest(subject, line.network, upper)
        click = next(found, None)
        if click is None:
            others = next(self._latest(subject, line.network, upper, counting=False), None)
            return Match("none", reason="no_touch" if others is None else "not_counted")
        return Match(method, click, next(found, None), party=c.links[c.link[click]].creator)

    # -- the ledger

    def _accepted(self, line):
        """The reports that were taken in, in the order of the line's life."""
        if not self.orders.is_known(line, self.known):
            return []
        taken = [r for r in line.reports if not r.fault or r.mended]
        return sorted(taken, key=lambda r: (r.modified, RANK[r.state]))

    @staticmethod
    def worth(line, report):
        """(estimated, confirmed) of a line that stands as this report says."""
        if report.state in ("pending", "invalid"):
            return 0, 0
        if report.refunded and not 0 < report.returned < line.quantity:
            return 0, 0
        if report.state == "paid":
            return report.estimated, 0
        return (report.estimated, 0) if report.confirmed is None else (0, report.confirmed)

    def _ledger(self):
        """Balances by party and month, and what each line came to."""
        self.known = self.orders.in_the_end
        self.estimated, self.confirmed, self.reversed = Counter(), Counter(), Counter()
        self.methods, self.lines, self.events = Counter(), {}, 0
        self.waiting = 0
        for line in self.orders.lines:
            accepted = self._accepted(line)
            # Rows that wait for their position, or waited.
            if not self.orders.is_known(line):
                self.waiting += len(line.reports)
            if not accepted:
                continue
            self.events += len(accepted)
            match = self.match(line)
            party = f"creator:{match.party}" if match.party else f"unmatched:{line.network}"
            self.methods[match.method] += 1
            before = (0, 0)
            for report in accepted:
                month = text_of(report.modified)[:7]
                now = self.worth(line, report)
                estimated, confirmed = now[0] - before[0], now[1] - before[1]
                self.estimated[party, month] += estimated
                self.confirmed[party, month] += confirmed
                # An estimate that gives way to a confirmed fee is no loss.
                if estimated < 0 and confirmed <= 0:
                    self.reversed[party, month] += estimated
                if confirmed < 0:
                    self.reversed[party, month] += confirmed
                before = now
            self.lines[line.network, line.key] = (line, accepted[-1], match, before)
