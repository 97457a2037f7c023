"""The pages of visitors whose click does not end at a shop: every reason a policy gives, no such link, over, too busy."""

from looks import PHONE, SIZES, look
from world import Gateway

JD = "https://item.jd.com/100012043978.html"
TAOBAO = "https://item.taobao.com/item.htm?id=41879347901"
TMALL = "https://detail.tmall.com/item.htm?id=610947572360"

# One pair of platform and marketplace for each reason. Dates far away, so that the day of the run is no part of it.
POLICIES = """
agreements:
  - {id: later, title: later, platform: wechat, marketplace: jd, effect: allow, from: 2098-10-28, landing: web}
  - {id: ended, title: ended, platform: kuaishou, marketplace: taobao, effect: allow, from: 2022-10-28, until: 2023-01-01, landing: web}
  - {id: surface, title: surface, platform: kuaishou, marketplace: tmall, effect: allow, from: 2022-10-28, landing: web,
     when: {surfaces: [live_cart]}}
  - {id: shop-type, title: shop type, platform: xiaohongshu, marketplace: jd, effect: allow, from: 2022-10-28, landing: web,
     when: {shop_types: [self_operated]}}
  - {id: link-kind, title: link kind, platform: xiaohongshu, marketplace: taobao, effect: allow, from: 2022-10-28, landing: web,
     when: {link_kinds: [alliance]}}
  - {id: category, title: category, platform: xiaohongshu, marketplace: tmall, effect: allow, from: 2022-10-28, landing: web,
     when: {categories: [beauty]}}
  - {id: creator, title: creator, platform: douyin, marketplace: jd, effect: allow, from: 2022-10-28, landing: web,
     when: {creators: [somebody]}}
  - {id: requirement, title: requirement, platform: douyin, marketplace: taobao, effect: allow, from: 2022-10-28, landing: web,
     when: {requires: [xingtu_order]}}
  - {id: rollout, title: rollout, platform: douyin, marketplace: tmall, effect: allow, from: 2022-10-28, landing: web,
     rollout: {by: link, steps: [{at: 2022-10-28, percent: 0}, {at: 2098-10-28, percent: 100}]}}
  - {id: denied, title: denied, platform: weibo, marketplace: jd, effect: deny, from: 2022-10-28}
  - {id: killed, title: killed, platform: weibo, marketplace: taobao, effect: allow, from: 2022-10-28, landing: web}
"""
OPEN = """
agreements:
  - {id: open, title: open, platform: kuaishou, marketplace: jd, effect: allow, from: 2022-10-28, landing: web}
"""
# Slug, address, placement, what else, the reason.
REASONS = [
    ("later", JD, "wechat/chat", {}, "not_yet_open"),
    ("ended", TAOBAO, "kuaishou/live_cart", {}, "window_ended"),
    ("surface", TMALL, "kuaishou/profile", {}, "surface_not_covered"),
    ("shop-type", JD, "xiaohongshu/note", {"shop_type": "pop"}, "shop_type_not_covered"),
    ("link-kind", TAOBAO, "xiaohongshu/note", {}, "link_kind_not_covered"),
    ("category", TMALL, "xiaohongshu/note", {"category": "shoes"}, "category_not_covered"),
    ("creator", JD, "douyin/live_cart", {}, "creator_not_covered"),
    ("requirement", TAOBAO, "douyin/live_cart", {}, "requirement_missing"),
    ("rollout", TMALL, "douyin/live_cart", {}, "not_in_rollout"),
    ("denied", JD, "weibo/other", {}, "denied_by_agreement"),
    ("killed", TAOBAO, "weibo/other", {}, "kill_switch"),
    ("nothing", JD, "bilibili/other", {}, "no_agreement"),
    ("all-fell", JD, "bilibili/other", {"alternates": [
        {"url": TMALL}, {"url": TAOBAO}, {"url": "https://app.kwaixiaodian.com/merchant/shop/detail?id=3822098374573"}]}, "no_agreement"),
]


def prepare(world):
    """Makes the links and throws the switch."""
    for slug, url, placement, more, _ in REASONS:
        world.gateway.link(slug, url, placement, **more)
    world.gateway.run("policy", "kill", "--platform", "weibo", "--marketplace", "taobao", "--why", "test", "--for", "2h")
    world.gateway.link("expired", JD, "kuaishou/live_cart", expires_at=world.soon())
    world.busy = world.ends(Gateway(world.options.hopgate, world.folder / "busy", OPEN, '[journal]\non_deadline = "refuse"\n'))
    world.busy.link("busy", JD, "kuaishou/live_cart")
    world.busy.no_more_disk()
    world.gateway.link("disabled", JD, "kuaishou/live_cart")
    world.gateway.ask("PATCH", "/v1/links/disabled", {"state": "disabled"})


def check(world):
    """Looks at all of them."""
    for slug, _, placement, _, reason in REASONS:
        answer = world.gateway.click(f"/{slug}", world.agents["kuaishou", "android"], Accept="application/json")
        if f'"reason":"{reason}"' not in answer[2].replace(" ", ""):
            world.fault(slug, f"the reason is not {reason}: {answer[2]}")
        app = placement.partition("/")[0]
        sizes = SIZES if slug in ("later", "all-fell") else PHONE
        look(world, f"refused {reason} {slug}", world.click_url(slug), 403, world.agents[app, "android"], holds=holds_words, sizes=sizes)
    look(world, "unknown", world.click_url("nothing-here"), 404)
    look(world, "front page of the click listener", world.click_url(""), 404, sizes=PHONE)
    look(world, "disabled", world.click_url("disabled"), 410)
    world.wait_for_soon()
    look(world, "expired", world.click_url("expired"), 410, sizes=PHONE)
    look(world, "busy", f"{world.busy.url['click']}/busy", 503)
    look(world, "refused without script", world.click_url("all-fell"), 403, script=False, sizes=PHONE)


def holds_words(page, language):
    """A refusal says why and what still works, and leads nowhere."""
    text = page.run("document.body.innerText")
    if "undefined" in text or "{" in text or len(text) < 30:
        yield f"these words say nothing: {text}"
    links = page.run("[...document.links].map(a => a.href)")
    if any("jd.com" in link or "taobao" in link or "tmall" in link for link in links):
        yield f"a refusal leads to a shop: {links}"
