"""One sandbox of a Lambda function: the program that would be deployed, on a stand-in for the Lambda Runtime API."""

import json
import queue
import subprocess
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Sandbox:
    """`invoke` gives `(answer, None)` or `(None, {"errorType", "errorMessage"})`."""

    def __init__(self, name, program, environment, log, timeout_s=120):
        self.name, self.timeout_s = name, timeout_s
        self.events, self.outcomes = queue.Queue(), queue.Queue()
        self.asked_at = None
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        # A program that is killed leaves its question open.
        self.server.handle_error = lambda *_: None
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        own = {
            "PATH": "/usr/bin:/bin",
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self.server.server_port}",
            "AWS_LAMBDA_FUNCTION_NAME": name,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": "test",
        }
        self.started_at = time.monotonic()
        with open(log, "ab") as out:
            self.process = subprocess.Popen([program], env={**environment, **own}, stdout=out, stderr=out)

    def invoke(self, event):
        self.events.put((str(uuid.uuid4()), json.dumps(event).encode()))
        deadline = time.monotonic() + self.timeout_s
        while time.monotonic() < deadline:
            try:
                return self.outcomes.get(timeout=0.05)
            except queue.Empty:
                if self.process.poll() is not None:
                    break
        raise AssertionError(f"{self.name} gave no answer; its exit code: {self.process.poll()}")

    def init_ms(self):
        """From the start of the process until it asked for its first event."""
        while self.asked_at is None:
            assert self.process.poll() is None, f"{self.name} ended before it asked for an event"
            time.sleep(0.001)
        return (self.asked_at - self.started_at) * 1000

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.server.shutdown()

    def _handler(sandbox):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                sandbox.asked_at = sandbox.asked_at or time.monotonic()
                request_id, event = sandbox.events.get()
                self.send_response(200)
                for name, value in {
                    "Content-Type": "application/json",
                    "Lambda-Runtime-Aws-Request-Id": request_id,
                    "Lambda-Runtime-Deadline-Ms": str(int((time.time() + sandbox.timeout_s) * 1000)),
                    "Lambda-Runtime-Invoked-Function-Arn": f"arn:aws:lambda:us-east-1:123456789012:function:{sandbox.name}",
                }.items():
                    self.send_header(name, value)
                self._end(event)

            def do_POST(self):
                body = json.loads(self._body() or b"null")
                sandbox.outcomes.put((body, None) if self.path.endswith("/response") else (None, body))
                self.send_response(202)
                self._end(b"{}")

            def _body(self):
                if self.headers.get("Transfer-Encoding") != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length", 0)))
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return body

            def _end(self, body):
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        return Handler
