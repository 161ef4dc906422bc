// What the virtual boxes and the virtual HQs are started with.

/**
 * @typedef {import('./jco/interfaces/otscert-provision-provisioner.js').Config} DeviceConfig
 * @typedef {import('./jco/interfaces/otscert-provision-registrar.js').Config} HqConfig
 * @typedef {'open' | 'claim-code' | 'second-operator'} Setup
 *   whom HQ gives a name, and what boards have: anybody; who knows the code on the label; boards without a source of randomness, but
 *   with a secret of their factory and a second operator who is asked for a seed
 */

/**
 * @param {number} number of the box, from 0
 * @param {Setup} setup
 * @returns {DeviceConfig}
 */
export function deviceConfig(number, setup) {
  const hasSecret = setup === 'second-operator';
  return {
    hqId: HQ_ID,
    roots: [ROOT],
    seeder: hasSecret ? { hqId: OTHER_ID, roots: [OTHER_ROOT] } : undefined,
    model: number % 2 === 0 ? 'box' : 'word-box',
    firmware: '1.0',
    buildTimeMs: BigInt(START - DAY),
    personal: new TextEncoder().encode(`unit ${number}`),
    credential: {
      claimCode: undefined,
      serial: hasSecret ? `SN-${number + 1}` : undefined,
      secret: hasSecret ? { epoch: 1, secret: new Uint8Array(32).fill(100 + number) } : undefined,
    },
    hqTrusted: false,
    assessments: [],
    durableStorage: true,
  };
}

/**
 * @param {Setup} setup
 * @returns {HqConfig}
 */
export function hqConfig(setup) {
  const model = (/** @type {string} */ name, /** @type {'address' | 'word'} */ mode) => ({
    name,
    mode,
    admission: [setup === 'claim-code' ? 'claim-code' : 'open'],
    enrolmentsFromPrefix: MANY,
    enrolmentsOfModel: MANY,
    ca: undefined,
  });
  return {
    hqId: HQ_ID,
    zone: 'dev.test',
    signingSeed: new Uint8Array(32).fill(2),
    delegation: new TextEncoder().encode(DELEGATION),
    tokenKey: new Uint8Array(32).fill(3),
    roots: [ROOT],
    models: [model('*', 'address'), model('word-box', 'word')],
    batchKeys: [],
    voucherKeys: [],
    cas: [{ name: 'ca', profile: 'short', ari: true }],
    ownNames: [],
    oldestGrantEpoch: undefined,
    dangerLoopback: false,
  };
}

/** Another HQ, of somebody who is asked for a seed and nothing else. @returns {HqConfig} */
export function otherConfig() {
  return {
    ...hqConfig('open'),
    hqId: OTHER_ID,
    zone: 'other.test',
    signingSeed: new Uint8Array(32).fill(5),
    delegation: new TextEncoder().encode(OTHER_DELEGATION),
    tokenKey: new Uint8Array(32).fill(6),
    roots: [OTHER_ROOT],
  };
}

/** @type {readonly Setup[]} */
export const SETUPS = ['open', 'claim-code', 'second-operator'];
/**
 * What stands on the label of each box, and what HQ keeps of it: SHA-256 over `otscert claim v1`, a zero byte and the code.
 *
 * @type {readonly { code: string, digest: string }[]}
 */
export const LABELS = [
  { code: 'H0E1-X59G-8K2E-EP9M-7', digest: '8d353d81fc5e07278aaf60d2f812c3dccf9307b4990eac787c52ad06926c6dff' },
  { code: 'KZH9-SV3E-A8ZV-XNJ9-K', digest: '13fb6fd315a601d684101cc2fa4581c2104beb77344f09d1065e2ca0631ea83e' },
  { code: '84CZ-SCNG-0MYK-2A8P-G', digest: '1a2ea13277c261bf49e271f7424bd05524c6893823a2f008e5229ce8143a2db6' },
  { code: 'J5PJ-2BSR-3MJ3-44TP-4', digest: '67453c5d6adf0a5c3c7b740b7e22edaeee57fa0b0382d678c5b91aa99dc8deb3' },
];

const HQ_ID = 'hq.test';
/** 2026-11-23T00:00:00Z, in milliseconds. */
export const START = 1_795_392_000_000;
export const DAY = 86_400_000;
/** Most boxes, clones among them. */
export const MAX_BOXES = 4;
const MANY = 1_000_000;
/** Public key of the root, whose seed is 32 ones. */
const ROOT = Uint8Array.from([
  0x8a, 0x88, 0xe3, 0xdd, 0x74, 0x09, 0xf1, 0x95, 0xfd, 0x52, 0xdb, 0x2d, 0x3c, 0xba, 0x5d, 0x72,
  0xca, 0x67, 0x09, 0xbf, 0x1d, 0x94, 0x12, 0x1b, 0xf3, 0x74, 0x88, 0x01, 0xb4, 0x0f, 0x6f, 0x5c,
]);
/** The root's word for HQ's key, whose seed is 32 twos; HQ refuses to start with one that is not. */
const DELEGATION =
  '{"payload":"eyJlcG9jaCI6MSwia2V5IjoiZ1RsM0RxaDlGMTlXbzFSbXcweC16TXVOaXBHMDdqZWlYZllQVzRfSnM1USIsIm5vdEFmdGVyIjoyMTQwOTkyMDAwMDAwfQ",' +
  '"protected":"eyJhbGciOiJFZDI1NTE5IiwiYXVkIjoiaHEudGVzdCIsImtpZCI6IlVERFJlT1psMWlwWEFmcDl3WXNtMTNzREJNSzVvZy0tUVdkQmp6dWY2bzQiLCJ0eXAiOiJvdHNjZXJ0LWRlbGVnYXRpb24randzIiwidiI6MX0",' +
  '"signature":"hOIDyrmCmOwrb8yEqNtjyFLkUnFz26kKyXg50TY1mL7nR0LyG0WLZfF7sg4D3UfjuugDWMXjKEibr5gs-wuSDQ"}';
const OTHER_ID = 'other.test';
/** Public key of the other HQ's root, whose seed is 32 fours. */
const OTHER_ROOT = Uint8Array.from([
  0xca, 0x93, 0xac, 0x17, 0x05, 0x18, 0x70, 0x71, 0xd6, 0x7b, 0x83, 0xc7, 0xff, 0x0e, 0xfe, 0x81,
  0x08, 0xe8, 0xec, 0x45, 0x30, 0x57, 0x5d, 0x77, 0x26, 0x87, 0x93, 0x33, 0xdb, 0xda, 0xbe, 0x7c,
]);
/** That root's word for the other HQ's key, whose seed is 32 fives. */
const OTHER_DELEGATION =
  '{"payload":"eyJlcG9jaCI6MSwia2V5IjoiYm5vYzNTbXd0NF9ST3ZURldZX3Y5TzhxbHhadVBLYnk1UHY4ellCUVdfRSIsIm5vdEFmdGVyIjoyMTQwOTkyMDAwMDAwfQ",' +
  '"protected":"eyJhbGciOiJFZDI1NTE5IiwiYXVkIjoib3RoZXIudGVzdCIsImtpZCI6ImQ4TWUzdUo4MmpoZHNDc3RXeVZNcjNfSTJ1ZWVUWUc1YWdNMS0ycjFfYlkiLCJ0eXAiOiJvdHNjZXJ0LWRlbGVnYXRpb24randzIiwidiI6MX0",' +
  '"signature":"MY90U1mZLgNVdEUzSl3w9DjJDWff049W3aif7Lvmkw8MLt461TFV3_Bfi8GqSvKW4afoCncd4s69vW-ufb0rAw"}';
