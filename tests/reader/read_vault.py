#!/usr/bin/env python3
"""Reads a Lifeboat vault without Lifeboat; written from docs/format.md alone.

  read_vault.py VAULT DATABASE --list             the database's backups, newest first
  read_vault.py VAULT DATABASE BACKUP FOLDER      one backup into a new folder; BACKUP is an id or `latest`

VAULT is a folder. The master key is base64 in LIFEBOAT_MASTER_KEY, or in the file LIFEBOAT_MASTER_KEY_FILE. FOLDER gets
SCHEMA.TABLE.copy for each table (odd characters percent-encoded; in COPY's binary format where catalogue.json says so),
schema.dump for pg_restore, and catalogue.json. Exit code 0 means that all of it is as it was written."""

import base64
import hashlib
import hmac
import json
import os
import re
import struct
import sys
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import xxhash
import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


def require(condition, problem):
    if not condition:
        sys.exit(f"read_vault: {problem}")


def decrypt(key, nonce, ciphertext, associated_data):
    with suppress(InvalidTag):
        return AESGCM(key).decrypt(nonce, ciphertext, associated_data)


def derive(data_key, purposes=("record", "content-id", "seal")):
    return {p: HKDF(SHA256(), 32, None, f"lifeboat/1/{p}".encode()).derive(data_key) for p in purposes}


def rows_of(chunk, encoding, what):
    if encoding == "text":
        require(chunk.endswith(b"\n"), f"a chunk of {what} ends within a row")
        return chunk[:-1].split(b"\n")
    rows, at = [], 0
    while at < len(chunk):
        begin, at = at, at + 2
        for _ in range(*struct.unpack_from(">h", chunk, begin)):
            at += 4 + max(struct.unpack_from(">i", chunk, at)[0], 0)
        rows.append(chunk[begin:at])
    return rows


class Vault:
    def __init__(self, root, master, database):
        self.root, self.base, self.master, self.database = Path(root), f"databases/{database}", master, database
        formats = self.numbered("format")
        opened = [(c["key"], keys) for f in formats if (keys := self.unwrap(c := self.parse(f)[0]["content"], ""))]
        require(opened, "this master key opens no vault here")
        content = self.record(formats[-1], "format", dict(opened[:1]))
        require(content["version"] == 1 and not content["features"], "the vault is newer than this reader")
        self.vault_id, self.keys = content["vault"], {}
        for name in self.names(f"{self.base}/keyring"):
            entries = [self.record(e, "key", dict(opened[:1])) for e in self.numbered(f"{self.base}/keyring/{name}")]
            found = [keys for entry in entries if (keys := self.unwrap(entry, database))]
            require(found and len({entry["key"] for entry in entries}) == 1, f"key {name} does not open")
            self.keys[name] = found[-1]

    def names(self, folder):
        return sorted(entry.name for entry in (self.root / folder).glob("[!.]*"))

    def numbered(self, folder):
        numbers = [int(name[:-5]) for name in self.names(folder) if re.fullmatch(r"[1-9][0-9]*\.json", name)]
        return [f"{folder}/{number}.json" for number in sorted(numbers)]

    def parse(self, key):
        """The body of a record, its exact bytes, its MAC and the MAC's key: undamaged, but not proven."""
        stored = (self.root / key).read_bytes()
        text = stored[: stored.rfind(b"\n", 0, -1) + 1]
        pattern = rb'\{"mac":"([0-9a-f]{64})","mac_key":"([0-9a-f]{16})","sha256":"([0-9a-f]{64})"\}\n'
        last = re.fullmatch(pattern, stored[len(text) :])
        require(last and hashlib.sha256(text).hexdigest() == last[3].decode(), f"{key} is damaged")
        return json.loads(text), text, last[1].decode(), last[2].decode()

    def record(self, key, kind, keys):
        body, text, mac, mac_key = self.parse(key)
        require(mac_key in keys, f"{key} names an unknown key")
        require(hmac.digest(keys[mac_key]["record"], text, "sha256").hex() == mac, f"{key} was altered")
        require(body["record"] == kind and body["object"] == key, f"{key} was moved there")
        require(body["format"] == 1 and not body["requires"], f"{key} is newer than this reader")
        return body["content"]

    def unwrap(self, content, database):
        wrapped = content["wrapped_key"]
        if wrapped["by"] != "master":
            return None
        sealed = base64.b64decode(wrapped["sealed"], validate=True)
        place = f"lifeboat/1/wrap|{content['vault']}|{database}|{content['key']}".encode()
        return (data_key := decrypt(self.master, sealed[:12], sealed[12:], place)) and derive(data_key)

    def backups(self):
        found = (self.root / self.base / "backups").glob("*/manifest.json")
        return sorted((path.parent.name for path in found), reverse=True)

    def manifest(self, backup):
        manifest = self.record(f"{self.base}/backups/{backup}/manifest.json", "manifest", self.keys)
        is_here = (manifest["vault"], manifest["database"], manifest["id"]) == (self.vault_id, self.database, backup)
        require(is_here, f"the manifest of {backup} belongs elsewhere")
        return manifest

    def is_live(self, backup):
        folder = f"{self.base}/tombstones/{backup}"
        decided = [f"{folder}/{name}" for name in self.names(folder) if name.endswith(".outcome.json")]
        fates = {self.record(key, "outcome", self.keys)["fate"] for key in decided}
        return fates <= {"cancelled"} and len(self.names(folder)) == 2 * len(decided)

    def resolve(self, name):
        complete = (b for b in self.backups() if self.is_live(b) and self.manifest(b)["purpose"] == "backup")
        name = next(complete, None) if name == "latest" else name
        require(name in self.backups(), f"{self.database} has no such backup")
        return name


class Backup:
    def __init__(self, vault, manifest):
        key, base = manifest["key"], vault.root / vault.base
        self.pool, self.archive, self.archived = base / "pool", base / "archive" / manifest["id"], set()
        self.key_id, self.keys = key, vault.keys[key]
        listed = self.pack_path(manifest["pack_list"]).read_bytes()
        require(hashlib.sha256(listed).hexdigest() == manifest["pack_list"], "the pack list is damaged")
        lines = [line.split(" ") for line in listed.decode().splitlines()]
        if lines and lines[0][0] == "attempt":
            require(lines.pop(0) == ["attempt", manifest["attempt"]], "the pack list is another backup's")
        self.packs = {pack: int(size) for pack, size, _ in lines}
        self.archived = {pack for pack, _, origin in lines if origin == "archived"}
        self.catalogue = json.loads(self.piece("catalogue", manifest["catalogue"]))

    def pack_path(self, pack):
        """The plain name, if it is there, else one that a copy gave it."""
        folder = (self.archive if pack in self.archived else self.pool) / pack[:2]
        names = (path for path in folder.glob(f"{pack}*") if path.name[64:65] in ("", "-"))
        return min(names, default=folder / pack)

    def piece(self, kind, at):
        what = f"the {kind} at {at['offset']}+{at['length']} of pack {at['pack']}"
        path = self.pack_path(at["pack"])
        size = path.exists() and path.stat().st_size
        require(size and size == self.packs.get(at["pack"]), f"{what}: its pack is missing, cut or not listed")
        with path.open("rb") as pack:
            sealed = os.pread(pack.fileno(), at["length"], at["offset"])
        prefix, label = b"LBO1" + bytes.fromhex(self.key_id), kind.encode() + b"\0"
        require(len(sealed) >= 40 and sealed[:12] == prefix, f"{what} is not a piece sealed with key {self.key_id}")
        frame = decrypt(self.keys["seal"], sealed[12:24], sealed[24:], prefix + label + bytes.fromhex(at["id"]))
        require(frame and zstandard.frame_content_size(frame) == at["plaintext_bytes"], f"{what} is damaged")
        plaintext = zstandard.ZstdDecompressor().decompress(frame)
        content_id = hmac.digest(self.keys["content-id"], label + plaintext, "sha256")
        require(content_id.hex() == at["id"], f"{what} is not what its id says")
        return plaintext

    def chunks(self, table, what):
        """Every chunk that holds rows, as (its numbers, its text); the ranges are proven to be complete."""
        reached, current, parts = 0, None, 0
        for index in (json.loads(self.piece("index", at)) for at in table["parts"]):
            for first, end, part, rows, size, fingerprint, piece, _ in index["chunks"]:
                if part == 0:
                    require(first == reached, f"ranges of {what} overlap or have a gap")
                    reached, current, parts = end, (first, end), 0
                require((first, end) == current and part == parts, f"a range of {what} is incomplete")
                parts += 1
                require((piece is None) == (rows == 0), f"a chunk of {what} has no rows, or rows no chunk")
                if piece:
                    at = dict(zip(("id", "pack", "offset", "length"), piece)) | {"pack": index["packs"][piece[1]]}
                    yield (rows, size, fingerprint), self.piece("chunk", at | {"plaintext_bytes": size})
        require(reached is None, f"the last range of {what} is missing")

    def write_table(self, table, folder):
        what, encoding, found = f"{table['schema']}.{table['name']}", table["encoding"], [0, 0, 0]
        name = ".".join(quote(table[part], safe="").replace(".", "%2E") for part in ("schema", "name"))
        with (folder / f"{name}.copy").open("xb") as file:
            file.write(b"PGCOPY\n\xff\r\n" + bytes(9) if encoding == "binary" else b"")
            for stated, chunk in self.chunks(table, what):
                rows = rows_of(chunk, encoding, what)
                total = sum(xxhash.xxh3_128_intdigest(row) for row in rows) % 2**128
                require((len(rows), len(chunk), f"{total:032x}") == stated, f"a chunk of {what} has other rows")
                found = [sum(pair) for pair in zip(found, (len(rows), len(chunk), total))]
                file.write(chunk)
            file.write(b"\xff\xff" if encoding == "binary" else b"")
        found[2] = f"{found[2] % 2**128:032x}"
        require(found == [table[n] for n in ("rows", "plaintext_bytes", "fingerprint")], f"{what} does not add up")

    def write(self, folder):
        folder.mkdir(parents=True)
        for table in self.catalogue["tables"]:
            self.write_table(table, folder)
        if self.catalogue["schema"]:
            (folder / "schema.dump").write_bytes(self.piece("schema", self.catalogue["schema"]))
        (folder / "catalogue.json").write_text(json.dumps(self.catalogue, indent=2))


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if len(arguments) not in (3, 4) or (len(arguments) == 3) != (arguments[2] == "--list"):
        sys.exit(__doc__.strip())
    file, text = os.environ.get("LIFEBOAT_MASTER_KEY_FILE"), os.environ.get("LIFEBOAT_MASTER_KEY", "")
    vault = Vault(arguments[0], base64.b64decode(Path(file).read_text() if file else text), arguments[1])
    if arguments[2:3] != ["--list"]:
        sys.exit(Backup(vault, vault.manifest(vault.resolve(arguments[2]))).write(Path(arguments[3])))
    for name in vault.backups():
        manifest, state = vault.manifest(name), "" if vault.is_live(name) else " (deleted)"
        print(f"{name} {manifest['purpose']} {manifest['totals']['rows']} rows{state}")
