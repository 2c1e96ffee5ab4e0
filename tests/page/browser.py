"""A headless Chromium, driven over its debugging pipe with nothing but the standard library.

`with Browser() as browser:` starts one and ends it with its profile. `open` loads a file and waits until it is drawn;
`evaluate` gives the value of an expression; errors and console messages of the page gather in `complaints`.
"""
import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SECONDS = 60


class Missing(Exception):
    """No browser on this machine."""


class Browser:
    def __init__(self, width=1280, height=800):
        self.size = (width, height)
        self.number, self.buffer, self.session = 0, b"", None
        self.complaints, self.loaded = [], False

    def __enter__(self):
        program = next((path for path in map(shutil.which, NAMES) if path), None)
        if program is None:
            raise Missing("no Chromium here: install the package 'chromium'")
        self.profile = tempfile.mkdtemp(prefix="seer-page-")
        to_read, self.to = os.pipe()
        self.source, from_write = os.pipe()
        command = [program, "--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--no-first-run",
                   "--disable-dev-shm-usage", "--disable-extensions", "--disable-background-networking",
                   "--hide-scrollbars", "--force-device-scale-factor=1", f"--user-data-dir={self.profile}",
                   "about:blank"]
        self.process = subprocess.Popen(self.with_pipe(command, to_read, from_write), stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        pass_fds=(to_read, from_write), env={**os.environ, "HOME": self.profile})
        os.close(to_read)
        os.close(from_write)
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.resize(*self.size)
        return self

    @staticmethod
    def with_pipe(command, reads, writes):
        """Chromium speaks on descriptors 3 and 4, whatever numbers the pipes have here."""
        return ["sh", "-c", f'exec "$@" 3<&{reads} 4>&{writes}', "sh", *command]

    def __exit__(self, *_):
        try:
            self.call("Browser.close", session=None)
        except (OSError, RuntimeError):
            pass
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.to)
        os.close(self.source)
        shutil.rmtree(self.profile, ignore_errors=True)

    def receive(self, deadline):
        while b"\0" not in self.buffer:
            if not select.select([self.source], [], [], max(0, deadline - time.monotonic()))[0]:
                raise RuntimeError("the browser does not answer")
            data = os.read(self.source, 1 << 20)
            if not data:
                raise RuntimeError("the browser has ended")
            self.buffer += data
        message, _, self.buffer = self.buffer.partition(b"\0")
        message = json.loads(message)
        self.note(message)
        return message

    def note(self, message):
        """Keeps what a reader of the console would see."""
        method, values = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            details = values["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Runtime.consoleAPICalled" and values["type"] in ("error", "warning", "assert"):
            self.complaints.append(" ".join(str(part.get("value", part.get("description"))) for part in values["args"]))
        elif method == "Log.entryAdded":
            self.complaints.append(values["entry"]["text"])
        elif method == "Page.loadEventFired":
            self.loaded = True

    def call(self, method, session="own", **values):
        self.number += 1
        number, message = self.number, {"id": self.number, "method": method, "params": values}
        if session == "own" and self.session:
            message["sessionId"] = self.session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.to, data):]
        deadline = time.monotonic() + SECONDS
        while True:
            message = self.receive(deadline)
            if message.get("id") == number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']['message']}")
                return message["result"]

    def open(self, path):
        """Loads a file; complaints of earlier pages are forgotten."""
        self.complaints, self.loaded = [], False
        deadline = time.monotonic() + SECONDS
        self.call("Page.navigate", url=Path(path).resolve().as_uri())
        while not self.loaded:
            self.receive(deadline)
        self.settle()

    def settle(self):
        """Two frames: what the page has put off is drawn."""
        self.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")

    def evaluate(self, expression):
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise RuntimeError(details.get("exception", {}).get("description") or details["text"])
        return answer["result"].get("value")

    def resize(self, width, height):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def media(self, scheme="light", medium=""):
        self.call("Emulation.setEmulatedMedia", media=medium,
                  features=[{"name": "prefers-color-scheme", "value": scheme}])

    def mouse(self, kind, x, y, **values):
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **values)

    def click(self, x, y):
        self.mouse("mouseMoved", x, y)
        self.mouse("mousePressed", x, y, button="left", clickCount=1)
        self.mouse("mouseReleased", x, y, button="left", clickCount=1)

    def key(self, key, text=None):
        values = {"key": key, **({"text": text} if text else {})}
        self.call("Input.dispatchKeyEvent", type="keyDown", **values)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def picture(self, path, **clip):
        """A PNG of the whole page, or of a rectangle of it (x, y, width, height)."""
        area = {"clip": {**clip, "scale": 1}} if clip else {}
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, **area)["data"]
        Path(path).write_bytes(base64.b64decode(data))

    def print(self, path):
        data = self.call("Page.printToPDF", printBackground=False)["data"]
        Path(path).write_bytes(base64.b64decode(data))
