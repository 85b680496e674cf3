"""A service in miniature for the runner's tests: ready at once, serves nothing else, `migrate` ends well."""

import http.server
import os
import sys


class Door(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    prefix = next((word for word in sys.argv[1:] if word.isupper()), "STUB")
    print("settings:", *sorted(name for name in os.environ if name.startswith(f"{prefix}_")), flush=True)
    if sys.argv[-1] != "migrate":
        port = int(os.environ[f"{prefix}_HTTP_PORT"])
        http.server.ThreadingHTTPServer(("127.0.0.1", port), Door).serve_forever()
