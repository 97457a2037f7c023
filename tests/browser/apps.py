"""What a permitted click becomes in every host app on every system, by their real User-Agents: opened in Chromium, which must
end at the shop or at a page whose links lead there and nowhere else."""

import html
import json
import re
import urllib.parse

from chromium import Failed
from looks import PHONE, look
from world import free

LANDINGS = {
    "jd": "https://item.jd.com/100012043978.html",
    "taobao": "https://s.click.taobao.com/t?e=m%3D2%26s%3DAbc%2Bd%2F%3D%3D&relationId=7",
    "tmall": "https://detail.tmall.com/item.htm?id=610947572360&skuId=1",
}
# Modes an agreement can ask for, each at a surface of its own.
MODES = {"app": "live_room", "mini_program": "product_page", "in_app": "detail_page", "web": "chat"}

POLICIES = "agreements:\n" + "".join(
    f"  - {{id: apps-{mode.replace('_', '-')}, title: apps, platform: zhihu, marketplace: [jd, taobao, tmall], effect: allow,\n"
    f"     from: 2022-10-28, landing: {mode}, when: {{surfaces: [{surface}]}}}}\n"
    for mode, surface in MODES.items())


def prepare(world):
    """One link for each marketplace and mode."""
    for shop, url in LANDINGS.items():
        for mode, surface in MODES.items():
            world.gateway.link(f"apps-{shop}-{free(mode)}", url, f"zhihu/{surface}")


def check(world):
    """Asks plainly for all of them, and opens in Chromium what differs."""
    seen = {}
    for (app, system), agent in sorted(world.agents.items()):
        for shop, landing in LANDINGS.items():
            for mode in MODES:
                path = f"/apps-{shop}-{free(mode)}"
                status, headers, body = world.gateway.click(path, agent)
                where = f"{app} on {system}, {shop}, {mode}"
                for what in unsound(status, headers, body, landing):
                    world.fault(where, what)
                told = json.loads(world.gateway.click(path, agent, Accept="application/json")[2]) if status == 200 else {}
                way = told.get("way", f"status {status}")
                if world.options.verbose:
                    print(f"  {where}: {status} {headers.get('location') or way}")
                title = re.search(r"<h1>(.*?)</h1>", body)
                seen.setdefault((way, shop, title and title.group(1)), (agent, path[1:], landing, where))
    looked = set()
    for (way, _, title), (agent, path, landing, where) in seen.items():
        if title is None:
            redirected(world, where, path, agent, landing)
        elif (way, title.count("小程序")) not in looked:
            # All links of all pages were weighed above; of each sort one is looked at, with and without a script.
            looked.add((way, title.count("小程序")))
            look(world, f"{way} {where}", world.click_url(path), 200, agent, prepare=stay)
            look(world, f"{way} {where} without script", world.click_url(path), 200, agent, sizes=PHONE, script=False,
                 holds=lambda page, _: () if page.run("document.links.length") else ("no link without a script",))
            if way == "browser_prompt":
                copies(world, where, path, agent)
    print(f"apps: {len(world.agents)} host apps and systems, {len(seen)} sorts of answers: "
          f"{', '.join(sorted({way for way, _, _ in seen}))}")


def stay(page):
    """A page that waits for an app is told that it came, or it would be gone while it is looked at."""
    page.run("dispatchEvent(new Event('blur'))")


def copies(world, where, path, agent):
    """The button of a page with a text to copy really copies it, and says so."""
    page = world.browser.page(agent=agent, language="zh-CN")
    try:
        page.go(world.click_url(path))
        world.browser.call("Browser.grantPermissions", browserContextId=page.context, permissions=["clipboardReadWrite"])
        page.call("Page.bringToFront")
        page.click("#copy")
        world.browser.until("the page says that it was copied", lambda: page.run("document.querySelector('#done').textContent"))
        text, copied = page.run("navigator.clipboard.readText().then(copied => [document.querySelector('#text').value, copied])")
        if copied != text or text not in (world.click_url(path), page.run("document.querySelector('#other').href")):
            world.fault(where, f"copied {copied}, the page shows {text}")
        world.looked(f"{where} copies")
    except Failed as failed:
        world.fault(f"{where} copies", str(failed), world.picture(page, f"fault {where} copies"))
    finally:
        page.close()


def unsound(status, headers, body, landing):
    """What is wrong with an answer: every way ends at the landing, byte for byte, or carries it whole."""
    if headers.get("cache-control") != "no-store" or "hop-id" not in headers:
        yield f"not a recorded answer that is never kept: {headers}"
    if status == 302:
        location = headers["location"]
        if location != landing and urllib.parse.urlsplit(location).hostname != "kpl.m.jd.com":
            yield f"leads to {location}"
        return
    if status != 200:
        yield f"status {status}"
        return
    if landing not in links(body):
        yield f"no plain link to the landing: {links(body)}"
    for link in links(body):
        if link != landing and not carries(link, landing):
            yield f"does not carry the landing: {link}"


def links(body):
    """Where a page leads."""
    return [html.unescape(link) for link in re.findall(r'<a [^>]*?href="([^"]*)"', body)]


def carries(address, landing):
    """Whether an address into an app holds the landing whole, at whatever depth of encoding its form asks for."""
    if address.startswith("intent:"):
        address, extras = intent(address)
        if extras["S.browser_fallback_url"] != landing or not re.fullmatch(r"[a-z][\w.]+", extras["package"]):
            return False
    scheme = address.partition(":")[0]
    if scheme not in ("tbopen", "tmall", "taobao", "openapp.jdmobile", "weixin", "https"):
        return False
    inside = [address]
    for _ in range(4):
        values = [value for text in inside for values in urllib.parse.parse_qs(text.partition("?")[2] or text).values() for value in values]
        values += [json.loads(value)["url"] for value in values if value.startswith("{")]
        if landing in values:
            return True
        inside = values
    return False


def intent(address):
    """Reads an `intent:` address as Chromium on Android does: what stands before the last `#Intent;` is the data, what stands
    behind it are settings up to `end`; data and scheme together are what the app gets."""
    data, _, settings = address.removeprefix("intent:").rpartition("#Intent;")
    parts = settings.split(";")
    if parts[-1] != "end" or parts.count("end") != 1:
        raise Failed(f"no end, or more than one: {address}")
    extras = {}
    for part in parts[:-1]:
        name, _, value = part.partition("=")
        if name in extras or name not in ("scheme", "package", "action", "S.browser_fallback_url"):
            raise Failed(f"{name}: twice, or not meant to be there: {address}")
        extras[name] = urllib.parse.unquote(value)
    return f"{extras['scheme']}:{data}", extras


def redirected(world, where, path, agent, landing):
    """A redirect is followed to the shop, in Chromium."""
    page = world.browser.page(agent=agent)
    try:
        page.go(world.click_url(path))
        if page.url() != landing and "kpl.m.jd.com" not in page.url():
            world.fault(where, f"ends at {page.url()}", world.picture(page, where))
        world.looked(where)
    except Failed as failed:
        world.fault(where, str(failed))
    finally:
        page.close()
