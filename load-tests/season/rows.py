"""Writes the season's reports as the networks write them, field by field, into many files of every form a network gives:
some rows twice, some faulty (the sound ones follow in a file of their own), some contradicting, all shuffled.
"""

import base64
import csv
import json
import random

from campaign import JD_SITE, MEMBER, SITE, UNION
from orders import text_of, yuan

MASK = (1 << 64) - 1
FORMS = ("ndjson", "json", "envelope", "csv")
# What is wrong with a row, and the reason it must be set aside for: see `Files.faults`.
FAULTS = ("amount", "status", "future", "missing", "object")


def siphash(key, data):
    """SipHash-2-4, as its authors describe it."""
    k0, k1 = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]

    def rounds(count):
        a, b, c, d = v
        for _ in range(count):
            a = (a + b) & MASK
            b = ((b << 13 | b >> 51) & MASK) ^ a
            a = (a << 32 | a >> 32) & MASK
            c = (c + d) & MASK
            d = ((d << 16 | d >> 48) & MASK) ^ c
            a = (a + d) & MASK
            d = ((d << 21 | d >> 43) & MASK) ^ a
            c = (c + b) & MASK
            b = ((b << 17 | b >> 47) & MASK) ^ c
            c = (c << 32 | c >> 32) & MASK
        v[:] = a, b, c, d

    whole = len(data) // 8 * 8
    words = [int.from_bytes(data[at:at + 8], "little") for at in range(0, whole, 8)]
    words.append(int.from_bytes(data[whole:], "little") | (len(data) & 0xFF) << 56)
    for word in words:
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 0xFF
    rounds(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def click_text(key, click):
    """A click id as it travels: 16 bytes and their MAC in 32 characters."""
    return base64.urlsafe_b64encode(click + siphash(key, click).to_bytes(8, "little")).decode()


def taobao(line, report):
    trade, role, scene = line.key.split(":")
    paid = line.created + 3
    row = {
        "trade_parent_id": line.order, "trade_id": trade, "tk_order_role": int(role), "order_scene": int(scene),
        "tk_status": report.raw, "refund_tag": int(report.refunded), "tk_create_time": text_of(line.created),
        "tb_paid_time": text_of(paid), "tk_paid_time": text_of(paid), "modified_time": text_of(report.modified),
        "item_id": line.item, "item_title": f"商品 {line.item}", "item_num": line.quantity,
        "item_price": yuan(line.paid // line.quantity), "seller_nick": "season", "seller_shop_title": "季节旗舰店",
        "order_type": "天猫" if line.marketplace == "tmall" else "淘宝",
        "pub_id": int(MEMBER), "site_id": int(line.pid.split("_")[2]) if line.pid else int(SITE),
        "adzone_id": int(line.position), "alipay_total_price": yuan(line.paid), "pay_price": yuan(line.paid),
        "pub_share_pre_fee": yuan(report.estimated), "income_rate": "5.00", "terminal_type": "无线",
    }
    if line.relation:
        row["relation_id"] = int(line.relation)
    if line.clicked is not None:
        row["click_time"] = text_of(line.clicked)
    if report.state == "settled" or report.confirmed is not None:
        row["pub_share_fee"] = yuan(report.confirmed)
        row["tk_earning_time"] = text_of(report.settled)
    return row


def jd(line, report, sub_id):
    row = {
        "id": line.key, "orderId": int(line.order), "parentId": int(line.parent or 0), "orderTime": text_of(line.created),
        "modifyTime": text_of(report.modified), "validCode": report.raw, "plus": 0, "orderEmt": 2, "skuId": int(line.item),
        "skuName": f"商品 {line.item}", "skuNum": line.quantity, "skuReturnNum": report.returned, "skuFrozenNum": 0,
        "price": line.paid / line.quantity // 1 / 100, "unionId": int(UNION), "siteId": int(JD_SITE),
        "positionId": int(line.position), "pid": line.pid, "subUnionId": sub_id, "commissionRate": 5,
        "estimateCosPrice": line.paid / 100, "estimateFee": report.estimated / 100,
        "actualCosPrice": 0 if report.confirmed is None else line.paid / 100,
        "actualFee": 0 if report.confirmed is None else report.confirmed / 100,
        "popId": 0, "unionRole": 1, "traceType": 2, "finishTime": "", "payMonth": 0,
    }
    if report.confirmed is not None:
        row["finishTime"] = text_of(min(report.modified, line.created + 86_400 * 3))
    if report.state == "settled":
        row["payMonth"] = int(text_of(report.modified)[:10].replace("-", ""))
    return row


def spoil(row, network, fault, form):
    """The same row with something wrong in it."""
    row = dict(row)
    taobao_row = network == "taobao"
    if fault == "amount":
        row["pub_share_pre_fee" if taobao_row else "estimateFee"] = "12,30" if taobao_row else "1.005"
    elif fault == "status":
        row["tk_status" if taobao_row else "validCode"] = 99 if taobao_row else 777
    elif fault == "future":
        row["modified_time" if taobao_row else "modifyTime"] = "2099-01-01 00:00:00"
    elif fault == "missing":
        del row["trade_id" if taobao_row else "id"]
    elif fault == "object":
        return f"cut off: {row.get('trade_id') or row.get('id')}"
    return row


class Files:
    """Rows laid out in files: `first` and `second` halves of the ordinary ones, and `mended`."""

    def __init__(self, folder, campaign, orders, key):
        self.folder = folder
        self.dice = random.Random(f"{campaign.seed}:files")
        self.campaign, self.key = campaign, key
        self.faults = {name: 0 for name in FAULTS}   # rows that stay faulty, by what is wrong
        self.mended_faults = {name: 0 for name in FAULTS}
        self.contradictions = self.rows = self.doubled = 0
        folder.mkdir(parents=True, exist_ok=True)
        self.first, self.second, self.mended = [], [], []
        for network in ("taobao", "jd"):
            lines = [line for line in orders.lines if line.network == network]
            self._lay_out(network, lines, orders)

    def _row(self, line, report, sub_id):
        return taobao(line, report) if line.network == "taobao" else jd(line, report, sub_id)

    def _lay_out(self, network, lines, orders):
        dice = self.dice
        reports = sum(len(line.reports) for line in lines)
        count = max(6, reports // 6_000 // 2 * 2)
        files = [(FORMS[n % 4], [], []) for n in range(count)]
        mended = []
        for line in lines:
            sub_id = click_text(self.key, self.campaign.click_id(line.click)) if line.click is not None else line.sub_id
            known = orders.is_known(line)
            for report in line.reports:
                row = self._row(line, report, sub_id)
                form, rows, pairs = dice.choice(files)
                chance = dice.random()
                self.rows += 1
                if chance < 0.012 and known:
                    # In turn, so that each is met however short the season.
                    fault = FAULTS[sum(self.faults.values(), sum(self.mended_faults.values())) % len(FAULTS)]
                    fault = "amount" if (fault, form) == ("object", "csv") else fault
                    report.fault, report.mended = fault, dice.random() < 0.8
                    rows.append(spoil(row, network, fault, form))
                    if report.mended:
                        mended.append(row)
                        self.mended_faults[fault] += 1
                    else:
                        self.faults[fault] += 1
                elif chance < 0.014 and known:
                    # In a word only: which of two reports of one change counts is for hopgate to say, and costs nobody a fen.
                    name = "item_title" if network == "taobao" else "skuName"
                    pairs.append((row, row | {name: row[name] + " (改)"}))
                    self.contradictions += 1
                else:
                    rows.append(row)
                    if chance > 0.97:
                        dice.choice(files)[1].append(row)
                        self.doubled += 1
        for n, (form, rows, pairs) in enumerate(files):
            dice.shuffle(rows)
            for row, other in pairs:
                rows += [row, other]
            path = self._write(network, f"{network}-{n:03}", form, rows)
            (self.first if n * 2 < count else self.second).append((network, path))
        if mended:
            self.mended.append((network, self._write(network, f"{network}-mended", "json", mended)))
        for batch in (self.first, self.second):
            dice.shuffle(batch)

    def _write(self, network, name, form, rows):
        path = self.folder / f"{name}.{'json' if form == 'envelope' else form}"
        # A row that is no object is a text among objects, where the form can hold one.
        with open(path, "w", encoding="utf-8", newline="") as out:
            if form == "ndjson":
                out.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            elif form == "json":
                json.dump(rows, out, ensure_ascii=False)
            elif form == "envelope":
                json.dump(envelope(network, rows), out, ensure_ascii=False)
            else:
                names = list(dict.fromkeys(name for row in rows for name in row))
                table = csv.DictWriter(out, names, restval="")
                out.write("\ufeff")
                table.writeheader()
                table.writerows(rows)
        return path


def envelope(network, rows):
    """A page as the API answers it; JD's with its own spelling and JSON within a text."""
    if network == "taobao":
        return {"tbk_order_details_get_response": {"data": {
            "results": {"publisher_order_dto": rows}, "has_next": False, "has_pre": False, "page_no": 1,
            "page_size": len(rows), "position_index": "1665"}, "request_id": "season"}}
    inner = json.dumps({"code": 200, "message": "success", "data": rows, "hasMore": False}, ensure_ascii=False)
    return {"jd_union_open_order_row_query_responce": {"code": "0", "queryResult": inner}}
