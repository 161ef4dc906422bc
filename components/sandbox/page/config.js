// What the virtual boxes and the virtual HQ are started with.

/**
 * @typedef {import('./jco/interfaces/otscert-provision-provisioner.js').Config} DeviceConfig
 * @typedef {import('./jco/interfaces/otscert-provision-registrar.js').Config} HqConfig
 */

/**
 * @param {number} number of the box, from 0
 * @returns {DeviceConfig}
 */
export function deviceConfig(number) {
  return {
    hqId: HQ_ID,
    roots: [ROOT],
    seeder: undefined,
    model: number % 2 === 0 ? 'box' : 'word-box',
    firmware: '1.0',
    buildTimeMs: BigInt(START - DAY),
    personal: new TextEncoder().encode(`unit ${number}`),
    credential: { claimCode: undefined, serial: undefined, secret: undefined },
    hqTrusted: false,
    assessments: [],
    durableStorage: true,
  };
}

/** @returns {HqConfig} */
export function hqConfig() {
  const model = (/** @type {string} */ name, /** @type {'address' | 'word'} */ mode) => ({
    name,
    mode,
    admission: ['open'],
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
