// Who signed a message, and whether the signature holds: checked by the browser's own cryptography, beside the machine.
//
// docs/PROTOCOL.md, sections 4 and 5. The machine checks more than this: freshness, epochs, bindings, strictness.

import { csrParts } from './der.js';
import { base64url, unbase64url } from './serde.js';

/**
 * @typedef {{ verdict: 'good' | 'bad' | 'none' | 'unchecked', text: string }} Finding
 *   `none`: there is no signature to check; `unchecked`: this page cannot
 */

/** The public keys that the entries of a run have shown. */
export class Keys {
  /** @param {Uint8Array[]} roots that the images pin */
  constructor(roots) {
    this.roots = roots;
    /** Identity keys by their thumbprint. @type {Map<string, Uint8Array>} */
    this.identities = new Map();
    /** Thumbprint of the identity key by device id. @type {Map<string, string>} */
    this.devices = new Map();
  }

  /** Learns what a message shows. @param {Uint8Array} body */
  async learn(body) {
    const jws = jwsOf(body);
    if (!jws) return;
    const { header, payload } = jws;
    if (typeof header.jwk?.x === 'string') {
      const key = bytesOf(header.jwk.x);
      if (key) this.identities.set(await thumbprint(key), key);
    }
    if (header.typ === 'otscert-enrol-answer+jws' && typeof payload.device === 'string' && typeof payload.sub === 'string') {
      this.devices.set(payload.device, payload.sub);
    }
  }

  /** @param {string} device */
  ofDevice(device) {
    return this.identities.get(this.devices.get(device) ?? '') ?? null;
  }
}

/**
 * What there is to say of the signatures of a message.
 *
 * @param {Uint8Array} body
 * @param {Keys} keys
 * @returns {Promise<Finding[]>}
 */
export async function check(body, keys) {
  const jws = jwsOf(body);
  if (!jws) return [isContact(body) ? CONTACT : { verdict: 'bad', text: 'This is no message of the protocol.' }];
  const { header, payload } = jws;
  const findings = [await checkJws(jws, keys, 'This message')];
  if (header.dlg) findings.push(await checkDelegation(header.dlg, keys));
  if (payload.grant) {
    const grant = jwsOfObject(payload.grant);
    findings.push(grant ? await checkJws(grant, keys, 'The grant in it') : { verdict: 'bad', text: 'The grant in it does not read.' });
  }
  if (typeof payload.csr === 'string') findings.push(await checkCsr(payload.csr));
  if (Array.isArray(payload.chain)) {
    findings.push({ verdict: 'unchecked', text: "The certificates in it: neither this page nor the machine checks the CA's signature. The CA here has no key and signs nothing." });
  }
  return findings;
}

/** @typedef {{ header: any, payload: any, signed: Uint8Array<ArrayBuffer>, signature: Uint8Array<ArrayBuffer> }} Jws */

/**
 * @param {Jws} jws
 * @param {Keys} keys
 * @param {string} what it is, for people
 * @returns {Promise<Finding>}
 */
async function checkJws(jws, keys, what) {
  const { header } = jws;
  if (header.dlg) {
    const key = bytesOf(jwsOfObject(header.dlg)?.payload.key);
    if (!key) return { verdict: 'bad', text: `${what} is of HQ, and names no key of it.` };
    return ed25519(key, jws, `${what} is signed by HQ's key ${header.kid}`);
  }
  if (header.jwk) {
    const key = bytesOf(header.jwk.x);
    if (!key) return { verdict: 'bad', text: `${what} brings no key.` };
    return ed25519(key, jws, `${what} is signed by the identity key that it brings, ${await thumbprint(key)}`);
  }
  const key = keys.ofDevice(String(header.kid));
  if (!key) return { verdict: 'unchecked', text: `${what} is signed by ${header.kid}, whose key no entry before has shown: not checked.` };
  return ed25519(key, jws, `${what} is signed by the identity key of ${header.kid}, which its enrolment brought`);
}

/**
 * A root's word for HQ's key.
 *
 * @param {any} delegation
 * @param {Keys} keys
 * @returns {Promise<Finding>}
 */
async function checkDelegation(delegation, keys) {
  const jws = jwsOfObject(delegation);
  if (!jws) return { verdict: 'bad', text: "The delegation of HQ's key does not read." };
  for (const root of keys.roots) {
    if ((await thumbprint(root)) === jws.header.kid) {
      return ed25519(root, jws, `The delegation of that key, epoch ${jws.payload.epoch}, is signed by the root ${jws.header.kid}, which the image pins`);
    }
  }
  return { verdict: 'bad', text: `The delegation of HQ's key names the root ${jws.header.kid}, which no image pins.` };
}

/** @param {string} csr in base64url @returns {Promise<Finding>} */
async function checkCsr(csr) {
  const parts = csrParts(bytesOf(csr) ?? new Uint8Array());
  if (!parts) return { verdict: 'bad', text: 'The certificate request in it does not read.' };
  const text = 'The certificate request in it is signed by the TLS key that it is for';
  return verdict(text, 'ECDSA with P-256', async () => {
    const algorithm = { name: 'ECDSA', namedCurve: 'P-256' };
    const key = await crypto.subtle.importKey('raw', parts.key, algorithm, false, ['verify']);
    return crypto.subtle.verify({ name: 'ECDSA', hash: 'SHA-256' }, key, parts.signature, parts.info);
  });
}

/**
 * @param {Uint8Array} raw
 * @param {Jws} jws
 * @param {string} text
 */
function ed25519(raw, { signed, signature }, text) {
  return verdict(text, 'Ed25519', async () => {
    const key = await crypto.subtle.importKey('raw', Uint8Array.from(raw), { name: 'Ed25519' }, false, ['verify']);
    return crypto.subtle.verify({ name: 'Ed25519' }, key, signature, signed);
  });
}

/**
 * @param {string} text
 * @param {string} algorithm
 * @param {() => Promise<boolean>} verify
 * @returns {Promise<Finding>}
 */
async function verdict(text, algorithm, verify) {
  try {
    return (await verify()) ? { verdict: 'good', text: `${text}: the signature holds.` } : { verdict: 'bad', text: `${text}: the signature does not hold.` };
  } catch (error) {
    if (error instanceof DOMException && error.name === 'NotSupportedError') {
      return { verdict: 'unchecked', text: `${text}: not checked, this browser has no ${algorithm}.` };
    }
    return { verdict: 'bad', text: `${text}: that is no key.` };
  }
}

/** @param {Uint8Array} body @returns {Jws | null} */
function jwsOf(body) {
  try {
    return jwsOfObject(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body)));
  } catch {
    return null;
  }
}

/** @param {any} value @returns {Jws | null} */
function jwsOfObject(value) {
  const { protected: head, payload, signature } = value ?? {};
  if (typeof head !== 'string' || typeof payload !== 'string' || typeof signature !== 'string') return null;
  try {
    const parse = (/** @type {string} */ text) => {
      const parsed = JSON.parse(new TextDecoder().decode(unbase64url(text)));
      if (typeof parsed !== 'object' || parsed === null) throw new Error('it is no object');
      return parsed;
    };
    return { header: parse(head), payload: parse(payload), signed: new TextEncoder().encode(`${head}.${payload}`), signature: unbase64url(signature) };
  } catch {
    return null;
  }
}

/** @param {Uint8Array} body */
function isContact(body) {
  try {
    return JSON.parse(new TextDecoder().decode(body))?.typ === 'otscert-contact+json';
  } catch {
    return false;
  }
}

/** @param {unknown} text in base64url */
function bytesOf(text) {
  try {
    return typeof text === 'string' ? unbase64url(text) : null;
  } catch {
    return null;
  }
}

/** RFC 7638. @param {Uint8Array} key */
async function thumbprint(key) {
  const jwk = `{"crv":"Ed25519","kty":"OKP","x":"${base64url(key)}"}`;
  return base64url(new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(jwk))));
}

/** @type {Finding} */
const CONTACT = { verdict: 'none', text: 'Not signed: a box that makes contact has no key yet. What comes back repeats its nonce.' };
