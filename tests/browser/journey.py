"""A creator's whole way, and a viewer's: log in, paste a share text, read the short link, scan its QR code, tap it in the app."""

import http.client
import re
import subprocess

from chromium import Failed
from looks import LANGUAGES, PHONE, complaints, look

JD = "https://item.jd.com/100012043978.html"
SHARED = f"【京东】{JD} MF3390 「小米手环 & <b>腕带</b>」\n点击链接直接打开"

POLICIES = """
agreements:
  - {id: journey, title: journey, platform: kuaishou, marketplace: jd, effect: allow, from: 2022-10-28, until: 2098-01-01,
     landing: app, when: {surfaces: [live_cart, short_video_cart]}}
"""


def prepare(world):
    """A creator's key, as an operator gives it out."""
    told = world.gateway.run("key", "create", "--role", "creator", "--scope", "creator-7")
    world.creator = re.search(r"hk_creator_\w+", told).group(0)


def check(world):
    """The way with a script in Chinese and without one in English, then every page met on it."""
    for (language, accept), script in zip(LANGUAGES, (True, False)):
        travel(world, language, accept, script)
    pages(world)


def log_in(page, key):
    """Where a key is asked for, gives it."""
    if page.run("!!document.querySelector('#key')"):
        page.type("#key", key)
        page.submit("form[action='/login'] button")


def fill(page, text, platform="", surface="", **fields):
    """Fills the form and sends it."""
    page.type("#url", text)
    page.choose("#platform", platform)
    page.choose("#surface", surface)
    for name, value in fields.items():
        page.type(f"#{name}", value)
    page.submit("form[action='/links'] button")


def travel(world, language, accept, script):
    """From the log-in to the shop."""
    control = world.gateway.url["control"]
    name = f"journey {language}{'' if script else ' without script'}"
    page = world.browser.page(language=accept, width=360, height=640, script=script)
    try:
        page.go(control + "/")
        log_in(page, world.creator)
        fill(page, SHARED, "kuaishou", "live_cart")
        short = page.run("document.querySelector('.short a')?.href")
        if not short or not short.startswith(world.gateway.url["click"]):
            raise Failed(f"no short link on the page: {short}")
        if JD not in page.run("document.body.innerText"):
            raise Failed("the landing is not shown as it was understood")
        scanned = scan(page, world.folder / "qr.png")
        if scanned != short:
            raise Failed(f"the QR code says {scanned}, not {short}")
        kept = scan_kept(page, world)
        if kept != short:
            raise Failed(f"the QR code to keep says {kept}, not {short}")
        for what in complaints(page, control):
            world.fault(name, what, world.picture(page, name))
    except Failed as failed:
        world.fault(name, str(failed), world.picture(page, f"fault {name}"))
        return
    finally:
        page.close()
    world.looked(name)

    # The viewer.
    before = len(world.shops.asked)
    page = world.browser.page(agent=world.agents["kuaishou", "android"], language=accept, width=360, height=640, script=script)
    try:
        page.go(short)
        world.browser.until("the shop is shown", lambda: page.url() == JD)
        asked = [url for _, url in world.shops.asked[before:]]
        if JD not in asked:
            raise Failed(f"the shop was asked for {asked}")
    except Failed as failed:
        world.fault(f"{name}, viewer", str(failed), world.picture(page, f"fault {name} viewer"))
    finally:
        page.close()
    code = short.rpartition("/")[2]
    hops = [hop for hop in world.gateway.hops() if hop["code"] == code]
    if len(hops) != 1 or (hops[0]["outcome"], hops[0]["platform"], hops[0]["creator"]) != ("allow", "kuaishou", "creator-7"):
        world.fault(f"{name}, viewer", f"the journal has {hops}")
    world.looked(f"{name}, viewer")


def scan(page, path):
    """What a phone's camera reads off the screen."""
    box = page.run("(() => { const b = document.querySelector('main svg').getBoundingClientRect();"
                   "return [b.x + scrollX, b.y + scrollY, b.width, b.height]; })()")
    page.picture(path, box=box)
    return read_code(path)


def scan_kept(page, world):
    """What the picture to keep says, fetched as the browser would, with its cookies."""
    link = page.run("document.querySelector('a[download]').getAttribute('href')")
    cookies = page.call("Network.getCookies")["cookies"]
    connection = http.client.HTTPConnection(world.gateway.url["control"].partition("://")[2], timeout=10)
    connection.request("GET", link, headers={"Cookie": "; ".join(f"{c['name']}={c['value']}" for c in cookies)})
    answer = connection.getresponse()
    path = world.folder / "kept.png"
    path.write_bytes(answer.read())
    connection.close()
    return read_code(path) if answer.status == 200 else f"status {answer.status}"


def read_code(path):
    """What an independent reader of QR codes reads."""
    done = subprocess.run(["zbarimg", "-q", "--raw", path], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def pages(world):
    """Every page a creator meets."""
    control = world.gateway.url["control"]

    def wrong_key(page):
        log_in(page, "hk_creator_" + "A" * 43)

    def logged_in(page):
        page.call("Network.setCookie", url=control, **{name: session[name] for name in ("name", "value", "path")})
        page.go(control + "/")

    def made(text, **fields):
        def act(page):
            logged_in(page)
            fill(page, text, **fields)
        return act

    def lost(page):
        logged_in(page)
        page.go(control + "/?code=nothing-here")

    # One session for all the pages that are not about logging in.
    page = world.browser.page()
    page.go(control + "/")
    log_in(page, world.creator)
    session = next(cookie for cookie in page.call("Network.getCookies")["cookies"] if cookie["name"] == "hopgate_session")
    if not session["httpOnly"] or session["sameSite"] != "Strict":
        world.fault("log-in", f"the session's cookie is open: {session}")
    page.close()
    look(world, "log-in", control + "/")
    look(world, "log-in refused", control + "/", 403, prepare=wrong_key, sizes=PHONE)
    look(world, "creator page", control + "/", prepare=logged_in)
    look(world, "creator page without script", control + "/", prepare=logged_in, script=False, sizes=PHONE)
    look(world, "link made for one spot", control + "/", prepare=made(SHARED, platform="kuaishou", surface="live_cart"), sizes=PHONE)
    look(world, "link made for any spot", control + "/", prepare=made(SHARED))
    look(world, "link refused where it is", control + "/", prepare=made(SHARED, platform="bilibili", surface="other"), sizes=PHONE)
    look(world, "faults", control + "/", 422, prepare=made("https://evil.example/" + "x" * 300, slug="a b", category="c d"))
    look(world, "code alone", control + "/", prepare=made("￥3DIFi3EsIAhRkW￥"), sizes=PHONE)
    look(world, "code of nobody", control + "/", 422, prepare=made("￥AbCdEf123456￥"), sizes=PHONE)
    look(world, "no such link", control + "/?code=nothing-here", 404, prepare=lost, sizes=PHONE)
