// Randomness of a run, from its seed (SplitMix64): the same numbers for the same seed. It gives no security.

export class Seeded {
  /** @param {bigint} seed */
  constructor(seed) {
    this.state = BigInt.asUintN(64, seed);
  }

  /** The next number. */
  next() {
    this.state = BigInt.asUintN(64, this.state + 0x9e37_79b9_7f4a_7c15n);
    let mixed = this.state;
    mixed = BigInt.asUintN(64, (mixed ^ (mixed >> 30n)) * 0xbf58_476d_1ce4_e5b9n);
    mixed = BigInt.asUintN(64, (mixed ^ (mixed >> 27n)) * 0x94d0_49bb_1331_11ebn);
    return mixed ^ (mixed >> 31n);
  }

  /**
   * The next number below `end`.
   *
   * @param {number} end
   */
  below(end) {
    return Number(this.next() % BigInt(end));
  }

  /**
   * The next bytes.
   *
   * @param {number} length
   */
  bytes(length) {
    const bytes = new Uint8Array(Math.ceil(length / 8) * 8);
    const view = new DataView(bytes.buffer);
    for (let at = 0; at < bytes.length; at += 8) view.setBigUint64(at, this.next(), true);
    return bytes.slice(0, length);
  }
}
