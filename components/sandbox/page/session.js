// A run that goes forward and back: back is forward from the start, with the same orders at the same steps.

import { write } from './log.js';
import { link, takes, unlink } from './orders.js';
import { World } from './world.js';

export class Session {
  /**
   * @param {import('./component.js').Component} component
   * @param {import('./orders.js').Options} options
   */
  constructor(component, options) {
    this.component = component;
    this.options = options;
    /** What was ordered, and before which step. @type {{ step: number, order: import('./orders.js').Order }[]} */
    this.orders = [];
    this.world = new World(component, options);
  }

  get step() {
    return this.world.step;
  }

  /** What is shown. */
  get scene() {
    return this.world;
  }

  /** Where this moment is: seed, boxes, event, and what was ordered before it. */
  get moment() {
    const orders = this.orders.filter(({ step }) => step <= this.step);
    return { ...this.options, event: this.step, orders };
  }

  /**
   * A run at a moment.
   *
   * @param {import('./component.js').Component} component
   * @param {import('./orders.js').Moment} moment
   */
  static at(component, { seed, boxes, setup, event, orders }) {
    const session = new Session(component, { seed, boxes, setup });
    for (const { step, order } of orders) {
      session.seek(step);
      session.order(order);
    }
    session.seek(event);
    return session;
  }

  /**
   * The run of a log that the sandbox saved, to go on with; null where the log is another's, or does not come out the same here.
   *
   * @param {import('./component.js').Component} component
   * @param {import('./log-read.js').Log} log
   */
  static async of(component, { madeBy, hash }) {
    const moment = madeBy.startsWith(MADE_BY) ? unlink(madeBy.slice(MADE_BY.length)) : null;
    if (!moment) return null;
    const session = Session.at(component, moment);
    return (await session.log()).hash === hash ? session : null;
  }

  /** One event further. False: nothing is to come. */
  forward() {
    return this.world.advance() && this.obeyed();
  }

  /** One event back. */
  back() {
    this.seek(Math.max(this.step - 1, 0));
  }

  /**
   * To where so many events have happened.
   *
   * @param {number} step
   */
  seek(step) {
    if (step < this.step) {
      this.world = new World(this.component, this.options);
      this.obeyed();
    }
    while (this.step < step && this.forward());
  }

  /**
   * Goes on until something is so, at most so many events.
   *
   * @param {(world: World) => boolean} isSo
   * @param {number} [most]
   */
  until(isSo, most = MAX_RUN) {
    for (let count = 0; count < most; count++) {
      if (isSo(this.world)) return true;
      if (!this.forward()) return false;
    }
    return isSo(this.world);
  }

  /**
   * Does something to the run, here; what was ordered for later is forgotten. False: it would do nothing.
   *
   * @param {import('./orders.js').Order} order
   */
  order(order) {
    if (!takes(this.world, order)) return false;
    this.orders = this.orders.filter(({ step }) => step <= this.step);
    this.orders.push({ step: this.step, order });
    this.world.obey(order);
    return true;
  }

  /** The run so far as an event log. */
  log() {
    return write(`${MADE_BY}${link(this.moment)}`, this.world.parties(), this.world.entries);
  }

  /** Orders that stand at this step. */
  obeyed() {
    for (const { step, order } of this.orders) if (step === this.step) this.world.obey(order);
    return true;
  }
}

/** How a log of the sandbox says who made it; its moment follows. */
const MADE_BY = 'sandbox ';
/** Most events of one run without a stop. */
export const MAX_RUN = 10_000;
