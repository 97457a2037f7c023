"""Reports as pages: opened with the session of the page of creators, with figures of every sort in them, and empty."""

from journey import log_in
from looks import look
from world import Gateway

POLICIES = """
agreements:
  - {id: half-2024, title: half, platform: xiaohongshu, marketplace: [tmall], effect: data_return, from: 2024-01-01,
     until: 2024-07-01, attribution: {window_days: 15, sampling: 0.5, events: [store_entry, search, order]}}
  - {id: whole-2024, title: whole, platform: xiaohongshu, marketplace: [tmall], effect: data_return, from: 2024-07-01,
     attribution: {window_days: 15, sampling: 1.0, events: [store_entry, search, order]}}
"""
ZH = (("zh-CN", "zh-CN,zh;q=0.9"),)


def prepare(world):
    """A gateway that was told what happened around a few notes, some with names that must be escaped."""
    world.reported = world.ends(Gateway(world.options.hopgate, world.folder / "reports-gateway", POLICIES))
    events = []
    for note in range(1, 25):
        name = f"<b>笔记 {note}</b> & “x”" if note == 1 else f"n{note}-" + "a-long-name-of-a-note" * (note % 4)
        for kind, count in (("read", 9_000 // note), ("like", 300 // note), ("store_entry", 900 // note),
                            ("search", 400 // note), ("order", 80 // note)):
            day = "2024-06-20" if note % 3 else "2024-07-03"
            row = {"id": f"{note}-{kind}", "kind": kind, "at": f"{day}T12:00:00+08:00", "platform": "xiaohongshu",
                   "note": name, "creator": f"c{note % 5}", "shop": "shop:7", "count": count or 1}
            if kind not in ("read", "like"):
                row |= {"marketplace": "tmall", "read_at": f"{day}T08:00:00+08:00"}
            events.append(row)
    told = world.reported.ask("POST", "/v1/events", events)
    assert told["kept"] == len(events), told


def check(world):
    """Looks at each report in the session of whoever is logged in."""
    gateway = world.reported
    control = gateway.url["control"]
    period = "from=2024-06-01&to=2024-08-01"

    def opened(path):
        def act(page):
            log_in(page, gateway.key)
            page.go(f"{control}/v1/reports/{path}")
        return act

    for name, path, holds in (
        ("funnel by note", f"funnel?{period}", shows_everything),
        ("funnel by creator and agreement", f"funnel?{period}&by=creator,agreement", None),
        ("funnel by day", f"funnel?{period}&by=day", None),
        ("funnel, nothing in it", "funnel?from=2020-01-01&to=2020-02-01", None),
        ("links, nothing in it", "links?from=2020-01-01&to=2020-02-01", None),
    ):
        look(world, name, f"{control}/", prepare=opened(path), holds=holds, languages=ZH, script=False)


def shows_everything(page, _):
    """Pictures, the table with a total, ways to other forms; and names as they were told."""
    if page.run("document.querySelectorAll('svg[role=img] > title').length") < 3:
        yield "a picture is missing, or has no name"
    if "<b>笔记 1</b> & “x”" not in page.run("document.querySelector('table').innerText"):
        yield "a name is not shown as it was told"
    if "≈" not in page.run("document.querySelector('tfoot').innerText"):
        yield "the total has no estimate"
    if page.run("document.querySelectorAll('nav a').length") != 3:
        yield "a way to another form is missing"
