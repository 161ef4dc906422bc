// The page: buttons, and when to draw.

import { Component } from './component.js';
import { byId } from './dom.js';
import { Memory } from './memory.js';
import { link, takes, unlink } from './orders.js';
import { Session } from './session.js';
import { parties, timelineItem } from './show.js';
import { STORIES, tell as tellStory } from './stories.js';

main().catch(problem);

async function main() {
  const fetched = await fetch('otscert.wasm').catch(() => null);
  if (!fetched?.ok) throw new Error('otscert.wasm is not served beside this page');
  begin(await Component.compile(new Uint8Array(await fetched.arrayBuffer())));
}

/** @param {Component} component */
function begin(component) {
  byId('digest', HTMLElement).textContent = component.digest;
  byId('sandbox', HTMLElement).hidden = false;
  const reader = component.instance(new Memory(0n).imports());
  /** @type {Set<string>} */
  const open = new Set();
  const timeline = byId('timeline', HTMLOListElement);
  const seek = byId('seek', HTMLInputElement);
  const which = byId('which', HTMLSelectElement);
  const run = byId('run', HTMLButtonElement);
  const told = byId('told', HTMLElement);
  let session = start();
  /** The furthest event that was reached. */
  let furthest = 0;
  /** Entries that the timeline shows, up to this one. */
  let shown = 0;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  let timer;

  function start() {
    const seed = Number(byId('seed', HTMLInputElement).value);
    return new Session(component, { seed, boxes: Number(byId('boxes', HTMLSelectElement).value) });
  }

  function draw() {
    const { world } = session;
    furthest = Math.max(furthest, session.step);
    seek.max = String(furthest);
    seek.value = String(session.step);
    byId('where', HTMLOutputElement).value = `${session.step} of ${furthest}, ${new Date(world.now).toISOString().replace('T', ' ').slice(0, 19)}`;
    byId('back', HTMLButtonElement).ariaDisabled = String(session.step === 0);
    byId('hq-down', HTMLButtonElement).ariaPressed = String(world.hq.isDown);
    if (which.options.length !== world.boxes.length) {
      const chosen = which.value;
      which.replaceChildren(...world.boxes.map((box, at) => new Option(box.name, String(at))));
      if (Number(chosen) < world.boxes.length && chosen !== '') which.value = chosen;
    }
    byId('no-entropy', HTMLButtonElement).ariaPressed = String(!chosen().memory.isSeeded);
    for (const [button, order] of orders()) button.ariaDisabled = String(!takes(world, order()));
    byId('parties', HTMLElement).replaceChildren(...parties(world, reader, open));
    const { entries } = world;
    if (entries.length < shown) {
      timeline.replaceChildren();
      shown = 0;
    }
    shown = Math.max(shown, entries.length - MAX_SHOWN);
    for (const entry of entries.slice(shown)) timeline.prepend(timelineItem(entry, reader));
    shown = entries.length;
    while (timeline.childElementCount > MAX_SHOWN) timeline.lastElementChild?.remove();
    const earlier = byId('earlier', HTMLElement);
    earlier.hidden = entries.length <= MAX_SHOWN;
    earlier.textContent = `The newest ${MAX_SHOWN} of ${entries.length}; a saved log has all.`;
  }

  function chosen() {
    return session.world.box(Number(which.value || '0'));
  }

  /** Buttons that give an order, and which. @returns {[HTMLButtonElement, () => import('./orders.js').Order][]} */
  function orders() {
    const buttons = [...document.querySelectorAll('button')].filter((button) => button.dataset.order);
    return buttons.map((button) => {
      const tag = /** @type {any} */ (button.dataset.order);
      return [button, () => (tag === 'lose' || tag === 'repeat' ? { tag } : { tag, at: Number(which.value) })];
    });
  }

  function stop() {
    clearInterval(timer);
    timer = undefined;
    run.ariaPressed = 'false';
    run.textContent = 'Run';
  }

  /**
   * Does something, and draws; what goes wrong is said on the page.
   *
   * @param {() => void} work
   */
  function act(work) {
    try {
      problem(null);
      work();
      draw();
    } catch (error) {
      stop();
      problem(error);
    }
  }

  /** @param {import('./orders.js').Order} order */
  function tell(order) {
    act(() => {
      const what = `${order.tag}${'at' in order ? `, ${session.world.box(order.at).name}` : ''}`;
      if (session.order(order)) {
        furthest = session.step;
        told.textContent = `At event ${session.step}: ${what}.`;
      } else {
        told.textContent = `That would do nothing now: ${what}.`;
      }
    });
  }

  /** @param {string} id @param {() => void} work */
  function onClick(id, work) {
    byId(id, HTMLButtonElement).addEventListener('click', work);
  }

  byId('setup', HTMLFormElement).addEventListener('submit', (event) => {
    event.preventDefault();
    stop();
    act(() => {
      session = start();
      furthest = 0;
      shown = Infinity;
      chapter = -1;
      told.textContent = '';
      byId('chapter', HTMLElement).textContent = '';
    });
  });
  onClick('back', () => (stop(), act(() => session.back())));
  onClick('step', () => (stop(), act(() => session.forward())));
  onClick('change', () => {
    stop();
    act(() => {
      const states = () => session.world.boxes.map((box) => (box.isOn ? box.progress?.state : 'off')).join(' ');
      const before = states();
      if (!session.until(() => states() !== before, MAX_QUIET)) told.textContent = `No box changed its state within ${MAX_QUIET} events.`;
    });
  });
  onClick('run', () => {
    if (timer !== undefined) {
      stop();
      return;
    }
    run.ariaPressed = 'true';
    run.textContent = 'Pause';
    timer = setInterval(() => act(() => session.forward()), PACE);
  });
  seek.addEventListener('change', () => (stop(), act(() => session.seek(Number(seek.value)))));
  onClick('hq-down', () => tell({ tag: session.world.hq.isDown ? 'hq-up' : 'hq-down' }));
  onClick('no-entropy', () => tell({ tag: chosen().memory.isSeeded ? 'no-entropy' : 'entropy', at: Number(which.value) }));
  which.addEventListener('change', draw);
  for (const [button, order] of orders()) button.addEventListener('click', () => tell(order()));
  onClick('save', () => {
    stop();
    session.log().then(({ text, hash }) => {
      const link = document.createElement('a');
      link.href = URL.createObjectURL(new Blob([text], { type: 'application/jsonl' }));
      link.download = `sandbox-${hash.slice(0, 12)}.jsonl`;
      link.click();
      URL.revokeObjectURL(link.href);
      told.textContent = `Saved; its hash is ${hash}.`;
    }, problem);
  });
  const story = byId('story', HTMLSelectElement);
  story.append(...STORIES.map(({ title }, at) => new Option(title, String(at))));
  /** Which chapter of the chosen story is told; -1: none. */
  let chapter = -1;

  /** @param {number} to */
  function go(to) {
    const chosen = STORIES[Number(story.value)];
    const next = chosen?.chapters[to];
    if (!chosen || !next) return;
    stop();
    act(() => {
      session = tellStory(component, chosen, to);
      chapter = to;
      furthest = 0;
      shown = Infinity;
      byId('seed', HTMLInputElement).value = String(session.options.seed);
      byId('boxes', HTMLSelectElement).value = String(session.options.boxes);
      told.textContent = '';
      byId('chapter', HTMLElement).textContent = `${to + 1} of ${chosen.chapters.length}. ${next.text}`;
    });
  }

  onClick('next-chapter', () => go(chapter + 1));
  onClick('earlier-chapter', () => go(chapter - 1));
  story.addEventListener('change', () => {
    chapter = -1;
    go(0);
  });
  onClick('link', () => {
    const { orders, step, options } = session;
    history.replaceState(null, '', `#${link({ ...options, event: step, orders: orders.filter((one) => one.step <= step) })}`);
    told.textContent = 'The address of this page leads to this moment.';
  });
  addEventListener('hashchange', follow);
  follow();

  /** Goes to the moment that the address names; the one that is shown is left alone. */
  function follow() {
    stop();
    const moment = unlink(location.hash.slice(1));
    if (moment) {
      byId('seed', HTMLInputElement).value = String(moment.seed);
      byId('boxes', HTMLSelectElement).value = String(moment.boxes);
    }
    act(() => {
      session = start();
      furthest = 0;
      shown = Infinity;
      for (const { step, order } of moment?.orders ?? []) {
        session.seek(step);
        session.order(order);
      }
      session.seek(moment?.event ?? 0);
    });
  }
}

/** @param {unknown} error */
function problem(error) {
  const place = byId('problem', HTMLElement);
  place.hidden = error === null;
  place.textContent = error instanceof Error ? error.message : String(error ?? '');
}

/** Lines of the timeline on the page at once. */
const MAX_SHOWN = 300;
/** How far to look for another state. */
const MAX_QUIET = 2000;
/** Milliseconds between two events while it runs. */
const PACE = 60;
