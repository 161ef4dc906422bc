"use strict";
// Seals what this browser sends to the box under the code on its label (wit/provisioner.wit, `sealed-companion`).
// A page over plain HTTP has no crypto.subtle, so the few primitives stand here. They are tested with the vectors of
// their RFCs in a browser. Nothing here is constant in time: the browser works for its own user.
const seal = (() => {
  const K = new Uint32Array([
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
  ]);

  function concat(...parts) {
    const all = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
    let at = 0;
    for (const part of parts) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  }

  // FIPS 180-4.
  function sha256(message) {
    const right = (word, by) => (word >>> by) | (word << (32 - by));
    const state = new Uint32Array([
      0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
    ]);
    const padded = new Uint8Array(((message.length + 72) >>> 6) << 6);
    padded.set(message);
    padded[message.length] = 0x80;
    const view = new DataView(padded.buffer);
    view.setUint32(padded.length - 4, message.length * 8);
    const w = new Uint32Array(64);
    for (let block = 0; block < padded.length; block += 64) {
      for (let i = 0; i < 64; i++) {
        if (i < 16) {
          w[i] = view.getUint32(block + 4 * i);
          continue;
        }
        const [early, late] = [w[i - 15], w[i - 2]];
        w[i] = w[i - 16] + w[i - 7]
          + (right(early, 7) ^ right(early, 18) ^ (early >>> 3))
          + (right(late, 17) ^ right(late, 19) ^ (late >>> 10));
      }
      let [a, b, c, d, e, f, g, h] = state;
      for (let i = 0; i < 64; i++) {
        const one = (h + (right(e, 6) ^ right(e, 11) ^ right(e, 25)) + ((e & f) ^ (~e & g)) + K[i] + w[i]) | 0;
        const two = ((right(a, 2) ^ right(a, 13) ^ right(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
        [h, g, f, e, d, c, b, a] = [g, f, e, (d + one) | 0, c, b, a, (one + two) | 0];
      }
      [a, b, c, d, e, f, g, h].forEach((word, i) => { state[i] += word; });
    }
    const digest = new DataView(new ArrayBuffer(32));
    state.forEach((word, i) => digest.setUint32(4 * i, word));
    return new Uint8Array(digest.buffer);
  }

  // RFC 2104.
  function hmac(key, ...parts) {
    const block = new Uint8Array(64);
    block.set(key.length > 64 ? sha256(key) : key);
    const pad = (byte) => block.map((part) => part ^ byte);
    return sha256(concat(pad(0x5c), sha256(concat(pad(0x36), ...parts))));
  }

  // RFC 5869.
  function hkdf(salt, material, info, length) {
    const key = hmac(salt, material);
    let [output, last] = [new Uint8Array(0), new Uint8Array(0)];
    for (let count = 1; output.length < length; count++) {
      last = hmac(key, last, info, new Uint8Array([count]));
      output = concat(output, last);
    }
    return output.slice(0, length);
  }

  // RFC 8439, 2.3.
  function chacha20(key, counter, nonce) {
    const words = (bytes) => {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      return Array.from({ length: bytes.length / 4 }, (_, i) => view.getUint32(4 * i, true));
    };
    const start = new Uint32Array([
      0x61707865, 0x3320646e, 0x79622d32, 0x6b206574, ...words(key), counter, ...words(nonce),
    ]);
    const x = start.slice();
    const half = (a, b, d, by) => {
      x[a] += x[b];
      x[d] ^= x[a];
      x[d] = (x[d] << by) | (x[d] >>> (32 - by));
    };
    const quarter = (a, b, c, d) => {
      half(a, b, d, 16);
      half(c, d, b, 12);
      half(a, b, d, 8);
      half(c, d, b, 7);
    };
    for (let round = 0; round < 10; round++) {
      quarter(0, 4, 8, 12);
      quarter(1, 5, 9, 13);
      quarter(2, 6, 10, 14);
      quarter(3, 7, 11, 15);
      quarter(0, 5, 10, 15);
      quarter(1, 6, 11, 12);
      quarter(2, 7, 8, 13);
      quarter(3, 4, 9, 14);
    }
    const output = new DataView(new ArrayBuffer(64));
    x.forEach((word, i) => output.setUint32(4 * i, (word + start[i]) >>> 0, true));
    return new Uint8Array(output.buffer);
  }

  // RFC 8439, 2.5.
  function poly1305(key, message) {
    const number = (bytes) => bytes.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
    const r = number(key.subarray(0, 16)) & 0x0ffffffc0ffffffc0ffffffc0fffffffn;
    let sum = 0n;
    for (let at = 0; at < message.length; at += 16) {
      sum = (sum + number(concat(message.subarray(at, at + 16), [1]))) * r % ((1n << 130n) - 5n);
    }
    sum += number(key.subarray(16));
    return Uint8Array.from({ length: 16 }, (_, i) => Number((sum >> BigInt(8 * i)) & 255n));
  }

  // RFC 8439, 2.8.
  function aead(key, nonce, data, plain) {
    const cipher = plain.map((byte, i) => byte ^ chacha20(key, 1 + (i >>> 6), nonce)[i & 63]);
    const padding = (bytes) => new Uint8Array(-bytes.length & 15);
    const lengths = new DataView(new ArrayBuffer(16));
    lengths.setUint32(0, data.length, true);
    lengths.setUint32(8, cipher.length, true);
    const authenticated = concat(data, padding(data), cipher, padding(cipher), new Uint8Array(lengths.buffer));
    return concat(cipher, poly1305(chacha20(key, 0, nonce).subarray(0, 32), authenticated));
  }

  const ascii = (text) => Uint8Array.from(text, (sign) => sign.charCodeAt(0));

  // The symbols of a code as somebody typed it.
  function symbols(typed) {
    return typed.toUpperCase().replace(/[-\s]/g, "").replace(/O/g, "0").replace(/[IL]/g, "1");
  }

  // Seals 32 bytes; the nonce, fresh each time, makes the key one for these bytes alone.
  function companion(code, nonce, bytes) {
    const key = hkdf(nonce, ascii(symbols(code)), ascii("otscert companion v1"), 32);
    return aead(key, new Uint8Array(12), new Uint8Array(0), bytes);
  }

  return { aead, ascii, companion, concat, hkdf, hmac, sha256, symbols };
})();
