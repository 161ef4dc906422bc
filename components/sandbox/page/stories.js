// Guided stories: chapters, each with what is ordered at its beginning and where it ends.

import { Session } from './session.js';

/**
 * @typedef {import('./world.js').World} World
 * @typedef {{ text: string, order?: import('./orders.js').Order, until: (world: World) => boolean }} Chapter
 * @typedef {{ title: string, chapters: Chapter[] }} Story
 */

/**
 * A run at the end of a chapter of a story.
 *
 * @param {import('./component.js').Component} component
 * @param {Story} story
 * @param {number} chapter from 0
 */
export function tell(component, story, chapter) {
  const session = new Session(component, { seed: SEED, boxes: 1 });
  for (const { order, until } of story.chapters.slice(0, chapter + 1)) {
    if (order) session.order(order);
    if (!session.until(until, MOST)) throw new Error(`the story "${story.title}" does not go on`);
  }
  return session;
}

/** @param {string} state */
const first = (state) => (/** @type {World} */ world) => world.box(0).progress?.state === state;
const isOff = (/** @type {World} */ world) => !world.box(0).isOn;
const hqSays = (/** @type {string} */ state) => (/** @type {World} */ world) => [...world.summaries.values()].some((one) => one.state === state);

/** @type {Story[]} */
export const STORIES = [
  {
    title: 'First boot',
    chapters: [
      { text: 'A box that has never run. Its storage is empty, and HQ knows no device.', until: () => true },
      {
        text: 'Power. The box finds no records, samples its source of entropy, stores its first message and sends it: contact, unsigned, since it has no key. It asks for the time and a seed.',
        until: first('AwaitingContact'),
      },
      {
        text: "HQ's answer is signed by a key that the image's root delegated, and repeats the box's nonce. The ledger below the diagram says what the keys will be made of; it is enough. The box makes its identity key and asks to be enrolled.",
        until: first('Enrolling'),
      },
      {
        text: 'HQ drew a name, wrote it down, and granted it to that key. The box makes a second key, for TLS, and sends a request for a certificate.',
        until: first('AwaitingCertificate'),
      },
      {
        text: 'HQ orders the certificate at the CA and puts the proof into the zone, as TXT. The box polls meanwhile. No private key has left the box.',
        until: (world) => world.zone.txt.size > 0,
      },
      {
        text: 'The CA has issued. The box compared the chain with its key and its names, stored it, and serves. HQ took the proof out of the zone again, or is about to.',
        until: first('Serving'),
      },
    ],
  },
  {
    title: 'Power cut while enrolling',
    chapters: [
      {
        text: 'A box has sent its request to be enrolled. The same bytes are in its storage: they were written before they were sent.',
        until: first('Enrolling'),
      },
      {
        text: 'Now the power goes. Keys, pool and timers are gone; the storage is what was written. The request may or may not have reached HQ.',
        order: { tag: 'power-cut', at: 0 },
        until: isOff,
      },
      {
        text: 'HQ got the request, enrolled the box and answered. Nobody was there to hear it.',
        until: (world) => world.summaries.size === 1,
      },
      {
        text: 'A minute later the power is back. The box finds the request and sends the same bytes again.',
        until: (world) => world.box(0).boot === 2 && first('Enrolling')(world),
      },
      {
        text: 'HQ knows these bytes and gives the answer that it gave before: still one device, one name.',
        until: first('AwaitingCertificate'),
      },
      { text: 'The rest is as ever.', until: first('Serving') },
    ],
  },
  {
    title: 'Two clones',
    chapters: [
      { text: 'A box serves.', until: first('Serving') },
      {
        text: 'Somebody copies its flash to a second board. Both hold the same keys, and the token that HQ gives anew with every answer.',
        order: { tag: 'clone', at: 0 },
        until: (world) => world.boxes[1]?.isOn === true,
      },
      {
        text: 'Both went on to check in. Whoever came second showed a token that HQ had replaced for the other: two holders of one key. HQ challenges the device; nothing new is issued until the operator decides.',
        until: hqSays('Challenged'),
      },
      {
        text: 'The operator retires it. HQ has the certificate revoked and takes the name out of the zone. The button "HQ accepts" would have been the other way.',
        order: { tag: 'retire', at: 0 },
        until: (world) => world.ca.revoked.size === 1 && world.zone.labels.size === 0,
      },
    ],
  },
];

const SEED = 1;
/** Most events of a chapter. */
const MOST = 2000;
