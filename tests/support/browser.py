"""A real browser without a window: Chromium, driven over WebDriver, which is JSON over HTTP."""

import base64
import json
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

__all__ = ["Browser", "has_browser"]

_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--hide-scrollbars",
)


def has_browser() -> bool:
    """Whether Chromium and its driver are installed."""
    return bool(shutil.which("chromedriver") and shutil.which("chromium"))


class Browser:
    """One page; use it in a ``with``."""

    def __init__(self, width: int = 1200, height: int = 900, dark: bool = False) -> None:
        self._process = subprocess.Popen(
            ["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self._process.stdout is not None
        port = b""
        while not port:
            line = self._process.stdout.readline()
            assert line, "chromedriver has ended"
            if b"started successfully on port" in line:
                port = line.rpartition(b"port ")[2].strip(b".\n ")
        self._base = f"http://127.0.0.1:{port.decode()}"
        flags = [*_FLAGS, f"--window-size={width},{height}"]
        flags += ["--blink-settings=preferredColorScheme=0"] if dark else []
        options = {"binary": shutil.which("chromium"), "args": flags}
        logged = {"browser": "ALL"}
        wanted: dict[str, Any] = {"goog:chromeOptions": options, "goog:loggingPrefs": logged}
        wanted["browserName"] = "chrome"
        answer = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._base += f"/session/{answer['sessionId']}"

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: object) -> None:
        self._call("DELETE", "")
        self._process.terminate()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def open(self, url: str) -> None:
        self._call("POST", "/url", {"url": url})

    def run(self, script: str) -> Any:
        """Return what a script returns in the page."""
        return self._call("POST", "/execute/sync", {"script": script, "args": []})

    def until(self, condition: str, within_s: float = 30.0) -> Any:
        """Wait for an expression to be true in the page; return what it is then."""
        until_s = time.monotonic() + within_s
        while not (found := self.run(f"return {condition}")):
            shown = "return document.body.innerText"
            assert time.monotonic() < until_s, f"{condition}: {self.run(shown)}"
            time.sleep(0.05)
        return found

    def resize(self, width: int, height: int) -> None:
        self._call("POST", "/window/rect", {"width": width, "height": height})

    def text(self, selector: str) -> str:
        return str(self.run(f"return document.querySelector({json.dumps(selector)}).textContent"))

    def complaints(self) -> list[str]:
        """Return what the page has put into the browser's console since this was last asked."""
        return [each["message"] for each in self._call("POST", "/se/log", {"type": "browser"})]

    def picture(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._call("GET", "/screenshot")))

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        data = json.dumps(body).encode() if method == "POST" else None
        request = urllib.request.Request(self._base + path, data, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]
