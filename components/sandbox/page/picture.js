// The state diagram of a box, drawn from the machine's own, with the current state lit.

import { ARROWS } from './diagram.js';
import { svg } from './dom.js';

/**
 * @param {string | null} current
 * @param {string} name of the box
 * @param {string[]} states where it has been
 */
export function picture(current, name, states) {
  const drawing = svg('svg', { class: 'diagram', viewBox: '0 0 560 240', role: 'img', 'aria-label': `${name}: ${current ?? 'off'}` });
  // A name may be a stranger's, and is no part of a reference.
  drawn += 1;
  const id = `arrow-${drawn}`;
  drawing.append(
    svg('defs', {}, svg('marker', { id, viewBox: '0 0 8 8', refX: 8, refY: 4, markerUnits: 'userSpaceOnUse', markerWidth: 10, markerHeight: 10, orient: 'auto' }, svg('path', { d: 'M0 0L8 4L0 8z' }))),
  );
  const walked = walk(states);
  const been = new Set([...walked.values()].flat());
  const drawnToo = [...walked].filter(([step]) => !ARROWS.some(([from, to]) => step === `${from} ${to}`)).map(([, pair]) => [...pair, 'walked']);
  for (const [from = '', to = '', why] of [...ARROWS, ...drawnToo]) {
    const kind = walked.has(`${from} ${to}`) ? 'walked' : 'open';
    drawing.append(svg('path', { class: kind, d: way(from, to), 'marker-end': `url(#${id})` }, svg('title', {}, `${from} to ${to}: ${why}`)));
  }
  for (const [state, [x, y]] of Object.entries(PLACES)) {
    const box = svg('g', state === current ? { class: 'lit' } : been.has(state) ? { class: 'been' } : {});
    box.append(svg('rect', { x: x - WIDE / 2, y: y - HIGH / 2, width: WIDE, height: HIGH, rx: 6 }), svg('text', { x, y }, state));
    drawing.append(box);
  }
  return drawing;
}

/**
 * From where to where a box has gone. The machine's diagram has the arrows that its table of tests walks, which are not all.
 *
 * @param {string[]} states in order
 */
function walk(states) {
  /** @type {Map<string, [string, string]>} */
  const steps = new Map();
  let from = 'Loading';
  for (const to of states) {
    if (from in PLACES && to in PLACES && from !== to) steps.set(`${from} ${to}`, [from, to]);
    from = to;
  }
  return steps;
}

/** States that the diagram has and this drawing does not. */
export function undrawn() {
  return [...new Set(ARROWS.flatMap(([from, to]) => [from, to]))].filter((state) => !(state in PLACES));
}

/**
 * From the edge of one state to the edge of another; there and back are two lines.
 *
 * @param {string} from
 * @param {string} to
 */
function way(from, to) {
  const [x1, y1] = PLACES[from] ?? [0, 0];
  const [x2, y2] = PLACES[to] ?? [0, 0];
  const [dx, dy] = [x2 - x1, y2 - y1];
  const length = Math.hypot(dx, dy);
  const [sideX, sideY] = [(-dy / length) * APART, (dx / length) * APART];
  const edge = Math.min(dx === 0 ? Infinity : WIDE / 2 / Math.abs(dx), dy === 0 ? Infinity : HIGH / 2 / Math.abs(dy));
  const begin = [x1 + dx * edge + sideX, y1 + dy * edge + sideY];
  const end = [x2 - dx * edge + sideX, y2 - dy * edge + sideY];
  return `M${begin.map(Math.round).join(' ')}L${end.map(Math.round).join(' ')}`;
}

/** How many were drawn. */
let drawn = 0;
/** Where the states stand. @type {Record<string, [number, number]>} */
const PLACES = {
  Loading: [78, 30],
  AwaitingContact: [280, 30],
  AwaitingEntropy: [482, 30],
  Enrolling: [482, 120],
  AwaitingCertificate: [280, 120],
  Serving: [78, 120],
  Renewing: [180, 210],
};
const WIDE = 150;
const HIGH = 36;
/** How far a line stands beside the middle. */
const APART = 5;
