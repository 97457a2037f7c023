"""The 200 agreements the measured gateway decides with. Exactly one lets the measured clicks through."""

PLATFORMS = ["kuaishou", "xiaohongshu", "douyin", "taobao", "wechat", "weibo", "bilibili"]
MARKETPLACES = ["taobao", "tmall", "jd", "pinduoduo", "vipshop", "suning", "youzan", "weimob", "meituan"]
SURFACES = ["live_cart", "detail_page", "profile", "shop_page", "note", "ad_note", "comment", "live_room", "chat"]
SHOP_TYPES = ["flagship", "c_store", "pop"]
WINDOWS = [
    ("2019-06-01T00:00:00+08:00", "2022-03-01T00:00:00+08:00"),
    ("2022-10-28T00:00:00+08:00", "2022-12-01T00:00:00+08:00"),
    ("2023-01-01T00:00:00+08:00", None),
    ("2024-05-20T00:00:00+08:00", None),
    ("2099-11-01T00:00:00+08:00", "2099-11-12T00:00:00+08:00"),
]

THE_ONE = """\
  - id: kuaishou-jd-measured
    title: The agreement every measured click is decided by
    platform: kuaishou
    marketplace: jd
    effect: allow
    from: 2023-01-01T00:00:00+08:00
    when:
      surfaces: [short_video_cart]
      shop_types: [self_operated]
      link_kinds: [item, alliance]
    landing: web
    attribution: {window_days: 15, sampling: 1.0, events: [store_entry, order]}
    priority: 0
    evidence: made by load-tests
"""


def agreement(index):
    """One agreement that never matches a measured click: another pair, or another surface of the same pair."""
    # Every fourth belongs to the measured pair, so that the decision has real work to do.
    platform, marketplace = (
        ("kuaishou", "jd")
        if index % 4 == 0
        else (PLATFORMS[index % len(PLATFORMS)], MARKETPLACES[index // 7 % len(MARKETPLACES)])
    )
    begin, end = WINDOWS[index % len(WINDOWS)]
    surfaces = sorted({SURFACES[index % len(SURFACES)], SURFACES[(index * 5 + 2) % len(SURFACES)]})
    deny = index % 11 == 5
    lines = [
        f"  - id: measured-{index:03}",
        f"    title: Agreement {index} of the measured set",
        f"    platform: {platform}",
        f"    marketplace: {marketplace}",
        f"    effect: {'deny' if deny else 'allow'}",
        f"    from: {begin}",
    ]
    if end:
        lines.append(f"    until: {end}")
    lines += ["    when:", f"      surfaces: [{', '.join(surfaces)}]"]
    if deny:
        # Narrower than any allow: one that denies all of an allow is refused as a mistake.
        lines.append("      link_kinds: [campaign]")
    if index % 3 == 0:
        lines.append(f"      shop_types: [{SHOP_TYPES[index % len(SHOP_TYPES)]}]")
    if not deny:
        lines += ["    landing: app", "    attribution: {window_days: 15, sampling: 1.0, events: [store_entry, order]}"]
    lines += [f"    priority: {index % 3}", "    evidence: made by load-tests"]
    return "\n".join(lines) + "\n"


def write(folder, count=200, per_file=50):
    """The policies folder: `count` agreements, one of which allows the measured clicks now."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = [THE_ONE] + [agreement(index) for index in range(count - 1)]
    for start in range(0, count, per_file):
        path = folder / f"measured-{start // per_file}.yaml"
        path.write_text("agreements:\n" + "".join(texts[start : start + per_file]), encoding="utf-8")
