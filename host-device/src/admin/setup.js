"use strict";
const part = (id) => document.getElementById(id);
const code = part("code");
const give = part("give");
const send = part("send");

// The fragment of a label's QR code never leaves the browser, and does not stay in its history.
const scanned = new URLSearchParams(location.hash.slice(1)).get("code");
if (location.hash) {
  history.replaceState(null, "", location.pathname + location.search);
}
if (scanned) {
  code.value = scanned;
}

// Posts to the box, and says how it went.
async function post(path, body, said, done) {
  try {
    const answer = await fetch(path, {
      method: "POST", body, headers: { "x-otscert-setup": "1", "content-type": "text/plain" },
    });
    said.textContent = answer.ok ? done : await answer.text();
    return answer.ok;
  } catch (error) {
    said.textContent = "The box did not answer. Is this device still on its network? Try again.";
    return false;
  }
}

const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

// 32 random bytes; sealed where the box can open that and the code was typed.
function randomness() {
  const bytes = crypto.getRandomValues(new Uint8Array(32));
  let body = hex(bytes);
  if (document.body.dataset.seals === "true" && code.value.trim()) {
    const nonce = crypto.getRandomValues(new Uint8Array(32));
    body = hex(nonce) + hex(seal.companion(code.value, nonce, bytes));
  }
  bytes.fill(0);
  return body;
}

give.addEventListener("click", async () => {
  give.disabled = true;
  give.disabled = await post("/setup/seed", randomness(), part("given"), "Done. The box goes on by itself.");
});

send.addEventListener("click", async () => {
  send.disabled = true;
  const done = "Taken. The box asks its maker's server again.";
  const taken = await post("/setup/code", code.value, part("sent"), done);
  send.disabled = false;
  // What was mistyped stays for its owner to mend; what is still to be sealed under stays as well.
  if (taken && (part("randomness").hidden || document.body.dataset.seals !== "true")) {
    code.value = "";
  }
});

// Says what the box says, and offers what would help.
async function look() {
  try {
    const status = await (await fetch("/status.json")).json();
    part("reason").textContent = status.reason;
    part("randomness").hidden = !status.setup.randomness;
    part("label").hidden = !status.setup.code;
    part("nothing").hidden = status.setup.randomness || status.setup.code;
  } catch (error) {
    part("reason").textContent = "This page does not reach the box: it may be on HTTPS by now. Open its page again.";
  }
  setTimeout(look, 2000);
}
setTimeout(look, 2000);
