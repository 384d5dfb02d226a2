// certificates.mjs FOLDER: ca.crt, server.crt and server.key (for localhost, 127.0.0.1 and ::1, signed by that
// authority) and other-ca.crt (an authority that signed nothing). Node can sign but writes no X.509 itself, hence the
// few lines of DER; this way the bed needs no openssl command.

import { createHash, generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

const length = (n) => {
  if (n < 128) return Buffer.from([n]);
  const bytes = [];
  for (; n > 0; n >>= 8) bytes.unshift(n & 255);
  return Buffer.from([128 | bytes.length, ...bytes]);
};
const der = (tag, ...parts) => {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([tag]), length(body.length), body]);
};
const sequence = (...parts) => der(0x30, ...parts);
const set = (...parts) => der(0x31, ...parts);
const integer = (bytes) => der(0x02, bytes[0] & 128 ? Buffer.concat([Buffer.from([0]), bytes]) : bytes);
const bits = (bytes) => der(0x03, Buffer.from([0]), bytes);
const octets = (bytes) => der(0x04, bytes);
const yes = der(0x01, Buffer.from([255]));
const oid = (...arcs) => {
  const bytes = [arcs[0] * 40 + arcs[1]];
  for (let arc of arcs.slice(2)) {
    const digits = [arc & 127];
    while ((arc >>= 7) > 0) digits.unshift(128 | (arc & 127));
    bytes.push(...digits);
  }
  return der(0x06, Buffer.from(bytes));
};
const time = (date) => der(0x18, Buffer.from(date.toISOString().replace(/[-:T]/g, "").slice(0, 14) + "Z"));
const named = (name) => sequence(set(sequence(oid(2, 5, 4, 3), der(0x0c, Buffer.from(name)))));

const ecdsaWithSha256 = sequence(oid(1, 2, 840, 10045, 4, 3, 2));
const authority = [
  sequence(oid(2, 5, 29, 19), yes, octets(sequence(yes))),
  sequence(oid(2, 5, 29, 15), yes, octets(der(0x03, Buffer.from([2, 0b100])))),
];
const server = [
  sequence(
    oid(2, 5, 29, 17),
    octets(
      sequence(
        der(0x82, Buffer.from("localhost")),
        der(0x87, Buffer.from([127, 0, 0, 1])),
        der(0x87, Buffer.from([...Array(15).fill(0), 1])),
      ),
    ),
  ),
  sequence(oid(2, 5, 29, 37), octets(sequence(oid(1, 3, 6, 1, 5, 5, 7, 3, 1)))),
];

const spki = (publicKey) => publicKey.export({ type: "spki", format: "der" });
const keyId = (publicKey) => createHash("sha1").update(spki(publicKey).subarray(-65)).digest();
const keyIds = (publicKey, issuerKey) => [
  sequence(oid(2, 5, 29, 14), octets(octets(keyId(publicKey)))),
  sequence(oid(2, 5, 29, 35), octets(sequence(der(0x80, keyId(issuerKey))))),
];

const keys = () => generateKeyPairSync("ec", { namedCurve: "P-256" });
const day = 86_400_000;

function certificate(subject, publicKey, issuer, issuerKeys, extensions) {
  const contents = sequence(
    der(0xa0, integer(Buffer.from([2]))),
    integer(Buffer.concat([Buffer.from([1]), randomBytes(15)])),
    ecdsaWithSha256,
    named(issuer),
    sequence(time(new Date(Date.now() - day)), time(new Date(Date.now() + 3650 * day))),
    named(subject),
    spki(publicKey),
    der(0xa3, sequence(...extensions, ...keyIds(publicKey, issuerKeys.publicKey))),
  );
  const signed = sequence(contents, ecdsaWithSha256, bits(sign("sha256", contents, issuerKeys.privateKey)));
  const lines = signed.toString("base64").match(/.{1,64}/g).join("\n");
  return `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`;
}

const folder = process.argv[2];
const write = (file, text, mode = 0o644) => writeFileSync(join(folder, file), text, { mode });

const [ca, host, other] = [keys(), keys(), keys()];
write("ca.crt", certificate("Lifeboat bed CA", ca.publicKey, "Lifeboat bed CA", ca, authority));
write("server.crt", certificate("localhost", host.publicKey, "Lifeboat bed CA", ca, server));
write("server.key", host.privateKey.export({ type: "pkcs8", format: "pem" }), 0o600);
write("other-ca.crt", certificate("Another CA", other.publicKey, "Another CA", other, authority));
