"""The orders of the season: the life of every line as it truly was, and from it the rows of both networks' reports, in their
own field names, with what goes wrong in real ones: late, doubled, faulty and contradicting rows.
"""

import random
from dataclasses import dataclass, field
from datetime import datetime

from campaign import BEIJING, DAY, FROM, JD_SITE, SECOND, UNION, UNTIL, pid_of

A_DAY = 86_400


@dataclass(slots=True)
class Report:
    """One report of a line: what is true of it, and the row that says so."""

    state: str
    raw: int
    modified: int
    estimated: int
    confirmed: int | None = None
    refunded: bool = False
    returned: int = 0
    settled: int | None = None
    fault: str = ""   # what is wrong with the row as it was sent first
    mended: bool = False


@dataclass(slots=True)
class Line:
    """One line of an order."""

    network: str
    key: str
    order: str
    parent: str
    created: int
    quantity: int
    paid: int
    marketplace: str
    item: str
    pid: str = ""
    position: str = ""
    relation: str = ""
    click: int | None = None      # number of the hop whose id the network carries
    sub_id: str = ""              # a text in its place that is no click id of ours
    clicked: int | None = None
    reports: list = field(default_factory=list)


def text_of(second):
    return datetime.fromtimestamp(second, BEIJING).strftime("%Y-%m-%d %H:%M:%S")


def yuan(fen):
    return f"{'-' if fen < 0 else ''}{abs(fen) // 100}.{abs(fen) % 100:02}"


class Orders:
    """Lines of `count` orders, and whose a position is."""

    def __init__(self, campaign, count):
        self.campaign = campaign
        self.dice = random.Random(f"{campaign.seed}:orders")
        self.lines = []
        self._positions()
        self._touches = {"taobao": [], "jd": []}
        self._refused = []
        dice = self.dice
        for n in dice.sample(range(campaign.hops), min(campaign.hops, count * 6)):
            link = campaign.links[campaign.link[n]]
            if campaign.counts(n):
                self._touches["jd" if link.marketplace == "jd" else "taobao"].append(n)
            elif not campaign.redirected(n):
                self._refused.append(n)
        for number in range(count):
            self._order(number)

    # -- whose a position is

    def _positions(self):
        """`known` maps (network, kind, text) to a subject, ("creator", name) or ("link", code); `later` is made known late."""
        self.explicit, self.known, self.later = [], {}, []
        self.by_name = {creator.name: creator for creator in self.campaign.creators}

        def tell(network, kind, text, name):
            self.explicit.append((network, kind, text, name))
            self.known[network, kind, text] = ("creator", name)

        for n, creator in enumerate(self.campaign.creators):
            if not creator.explicit:
                continue
            if n % 3 != 1:
                tell("taobao", "pid", pid_of(creator.adzone), creator.name)
            if n % 3 != 0:
                tell("taobao", "position", creator.adzone, creator.name)
            if n % 2 == 0:
                tell("taobao", "relation", creator.relation, creator.name)
            if n % 4 == 3:
                tell("jd", "pid", f"{UNION}_{JD_SITE}_{creator.jd_position}", creator.name)
            else:
                tell("jd", "position", creator.jd_position, creator.name)
        # What follows from links whose address carries a pid.
        for link in self.campaign.links:
            if link.pid:
                subject = ("creator", link.creator) if link.creator else ("link", link.code)
                self.known["taobao", "pid", link.pid] = subject
                self.known["taobao", "position", link.pid.rsplit("_", 1)[1]] = subject
        # Positions nobody was told of; every other one is told after the first imports.
        self.strange = [f"{8_800_000 + n}" for n in range(10)]
        self.later = [("taobao", "position", text, self.campaign.creators[n].name)
                      for n, text in enumerate(self.strange) if n % 2 == 0]
        self.later += [("jd", "position", creator.jd_position, creator.name)
                       for n, creator in enumerate(self.campaign.creators) if not creator.explicit and n % 2 == 0]
        self.in_the_end = self.known | {
            (network, kind, text): ("creator", name) for network, kind, text, name in self.later}

    def is_known(self, line, known=None):
        """Whether a row of this line is taken in; at first, before the late positions are told."""
        known = self.known if known is None else known
        return line.click is not None or any(
            (line.network, kind, text) in known
            for kind, text in (("pid", line.pid), ("position", line.position), ("relation", line.relation)))

    # -- orders

    def _of_creator(self, line, creator):
        if line.network == "taobao":
            line.pid, line.position = pid_of(creator.adzone), creator.adzone
        else:
            line.position = creator.jd_position
            line.pid = f"{UNION}_{JD_SITE}_{creator.jd_position}"

    def _touch(self, network):
        return self.dice.choice(self._touches[network])

    def _moment(self):
        return self.dice.randrange(FROM // SECOND + A_DAY, UNTIL // SECOND + 5 * A_DAY)

    def _order(self, number):
        dice, campaign = self.dice, self.campaign
        network = "taobao" if dice.random() < 0.55 else "jd"
        cause = dice.choices(("touch", "position", "quiet", "relation", "strange", "forged", "refused"),
                             (60, 22, 4, 6, 3, 3, 2))[0]
        if cause in ("relation", "strange"):
            network = "taobao"
        if cause in ("forged", "refused"):
            network = "jd"
        paid = int(10 ** dice.uniform(2.6, 5.5))
        line = Line(network, "", "", "", self._moment(), dice.choice((1, 1, 1, 2, 3)), paid,
                    "jd" if network == "jd" else dice.choice(("taobao", "tmall")), str(610_000_000_000 + number))
        creators = campaign.creators
        if cause == "touch":
            n = self._touch(network)
            link = campaign.links[campaign.link[n]]
            second = campaign.at[n] // SECOND
            late = dice.random() < 0.06
            line.created = second + 62 + int(dice.uniform(5, 40) * A_DAY if late else dice.expovariate(1 / 1.5) * A_DAY)
            line.marketplace, line.item = link.marketplace, link.item
            if link.creator:
                self._of_creator(line, self.by_name[link.creator])
            elif link.pid:
                line.pid, line.position = link.pid, link.pid.rsplit("_", 1)[1]
            elif network == "taobao":
                return self._order(number)  # such an order would name nobody
            if network == "jd" and (dice.random() < 0.45 or not line.pid):
                line.click = n
                if not line.pid:
                    self._of_creator(line, dice.choice(creators))
            elif network == "taobao" and dice.random() < 0.6:
                line.clicked = second + dice.randrange(20)
        elif cause == "quiet":
            self._of_creator(line, dice.choice(creators[len(creators) * 9 // 10:]))
        elif cause == "relation":
            line.pid, line.position = pid_of("5550001"), "5550001"
            line.relation = dice.choice(creators[::2]).relation
        elif cause == "strange":
            line.position = dice.choice(self.strange)
            line.pid = pid_of(line.position)
        else:
            self._of_creator(line, dice.choice(creators))
            if cause == "forged":
                n = self._touch("jd")
                raw = campaign.click_id(n)
                line.sub_id = dice.choice((f"user_{number}", raw.hex()))
            elif cause == "refused" and self._refused:
                n = dice.choice(self._refused)
                line.click, line.created = n, campaign.at[n] // SECOND + 100 + dice.randrange(A_DAY)
        if cause != "strange" and not self.is_known(line):
            # Positions of those who were never registered come up only now and then.
            if dice.random() < (0.5 if self.is_known(line, self.in_the_end) else 0.97):
                return self._order(number)
        if line.created > UNTIL // SECOND + 20 * A_DAY:
            line.created = UNTIL // SECOND + 20 * A_DAY
        line.order = f"{'17' if network == 'taobao' else '25'}{9_000_000_000 + number * 7}"
        (self._taobao if network == "taobao" else self._jd)(number, line)

    def _keep(self, line, reports):
        """Reports come out in rising change time; some in the middle are never seen."""
        if len(reports) > 1 and self.dice.random() < 0.08:
            reports = [r for r in reports[:-1] if self.dice.random() < 0.4] + reports[-1:]
        line.reports = reports
        self.lines.append(line)

    def _fee(self, paid):
        return max(1, paid * self.dice.randrange(30, 1_200) // 10_000)

    # -- Taobao: 12 -> 14 -> 3, 13, refund_tag

    def _taobao(self, number, line):
        dice = self.dice
        scene = 2 if line.relation else 1
        # Two lines of one order now and then, and both roles of one line.
        parts = dice.choices((1, 2), (93, 7))[0]
        roles = (2, 3) if dice.random() < 0.03 else (2,)
        for part in range(parts):
            for role in roles:
                twin = Line(**{name: getattr(line, name) for name in Line.__slots__})
                twin.key = f"{line.order}{part}:{role}:{scene}"
                twin.paid = max(100, line.paid // parts)
                self._keep(twin, self._taobao_life(twin))

    def _taobao_life(self, line):
        dice = self.dice
        fee = self._fee(line.paid)
        at = line.created + dice.randrange(5, 900)
        reports = [Report("paid", 12, at, fee)]

        def then(days, **changes):
            nonlocal at
            at += max(60, int(dice.uniform(*days) * A_DAY))
            last = reports[-1]
            new = {"state": last.state, "raw": last.raw, "estimated": last.estimated, "confirmed": last.confirmed,
                   "refunded": last.refunded, "settled": last.settled}
            new.update(changes)
            reports.append(Report(modified=at, **new))

        path = dice.choices(("settled", "received", "paid", "closed", "claim_paid", "claim", "clawed", "repriced"),
                            (52, 14, 5, 11, 4, 6, 3, 5))[0]
        if path == "closed":
            then((0, 6), state="invalid", raw=13)
        elif path == "claim_paid":
            then((0, 9), refunded=True)
        elif path == "repriced":
            then((0, 1), estimated=max(1, fee * dice.randrange(40, 140) // 100))
            then((3, 9), state="completed", raw=14)
        elif path != "paid":
            then((3, 12), state="completed", raw=14)
            if path != "received":
                settled = max(0, fee * dice.choice((100, 100, 100, 90, 55, 0)) // 100)
                then((8, 30), state="settled", raw=3, confirmed=settled)
                reports[-1].settled = reports[-1].modified
                if path == "claim":
                    then((1, 40), refunded=True)
                elif path == "clawed":
                    then((1, 40), state="invalid", raw=13)
        return reports

    # -- JD: 15 -> 16 -> 17, 2 with children, 3, returns

    def _jd(self, number, line):
        dice = self.dice
        line.key = f"{line.order}01"
        fee = self._fee(line.paid)
        at = line.created + dice.randrange(1, 5)
        reports = [Report("pending", dice.choice((15, 15, 24)), at, fee)]

        def then(days, into=None, **changes):
            nonlocal at
            at += max(60, int(dice.uniform(*days) * A_DAY))
            last = reports[-1]
            new = {"state": last.state, "raw": last.raw, "estimated": last.estimated, "confirmed": last.confirmed,
                   "refunded": last.refunded, "returned": last.returned, "settled": last.settled}
            new.update(changes)
            reports.append(Report(modified=at, **new))

        path = dice.choices(("settled", "completed", "paid", "cancelled", "unpaid", "split", "returned", "part", "repriced",
                             "broken"), (42, 15, 6, 8, 3, 6, 6, 6, 5, 3))[0]
        if path == "unpaid":
            then((0.1, 1), state="invalid", raw=3)
            return self._keep(line, reports)
        then((0, 0.02), state="paid", raw=16)
        if path == "cancelled":
            then((0, 4), state="invalid", raw=3)
        elif path == "split":
            then((0, 1), state="invalid", raw=2)
            self._keep(line, reports)
            return self._children(line, at, fee)
        elif path != "paid":
            self._complete(line, then, path, fee)
        self._keep(line, reports)

    def _complete(self, line, then, path, fee):
        dice = self.dice
        actual = max(0, fee * dice.choice((100, 100, 95, 70)) // 100)
        then((2, 10), state="completed", raw=17, confirmed=actual)
        if path == "settled":
            then((10, 40), state="settled")
        elif path == "returned":
            then((1, 12), refunded=True, returned=line.quantity)
        elif path == "part" and line.quantity > 1:
            left = actual * (line.quantity - 1) // line.quantity
            then((1, 12), refunded=True, returned=1, confirmed=left)
        elif path == "repriced":
            then((1, 12), confirmed=max(0, actual * dice.randrange(30, 120) // 100))
        elif path == "broken":
            then((1, 12), state="invalid", raw=dice.choice((-1, 5, 13, 14, 25, 26, 27, 28)))

    def _children(self, parent, at, fee):
        dice = self.dice
        whole = parent.paid
        for child in range(2):
            line = Line(**{name: getattr(parent, name) for name in Line.__slots__})
            line.order = f"{parent.order}{child + 1}"
            line.parent, line.key = parent.order, f"{parent.order}{child + 1}01"
            line.paid = whole // 2 if child == 0 else whole - whole // 2
            share = fee // 2 if child == 0 else fee - fee // 2
            reports = [Report("paid", 16, at + 1, share)]
            if dice.random() < 0.8:
                reports.append(Report("completed", 17, at + int(dice.uniform(2, 10) * A_DAY), share, confirmed=share))
            self._keep(line, reports)
