// What a person can do to a run.

import { DAY, LABELS, MAX_BOXES, SETUPS } from './config.js';

/**
 * Something that a person does to the run.
 *
 * @typedef {{ tag: BoxOrder, at: number } | { tag: WorldOrder }} Order
 * @typedef {'no-entropy' | 'stuck' | 'entropy' | 'clock-behind' | 'clock-ahead' | 'clock-jump' | 'clock-right' | 'fail-write'
 *   | 'cut-before-write' | 'cut-after-write' | 'power-cut' | 'companion' | 'claim-code' | 'clone' | 'renew' | 'reset' | 'retire' | 'accept'} BoxOrder
 * @typedef {'lose' | 'repeat' | 'reorder' | 'hq-down' | 'hq-up'} WorldOrder
 */

/**
 * Whether an order would do anything now.
 *
 * @param {import('./world.js').World} world
 * @param {Order} order
 */
export function takes(world, order) {
  switch (order.tag) {
    case 'hq-down':
      return !world.hq.isDown;
    case 'hq-up':
      return world.hq.isDown;
    case 'lose':
      return !world.loses;
    case 'repeat':
      return !world.repeats;
    case 'reorder':
      return !world.holds && world.late === null;
    case 'no-entropy':
      return world.box(order.at).memory.source !== 'not-ready';
    case 'stuck':
      return world.box(order.at).memory.source !== 'stuck';
    case 'entropy':
      return world.box(order.at).memory.source !== 'works';
    case 'clock-behind':
      return world.box(order.at).clockIsOff !== -YEAR;
    case 'clock-ahead':
      return world.box(order.at).clockIsOff !== YEAR;
    case 'clock-jump':
      return true;
    case 'clock-right':
      return world.box(order.at).clockIsOff !== 0;
    case 'fail-write':
    case 'cut-before-write':
    case 'cut-after-write':
      return world.box(order.at).memory.nextWrite === null;
    case 'power-cut':
      return world.box(order.at).isOn;
    case 'companion':
      return world.box(order.at).progress?.state === 'AwaitingEntropy';
    case 'claim-code':
      return world.options.setup === 'claim-code' && world.box(order.at).device === null && world.box(order.at).isResumed && world.box(order.at).isOn;
    case 'clone':
      // Copies of a board that has no key yet are two boards.
      return world.boxes.length < MAX_BOXES && world.box(order.at).states.includes('Enrolling');
    case 'renew':
      return world.box(order.at).progress?.state === 'Serving';
    case 'reset':
      return world.box(order.at).isOn && world.box(order.at).isResumed;
    case 'retire':
      return world.box(order.at).device !== null && !world.hq.isDown;
    case 'accept':
      return world.summaries.get(subjectOf(world, order.at))?.state === 'Challenged' && !world.hq.isDown;
  }
}

/**
 * Does what is ordered, which would do something.
 *
 * @param {import('./world.js').World} world
 * @param {Order} order
 */
export function obey(world, order) {
  switch (order.tag) {
    case 'hq-down':
      world.hq.isDown = true;
      return;
    case 'hq-up':
      world.hq.comeBack();
      return;
    case 'lose':
      world.loses = true;
      return;
    case 'repeat':
      world.repeats = true;
      return;
    case 'reorder':
      world.holds = true;
      return;
    case 'no-entropy':
      world.box(order.at).memory.source = 'not-ready';
      return;
    case 'stuck':
      world.box(order.at).memory.source = 'stuck';
      return;
    case 'entropy':
      world.box(order.at).memory.source = 'works';
      return;
    case 'clock-behind':
      world.box(order.at).clockIsOff = -YEAR;
      return;
    case 'clock-ahead':
      world.box(order.at).clockIsOff = YEAR;
      return;
    case 'clock-jump':
      world.box(order.at).clockIsOff += JUMP;
      return;
    case 'clock-right':
      world.box(order.at).clockIsOff = 0;
      return;
    case 'fail-write':
      world.box(order.at).memory.nextWrite = 'fails';
      return;
    case 'cut-before-write':
      world.box(order.at).memory.nextWrite = 'cut-before';
      return;
    case 'cut-after-write':
      world.box(order.at).memory.nextWrite = 'cut-after';
      return;
    case 'power-cut':
      world.powerCut(order.at);
      return;
    case 'companion':
      world.tell(order.at, { tag: 'companion', val: world.random.bytes(COMPANION) });
      return;
    case 'claim-code':
      world.tell(order.at, { tag: 'claim-code', val: LABELS[order.at]?.code ?? '' });
      return;
    case 'clone':
      world.addBox(world.box(order.at));
      return;
    case 'renew':
    case 'reset':
      world.tell(order.at, { tag: order.tag });
      return;
    case 'retire':
    case 'accept':
      world.hq.ask({ tag: 'command', val: { subject: subjectOf(world, order.at), order: { tag: order.tag } } });
      return;
  }
}

/** @type {readonly WorldOrder[]} */
const OF_WORLD = ['lose', 'repeat', 'reorder', 'hq-down', 'hq-up'];
/** @type {readonly BoxOrder[]} */
const OF_BOX = [
  'no-entropy', 'stuck', 'entropy', 'clock-behind', 'clock-ahead', 'clock-jump', 'clock-right', 'fail-write',
  'cut-before-write', 'cut-after-write', 'power-cut', 'companion', 'claim-code', 'clone', 'renew', 'reset', 'retire', 'accept',
];

/** Every order. @type {readonly { tag: any, isOfBox: boolean }[]} */
export const ORDERS = [...OF_BOX.map((tag) => ({ tag, isOfBox: true })), ...OF_WORLD.map((tag) => ({ tag, isOfBox: false }))];

/**
 * A moment of a run as text, for a link: `seed=1&boxes=2&event=70&orders=lose@3,clone.0@60`.
 *
 * @param {Moment} moment
 */
export function link({ seed, boxes, setup, event, orders }) {
  const told = orders.map(({ step, order }) => `${order.tag}${'at' in order ? `.${order.at}` : ''}@${step}`);
  return `seed=${seed}&boxes=${boxes}${setup === 'open' ? '' : `&setup=${setup}`}&event=${event}${told.length === 0 ? '' : `&orders=${told.join(',')}`}`;
}

/**
 * Reads a link. It may come from anybody: null where it is none.
 *
 * @param {string} text
 * @returns {Moment | null}
 */
export function unlink(text) {
  const parameters = new URLSearchParams(text);
  const seed = whole(parameters.get('seed'), MAX_SEED);
  const boxes = whole(parameters.get('boxes'), 2);
  const event = whole(parameters.get('event'), MAX_EVENT);
  const setup = SETUPS.find((one) => one === (parameters.get('setup') ?? 'open'));
  if (seed === null || boxes === null || boxes === 0 || event === null || setup === undefined) return null;
  const orders = [];
  let last = 0;
  const list = (parameters.get('orders') ?? '').split(',').filter(Boolean);
  if (list.length > MAX_ORDERS) return null;
  for (const told of list) {
    const parts = /^([a-z-]+)(?:\.(\d))?@(\d+)$/.exec(told);
    const step = whole(parts?.[3] ?? null, event);
    const found = ORDERS.find(({ tag }) => tag === parts?.[1]);
    const at = parts?.[2];
    if (!found || step === null || step < last || found.isOfBox !== (at !== undefined) || Number(at ?? 0) >= MAX_BOXES) return null;
    last = step;
    orders.push({ step, order: found.isOfBox ? { tag: found.tag, at: Number(at) } : { tag: found.tag } });
  }
  return { seed, boxes, setup, event, orders };
}

/**
 * @typedef {{ seed: number, boxes: number, setup: import('./config.js').Setup }} Options of a run
 * @typedef {Options & { event: number, orders: { step: number, order: Order }[] }} Moment
 */

/**
 * How HQ calls the device of a box.
 *
 * @param {import('./world.js').World} world
 * @param {number} at
 */
function subjectOf(world, at) {
  return `device/${world.box(at).device}`;
}

/**
 * @param {string | null} text
 * @param {number} most
 */
function whole(text, most) {
  return text !== null && /^\d{1,9}$/.test(text) && Number(text) <= most ? Number(text) : null;
}

/** How wrong a lying clock is. */
const YEAR = 365 * DAY;
/** How far a clock jumps. */
const JUMP = 30 * DAY;
/** Bytes that the owner's browser gives. */
const COMPANION = 32;
const MAX_SEED = 999_999;
/** Most orders of a link. */
const MAX_ORDERS = 1000;
/** How far a link leads: seconds of work. */
const MAX_EVENT = 5000;
