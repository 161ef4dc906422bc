// Certificates made by hand: deterministic, with any dates. Nobody checks their signature, which is none.

/**
 * A leaf for that key and those names, alive between two instants in seconds.
 *
 * @param {Uint8Array} key an uncompressed point of P-256
 * @param {string[]} names
 * @param {number} start
 * @param {number} end
 * @param {number} serial
 */
export function certificate(key, names, start, end, serial) {
  const alternative = names.map((name) => tlv(0x82, new TextEncoder().encode(name)));
  const extensions = [
    extension([0x55, 0x1d, 0x11], tlv(0x30, ...alternative)),
    extension([0x55, 0x1d, 0x25], tlv(0x30, [0x06, 8, 0x2b, 6, 1, 5, 5, 7, 3, 1])),
    extension([0x55, 0x1d, 0x23], tlv(0x30, tlv(0x80, AUTHORITY))),
  ];
  const body = tlv(
    0x30,
    tlv(0xa0, [0x02, 1, 2]),
    serialNumber(serial),
    ECDSA_SHA256,
    commonName('sandbox CA'),
    tlv(0x30, time(start), time(end)),
    tlv(0x30),
    tlv(0x30, EC_P256, tlv(0x03, [0], key)),
    tlv(0xa3, tlv(0x30, ...extensions)),
  );
  const signature = tlv(0x30, [0x02, 1, 1], [0x02, 1, 1]);
  return Uint8Array.from(tlv(0x30, body, ECDSA_SHA256, tlv(0x03, [0], signature)));
}

/**
 * The key that a CSR asks for: the bytes behind the identifier of P-256. The machine made the CSR and HQ checked it.
 *
 * @param {Uint8Array} csr
 */
export function keyOf(csr) {
  const mark = [...EC_P256, 0x03, 0x42, 0x00];
  for (let at = 0; at + mark.length + POINT <= csr.length; at++) {
    if (mark.every((byte, offset) => csr[at + offset] === byte)) return csr.slice(at + mark.length, at + mark.length + POINT);
  }
  throw new Error('the CSR holds no key of P-256');
}

/**
 * What a CSR signs, the key that it is for, and the signature as WebCrypto takes it; null where it does not read.
 *
 * @param {Uint8Array<ArrayBuffer>} csr
 */
export function csrParts(csr) {
  try {
    const [outer] = parts(csr);
    const [info, , signature] = parts(outer?.content ?? csr);
    // The first byte of a BIT STRING counts unused bits.
    const [numbers] = parts(signature?.content.slice(1) ?? csr);
    const [r, s] = parts(numbers?.content ?? csr);
    if (!info || !r || !s) return null;
    const raw = new Uint8Array(64);
    for (const [at, { content }] of [r, s].entries()) {
      const number = content[0] === 0 ? content.slice(1) : content;
      raw.set(number, 32 * (at + 1) - number.length);
    }
    return { info: info.whole, key: Uint8Array.from(keyOf(csr)), signature: raw };
  } catch {
    return null;
  }
}

/**
 * The values that stand one after the other.
 *
 * @param {Uint8Array<ArrayBuffer>} bytes
 */
function parts(bytes) {
  const found = [];
  let at = 0;
  while (at < bytes.length) {
    const short = bytes[at + 1] ?? 0;
    const more = short < 0x80 ? 0 : short & 0x7f;
    const length = more === 0 ? short : bytes.slice(at + 2, at + 2 + more).reduce((sum, byte) => sum * 256 + byte, 0);
    const end = at + 2 + more + length;
    if (end > bytes.length) throw new Error('a value is longer than what holds it');
    found.push({ whole: bytes.slice(at, end), content: bytes.slice(at + 2 + more, end) });
    at = end;
  }
  return found;
}

/** Positive whatever the number: it begins with a one. @param {number} serial */
function serialNumber(serial) {
  const bytes = [];
  for (let left = serial; left > 0; left = Math.floor(left / 256)) bytes.unshift(left % 256);
  return tlv(0x02, [0x01], bytes);
}

/** @param {number} seconds */
function time(seconds) {
  const digits = new Date(seconds * 1000).toISOString().replace(/\.\d+/, '').replace(/\D/g, '');
  return tlv(0x17, new TextEncoder().encode(`${digits.slice(2)}Z`));
}

/**
 * @param {number[]} id
 * @param {number[]} value
 */
function extension(id, value) {
  return tlv(0x30, tlv(0x06, id), tlv(0x04, value));
}

/** @param {string} common */
function commonName(common) {
  const attribute = tlv(0x30, [0x06, 3, 0x55, 4, 3], tlv(0x0c, new TextEncoder().encode(common)));
  return tlv(0x30, tlv(0x31, attribute));
}

/**
 * @param {number} tag
 * @param {...ArrayLike<number>} parts
 * @returns {number[]}
 */
function tlv(tag, ...parts) {
  const content = parts.flatMap((part) => Array.from(part));
  const { length } = content;
  if (length < 128) return [tag, length, ...content];
  if (length < 256) return [tag, 0x81, length, ...content];
  return [tag, 0x82, length >> 8, length & 0xff, ...content];
}

/** Bytes of an uncompressed point. */
const POINT = 65;
/** What the certificates call the key of this CA. */
const AUTHORITY = new TextEncoder().encode('sandbox CA, no key..');
const EC_P256 = [
  0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07,
];
const ECDSA_SHA256 = [0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
