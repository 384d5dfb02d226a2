"""What every measurement works with: its options, a server and a folder that last as long as it does, Lifeboat and its settings;
and where it puts what it found."""

import argparse
import base64
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bed import ROOT, Server, bed
from peers import built_client_tools


def parser(description):
    """The options that all measurements have."""
    found = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("--quick", action="store_true", help="tiny: does it work? Its numbers mean nothing")
    found.add_argument("--server", default="17", help="the server's major version; 17")
    found.add_argument("--lifeboat", type=Path, help="the program to measure; otherwise the release build is made")
    found.add_argument("--json", type=Path)
    found.add_argument("--markdown", type=Path)
    return found


def list_of(kind):
    """For an option that takes several, with commas between."""

    def parse(text):
        return [kind(part) for part in text.split(",")]

    return parse


class Workbench:
    """Used in a `with`, which takes the server and the folder away at its end."""

    def __init__(self, wanted):
        self.wanted = wanted
        self.lifeboat = wanted.lifeboat.resolve() if wanted.lifeboat else build()
        self.path = os.environ["PATH"]
        self.master_key = base64.b64encode(os.urandom(32)).decode()
        self.pg_dump_of_lifeboat = built_client_tools()[0] or bed("path-of", "pg_dump")

    def __enter__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="bench-", dir=bed("path-of", "home")))
        self.server = Server(f"bench-{os.getpid()}", self.wanted.server)
        try:
            self.set_up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.server.remove()
        shutil.rmtree(self.folder, ignore_errors=True)

    def set_up(self):
        """What a measurement needs besides."""

    def keep(self, found, text):
        """Writes what was found so far, for who has to stop."""
        if self.wanted.json:
            self.wanted.json.write_text(json.dumps(found, indent=2) + "\n")
        if self.wanted.markdown:
            self.wanted.markdown.write_text(text)

    def machine(self):
        model = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
        return {
            "processors": os.cpu_count(),
            "processor": model[1] if model else "unknown",
            "memory_gb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9,
            "server": self.server.ask("SHOW server_version"),
            "system": " ".join(os.uname()[i] for i in (0, 2, 4)),
        }


def build():
    subprocess.run(["make", "--silent", "build"], cwd=ROOT, check=True, stdout=sys.stderr)
    return ROOT / "target" / "release" / "lifeboat"


def tell(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)
