// What a person can do to a run.

import { MAX_BOXES } from './config.js';

/**
 * Something that a person does to the run.
 *
 * @typedef {{ tag: 'no-entropy' | 'entropy' | 'fail-write' | 'cut-before-write' | 'cut-after-write' | 'power-cut' | 'clone'
 *   | 'renew' | 'reset' | 'retire' | 'accept', at: number }
 *   | { tag: 'hq-down' | 'hq-up' | 'lose' | 'repeat' }} Order
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
    case 'no-entropy':
      return world.box(order.at).memory.isSeeded;
    case 'entropy':
      return !world.box(order.at).memory.isSeeded;
    case 'fail-write':
    case 'cut-before-write':
    case 'cut-after-write':
      return world.box(order.at).memory.nextWrite === null;
    case 'power-cut':
      return world.box(order.at).isOn;
    case 'clone':
      return world.boxes.length < MAX_BOXES;
    case 'renew':
    case 'reset':
      return world.box(order.at).isOn && world.box(order.at).isResumed;
    case 'retire':
    case 'accept':
      return world.box(order.at).device !== null && !world.hq.isDown;
  }
}

/** Every order. @type {readonly { tag: any, isOfBox: boolean }[]} */
export const ORDERS = [
  ...['no-entropy', 'entropy', 'fail-write', 'cut-before-write', 'cut-after-write', 'power-cut', 'clone'],
  ...['renew', 'reset', 'retire', 'accept', 'hq-down', 'hq-up', 'lose', 'repeat'],
].map((tag) => ({ tag, isOfBox: !['hq-down', 'hq-up', 'lose', 'repeat'].includes(tag) }));

/**
 * A moment of a run as text, for a link: `seed=1&boxes=2&event=70&orders=lose@3,clone.0@60`.
 *
 * @param {Moment} moment
 */
export function link({ seed, boxes, event, orders }) {
  const told = orders.map(({ step, order }) => `${order.tag}${'at' in order ? `.${order.at}` : ''}@${step}`);
  return `seed=${seed}&boxes=${boxes}&event=${event}${told.length === 0 ? '' : `&orders=${told.join(',')}`}`;
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
  if (seed === null || boxes === null || boxes === 0 || event === null) return null;
  const orders = [];
  let last = 0;
  for (const told of (parameters.get('orders') ?? '').split(',').filter(Boolean)) {
    const parts = /^([a-z-]+)(?:\.(\d))?@(\d+)$/.exec(told);
    const step = whole(parts?.[3] ?? null, event);
    const found = ORDERS.find(({ tag }) => tag === parts?.[1]);
    const at = parts?.[2];
    if (!found || step === null || step < last || found.isOfBox !== (at !== undefined) || Number(at ?? 0) >= MAX_BOXES) return null;
    last = step;
    orders.push({ step, order: found.isOfBox ? { tag: found.tag, at: Number(at) } : { tag: found.tag } });
  }
  return { seed, boxes, event, orders };
}

/** @typedef {{ seed: number, boxes: number, event: number, orders: { step: number, order: Order }[] }} Moment */

/**
 * @param {string | null} text
 * @param {number} most
 */
function whole(text, most) {
  return text !== null && /^\d{1,9}$/.test(text) && Number(text) <= most ? Number(text) : null;
}

const MAX_SEED = 999_999;
/** How far a link leads: seconds of work. */
const MAX_EVENT = 5000;
