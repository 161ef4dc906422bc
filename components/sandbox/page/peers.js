// A CA that keeps books, and a zone.

import { hex } from './component.js';
import { certificate, keyOf } from './der.js';

/**
 * @typedef {import('./jco/interfaces/otscert-provision-types.js').CaOperation} CaOperation
 * @typedef {import('./jco/interfaces/otscert-provision-types.js').CaAnswer} CaAnswer
 * @typedef {import('./jco/interfaces/otscert-provision-types.js').CaProblemKind} CaProblemKind
 * @typedef {import('./jco/interfaces/otscert-provision-types.js').OrderRef} OrderRef
 * @typedef {import('./jco/interfaces/otscert-provision-types.js').OrderState} OrderState
 * @typedef {import('./jco/interfaces/otscert-provision-types.js').DnsOperation} DnsOperation
 * @typedef {import('./jco/interfaces/otscert-provision-types.js').DnsRecord} DnsRecord
 * @typedef {import('./jco/interfaces/otscert-provision-types.js').DnsAnswer} DnsAnswer
 * @typedef {{ names: string[], state: OrderState, validated: string[], csr: Uint8Array, chain: Uint8Array[],
 *   replaces: string | undefined }} Order
 */

/** A CA. It validates through the zone, and issues certificates that nobody signed. */
export class Ca {
  /** @param {number} life of a certificate, in milliseconds */
  constructor(life) {
    this.life = life;
    /** @type {Order[]} */
    this.orders = [];
    /** When each certificate was issued, by its bytes. @type {Map<string, number>} */
    this.issued = new Map();
    /** @type {Set<string>} */
    this.revoked = new Set();
  }

  /**
   * @param {number} now
   * @param {Zone} zone
   * @param {CaOperation} operation
   * @returns {CaAnswer}
   */
  perform(now, zone, operation) {
    switch (operation.tag) {
      case 'new-order': {
        const { names, replaces } = operation.val;
        const replaced = replaces !== undefined && this.orders.some((order) => order.state === 'valid' && order.replaces === replaces);
        if (replaced) return problem('already-replaced', 'replaced already');
        this.orders.push({ names, state: 'pending', validated: [], csr: new Uint8Array(), chain: [], replaces });
        return this.report(this.orders.length - 1);
      }
      case 'authorizations': {
        const at = indexOf(operation.val);
        const order = this.order(at);
        const list = order.names.map(base).map((name) => ({
          name,
          state: order.validated.includes(name) ? /** @type {const} */ ('valid') : /** @type {const} */ ('pending'),
          challenge: `https://ca.test/challenge/${at}/${name}`,
          txtValue: `proof-${at}-${name}`,
          problem: undefined,
        }));
        return { tag: 'authorizations', val: list };
      }
      case 'challenge-ready': {
        const at = indexOf(operation.val.order);
        const order = this.order(at);
        const name = operation.val.challenge.split('/').pop() ?? '';
        if (!zone.txt.has(`_acme-challenge.${name} proof-${at}-${name}`)) {
          order.state = 'invalid';
          return { tag: 'accepted' };
        }
        if (!order.validated.includes(name)) order.validated.push(name);
        if (order.validated.length === new Set(order.names.map(base)).size) order.state = 'ready';
        return { tag: 'accepted' };
      }
      case 'order-status': {
        const at = indexOf(operation.val);
        const report = this.report(at);
        if (this.order(at).state === 'processing') this.issue(now, this.order(at));
        return report;
      }
      case 'finalize': {
        const at = indexOf(operation.val.order);
        const order = this.order(at);
        if (order.state !== 'ready') return problem('order-not-ready', 'not ready');
        order.csr = operation.val.csr;
        order.state = 'processing';
        return this.report(at);
      }
      case 'fetch-chain':
        return { tag: 'chain', val: this.order(indexOf(operation.val)).chain };
      case 'renewal-info': {
        const issued = this.issued.get(hex(operation.val.certificate));
        if (issued === undefined) return { tag: 'renewal-window', val: undefined };
        const [startMs, endMs] = [issued + this.life / 3, issued + this.life / 2].map((time) => BigInt(Math.floor(time)));
        return { tag: 'renewal-window', val: { startMs: /** @type {bigint} */ (startMs), endMs: /** @type {bigint} */ (endMs), retryAfterMs: SIX_HOURS } };
      }
      case 'revoke': {
        const leaf = hex(operation.val.certificate);
        if (this.revoked.has(leaf)) return problem('already-revoked', 'revoked already');
        this.revoked.add(leaf);
        return { tag: 'revoked' };
      }
    }
  }

  /**
   * @param {number} now
   * @param {Order} order
   */
  issue(now, order) {
    const start = Math.floor(now / 1000) - 60;
    const end = start + Math.floor(this.life / 1000);
    const leaf = certificate(keyOf(order.csr), order.names, start, end, this.issued.size + 1);
    order.chain = [leaf];
    order.state = 'valid';
    this.issued.set(hex(leaf), start * 1000);
  }

  /**
   * @param {number} at
   * @returns {CaAnswer}
   */
  report(at) {
    const order = { ca: 'ca', order: `https://ca.test/order/${at}` };
    const { state } = this.order(at);
    return { tag: 'order', val: { order, state, expiresMs: undefined, retryAfterMs: undefined, problem: undefined } };
  }

  /** @param {number} at */
  order(at) {
    const order = this.orders[at];
    if (!order) throw new Error(`the CA has no order ${at}`);
    return order;
  }
}

/** What HQ's DNS serves. */
export class Zone {
  constructor() {
    /** @type {Set<string>} */
    this.labels = new Set();
    /** Owner and value. @type {Set<string>} */
    this.txt = new Set();
    /** @type {Map<string, string[]>} */
    this.addresses = new Map();
  }

  /**
   * @param {DnsOperation} operation
   * @returns {DnsAnswer}
   */
  perform(operation) {
    const record = operation.val;
    switch (operation.tag) {
      case 'publish':
        if (record.tag === 'txt') this.txt.add(`${record.val.owner} ${record.val.value}`);
        else if (record.tag === 'label') this.labels.add(record.val);
        else this.addresses.set(record.val.name, record.val.addresses);
        return { tag: 'done' };
      case 'withdraw':
        if (record.tag === 'txt') this.txt.delete(`${record.val.owner} ${record.val.value}`);
        else if (record.tag === 'label') this.labels.delete(record.val);
        else this.addresses.delete(record.val.name);
        return { tag: 'done' };
      case 'visible':
        return { tag: 'visible', val: record.tag !== 'txt' || this.txt.has(`${record.val.owner} ${record.val.value}`) };
    }
  }
}

/** @param {string} name */
function base(name) {
  return name.replace(/^\*\./, '');
}

/** @param {OrderRef} order */
function indexOf(order) {
  return Number(order.order.split('/').pop());
}

/**
 * @param {CaProblemKind} kind
 * @param {string} detail
 * @returns {CaAnswer}
 */
function problem(kind, detail) {
  return { tag: 'problem', val: { kind, detail, retryAfterMs: undefined } };
}

const SIX_HOURS = 21_600_000n;
