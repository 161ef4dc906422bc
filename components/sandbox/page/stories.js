// Guided stories: chapters, each with what is ordered at its beginning and where it ends.

import { Session } from './session.js';

/**
 * @typedef {import('./world.js').World} World
 * @typedef {{ text: string, order?: import('./orders.js').Order, until: (world: World) => boolean }} Chapter
 * @typedef {{ title: string, setup?: import('./config.js').Setup, chapters: Chapter[] }} Story
 */

/**
 * A run at the end of a chapter of a story.
 *
 * @param {import('./component.js').Component} component
 * @param {Story} story
 * @param {number} chapter from 0
 */
export function tell(component, story, chapter) {
  const session = new Session(component, { seed: SEED, boxes: 1, setup: story.setup ?? 'open' });
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
  {
    title: 'A board without randomness',
    chapters: [
      {
        text: "The source of this board has nothing to give. The box has made contact, which takes no key, and HQ's seed is in its pool; but whoever recorded that exchange could compute a key made of it. The box makes none, says why, and waits for as long as it takes.",
        order: { tag: 'no-entropy', at: 0 },
        until: first('AwaitingEntropy'),
      },
      {
        text: "The owner opens the set-up page of the box. The browser draws 32 bytes for it, which never pass HQ. The ledger counts them against everybody but who listens on the owner's network (W), and with that the box makes its key.",
        order: { tag: 'companion', at: 0 },
        until: first('Enrolling'),
      },
      { text: 'The rest is as ever. The source still has nothing to give.', until: first('Serving') },
    ],
  },
  {
    title: 'The code on the label',
    setup: 'claim-code',
    chapters: [
      {
        text: 'This HQ gives a name only to a box that shows the code on its label; of each code it keeps a digest. A box has asked without one. HQ says what is missing, and the box asks again later.',
        until: (world) => first('Enrolling')(world) && /last try brought/.test(world.box(0).progress?.reason ?? ''),
      },
      {
        text: 'The owner types the code on the set-up page of the box. It goes with the next request to be enrolled, signed by the key that asks; HQ knows the code, and gives a name.',
        order: { tag: 'claim-code', at: 0 },
        until: first('AwaitingCertificate'),
      },
      { text: 'The rest is as ever. While this device lives, its code lets no other box in.', until: first('Serving') },
    ],
  },
  {
    title: 'A second operator',
    setup: 'second-operator',
    chapters: [
      {
        text: "A board without a source of randomness, with a secret of its factory. HQ could compute a key made of that secret and of HQ's own seed. The image names a second operator, with roots of its own, and the box sends it a contact too.",
        until: (world) => world.entries.some(({ party, input }) => party === 'other-hq' && input !== 'start'),
      },
      {
        text: "The other's seed came, signed by its own key. The secret keeps strangers out, the other's seed keeps HQ out: together they are enough against everybody, and the box makes its key.",
        until: first('Enrolling'),
      },
      { text: 'It has its name and its certificate from HQ alone. The second operator knows no device.', until: first('Serving') },
    ],
  },
];

const SEED = 1;
/** Most events of a chapter. */
const MOST = 2000;
