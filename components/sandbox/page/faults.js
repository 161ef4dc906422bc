// The buttons that let things go wrong, and what should come of it.

import { byId, el } from './dom.js';
import { EFFECTS, GROUPS, MAX_WAIT } from './effects.js';
import { ORDERS, takes } from './orders.js';
import { Session } from './session.js';

/**
 * @typedef {import('./app.js').App} App
 * @typedef {import('./orders.js').Order} Order
 */

/** @param {App} app */
export function faults(app) {
  const which = byId('which', HTMLSelectElement);
  /** @param {Order['tag']} tag @returns {Order} */
  const orderOf = (tag) => {
    const isOfBox = ORDERS.find((one) => one.tag === tag)?.isOfBox;
    return /** @type {Order} */ (isOfBox ? { tag, at: Number(which.value || '0') } : { tag });
  };

  /** @type {[HTMLButtonElement, Order['tag']][]} */
  const buttons = [];
  for (const [title, tags] of GROUPS) {
    const group = el('fieldset', null, el('legend', null, title));
    for (const tag of tags) {
      const button = el('button', null, EFFECTS[tag].label);
      button.type = 'button';
      button.dataset.order = tag;
      button.title = EFFECTS[tag].text;
      button.addEventListener('click', () => tell(app, orderOf(tag)));
      buttons.push([button, tag]);
      group.append(button);
    }
    byId('groups', HTMLElement).append(group);
  }
  which.addEventListener('change', () => app.draw());
  app.onClick('to-effect', () => {
    if (!(app.run instanceof Session)) return;
    const isDone = () => app.run instanceof Session && app.run.world.watch?.seenAt !== null;
    if (!app.run.until(isDone, MAX_WAIT)) app.say(`Nothing of it within ${MAX_WAIT} events.`);
  });

  app.parts.push(() => {
    const { run } = app;
    byId('faults', HTMLElement).hidden = !(run instanceof Session);
    if (!(run instanceof Session)) return;
    const { world } = run;
    if (which.options.length !== world.boxes.length) {
      const chosen = which.value;
      which.replaceChildren(...world.boxes.map((box, at) => new Option(box.name, String(at))));
      if (Number(chosen) < world.boxes.length && chosen !== '') which.value = chosen;
    }
    for (const [button, tag] of buttons) button.ariaDisabled = String(!takes(world, orderOf(tag)));
    effect(run);
  });
}

/**
 * @param {App} app
 * @param {Order} order
 */
function tell(app, order) {
  app.act(() => {
    const { run } = app;
    if (!(run instanceof Session)) return;
    const isDone = run.order(order);
    if (isDone) app.furthest = run.step;
    app.say(isDone ? '' : `That would do nothing now: ${named(run, order)}.`);
  });
}

/** What was ordered last, and whether what should come of it has come. @param {Session} run */
function effect(run) {
  const { watch } = run.world;
  byId('effect', HTMLElement).hidden = watch === null;
  if (watch === null) return;
  const { order, step, seenAt } = watch;
  set('ordered', `${named(run, order)}, after event ${step}.`);
  set('expected', EFFECTS[order.tag].text);
  set('seen', seenAt === null ? 'Not seen yet.' : `Seen at event ${seenAt}.`);
  byId('seen', HTMLElement).className = seenAt === null ? 'quiet' : 'good';
  byId('to-effect', HTMLButtonElement).ariaDisabled = String(seenAt !== null);
}

/**
 * @param {Session} run
 * @param {Order} order
 */
function named(run, order) {
  return `${EFFECTS[order.tag].label}${'at' in order ? `, ${run.world.box(order.at).name}` : ''}`;
}

/**
 * So that a screen reader says it once.
 *
 * @param {string} id
 * @param {string} text
 */
function set(id, text) {
  const element = byId(id, HTMLElement);
  if (element.textContent !== text) element.textContent = text;
}
