"""`/{code}+`: the page that tells where a link leads before anybody goes there."""

import urllib.parse

from looks import PHONE, SIZES, look

JD = "https://item.jd.com/100012043978.html"
LONG = "https://s.click.taobao.com/t?e=" + urllib.parse.quote("m=2&s=" + "a1B2c3D4" * 40, safe="")
TMALL = "https://detail.tmall.com/item.htm?id=610947572360"

POLICIES = """
agreements:
  - {id: preview, title: preview, platform: zhihu, marketplace: [jd, taobao, tmall], effect: allow, from: 2022-10-28,
     until: 2098-01-01, landing: web, when: {surfaces: [comment]}}
"""


def prepare(world):
    """Makes the links."""
    world.gateway.link("preview-yes", JD, "zhihu/comment", shop_type="self_operated")
    world.gateway.link("preview-no", JD, "zhihu/shop_page")
    world.gateway.link("preview-free", LONG, "")
    world.gateway.link("preview-many", LONG, "zhihu/shop_page", alternates=[{"url": TMALL, "shop_type": "flagship"}, {"url": JD}])
    world.gateway.link("preview-off", JD, "zhihu/comment")
    world.gateway.ask("PATCH", "/v1/links/preview-off", {"state": "disabled"})


def check(world):
    """Looks at all sorts, and that a look is no click."""
    agent = world.agents["browser", "ios"]
    for slug, status in (("preview-yes", 200), ("preview-no", 200), ("preview-free", 200), ("preview-many", 200),
                         ("preview-off", 410), ("preview-nothing", 404)):
        look(world, slug, world.click_url(f"{slug}+"), status, agent, holds=leads_nowhere_else,
             sizes=SIZES if slug == "preview-many" else PHONE)
    look(world, "preview without script", world.click_url("preview-free+"), 200, agent, script=False, sizes=PHONE)
    if any(hop["code"].startswith("preview") for hop in world.gateway.hops()):
        world.fault("preview", "a look at a preview was recorded as a click")


def leads_nowhere_else(page, _):
    """Links on it go to the landing or stay here."""
    origin = page.run("location.origin")
    for link in page.run("[...document.links].map(a => a.href)"):
        if link not in (JD, LONG, TMALL) and not link.startswith(origin):
            yield f"leads to {link}"
