#!/usr/bin/env python3
"""Tests of the season's own reckoning: what is compared with hopgate must be right by itself."""

import io
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from campaign import DAY, SECOND, Campaign  # noqa: E402
from orders import Line, Orders, Report  # noqa: E402
from product import Table  # noqa: E402
from rows import Files, click_text, siphash  # noqa: E402
from truth import Truth  # noqa: E402


class Season(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.campaign = Campaign(5, 6_000)
        cls.campaign.plan()
        cls.orders = Orders(cls.campaign, 400)
        with tempfile.TemporaryDirectory() as folder:
            cls.files = Files(Path(folder), cls.campaign, cls.orders, bytes(16))
        cls.truth = Truth(cls.campaign, cls.orders)

    def test_the_mac_is_siphash_as_published(self):
        self.assertEqual(siphash(bytes(range(16)), bytes(range(15))), 0xA129CA6149BE45E5)
        self.assertEqual(len(click_text(bytes(16), self.campaign.click_id(3))), 32)

    def test_a_seed_gives_one_season(self):
        again = Campaign(5, 6_000)
        again.plan()
        self.assertEqual((again.at, again.link, again.marks), (self.campaign.at, self.campaign.link, self.campaign.marks))
        other = Campaign(6, 6_000)
        other.plan()
        self.assertNotEqual(other.at, self.campaign.at)
        ids = {self.campaign.click_id(n) for n in range(self.campaign.hops)}
        self.assertEqual(len(ids), self.campaign.hops)

    def test_marks_follow_the_documented_rules(self):
        """The slow way: every click against every one before it."""
        c, last, hour = self.campaign, {}, {}
        for n in range(c.hops):
            if c.flags[n] & 7:
                self.assertEqual(c.marks[n], 0)
                continue
            day = (c.at[n] + 8 * 3_600 * SECOND) // DAY
            key = (day, c.visitor[n], c.link[n])
            outcome = c.redirected(n)
            before = last.get((key, outcome))
            counted = hour[key, c.at[n] // (3_600 * SECOND)] = hour.get((key, c.at[n] // (3_600 * SECOND)), 0) + 1
            double = before is not None and c.at[n] - before < 30 * SECOND
            self.assertEqual(c.marks[n], double + 2 * (counted > 60), n)
            last[key, outcome] = c.at[n]
        self.assertTrue(any(m == 1 for m in c.marks) and any(m == 2 for m in c.marks))

    def test_matches_follow_the_documented_rules(self):
        """The slow way: every click of the season for every order."""
        c, truth = self.campaign, self.truth
        methods = set()
        for line, _, match, _ in truth.lines.values():
            created = line.created * SECOND
            upper = created if line.clicked is None else min(created, (line.clicked + 60) * SECOND)
            window = [w * DAY for *_, w in c.verdicts]
            named = [("pid", line.pid), ("position", line.position), ("relation", line.relation)]
            method, subject = next(((m, truth.known[line.network, m, t]) for m, t in named
                                    if (line.network, m, t) in truth.known), ("", None))
            fits = []
            for n in range(c.hops):
                link = c.links[c.link[n]]
                mine = subject and (link.creator if subject[0] == "creator" else link.code) == subject[1]
                there = (link.marketplace == "jd") == (line.network == "jd")
                if mine and there and c.counts(n) and upper - window[c.verdict[n]] <= c.at[n] < upper:
                    fits.append(n)
            exact = line.click is not None and c.counts(line.click) \
                and created - window[c.verdict[line.click]] <= c.at[line.click] < created
            if exact:
                fits = [n for n in fits if n != line.click]
                self.assertEqual((match.method, match.click, match.runner_up),
                                 ("click_id", line.click, fits[-1] if fits else None))
            elif fits:
                self.assertEqual((match.method, match.click, match.runner_up),
                                 (method, fits[-1], fits[-2] if len(fits) > 1 else None))
            else:
                self.assertEqual((match.method, match.click), ("none", None))
            methods.add(match.method)
        self.assertEqual(methods, {"click_id", "pid", "position", "relation", "none"})

    def test_the_worth_of_a_line(self):
        line = Line("jd", "1", "1", "", 0, 3, 10_000, "jd", "1")
        for report, worth in (
            (Report("pending", 15, 0, 50), (0, 0)), (Report("paid", 16, 0, 50), (50, 0)),
            (Report("completed", 17, 0, 50), (50, 0)), (Report("completed", 17, 0, 50, 0), (0, 0)),
            (Report("settled", 3, 0, 50, 40), (0, 40)), (Report("invalid", 13, 0, 50, 40), (0, 0)),
            (Report("settled", 3, 0, 50, 40, refunded=True), (0, 0)),
            (Report("completed", 17, 0, 50, 40, refunded=True, returned=2), (0, 40)),
            (Report("completed", 17, 0, 50, 40, refunded=True, returned=3), (0, 0)),
            (Report("paid", 12, 0, 50, refunded=True), (0, 0)),
        ):
            self.assertEqual(Truth.worth(line, report), worth, report)

    def test_the_ledger_adds_up(self):
        truth = self.truth
        for total, place in ((truth.estimated, 0), (truth.confirmed, 1)):
            self.assertEqual(sum(total.values()), sum(worth[place] for *_, worth in truth.lines.values()))
        self.assertLess(sum(truth.reversed.values()), 0)

    def test_a_difference_is_found_and_told(self):
        out = io.StringIO()
        table = Table(out)
        table.all("same", {"a": 1, "b": 0}, {"a": 1})
        self.assertTrue(table.show())
        table.all("other", {"a": 1}, {"a": 2, "c": 3}, lambda key: f"of {key}")
        table.one("one", 1, 2)
        self.assertFalse(table.show())
        self.assertIn("other: a: 1 expected, 2 found\n      of a", out.getvalue())
        self.assertEqual(len(table.differences), 3)

    def test_rows_go_wrong_in_every_way(self):
        self.assertTrue(self.files.contradictions and self.files.doubled)
        self.assertTrue(all(self.files.faults[name] + self.files.mended_faults[name] for name in self.files.faults))


if __name__ == "__main__":
    unittest.main()
