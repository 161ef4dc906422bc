// A run that goes forward and back: back is forward from the start, with the same orders at the same steps.

import { write } from './log.js';
import { takes } from './orders.js';
import { World } from './world.js';

export class Session {
  /**
   * @param {import('./component.js').Component} component
   * @param {{ seed: number, boxes: number }} options
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
    const orders = this.orders.filter(({ step }) => step <= this.step);
    const told = orders.map(({ step, order }) => `, ${order.tag}${'at' in order ? ` box-${order.at + 1}` : ''} after step ${step}`);
    const madeBy = `sandbox, seed ${this.options.seed}, boxes ${this.options.boxes}${told.join('')}`;
    return write(madeBy, this.world.parties(), this.world.entries);
  }

  /** Orders that stand at this step. */
  obeyed() {
    for (const { step, order } of this.orders) if (step === this.step) this.world.obey(order);
    return true;
  }
}

/** Most events of one run without a stop. */
export const MAX_RUN = 10_000;
