// A box and what is around it.

import { START } from './config.js';

/**
 * @typedef {import('./component.js').Instance} Instance
 * @typedef {import('./memory.js').Memory} Memory
 * @typedef {import('./jco/interfaces/otscert-provision-provisioner.js').Input} DeviceInput
 * @typedef {import('./jco/interfaces/otscert-provision-provisioner.js').Progress} Progress
 */

export class Box {
  /**
   * @param {string} name
   * @param {import('./config.js').DeviceConfig} config
   * @param {Memory} memory
   * @param {string} address on its LAN
   */
  constructor(name, config, memory, address) {
    this.name = name;
    this.config = config;
    this.memory = memory;
    /** @type {Instance | null} */
    this.instance = null;
    this.boot = 0;
    this.bootedAt = START;
    this.isOn = false;
    /** The machine has read its records: until then a host gives it nothing else. */
    this.isResumed = false;
    /** @type {Set<bigint>} */
    this.outstanding = new Set();
    /** @type {number | null} */
    this.wakeAt = null;
    /** An input that storage did not take. @type {DeviceInput | null} */
    this.again = null;
    this.addresses = [address];
    /** @type {Progress | null} */
    this.progress = null;
    /** HQ's name for it, as it said last. @type {string | null} */
    this.device = null;
    /** How far its wall clock is from the true time, in milliseconds. */
    this.clockIsOff = 0;
    /** Where it has been. @type {string[]} */
    this.states = [];
    /** The leaf that it serves. @type {Uint8Array | null} */
    this.leaf = null;
  }
}
