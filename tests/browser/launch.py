"""Launch pages with something behind them: Chromium must really leave for the app, notice it, and fall back when there is none.

The app is `fake-app` behind xdg-open; with a display it takes the screen, which Chromium tells the page as a phone would.
"""

import json
import time
import urllib.parse

from chromium import Chromium, Failed
from world import Display, Phone, free

JD = "https://item.jd.com/100012043978.html"
TAOBAO = "https://s.click.taobao.com/t?e=m%3D2%26s%3DAbc%2Bd%2F%3D%3D&relationId=7"
SCHEMES = ("tbopen", "taobao", "tmall", "openapp.jdmobile", "jdmobile", "openjd")

POLICIES = """
agreements:
  - {id: launch, title: launch, platform: zhihu, marketplace: [jd, taobao, tmall], effect: allow, from: 2022-10-28,
     landing: app, when: {surfaces: [other]}}
"""
# A visitor whose browser is given the app's own scheme, tried without a tap; and one who has to tap first.
AGENT, TAPS = ("browser", "harmony"), ("browser", "ios")
# How long a page waits for an app, and how much later it may fall back on a busy machine.
WAITS, LATE = 2.0, 6.0


def prepare(world):
    """Makes the links."""
    world.gateway.link("launch-jd", JD, "zhihu/other")
    world.gateway.link("launch-taobao", TAOBAO, "zhihu/other")


def check(world):
    """All that can become of a launch page."""
    for slug, carried in (("launch-jd", JD), ("launch-taobao", TAOBAO)):
        opens(world, slug, carried)
    falls_back(world)
    after_tap(world)
    goes_back(world)
    without_script(world)
    asks(world)


def opens(world, slug, carried):
    """The app takes the screen: it got the whole landing, the page saw itself hidden, and never goes on to the fallback."""
    with Try(world, f"app opens {slug}", world.click_url(slug), installed=True, screen=True, by_hand=True) as visit:
        if not visit.wait("the app is opened", visit.phone.opened):
            return
        visit.leads_to(carried)
        visit.wait("the page hears that it lost the screen", lambda: visit.page.run("document.hidden || !document.hasFocus()"))
        visit.page.pass_time(WAITS + 0.1)
        visit.rest(0.5)
        if visit.landed() or visit.page.url() != world.click_url(slug):
            visit.fault("the page fell back although the app had opened")
        # The visitor comes back from the app: nothing happens by itself, and the button still works.
        visit.wait("the page is shown again", lambda: not visit.page.run("document.hidden"))
        visit.page.pass_time(1)
        visit.rest(0.5)
        if len(visit.phone.opened()) != 1 or visit.landed():
            visit.fault("the page tried again when the visitor came back")
        visit.page.click("#open")
        visit.wait("the button opens the app again", lambda: len(visit.phone.opened()) == 2)
        world.looked(visit.name)


def falls_back(world):
    """No app: the landing itself after about two seconds, once, with every byte of it."""
    for slug, landing in (("launch-jd", JD), ("launch-taobao", TAOBAO)):
        with Try(world, f"no app {slug}", world.click_url(slug), installed=False, screen=False) as visit:
            if not visit.wait("the page falls back", visit.landed):
                return
            visit.rest(1)
            when, url = visit.landed()[0]
            if len(visit.landed()) != 1 or url != landing:
                visit.fault(f"did not fall back to {landing} once")
            # The page began to wait somewhere between being asked for and being shown.
            if when < WAITS or visit.began + when > visit.shown + WAITS + LATE:
                visit.fault(f"fell back {when} s after it was asked for")
            world.looked(f"{visit.name}: {when} s")


def after_tap(world):
    """Where a scheme nobody knows would be an alert: nothing by itself, after a tap the same as elsewhere."""
    with Try(world, "tap", world.click_url("launch-jd"), installed=False, screen=False, agent=TAPS) as visit:
        visit.rest(3)
        if visit.landed() or visit.page.url() != world.click_url("launch-jd"):
            visit.fault("something happened by itself")
        visit.page.click("#open")
        visit.wait("the page falls back after the tap", visit.landed)
        world.looked(visit.name)


def goes_back(world):
    """Back from the landing: to the page before when the page fell back by itself, to a page at rest when the visitor chose."""
    with Try(world, "back", world.click_url("before"), installed=False, screen=False) as visit:
        visit.page.go(world.click_url("launch-jd"))
        visit.wait("the page falls back", visit.landed)
        visit.wait("the landing is shown", lambda: visit.page.url() == JD)
        visit.page.back()
        visit.wait("back leads to the page before", lambda: visit.page.url() == world.click_url("before"))
        visit.page.go(world.click_url("launch-jd"))
        visit.page.click("#other")
        visit.wait("the landing is shown", lambda: visit.page.url() == JD)
        before = len(visit.landed())
        visit.page.back()
        visit.wait("back leads to the launch page", lambda: visit.page.url() == world.click_url("launch-jd"))
        visit.rest(3)
        if len(visit.landed()) != before or visit.page.url() != world.click_url("launch-jd"):
            visit.fault("back leads into a loop")
        # On a busy machine a page back from memory may lose its first press, as it loses a visitor's.
        for _ in range(2):
            visit.page.call("Page.bringToFront")
            visit.page.click("#open")
            visit.rest(WAITS + 3)
            if len(visit.landed()) > before:
                break
        else:
            visit.fault("the button has no fallback of its own")
        world.looked(visit.name)


def without_script(world):
    """No script: both ways are plain links, and nothing happens by itself."""
    with Try(world, "without script", world.click_url("launch-jd"), installed=True, screen=False, script=False) as visit:
        visit.rest(3)
        if visit.phone.opened() or visit.landed():
            visit.fault("something happened by itself")
        visit.page.click("#open")
        if visit.wait("the button opens the app", visit.phone.opened):
            visit.leads_to(JD)
        visit.page.click("#other")
        visit.wait("the other link leads to the landing", visit.landed)
        world.looked(visit.name)


def asks(world):
    """Chromium asks the visitor first, as it does where nothing is remembered: the page does not pull the question away."""
    with Try(world, "browser asks", world.click_url("launch-jd"), installed=True, screen=True, allowed=False, by_hand=True) as visit:
        visit.wait("the browser asks", lambda: not visit.page.run("document.hasFocus()"))
        visit.page.pass_time(WAITS + 0.1)
        visit.rest(0.5)
        if visit.landed() or visit.phone.opened():
            visit.fault("something happened while the browser was asking")
        # The question cannot be answered from here; what is left when it is closed are the two links.
        if visit.page.run("[...document.querySelectorAll('#open, #other')].filter(e => e.checkVisibility()).length") != 2:
            visit.fault("the page has not both links")
        world.looked(visit.name)


class Try:
    """One visit to a launch page in a browser of its own, as a browser allows one attempt without a gesture."""

    def __init__(self, world, name, url, installed, screen, allowed=True, script=True, agent=AGENT, by_hand=False):
        self.world, self.name = world, name
        self.before = len(world.shops.asked)
        self.display = Display() if screen else None
        self.phone = Phone(world.folder / f"phone-{free(name)}", SCHEMES, installed, self.display.name if screen else None)
        # As if the visitor had once said "always allow": the question itself cannot be answered from here.
        asked = {world.gateway.url["click"]: {scheme: True for scheme in SCHEMES}}
        self.browser = Chromium(
            world.shops.arguments(), headed=screen, environment=self.phone.environment,
            preferences={"protocol_handler": {"allowed_origin_protocol_pairs": asked}} if allowed else None)
        self.page = self.browser.page(agent=world.agents[agent], language="zh-CN", script=script)
        if by_hand:
            self.page.clock_by_hand()
        self.began = time.monotonic()
        self.page.go(url)
        self.shown = time.monotonic()

    def leads_to(self, landing):
        """What the app was opened with holds the landing, every byte of it."""
        address = self.phone.opened()[0]
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(address).query)
        inside = [value for values in query.values() for value in values]
        inside += [json.loads(value).get("url") for value in inside if value.startswith("{")]
        if landing not in inside:
            self.fault(f"{address} does not carry {landing}")

    def landed(self):
        """What the shops were asked since, and after how long."""
        return [(round(when - self.began, 2), url) for when, url in self.world.shops.asked[self.before:] if "favicon" not in url]

    def rest(self, seconds):
        """Lets the page do what it does."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.browser.pump(end - time.monotonic())

    def wait(self, what, condition, timeout=15):
        """Waits, and says with a picture what did not come."""
        try:
            return self.browser.until(what, condition, timeout)
        except Failed as failed:
            self.fault(str(failed))
            return None

    def fault(self, what):
        """Something that is not as it should be."""
        said = [entry["entry"]["text"][:150] for entry in self.page.seen("Log.entryAdded")]
        self.world.fault(f"launch, {self.name}", f"{what} (at {self.page.url()}, opened {self.phone.opened()}, "
                         f"landed {self.landed()}, browser says {said})", self.world.picture(self.page, f"fault launch {self.name}"))

    def __enter__(self):
        return self

    def __exit__(self, _, error, __):
        if isinstance(error, Failed):
            self.world.fault(f"launch, {self.name}", str(error))
        self.browser.close()
        if self.display:
            self.display.close()
        return isinstance(error, Failed)
