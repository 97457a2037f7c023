"""Tests of the harness's arithmetic, parsing and drawing: `python3 load-tests/test_harness.py`. Starts no server."""

import json
import pathlib
import random
import sys
import tempfile
import unittest
import xml.etree.ElementTree as ElementTree

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from harness import bars, codes, hopgate, measure, options, peers, plot, policies, procs, report, stats, verify, wrk


def summary(key, cpu, links=None, mode=None, rss=50 * 2**20):
    """A summary as measure.Series makes it."""
    kind = key.partition("@")[0].partition("-")[0]
    series = measure.Series(
        type("One", (), {"key": key, "kind": kind, "label": key, "links": links, "mode": mode})()
    )
    for value in cpu:
        for figure in series.FIGURES:
            series.rounds[figure].append(value)
    series.rss_end = rss
    return series.summary()


def line_up(gateway=9.0, nginx=12.0, links=1_000_000):
    """Bare hyper at 8 µs, and the others as given, with a little noise."""
    rng = random.Random(1)
    noisy = lambda base: [base * rng.uniform(0.99, 1.01) for _ in range(10)]
    found = [
        summary("bare", noisy(8.0)),
        summary(f"nginx@{links}", noisy(nginx), links),
        summary("hopgate-written@10000", noisy(gateway), 10_000, "written", 20_000_000),
        summary(f"hopgate-written@{links}", noisy(gateway), links, "written", 20_000_000 + 110 * (links - 10_000)),
    ]
    return measure.with_ratios(found)


class Statistics(unittest.TestCase):
    def test_median_leaves_out_what_is_missing(self):
        self.assertEqual(stats.median([3, None, 1, 2]), 2)
        self.assertIsNone(stats.median([None]))

    def test_percentile_interpolates(self):
        self.assertEqual(stats.percentile([1, 2, 3, 4, 5], 0.5), 3)
        self.assertAlmostEqual(stats.percentile([0, 10], 0.25), 2.5)

    def test_ratio_is_taken_within_a_round(self):
        # Both drift threefold; within a round the ratio is always 2.
        under = [1, 2, 3]
        ratio = stats.paired_ratio([2, 4, 6], under)
        self.assertEqual((ratio["median"], ratio["low"], ratio["high"], ratio["pairs"]), (2, 2, 2, 3))

    def test_ratio_skips_rounds_that_lack_a_side(self):
        self.assertEqual(stats.paired_ratio([2, None, 6], [1, 1, None])["pairs"], 1)
        self.assertIsNone(stats.paired_ratio([None], [1]))

    def test_bootstrap_covers_the_true_median_about_as_often_as_it_says(self):
        rng = random.Random(7)
        covered = 0
        for _ in range(200):
            low, high = stats.bootstrap_interval([rng.gauss(1.0, 0.05) for _ in range(12)], draws=300)
            covered += low <= 1.0 <= high
        self.assertGreaterEqual(covered, 176)

    def test_one_value_has_no_interval(self):
        self.assertIsNone(stats.bootstrap_interval([1.0]))

    def test_abba_cancels_a_steady_drift(self):
        names, place, seen = ["a", "b", "c"], 0, {"a": 0, "b": 0, "c": 0}
        for number in range(4):
            for name in stats.abba(names, number):
                seen[name] += place
                place += 1
        self.assertEqual(len(set(seen.values())), 1)


class CodesAndFiles(unittest.TestCase):
    def test_codes_are_eight_base62_characters_and_differ_even_without_case(self):
        made = list(codes.generate(20_000))
        self.assertEqual(len({code.lower() for code in made}), 20_000)
        self.assertTrue(all(len(code) == 8 and set(code) <= set(codes.ALPHABET) for code in made))
        self.assertEqual(made[:100], list(codes.generate(100)), "always the same ones")

    def test_every_peer_gets_the_same_codes(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            some = codes.Codes(50, folder)
            some.write_nginx_map(folder / "n")
            some.write_haproxy_map(folder / "h")
            some.write_links(folder / "l")
            nginx = [line.rstrip(";") for line in (folder / "n").read_text().splitlines()]
            self.assertEqual(nginx, (folder / "h").read_text().splitlines())
            self.assertEqual(nginx[7], f"/{some[7]} {codes.target(7)}")
            self.assertEqual((folder / "codes-50.bin").read_text()[56:64], some[7])
            link = json.loads((folder / "l").read_text().splitlines()[7])
            self.assertEqual((link["code"], link["url"], link["platform"]), (some[7], codes.target(7), "kuaishou"))

    def test_user_agent_is_the_same_in_wrk_and_in_the_checking_client(self):
        script = wrk.SCRIPT.read_text()
        for part in wrk.USER_AGENT.partition("(KHTML"):
            self.assertIn(part, script)

    def test_200_agreements_of_which_one_fits_the_measured_clicks(self):
        with tempfile.TemporaryDirectory() as name:
            policies.write(pathlib.Path(name))
            text = "".join(path.read_text() for path in sorted(pathlib.Path(name).iterdir()))
        self.assertEqual(text.count("  - id: "), 200)
        self.assertEqual(len(set(line for line in text.splitlines() if "- id:" in line)), 200)
        self.assertEqual(text.count("short_video_cart"), 1)
        self.assertGreater(text.count("platform: kuaishou\n    marketplace: jd"), 40)


class Parsing(unittest.TestCase):
    def test_wrk_summary(self):
        line = "WRK requests=10 duration_us=2000000 connect=0 read=0 write=0 status=3 timeout=1 "
        line += "p50=1 p99=2 p999=3 max=4"
        counters = wrk.parse("Running 2s test\n" + line + "\n")
        self.assertEqual((counters["requests"], counters["p999"]), (10, 3))
        self.assertEqual(wrk.faults(counters), ["3 status", "1 timeout"])
        self.assertRaises(wrk.WrkFailed, wrk.parse, "nothing")

    def test_proc_stat_with_a_difficult_name(self):
        line = "4242 (ng) inx: (w)) S 17 1 1 0 -1 4194304 1 0 0 0 250 150 9 9 20 0 1 0 1 1 1"
        self.assertEqual(procs.parent_of(line), 17)
        self.assertEqual(procs.cpu_seconds_of(line), 400 / procs.TICKS)
        self.assertEqual(procs.rss_bytes_of("Name:\tx\nVmRSS:\t  2048 kB\n"), 2048 * 1024)

    def test_busy_time_of_the_chosen_cores(self):
        nines = "9 9 9 9 9 9 9 9 0 0\n"
        text = f"cpu {nines}cpu0 1 2 3 50 60 4 5 6 0 0\ncpu1 100 0 0 7 0 0 0 0 0 0\ncpu10 {nines}intr 1\n"
        self.assertEqual(procs.busy_seconds_of(text, {0}) * procs.TICKS, 21)
        self.assertEqual(procs.busy_seconds_of(text, {0, 1}) * procs.TICKS, 121)

    def test_noise_is_said_aloud(self):
        quiet, loud = summary("bare", [1.0]), summary("bare", [1.0])
        quiet["rounds"]["foreign"], loud["rounds"]["foreign"] = [0.01, 0.02], [0.2, 0.3]
        self.assertNotIn("Noisy", measure.noise_note([quiet]))
        self.assertIn("Noisy", measure.noise_note([loud]))

    def test_answer_head(self):
        status, headers = verify.parse_head(b"HTTP/1.1 302 Found\r\nLocation: https://x/\r\nContent-Length:0")
        self.assertEqual((status, headers["location"], headers["content-length"]), (302, "https://x/", "0"))

    def test_a_gateway_may_add_its_query_and_nothing_else(self):
        self.assertTrue(verify.right_target("https://item.jd.com/1.html?a=b", "https://item.jd.com/1.html"))
        self.assertFalse(verify.right_target("https://item.jd.com/1.html.evil", "https://item.jd.com/1.html"))

    def test_ready_line_and_metrics(self):
        ready = hopgate.parse_ready("ready click=http://127.0.0.1:1 control=http://127.0.0.1:2 ops=http://127.0.0.1:3")
        self.assertEqual(ready["ops"], "http://127.0.0.1:3")
        text = '# TYPE a_total counter\na_total{x="1",y="}"} 3\na_total{x="2"} 4e2\na_total_more 9\nb 1\n'
        self.assertEqual(hopgate.sum_metric(text, "a_total"), 403)
        self.assertIsNone(hopgate.sum_metric(text, "absent"))

    def test_options(self):
        self.assertEqual(options.sizes("1m,10_000,10k"), [10_000, 1_000_000])
        self.assertFalse(options.parse(["--quick"]).judged)
        self.assertTrue(options.parse([]).judged)
        self.assertEqual(options.parse(["--modes", "none"]).modes, [])

    def test_nginx_configuration_has_no_loose_braces(self):
        text = peers.NGINX.format(folder="/f", log="/l", map="/m", port=1, max_size=9)
        self.assertEqual(text.count("{"), text.count("}"))
        self.assertNotIn("{{", text)


class Counting(unittest.TestCase):
    class Server:
        key = "hopgate-written@1"

        def __init__(self, clicks, hops, named=True):
            self.now = {"clicks": clicks, "hops": hops, "named": named}

        def answered(self):
            return self.now

    def setUp(self):
        self.settle, measure.SETTLE_SECONDS = measure.SETTLE_SECONDS, 0.0

    def tearDown(self):
        measure.SETTLE_SECONDS = self.settle

    def test_a_lost_hop_makes_the_run_invalid(self):
        before = {"clicks": 100, "hops": 100}
        measure.accounted(self.Server(150, 150), before, 50, 50)
        measure.accounted(self.Server(160, 160), before, 50, 114)
        for now in ((150, 149), (149, 150), (151, 151), (150, 150, False)):
            with self.assertRaises(measure.Invalid):
                measure.accounted(self.Server(*now), before, 50, 50)

    def test_a_stretch_begins_when_what_was_in_flight_is_counted(self):
        measure.SETTLE_SECONDS = 60.0
        server = self.Server(0, 0)
        counts = [(150, 140), (160, 150), (164, 164), (164, 164), (165, 165)]
        looks = iter([{"clicks": clicks, "hops": hops, "named": True} for clicks, hops in counts])
        server.answered = lambda: next(looks)
        self.assertEqual(measure.settled(server)["hops"], 164)
        server.answered = lambda: None
        self.assertIsNone(measure.settled(server))

    def test_a_peer_that_does_not_count_is_not_asked(self):
        measure.accounted(self.Server(0, 0), None, 50, 50)


class Judging(unittest.TestCase):
    def states(self, summaries, cold=(), **more):
        return [one["state"] for one in bars.judge(summaries, list(cold), stats.paired_ratio, **more)]

    def test_cleared_bars(self):
        states = self.states(line_up())
        self.assertEqual(states[:3], [bars.PASSED] * 3)
        self.assertEqual(states[3:], [bars.NOT_MEASURED] * 2)

    def test_missed_bars_and_the_exit_code(self):
        judged = bars.judge(line_up(gateway=10.8), [], stats.paired_ratio)
        self.assertEqual([one["state"] for one in judged[:2]], [bars.MISSED, bars.MISSED])
        self.assertEqual((bars.exit_code(judged, True), bars.exit_code(judged, False)), (1, 0))

    def test_an_interval_across_the_bar_is_undecided(self):
        self.assertEqual(bars.state_of(1.19, 1.20, 1.22), bars.UNDECIDED)
        self.assertEqual(bars.state_of(1.21, 1.20, 1.30), bars.MISSED)
        self.assertEqual(bars.exit_code([bars.bar("x", 1.2, None, "", {"median": 1.19, "high": 1.22})], True), 3)

    def test_nothing_measured_is_never_passed(self):
        self.assertEqual(set(self.states([])), {bars.NOT_MEASURED})

    def test_another_size_counts_only_when_asked_for(self):
        small = [one for one in line_up(links=20_000) if one["links"] != 10_000]
        self.assertEqual(self.states(small)[0], bars.NOT_MEASURED)
        self.assertEqual(self.states(small, any_size=True)[0], bars.PASSED)

    def test_nginx_with_fewer_keys_is_no_peer_of_the_bar(self):
        found = [one for one in line_up() if one["kind"] != "nginx"]
        found.append(summary("nginx@10000", [12.0] * 10, 10_000))
        self.assertEqual(self.states(measure.with_ratios(found))[1], bars.NOT_MEASURED)

    def test_ten_million(self):
        found = line_up() + [summary("hopgate-written@10000000", [9.1] * 10, 10_000_000, "written")]
        cold = [{"links": 10_000_000, "worst_first_click": 2.4, "starts": [1, 2, 3]}]
        self.assertEqual(self.states(measure.with_ratios(found), cold)[3:], [bars.MISSED, bars.PASSED])


class Output(unittest.TestCase):
    def results(self):
        found = line_up()
        cold = [{"links": 10_000, "first_click": 0.1, "worst_first_click": 0.2, "ready": 0.1, "rss": 2**20}]
        cold[0].update(starts=[1], cold_cache=False)
        return {
            "when": "now",
            "machine": {"cpu": "x", "cores": 2, "kernel": "6", "versions": {"wrk": "4"}},
            "options": {"rounds": 10, "seconds": 5, "connections": 64},
            "contestants": found,
            "cold_start": cold,
            "bars": bars.judge(found, cold, stats.paired_ratio),
            "judged": True,
            "notes": ["a note"],
        }

    def test_table_is_aligned_and_says_what_was_not_measured(self):
        text = report.markdown(self.results())
        tables = [part.splitlines() for part in text.split("\n\n") if part.startswith("|")]
        for lines in tables:
            self.assertEqual(len({len(line) for line in lines}), 1)
        self.assertEqual(len(tables), 3)
        self.assertIn("| not measured", text)

    def test_files(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name) / "new"
            report.write(self.results(), "<svg/>", folder)
            self.assertEqual({p.name for p in folder.iterdir()}, {"latest.md", "latest.json", "latest.svg"})
            self.assertIn("latest.svg", (folder / "latest.md").read_text())

    def test_chart_is_sound_xml_and_stays_inside_its_frame(self):
        root = ElementTree.fromstring(plot.chart(line_up(), "a < b & c"))
        space = "{http://www.w3.org/2000/svg}"
        self.assertEqual(len([r for r in root.iter(space + "rect") if r.get("class") in ("peer", "gateway")]), 4)
        for rect in root.iter(space + "rect"):
            self.assertLessEqual(float(rect.get("x", 0)) + float(rect.get("width")), plot.WIDTH)
        self.assertIn("prefers-color-scheme: dark", root.find(space + "style").text)

    def test_chart_of_nothing(self):
        ElementTree.fromstring(plot.chart([], ""))


if __name__ == "__main__":
    unittest.main()
