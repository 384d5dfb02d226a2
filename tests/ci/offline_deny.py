#!/usr/bin/env python3
"""What of `deny.toml` can be checked without network and without cargo-deny: licences and sources of every dependency.

Exits with 1 when something is refused. Says what it cannot know: advisories and yanked versions. Needs Python 3.11.
"""

import json
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REGISTRY = "registry+https://github.com/rust-lang/crates.io-index"


def main():
    rules = tomllib.loads((ROOT / "deny.toml").read_text())
    packages = dependencies(rules["graph"]["targets"])
    problems = [*licences(packages, rules["licenses"]), *sources(packages), *unsigned()]
    for problem in problems:
        print(f"refused: {problem}")
    report_duplicates(packages)
    print("not checked, as it needs the network: advisories and yanked versions")
    print(f"{len(packages)} packages: {'refused' if problems else 'licences and sources ok'}")
    return 1 if problems else 0


def dependencies(targets):
    """Every package that a build for one of the targets would use."""
    packages = {}
    for target in targets:
        command = ["cargo", "metadata", "--locked", "--format-version=1", "--all-features", "--filter-platform", target]
        graph = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
        used = {node["id"] for node in graph["resolve"]["nodes"]}
        packages |= {package["id"]: package for package in graph["packages"] if package["id"] in used}
    return list(packages.values())


def licences(packages, rules):
    allowed = set(rules["allow"])
    exceptions = {entry.get("crate", entry.get("name")): set(entry["allow"]) for entry in rules.get("exceptions", [])}
    for package in packages:
        name, licence = package["name"], package["license"]
        if not licence:
            yield f"{name} {package['version']} names no licence"
        elif not Expression(licence).allows(allowed | exceptions.get(name, set())):
            yield f"{name} {package['version']} has the licence {licence}"


def sources(packages):
    for package in packages:
        source = package["source"]
        if source is None:
            if not Path(package["manifest_path"]).is_relative_to(ROOT):
                yield f"{package['name']} comes from outside of the repository: {package['manifest_path']}"
        elif source != REGISTRY:
            yield f"{package['name']} {package['version']} comes from {source}"


def unsigned():
    """Packages from the registry without a checksum in the lock file."""
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    for package in lock["package"]:
        if "source" in package and "checksum" not in package:
            yield f"{package['name']} {package['version']} has no checksum in Cargo.lock"


def report_duplicates(packages):
    versions = defaultdict(set)
    for package in packages:
        versions[package["name"]].add(package["version"])
    several = sorted(name for name, all_of in versions.items() if len(all_of) > 1)
    if several:
        print(f"in more than one version: {', '.join(several)}")


class Expression:
    """A licence in SPDX's words: names joined by AND, OR, WITH and brackets; `/` is an old way to write OR."""

    def __init__(self, text):
        self.words = re.findall(r"\(|\)|[^\s()]+", text.replace("/", " OR "))

    def allows(self, allowed):
        value = self._either(allowed)
        if self.words:
            raise ValueError(f"cannot read the licence at {self.words}")
        return value

    def _either(self, allowed):
        value = self._both(allowed)
        while self._next_is("OR"):
            value = self._both(allowed) or value
        return value

    def _both(self, allowed):
        value = self._one(allowed)
        while self._next_is("AND"):
            value = self._one(allowed) and value
        return value

    def _one(self, allowed):
        if self._next_is("("):
            value = self._either(allowed)
            self.words.pop(0)
            return value
        name = self.words.pop(0)
        if self._next_is("WITH"):
            name += f" WITH {self.words.pop(0)}"
        return name in allowed

    def _next_is(self, word):
        if self.words[:1] != [word]:
            return False
        self.words.pop(0)
        return True


if __name__ == "__main__":
    sys.exit(main())
