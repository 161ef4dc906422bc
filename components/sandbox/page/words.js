// Inputs, effects and outcomes in a few words. What comes from messages is text, and goes into the page as text only.

/**
 * @typedef {import('./entry.js').Entry} Entry
 * @typedef {import('./entry.js').Call} Call
 * @typedef {import('./jco/interfaces/otscert-provision-types.js').Answer} Answer
 * @typedef {import('./jco/interfaces/otscert-provision-network.js').Request} NetworkRequest
 */

/**
 * What a party was told.
 *
 * @param {Entry['input']} input
 */
export function inputInWords(input) {
  if (input === 'start') return 'a new instance';
  switch (input.tag) {
    case 'resumed':
      return `resumed, boot ${input.val}`;
    case 'woke':
      return 'woke';
    case 'answered':
      return `exchange ${input.val.exchange.number}: ${answerInWords(input.val.answer)}`;
    case 'addresses':
      return `addresses ${input.val.join(' ')}`;
    case 'reset':
      return 'the owner resets the box';
    case 'renew':
      return 'the owner asks for a new certificate';
    case 'request':
      return `a request, ${input.val.endpoint} (${input.val.body.length} bytes)`;
    case 'due':
      return `${input.val} is due`;
    case 'command':
      return `the operator: ${input.val.order.tag} ${input.val.subject}`;
    case 'credential-refused':
    case 'companion':
    case 'claim-code':
    case 'sealed-companion':
      return input.tag;
  }
}

/** @param {Answer} answer */
function answerInWords(answer) {
  switch (answer.tag) {
    case 'hq':
      return `HQ answers (${answer.val.body.length} bytes)`;
    case 'ca':
      if (answer.val.tag === 'order') return `the CA: the order is ${answer.val.val.state}`;
      if (answer.val.tag === 'problem') return `the CA refuses: ${answer.val.val.detail}`;
      return `the CA: ${answer.val.tag}`;
    case 'dns':
      return `the zone: ${answer.val.tag}${answer.val.tag === 'done' ? '' : ` ${answer.val.val}`}`;
    case 'failed':
      return `nothing (${answer.val.kind}): ${answer.val.detail}`;
  }
}

/**
 * What a party asked its host for, and got.
 *
 * @param {Call} call
 */
export function callInWords(call) {
  switch (call.tag) {
    case 'sources':
      return `looks at its ${call.got.length} source of entropy`;
    case 'sample':
      return `samples source ${call.source}: ${call.got.ok ? `${call.got.value.length} bytes` : failedWith(call.got.error)}`;
    case 'read':
      return `reads ${call.key}: ${call.got.ok ? (call.got.value === undefined ? 'there is none' : `${call.got.value.length} bytes`) : failedWith(call.got.error)}`;
    case 'write':
      return `writes ${call.key} (${call.value.length} bytes)${call.got.ok ? '' : `: ${failedWith(call.got.error)}`}`;
    case 'remove':
      return `removes ${call.key}${call.got.ok ? '' : `: ${failedWith(call.got.error)}`}`;
    case 'submit':
      return `sends ${requestInWords(call.request)}, exchange ${call.exchange.number}`;
  }
}

/** @param {NetworkRequest} request */
function requestInWords(request) {
  switch (request.tag) {
    case 'hq':
      return `${request.val.endpoint} to HQ`;
    case 'courier':
      return `${request.val.endpoint} to HQ by courier`;
    case 'seeder':
      return 'contact to the second operator';
    case 'ca':
      return `${request.val.tag} to the CA`;
    case 'dns':
      return `${request.val.tag} ${request.val.val.tag} to the zone`;
  }
}

/**
 * What a party answered.
 *
 * @param {Entry} entry
 */
export function outcomeInWords(entry) {
  const { outcome } = entry;
  if (!outcome.ok) return `refused: ${failedWith(outcome.error)}`;
  if (entry.input === 'start') return 'started';
  if (entry.role === 'device') {
    const { state, reason } = outcome.value;
    return reason.startsWith(state) ? reason : `${state}: ${reason}`;
  }
  const { reply, notes } = outcome.value;
  const parts = notes.map((/** @type {{ kind: string, text: string }} */ note) => `${note.kind}: ${note.text}`);
  if (reply) parts.unshift(`replies ${reply.outcome}${reply.problem === '' ? '' : ` (${reply.problem})`}`);
  return parts.length === 0 ? 'decided' : parts.join('; ');
}

/**
 * The messages of the protocol that an entry holds.
 *
 * @param {Entry} entry
 * @returns {{ title: string, body: Uint8Array }[]}
 */
export function messagesOf(entry) {
  const messages = [];
  const { input } = entry;
  if (input !== 'start' && input.tag === 'request') messages.push({ title: `${input.val.endpoint}, as it came`, body: input.val.body });
  if (input !== 'start' && input.tag === 'answered' && input.val.answer.tag === 'hq') {
    messages.push({ title: "HQ's answer, as it came", body: input.val.answer.val.body });
  }
  for (const call of entry.calls) {
    if (call.tag === 'submit' && 'body' in call.request.val) messages.push({ title: `${call.request.val.endpoint}, as it goes`, body: call.request.val.body });
  }
  if (entry.role === 'hq' && entry.outcome.ok && entry.outcome.value?.reply) {
    messages.push({ title: "HQ's answer, as it goes", body: entry.outcome.value.reply.body });
  }
  return messages;
}

/** @param {{ tag: string, val?: unknown }} error */
function failedWith(error) {
  return typeof error.val === 'string' ? `${error.tag} (${error.val})` : error.tag;
}

/** @param {number | bigint | null} time milliseconds since 1970 */
export function timeInWords(time) {
  if (time === null) return 'at a time that it does not know';
  return new Date(Number(time)).toISOString().replace('T', ' ').replace('Z', '');
}
