"""Pages that have to do with others: a partner's page through the gateway and what stands in its place when it is down, signed
outbound clicks that are not to be believed, a share code to copy."""

import base64
import hashlib
import hmac
import http.server
import socket
import subprocess
import threading
import urllib.parse

from chromium import Failed
from looks import PHONE, look
from world import CannotTry, Gateway

POLICIES = """
agreements:
  - {id: partners, title: partners, platform: kuaishou, marketplace: jd, effect: allow, from: 2022-10-28, landing: proxy,
     when: {surfaces: [live_cart]}}
  - {id: copied, title: copied, platform: kuaishou, marketplace: jd, effect: allow, from: 2022-10-28, landing: app,
     when: {surfaces: [chat]}}
"""
UP = "https://item.m.jd.com/product/100012043978.html?from=zhihu"
DOWN = "https://item.jd.hk/100012043978.html"
CODE = "￥3DIFi3EsIAhRkW￥"
SECRET = "5a" * 32


class Partner(http.server.BaseHTTPRequestHandler):
    """A shop's page."""

    def do_GET(self):  # noqa: N802 (the name http.server looks for)
        """Tells what it was asked."""
        body = f"<!doctype html><html lang=zh-CN><title>shop</title><h1>{self.path}</h1>".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Says nothing."""


def prepare(world):
    """A gateway with two partners, of which one is down, and a platform's key."""
    alive = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Partner)
    threading.Thread(target=alive.serve_forever, daemon=True).start()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        dead = nobody.getsockname()[1]
    folder = world.folder / "partners-gateway"
    (world.folder / "ks.secret").write_text(SECRET)
    (world.folder / "ks.secret").chmod(0o600)
    world.partners = world.ends(Gateway(world.options.hopgate, folder, POLICIES, f"""
[[proxy.upstreams]]
name = "up"
landing_hosts = ["item.m.jd.com"]
origin = "http://127.0.0.1:{alive.server_port}"
[[proxy.upstreams]]
name = "down"
landing_hosts = ["item.jd.hk"]
origin = "http://127.0.0.1:{dead}"
[[signing.keys]]
id = "ks-test"
platform = "kuaishou"
secret_file = "../ks.secret"
"""))
    world.partners.link("partner-up", UP, "kuaishou/live_cart")
    world.partners.link("partner-down", DOWN, "kuaishou/live_cart")
    world.partners.link("copied", CODE, "kuaishou/chat")


def check(world):
    """Looks at them, and at what the journal says of a partner that is down."""
    gateway, agent = world.partners, world.agents["kuaishou", "android"]
    click = gateway.url["click"]
    page = world.browser.page(agent=agent)
    try:
        page.go(f"{click}/partner-up")
        if "/product/100012043978.html?from=zhihu" not in page.run("document.body.innerText") or page.url() != f"{click}/partner-up":
            raise Failed(f"the partner's page is not shown: {page.url()} {page.run('document.body.innerText')}")
        world.looked("partner's page")
    except Failed as failed:
        world.fault("partner's page", str(failed), world.picture(page, "fault partner"))
    finally:
        page.close()

    look(world, "partner down", f"{click}/partner-down", 502, agent, holds=offers_landing)
    look(world, "partner down without script", f"{click}/partner-down", 502, agent, holds=offers_landing, script=False, sizes=PHONE)
    if any(hop["way"] != "upstream_failed" for hop in gateway.hops() if hop["code"] == "partner-down"):
        world.fault("partner down", "the journal does not say upstream_failed")

    look(world, "share code", f"{click}/copied", 200, agent, holds=shows_code)
    good = signed(gateway, UP)
    look(world, "signed, changed on the way", f"{click}{good}x", 403, agent)
    unfit = led_elsewhere(good, "https://evil.example/100012043978.html")
    look(world, "signed, leads elsewhere", f"{click}{unfit}", 422, agent, holds=leads_nowhere)


def signed(gateway, to):
    """The path of an outbound click, signed as a platform would."""
    done = subprocess.run(
        [gateway.program, "sign", "go", "--config", gateway.config, "--key", "ks-test", "--surface", "live_cart", "--to", to],
        capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotTry(f"hopgate sign go --to {to}: {done.stderr}")
    return done.stdout.strip()


def led_elsewhere(path, to):
    """The same click with another landing, signed again: `hopgate sign` signs nothing that is certain to be refused, the platform
    that holds the key may."""
    parameters = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(path).query)) | {"to": to}
    del parameters["sig"]
    query = urllib.parse.urlencode(sorted(parameters.items()), quote_via=urllib.parse.quote, safe="")
    mac = hmac.new(bytes.fromhex(SECRET), b"hopgate-go-v1\n" + query.encode(), hashlib.sha256).digest()
    return f"/go?{query}&sig={base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def offers_landing(page, _):
    """The shop's own page, which the policy allowed as well, is offered."""
    if page.run("[...document.links].map(a => a.href)") != [DOWN]:
        yield "the landing is not offered"


def shows_code(page, _):
    """The code, byte for byte, where it can be copied from."""
    if page.run("document.querySelector('#text').value") != CODE:
        yield f"the code is not shown: {page.run('document.body.innerText')}"


def leads_nowhere(page, _):
    """No link at all."""
    if page.run("document.links.length"):
        yield "there is a link"
