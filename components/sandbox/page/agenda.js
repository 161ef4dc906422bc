// What will happen, in the order in which it will.

/**
 * @typedef {import('./component.js').Exchange} Exchange
 * @typedef {import('./jco/interfaces/otscert-provision-types.js').Answer} Answer
 * @typedef {import('./jco/interfaces/otscert-provision-types.js').HqRequest} HqRequest
 * @typedef {{ tag: 'power-on', at: number } | { tag: 'wake', at: number, boot: number }
 *   | { tag: 'to-hq', at: number, boot: number, exchange: Exchange, message: HqRequest, isForOther: boolean }
 *   | { tag: 'to-box', at: number, boot: number, exchange: Exchange, answer: Answer }
 *   | { tag: 'perform', exchange: Exchange } | { tag: 'due', subject: string, time: number }} Event
 */

export class Agenda {
  constructor() {
    /** @type {{ time: number, order: number, event: Event }[]} */
    this.events = [];
    this.count = 0;
  }

  /**
   * Puts an event in. Of two at one time the first put in comes first.
   *
   * @param {number} time milliseconds since 1970
   * @param {Event} event
   */
  at(time, event) {
    this.count += 1;
    this.events.push({ time, order: this.count, event });
    this.events.sort((a, b) => a.time - b.time || a.order - b.order);
  }

  next() {
    return this.events.shift();
  }
}
