// A log that was loaded, to be stepped through: what it says is shown, and replayed on the component in this page.

import { RecordedScene } from './recorded-scene.js';
import { Player } from './tape.js';

/**
 * @typedef {import('./log-read.js').Log} Log
 * @typedef {import('./component.js').Component} Component
 */

/**
 * Replays a whole log: how far, and then where it did something else than the log says.
 *
 * @param {Component} component
 * @param {Log} log
 * @param {(share: number) => Promise<void>} [breathe] called now and then, with what share is done
 * @returns {Promise<{ line: number, party: string, what: string } | null>}
 */
export async function replay(component, log, breathe) {
  const players = new Map(log.parties.map(({ name, config }) => [name, new Player(component, config)]));
  for (const [at, entry] of log.entries.entries()) {
    const what = players.get(entry.party)?.take(entry);
    if (what) return { line: at + 2, party: entry.party, what };
    if (at % ENTRIES_A_BREATH === 0) await breathe?.(at / log.entries.length);
  }
  return null;
}

export class Recording {
  /**
   * @param {Component} component
   * @param {Log} log
   * @param {{ line: number, party: string, what: string } | null} difference where it does not replay
   */
  constructor(component, log, difference) {
    this.component = component;
    this.log = log;
    this.difference = difference;
    /** Parties that were played, and up to which entry. @type {Map<string, { upTo: number, player: Player }>} */
    this.played = new Map();
    /** What is shown. */
    this.scene = new RecordedScene(this);
  }

  /** How many entries have happened. */
  get step() {
    return this.scene.step;
  }

  get length() {
    return this.log.entries.length;
  }

  /** What was wrong at the end, where the log says so and the end is shown. */
  get broken() {
    return this.step === this.length ? this.log.failed : null;
  }

  /** One entry further. False: there is none. */
  forward() {
    const entry = this.log.entries[this.step];
    if (entry) this.scene.happen(entry);
    return entry !== undefined;
  }

  back() {
    this.seek(Math.max(this.step - 1, 0));
  }

  /** @param {number} step */
  seek(step) {
    if (step < this.step) this.scene = new RecordedScene(this);
    while (this.step < step && this.forward());
  }

  /**
   * Goes on until something is so, at most so many entries.
   *
   * @param {(scene: RecordedScene) => boolean} isSo
   * @param {number} most
   */
  until(isSo, most) {
    for (let count = 0; count < most; count++) {
      if (isSo(this.scene)) return true;
      if (!this.forward()) return false;
    }
    return isSo(this.scene);
  }

  /**
   * The instance of a party as it was at this moment: played from its last start.
   *
   * @param {string} name
   */
  instanceOf(name) {
    const found = this.log.parties.find((party) => party.name === name);
    if (!found || this.isBeyond()) return null;
    const { entries } = this.log;
    let start = this.step - 1;
    while (start >= 0 && (entries[start]?.party !== name || entries[start]?.input !== 'start')) start--;
    if (start < 0) return null;
    const played = this.played.get(name);
    const goesOn = played !== undefined && played.upTo > start && played.upTo <= this.step;
    const player = goesOn ? played.player : new Player(this.component, found.config);
    for (const entry of entries.slice(goesOn ? played.upTo : start, this.step)) if (entry.party === name) player.take(entry);
    this.played.set(name, { upTo: this.step, player });
    return player.instance;
  }

  /** Nothing can be replayed here: the log holds no secrets, or the machine does something else before this. */
  isBeyond() {
    return !this.log.isWhole || (this.difference !== null && this.difference.line <= this.step + 1);
  }
}

/** How many entries are replayed before the page may draw. */
const ENTRIES_A_BREATH = 100;
