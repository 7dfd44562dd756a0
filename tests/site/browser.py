# SPDX-License-Identifier: Apache-2.0
"""A headless Chromium, spoken to over its debugging pipe: messages of JSON, each ended by a zero byte.

The pipe needs no library and no port. One page is open at a time.
"""
import json
import os
import subprocess
import time


class Browser:
    def __init__(self, profile):
        to_browser, self.output = os.pipe()
        self.input, from_browser = os.pipe()
        # The browser reads from descriptor 3 and writes to 4.
        command = (f"exec chromium --headless --no-sandbox --disable-gpu --no-first-run --disable-extensions"
                   f" --allow-file-access-from-files --user-data-dir='{profile}' --remote-debugging-pipe about:blank"
                   f" 3<&{to_browser} 4>&{from_browser}")
        self.process = subprocess.Popen(["bash", "-c", command], pass_fds=(to_browser, from_browser), stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        os.close(to_browser)
        os.close(from_browser)
        self.pending, self.events, self.number, self.session = b"", [], 0, None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.output, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.receive()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def receive(self):
        while b"\0" not in self.pending:
            part = os.read(self.input, 1 << 16)
            if not part:
                raise RuntimeError("the browser has ended")
            self.pending += part
        message, _, self.pending = self.pending.partition(b"\0")
        return json.loads(message)

    def open(self, url, width, height):
        """Opens the page in a window of that size, and waits until it is loaded."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 768)
        self.events.clear()
        self.call("Page.navigate", url=url)
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self.receive())

    def evaluate(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{result['exceptionDetails'].get('exception', {}).get('description')} in {expression}")
        return result["result"].get("value")

    def wait_until(self, expression, seconds=30):
        """Whether the expression became true."""
        end = time.monotonic() + seconds
        while not self.evaluate(expression):
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        return True

    def console_errors(self):
        """What the page has reported since it was opened."""
        self.evaluate("0")
        for event in self.events:
            parameters = event.get("params", {})
            if event.get("method") == "Runtime.exceptionThrown":
                details = parameters["exceptionDetails"]
                yield details.get("exception", {}).get("description", details["text"])
            elif event.get("method") == "Runtime.consoleAPICalled" and parameters["type"] == "error":
                yield str([argument.get("value") for argument in parameters["args"]])
            elif event.get("method") == "Log.entryAdded" and parameters["entry"]["level"] == "error":
                yield f"{parameters['entry']['text']} {parameters['entry'].get('url', '')}"

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.input)
        os.close(self.output)
