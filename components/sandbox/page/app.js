// What the parts of the page share: the run that is shown, and when to draw.

import { byId } from './dom.js';
import { Memory } from './memory.js';
import { Keys } from './signatures.js';
import { messagesOf } from './words.js';

/**
 * @typedef {import('./session.js').Session | import('./recording.js').Recording} Run
 */

export class App {
  /**
   * @param {import('./component.js').Component} component
   * @param {Run} run
   */
  constructor(component, run) {
    this.component = component;
    this.run = run;
    /** An instance that only describes bytes. */
    this.reader = component.instance(new Memory(0n).imports());
    /** The furthest moment of the run that was reached. */
    this.furthest = 0;
    /** Rises with each run that is shown. */
    this.runs = 0;
    /** @type {(() => void)[]} */
    this.parts = [];
    /** Called when another run takes the place of this one. @type {(() => void)[]} */
    this.leaving = [];
    /** @type {ReturnType<typeof setInterval> | undefined} */
    this.timer = undefined;
  }

  /** What is shown. */
  get scene() {
    return this.run.scene;
  }

  /** Shows another run. @param {Run} run */
  show(run) {
    this.stop();
    for (const leave of this.leaving) leave();
    this.say('');
    this.run = run;
    this.furthest = run.step;
    this.runs += 1;
  }

  draw() {
    this.furthest = Math.max(this.furthest, this.run.step);
    for (const part of this.parts) part();
  }

  /**
   * Does something, and draws; what goes wrong is said on the page.
   *
   * @param {() => void} work
   */
  act(work) {
    try {
      problem(null);
      work();
      this.draw();
    } catch (error) {
      this.stop();
      problem(error);
    }
  }

  /**
   * Does something at a button, after what goes on by itself has stopped.
   *
   * @param {string} id
   * @param {() => void} work
   */
  onClick(id, work) {
    byId(id, HTMLButtonElement).addEventListener('click', () => {
      this.stop();
      this.act(work);
    });
  }

  /** Lets the run go on by itself. */
  start() {
    this.timer = setInterval(() => {
      this.act(() => {
        if (!this.run.forward()) this.stop();
      });
    }, PACE);
  }

  stop() {
    clearInterval(this.timer);
    this.timer = undefined;
  }

  /** A word about what was done. @param {string} text */
  say(text) {
    byId('told', HTMLElement).textContent = text;
  }

  /** The keys that the run has shown so far. */
  async knownKeys() {
    const { boxes, entries } = this.scene;
    const roots = boxes.flatMap(({ config }) => [...config.roots, ...(config.seeder?.roots ?? [])]);
    const keys = new Keys(roots);
    for (const entry of entries) for (const { body } of messagesOf(entry)) await keys.learn(body);
    return keys;
  }
}

/** @param {unknown} error */
export function problem(error) {
  const place = byId('problem', HTMLElement);
  place.hidden = error === null;
  place.textContent = error instanceof Error ? error.message : String(error ?? '');
}

/** Milliseconds between two events while it runs. */
const PACE = 60;
