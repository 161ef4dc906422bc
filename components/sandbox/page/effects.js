// What each order is called, what should come of it, and whether it has.

import { hex } from './component.js';

/**
 * @typedef {import('./world.js').World} World
 * @typedef {import('./box.js').Box} Box
 * @typedef {import('./entry.js').Entry} Entry
 * @typedef {import('./orders.js').Order} Order
 * @typedef {{ order: Order, step: number, entries: number, since: Since, seenAt: number | null }} Watch
 *   what is waited for; `step` and `entries` are where it was ordered
 * @typedef {{ leaf: Uint8Array | null, device: string | null, boot: number, revoked: number, overtaken: number }} Since
 *   how it was then
 * @typedef {object} Effect
 * @property {string} label of its button
 * @property {string} text what should come of it
 * @property {(seen: Seen) => boolean} hasCome
 * @typedef {{ world: World, box: Box | undefined, since: Since, entries: Entry[], own: Entry[] }} Seen
 *   `entries` since it was ordered, `own` those of the box
 */

/**
 * Begins to wait for what should come of an order that is about to be obeyed.
 *
 * @param {World} world
 * @param {Order} order
 * @returns {Watch}
 */
export function watch(world, order) {
  const box = 'at' in order ? world.box(order.at) : undefined;
  const since = {
    leaf: box?.leaf ?? null,
    device: box?.device ?? null,
    boot: box?.boot ?? 0,
    revoked: world.ca.revoked.size,
    overtaken: world.overtaken,
  };
  return { order, step: world.step, entries: world.entries.length, since, seenAt: null };
}

/**
 * Whether what should come of an order has come.
 *
 * @param {World} world
 * @param {Watch} watch
 */
export function hasCome(world, { order, entries: from, since }) {
  const box = 'at' in order ? world.box(order.at) : undefined;
  const entries = world.entries.slice(from);
  const own = entries.filter(({ party }) => party === box?.name);
  return EFFECTS[order.tag].hasCome({ world, box, since, entries, own });
}

/** @param {Box | undefined} box */
const isWaiting = (box) => box?.progress?.state === 'AwaitingEntropy';
/** It has a key, or has had one. @param {Box | undefined} box */
const isPastEntropy = (box) => box?.progress !== null && box?.progress !== undefined && !BEFORE_A_KEY.includes(box.progress.state);
/** @param {{ own: Entry[] }} seen */
const goesOn = ({ own }) => own.some(({ input, outcome }) => input !== 'start' && outcome.ok);
/** @param {Seen} seen */
const isBack = ({ box, since, own }) => box !== undefined && box.isResumed && box.boot > since.boot && goesOn({ own: own.slice(-1) });
/** @param {Seen} seen */
const isReissued = ({ box, since }) =>
  box?.progress?.state === 'Serving' && box.leaf !== null && (since.leaf === null || hex(box.leaf) !== hex(since.leaf));
/** @param {Seen} seen */
const stateAtHq = ({ world, since }) => world.summaries.get(`device/${since.device}`)?.state;

/** @param {Entry[]} entries */
function sent(entries) {
  return entries.flatMap(({ calls }) => calls.flatMap((call) => (call.tag === 'submit' && call.request.tag === 'hq' ? [hex(call.request.val.body)] : [])));
}

/** @param {Entry[]} entries */
function heardByHq(entries) {
  return entries.flatMap(({ input }) => (input !== 'start' && input.tag === 'request' ? [hex(input.val.body)] : []));
}

/** @param {string[]} list */
const hasTwice = (list) => new Set(list).size < list.length;

/**
 * @param {Entry[]} entries
 * @param {string} kind of failure
 */
function failed(entries, kind) {
  return entries.some(({ input }) => input !== 'start' && input.tag === 'answered' && input.val.answer.tag === 'failed' && input.val.answer.val.kind === kind);
}

/** @type {Record<Order['tag'], Effect>} */
export const EFFECTS = {
  lose: {
    label: 'Lose next message',
    text: 'The next message to HQ is lost. Its box hears after 30 s that no answer came, and sends the same bytes again.',
    hasCome: ({ entries }) => failed(entries, 'timed-out') && hasTwice(sent(entries)),
  },
  repeat: {
    label: 'Repeat next message',
    text: 'The network delivers the next message twice. HQ decides on it once: still one device, one name, one order.',
    hasCome: ({ entries }) => hasTwice(heardByHq(entries)),
  },
  reorder: {
    label: 'Overtake next message',
    text: 'The next message waits on the way until a later one of its box has overtaken it. When it comes after all, HQ knows that the box is further on: nothing changes and nobody is alarmed.',
    hasCome: ({ world, since, entries }) => world.overtaken > since.overtaken && hasTwice(heardByHq(entries)),
  },
  'hq-down': {
    label: 'HQ down',
    text: 'Boxes find nobody, ask again later and later, and keep what they have: whoever serves goes on serving.',
    hasCome: ({ entries }) => failed(entries, 'unreachable'),
  },
  'hq-up': {
    label: 'HQ up',
    text: 'HQ starts with the records that it has stored, does what has waited, and hears the boxes as they ask again.',
    hasCome: ({ entries }) => heardByHq(entries).length > 0,
  },
  'no-entropy': {
    label: 'No entropy',
    text: 'The source has nothing to give. A box that has no key yet makes none: it waits in AwaitingEntropy and says why. A box that has its keys goes on with them.',
    hasCome: (seen) => isWaiting(seen.box) || (isPastEntropy(seen.box) && goesOn(seen)),
  },
  stuck: {
    label: 'Stuck source',
    text: 'The source gives one byte over and over. The health test of the machine notices; the source counts nothing, and a box that has no key yet makes none of it. A box that has its keys goes on with them.',
    hasCome: (seen) => isWaiting(seen.box) || (isPastEntropy(seen.box) && goesOn(seen)),
  },
  entropy: {
    label: 'Entropy works',
    text: 'The source works. A box that waited for it samples again within a second, and goes on.',
    hasCome: (seen) => goesOn(seen) && isPastEntropy(seen.box),
  },
  'clock-behind': {
    label: 'Clock a year behind',
    text: "The host vouches for a clock that is a year slow. A wall clock only raises what the box takes for the time; what HQ has signed counts, and all goes on as if the clock were right.",
    hasCome: ({ own }) => own.some(({ time, outcome }) => time !== null && outcome.ok && Math.abs(Number(outcome.value?.timeMs ?? 0) - time) < A_MINUTE),
  },
  'clock-ahead': {
    label: 'Clock a year ahead',
    text: 'The host vouches for a clock that is a year fast, and nothing tells the box better. By that clock each certificate of the CA has ended: the box says so, refuses it, and goes on serving what it has.',
    hasCome: ({ own }) => own.some(({ outcome }) => outcome.ok && /it ended at/.test(outcome.value?.reason ?? '')),
  },
  'clock-jump': {
    label: 'Clock jumps 30 days ahead',
    text: 'By that clock the time to renew has come. At its next look a box that serves asks for a new certificate, with a new key.',
    hasCome: isReissued,
  },
  'clock-right': {
    label: 'Clock right',
    text: 'The clock is right again. The box never took less for the time than HQ signed, and goes on.',
    hasCome: goesOn,
  },
  'fail-write': {
    label: 'Next write fails',
    text: 'Storage refuses the next write. The machine has not moved and has sent nothing that relies on it; a second later the host hands it the same input again.',
    hasCome: ({ own }) => own.some(({ outcome }) => !outcome.ok && outcome.error.tag === 'storage') && goesOn({ own: own.slice(-1) }),
  },
  'cut-before-write': {
    label: 'Power cut before next write',
    text: 'The power goes before the next write is made. A minute later the box starts from the records of before, and does the same again.',
    hasCome: isBack,
  },
  'cut-after-write': {
    label: 'Power cut after next write',
    text: 'The power goes after the next write, before the box hears that it was made. A minute later it starts from that record, and goes on.',
    hasCome: isBack,
  },
  'power-cut': {
    label: 'Power cut now',
    text: 'What the box held in memory is gone. A minute later it starts from its records, and goes on where they say.',
    hasCome: isBack,
  },
  companion: {
    label: "Owner's browser helps",
    text: "The owner opens the set-up page of a box that waits for entropy. The browser draws 32 bytes for it: they count against everybody but who listens on the owner's network meanwhile. The box makes its key, and goes on.",
    hasCome: ({ box }) => isPastEntropy(box),
  },
  'claim-code': {
    label: 'Owner types the code',
    text: 'The owner types the code on the label into the set-up page. HQ knows a digest of it: it gives this box a name, and the code lets no other in while this one lives.',
    hasCome: ({ box }) => box?.device !== null,
  },
  clone: {
    label: 'Clone',
    text: 'Two boards hold the same keys. Once both have checked in, one of them shows a token that HQ has replaced: HQ challenges the device, and issues nothing new for it.',
    hasCome: ({ world }) => [...world.summaries.values()].some(({ state }) => state === 'Challenged'),
  },
  renew: {
    label: 'Owner renews',
    text: 'The box orders a certificate for a new key. It serves the old one until the new one has passed its checks.',
    hasCome: isReissued,
  },
  reset: {
    label: 'Owner resets',
    text: 'The box forgets its name and its keys, and starts over as a new device. Its last message in the old name has HQ retire that name.',
    hasCome: (seen) => goesOn(seen) && (seen.since.device === null || stateAtHq(seen) === 'Retired'),
  },
  retire: {
    label: 'HQ retires',
    text: 'The operator retires the device. HQ has its certificate revoked and takes the name out of the zone; at its next check-in the box hears of it. It serves what it has, gets nothing new, and waits for a person to reset it.',
    hasCome: (seen) =>
      stateAtHq(seen) === 'Retired' &&
      seen.box?.progress?.reason.includes('This identity was retired') === true &&
      (seen.since.leaf === null || seen.world.ca.revoked.size > seen.since.revoked),
  },
  accept: {
    label: 'HQ accepts',
    text: 'The operator believes whoever checks in next. That one goes on; a clone that comes after it is challenged again.',
    hasCome: (seen) => stateAtHq(seen) !== 'Challenged',
  },
};

/** The buttons, by what they touch. @type {[string, Order['tag'][]][]} */
export const GROUPS = [
  ['Network and HQ', ['lose', 'repeat', 'reorder', 'hq-down', 'hq-up']],
  ['Entropy', ['no-entropy', 'stuck', 'entropy']],
  ['Clock', ['clock-behind', 'clock-ahead', 'clock-jump', 'clock-right']],
  ['Storage and power', ['fail-write', 'cut-before-write', 'cut-after-write', 'power-cut']],
  ['People', ['companion', 'claim-code', 'clone', 'renew', 'reset', 'retire', 'accept']],
];

/** For how many events an effect is waited for. */
export const MAX_WAIT = 2000;
const BEFORE_A_KEY = ['Loading', 'AwaitingContact', 'AwaitingEntropy'];
const A_MINUTE = 60_000;
