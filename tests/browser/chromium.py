"""Drives a real Chromium over its debugging pipe: no port, no driver program, no package beside Debian's chromium.

One browser, one thread: a call reads messages until its own answer is there and keeps what else arrived.
"""

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time


# What Chromium answers for a page that is on its way to another one.
LEAVING = ("navigated or closed", "Not attached to an active page")


class Failed(Exception):
    """A browser that did not do what a test needs, told in words."""


class Left(Failed):
    """The page left for another one before it answered."""


class Chromium:
    """A Chromium with a profile of its own; `headed` ones need a display. Ends with everything it started."""

    def __init__(self, arguments=(), headed=False, environment=None, preferences=None):
        self.profile = tempfile.mkdtemp(prefix="hopgate-chromium-")
        if preferences:
            os.makedirs(f"{self.profile}/Default")
            with open(f"{self.profile}/Default/Preferences", "w", encoding="utf-8") as file:
                json.dump(preferences, file)
        to_browser, self._write = _pipe()
        self._read, from_browser = _pipe()

        command = [
            "chromium", "--remote-debugging-pipe", f"--user-data-dir={self.profile}", "--no-first-run",
            "--no-default-browser-check", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", "--disable-default-apps", "--disable-extensions", "--mute-audio", "--disable-gpu",
            "--disable-dev-shm-usage", "--password-store=basic", "--use-mock-keychain", "--no-service-autorun",
            "--disable-features=Translate,OptimizationHints,MediaRouter,DialMediaRouteProvider,HttpsUpgrades",
        ]
        if os.geteuid() == 0:
            command.append("--no-sandbox")
        if not headed:
            command.append("--headless=new")
        self._log = open(f"{self.profile}/output.txt", "w+b")
        # Chromium wants its pipes as 3 and 4; a shell puts them there, as code of ours between fork and exec would not be
        # safe beside other threads.
        place = f'exec "$@" 3<&{to_browser} 4>&{from_browser}'
        self._process = subprocess.Popen(
            ["bash", "-c", place, "bash", *command, *arguments, "about:blank"], stdin=subprocess.DEVNULL, stdout=self._log,
            stderr=self._log, env=environment, pass_fds=(to_browser, from_browser), start_new_session=True)
        os.close(to_browser)
        os.close(from_browser)
        self._number = 0
        self._pending = b""
        self._answers = {}
        self._pages = {}
        try:
            told = self.call("Browser.getVersion", timeout=60)
            self.version, self.agent = told["product"], told["userAgent"].replace("Headless", "")
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def call(self, method, session=None, timeout=30, **parameters):
        """One command and its answer."""
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._write, data):]
        deadline = time.monotonic() + timeout
        while number not in self._answers:
            if not self.pump(deadline - time.monotonic()):
                raise Failed(f"{method}: no answer within {timeout} s")
        answer = self._answers.pop(number)
        if "error" in answer:
            told = answer["error"].get("message", "")
            raise (Left if told.endswith(LEAVING) else Failed)(f"{method}: {told}")
        return answer["result"]

    def pump(self, wait):
        """Takes in what arrives within `wait` seconds; false when nothing did."""
        if not select.select([self._read], [], [], max(wait, 0))[0]:
            return False
        data = os.read(self._read, 1 << 20)
        if not data:
            raise Failed(f"Chromium ended: {self._said()}")
        self._pending += data
        *whole, self._pending = self._pending.split(b"\0")
        for message in map(json.loads, whole):
            if "id" in message:
                self._answers[message["id"]] = message
            elif (page := self._pages.get(message.get("sessionId"))) is not None:
                page.events.append(message)
        return True

    def until(self, what, condition, timeout=10):
        """Waits until `condition()` gives something true, and gives that back; a page that is leaving is asked again."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                if value := condition():
                    return value
            except Left:
                pass
            if time.monotonic() > deadline:
                raise Failed(f"not within {timeout} s: {what}")
            self.pump(0.05)

    def page(self, **options):
        """A new page in a context of its own."""
        return Page(self, **options)

    def _said(self):
        self._log.flush()
        self._log.seek(0)
        return self._log.read()[-1500:].decode(errors="replace").strip()

    def close(self):
        """Ends the browser and all its processes, which share one session of their own."""
        for sign in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._process.pid, sign)
            except ProcessLookupError:
                break
            try:
                self._process.wait(5)
                break
            except subprocess.TimeoutExpired:
                continue
        for descriptor in (self._read, self._write):
            os.close(descriptor)
        self._log.close()
        shutil.rmtree(self.profile, ignore_errors=True)


class Page:
    """One tab: what it asked for, what it complained of, and how it looks."""

    def __init__(self, browser, agent=None, language=None, width=None, height=None, dark=False, script=True):
        self.browser = browser
        self.events = []
        self.context = browser.call("Target.createBrowserContext", disposeOnDetach=True)["browserContextId"]
        target = browser.call("Target.createTarget", url="about:blank", browserContextId=self.context)
        self.target = target["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=self.target, flatten=True)["sessionId"]
        browser._pages[self.session] = self
        for domain in ("Page", "Runtime", "Network", "Log", "Audits"):
            self.call(f"{domain}.enable")
        if agent or language:
            self.speaks(language or "zh-CN", agent)
        if width:
            self.size(width, height)
        self.scheme(dark)
        if not script:
            self.call("Emulation.setScriptExecutionDisabled", value=True)

    def speaks(self, language, agent=None):
        """The languages it asks for, and the browser it says it is."""
        agent = agent or self.browser.agent
        self.call("Emulation.setUserAgentOverride", userAgent=agent, acceptLanguage=language)

    def clock_by_hand(self):
        """Time passes on its pages only as `pass_time` says: what has to come before a timer has all the time it needs."""
        self.call("Page.addScriptToEvaluateOnNewDocument", source="""(() => {
            let now = 0, last = 0;
            const due = new Map();
            performance.now = () => now;
            window.setTimeout = (what, after) => (due.set(++last, [now + after, what]), last);
            window.clearTimeout = number => due.delete(number);
            window.passTime = span => {
                now += span;
                for (const [number, [at, what]] of due) if (at <= now && due.delete(number)) what();
            };
        })()""")

    def pass_time(self, seconds):
        """Lets time pass, and what is due happen."""
        self.run(f"passTime({seconds * 1000})")

    def size(self, width, height):
        """The size of the window; narrow ones are phones."""
        phone = width < 800
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        self.call("Emulation.setTouchEmulationEnabled", enabled=phone)

    def scheme(self, dark):
        """Dark or light, as the visitor's system would say."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def call(self, method, **parameters):
        """One command to this page."""
        return self.browser.call(method, session=self.session, **parameters)

    def seen(self, method):
        """The parameters of every event of one name so far."""
        return [event["params"] for event in list(self.events) if event["method"] == method]

    def go(self, url, timeout=30):
        """Goes to `url` and waits until it is there."""
        self.events.clear()
        answer = self.browser.call("Page.navigate", session=self.session, timeout=timeout, url=url)
        if answer.get("errorText"):
            raise Failed(f"{url}: {answer['errorText']}")
        # The load of the page before may be told late.
        def loaded():
            names = [event["method"] for event in self.events]
            here = [at for at, event in enumerate(self.events) if event["method"] == "Page.frameNavigated"
                    and event["params"]["frame"]["loaderId"] == answer.get("loaderId")]
            return here and "Page.loadEventFired" in names[here[0]:]

        self.browser.until(f"{url} loads", loaded, timeout)

    def run(self, script, **options):
        """The value of a script's expression in the page."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True, **options)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise Failed(f"script: {details.get('exception', {}).get('description', details.get('text'))}")
        return answer["result"].get("value")

    def click(self, selector):
        """A real press of the mouse in the middle of the first element of `selector`."""
        box = self.run(f"""(() => {{ const e = document.querySelector({json.dumps(selector)}); if (!e) return null;
            e.scrollIntoView({{block: 'center'}}); const b = e.getBoundingClientRect();
            return [b.x + b.width / 2, b.y + b.height / 2]; }})()""")
        if not box:
            raise Failed(f"nothing matches {selector} at {self.url()}")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    def type(self, selector, text):
        """Presses on a field and types over what is in it."""
        self.click(selector)
        self.run(f"document.querySelector({json.dumps(selector)}).select()")
        self.call("Input.insertText", text=text)

    def choose(self, selector, value):
        """Chooses a value of a list."""
        self.run(f"document.querySelector({json.dumps(selector)}).value = {json.dumps(value)}")

    def submit(self, selector):
        """Presses a button and waits for the page it leads to."""
        self.events.clear()
        self.click(selector)
        self.browser.until(f"{selector} leads to a page", lambda: self.seen("Page.loadEventFired"))

    def back(self):
        """Goes back as a script of the page would; what it led to is to be waited for."""
        try:
            self.run("history.back()")
        except Left:
            pass  # It went before it had answered.

    def url(self):
        """Where the page is; the browser says it, as a page on its way elsewhere does not answer."""
        history = self.browser.until("the page is somewhere", lambda: self.call("Page.getNavigationHistory"))
        return history["entries"][history["currentIndex"]]["url"]

    def picture(self, path, box=None):
        """Keeps what the page looks like, all of it or a box of it."""
        if box is None:
            box = [0, 0, *self.run("[innerWidth, Math.max(innerHeight, document.documentElement.scrollHeight)]")]
        clip = dict(zip(("x", "y", "width", "height"), box), scale=1)
        data = self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))

    def close(self):
        """Ends the page."""
        self.browser._pages.pop(self.session, None)
        self.browser.call("Target.disposeBrowserContext", browserContextId=self.context)


def _pipe():
    """A pipe whose ends stand clear of the numbers Chromium wants."""
    ends = []
    for end in os.pipe():
        ends.append(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10))
        os.close(end)
    return ends
