"""How a page must look and behave wherever it is opened: small and large, light and dark, in both languages, with and without
scripts. Asked of every page in a real Chromium; the measures themselves are in looks.js."""

import pathlib

from chromium import Failed

SCRIPT = (pathlib.Path(__file__).parent / "looks.js").read_text(encoding="utf-8")
SIZES = ((360, 640), (1280, 800))
PHONE = SIZES[:1]
LANGUAGES = (("zh-CN", "zh-CN,zh;q=0.9"), ("en", "en-US,en;q=0.9"))


def complaints(page, origin):
    """What the browser said of a page that was loaded: requests to others, errors, breaches of its own policy."""
    found = []
    document = page.url()
    for request in page.seen("Network.requestWillBeSent"):
        url = request["request"]["url"]
        # A scheme of an app is no request to anybody.
        if url.startswith(("http", "ws")) and not url.startswith(origin + "/"):
            found.append(f"asks somebody else: {url}")
    for entry in page.seen("Log.entryAdded"):
        entry = entry["entry"]
        # A page that is itself a refusal is an answer of 403, which Chromium logs of the document.
        own = entry["source"] == "network" and entry.get("url") == document
        # A browser lets a site open an app once without a tap; whether this page may, its other looks have used up.
        once = entry["text"].startswith("Not allowed to launch")
        if entry["level"] in ("error", "warning") and not own and not once:
            found.append(f"browser says: {entry['text']} {entry.get('url', '')}")
    for call in page.seen("Runtime.consoleAPICalled"):
        if call["type"] in ("error", "warning", "assert"):
            found.append(f"console: {call['args'][0].get('value') if call['args'] else call['type']}")
    for thrown in page.seen("Runtime.exceptionThrown"):
        found.append(f"exception: {thrown['exceptionDetails'].get('exception', {}).get('description', 'unknown')}")
    for issue in page.seen("Audits.issueAdded"):
        if issue["issue"]["code"] == "ContentSecurityPolicyIssue":
            details = issue["issue"]["details"]["contentSecurityPolicyIssueDetails"]
            found.append(f"breaks its own policy: {details['violatedDirective']} {details.get('blockedURL', '')}")
    return found


def look(world, name, url, status=200, agent=None, prepare=None, holds=None, script=True, sizes=SIZES,
         languages=LANGUAGES):
    """Looks at one page in every way; reports faults with a picture. `prepare(page)` goes to a page that no address leads to;
    `holds(page, language)` gives further faults; `sizes` are fewer where only the words differ from a page already seen;
    `languages` where a page is in both at once."""
    told = {}

    def fault(what, where, page):
        if what not in told:
            told[what] = ([], world.picture(page, f"fault {name} {where}") if world.is_new(what) else None)
        told[what][0].append(where)

    page = world.page(script)
    for language, accept in languages:
        try:
            page.speaks(accept, agent)
            page.size(*sizes[0])
            page.go(url)
            if prepare:
                prepare(page)
            got = [answer["response"] for answer in page.seen("Network.responseReceived") if answer["type"] == "Document"][-1]
            if got["status"] != status:
                fault(f"status {got['status']}, not {status}", language, page)
                continue
            for width, height in sizes:
                page.size(width, height)
                for dark in (False, True):
                    page.scheme(dark)
                    where = f"{language} {width} {'dark' if dark else 'light'}"
                    seen = page.run(SCRIPT)
                    if seen["lang"] != language:
                        seen["faults"].append(f"lang is {seen['lang']}, not {language}")
                    world.looked(f"{name} {where}")
                    for what in seen["faults"]:
                        fault(what, where, page)
                    if world.options.pictures:
                        world.picture(page, f"{name} {where}")
            origin = "/".join(url.split("/", 3)[:3])
            for what in [*complaints(page, origin), *(holds(page, language) if holds else [])]:
                fault(what, language, page)
        except Failed as failed:
            fault(str(failed), language, page)
            world.page_is_lost(script)
            page = world.page(script)
    for what, (where, picture) in told.items():
        where = "everywhere" if len(where) == len(languages) * len(sizes) * 2 else ", ".join(where)
        world.fault(name, f"{what} [{where}]", picture)
