"""npm's yaml-language-server as an editor drives it: JSON-RPC over its standard streams."""

from __future__ import annotations

import json
import queue
import shutil
import subprocess
import threading
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

PACKAGE = "yaml-language-server@1.25.0"
PROGRAM = Path("node_modules", "yaml-language-server", "bin", "yaml-language-server")
INSTALL = ("install", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1")
DEADLINE_S = 60
SETTINGS = {"yaml": {"validate": True, "hover": True, "completion": True, "schemaStore": {"enable": False}}}


class NotInstalledError(Exception):
    """Why there is no language server."""


def install(folder: Path) -> Path:
    """The server's program below `folder`, brought there by npm if it is not there yet. Raises NotInstalledError."""
    home = folder / PACKAGE
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise NotInstalledError("there is no npm, or no node")
    if not (home / PROGRAM).exists():
        with TemporaryDirectory(dir=folder) as unfinished:
            command = [npm, *INSTALL, "--prefix", unfinished, PACKAGE]
            done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
            if done.returncode != 0:
                raise NotInstalledError(f"npm cannot install {PACKAGE}: {done.stderr.strip()[-300:]}")
            shutil.copytree(unfinished, home, symlinks=True, dirs_exist_ok=True)
    return home / PROGRAM


class Editor:
    """An editor with one server; positions count from 0, as in the protocol."""

    def __init__(self, program: Path, root: Path) -> None:
        self._number = 0
        self._messages: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        command = ["node", str(program), "--stdio"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        threading.Thread(target=self._listen, daemon=True).start()
        able = {"workspace": {"configuration": True}}
        self.ask("initialize", {"processId": None, "rootUri": root.as_uri(), "capabilities": able})
        self._send({"method": "initialized", "params": {}})

    def open(self, path: Path, text: str) -> list[dict[str, Any]]:
        """Show a file with this text, whatever is on the disk; returned are its diagnostics."""
        self._number += 1
        document = {"uri": path.as_uri(), "languageId": "yaml", "version": self._number, "text": text}
        self._send({"method": "textDocument/didOpen", "params": {"textDocument": document}})
        while True:
            message = self._next()
            if message.get("method") == "textDocument/publishDiagnostics" and message["params"]["uri"] == path.as_uri():
                found: list[dict[str, Any]] = message["params"]["diagnostics"]
                return found

    def at(self, request: str, path: Path, line: int, character: int) -> Any:
        """What the server answers to a request about a position."""
        place = {"line": line, "character": character}
        return self.ask(f"textDocument/{request}", {"textDocument": {"uri": path.as_uri()}, "position": place})

    def ask(self, method: str, params: Any) -> Any:
        self._number += 1
        number = self._number
        self._send({"id": number, "method": method, "params": params})
        while True:
            message = self._next()
            if message.get("id") == number:
                assert "error" not in message, message["error"]
                return message["result"]

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _next(self) -> dict[str, Any]:
        """The next message that is for the caller; the server's own questions are answered on the way."""
        while True:
            message = self._messages.get(timeout=DEADLINE_S)
            assert message is not None, "the language server ended"
            if not {"method", "id"} <= message.keys():
                return message
            items = message["params"]["items"] if message["method"] == "workspace/configuration" else []
            answer = [SETTINGS.get(item.get("section"), {}) for item in items]
            self._send({"id": message["id"], "result": answer or None})

    def _send(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self._process.stdin is not None
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self._process.stdin.flush()

    def _listen(self) -> None:
        stream = self._process.stdout
        assert stream is not None
        while header := stream.readline():
            name, _, value = header.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
            elif not header.strip():
                self._messages.put(json.loads(stream.read(length)))
        self._messages.put(None)
