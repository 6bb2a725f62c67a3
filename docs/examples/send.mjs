// Sends a text and shows what became of it; Node 18 or newer, no packages.
// Usage: SMSAPP_URL=… SMSAPP_API_KEY=… node send.mjs +14155552671 'Hello'
import { randomUUID } from "node:crypto";

const { SMSAPP_URL, SMSAPP_API_KEY, WAIT = "20" } = process.env;
const [to, body] = process.argv.slice(2);

async function call(path, options = {}) {
  for (let attempt = 0; ; attempt++) {
    const headers = { Authorization: `Bearer ${SMSAPP_API_KEY}`, ...options.headers };
    const answer = await fetch(SMSAPP_URL + path, { ...options, headers }).catch((error) => {
      if (attempt === 4) throw error;
    });
    if (answer?.ok) return answer.json();
    if (answer && (answer.status !== 503 || attempt === 4)) throw new Error(await answer.text());
    const pause_s = Number(answer?.headers.get("Retry-After") ?? 2 ** attempt / 4);
    await new Promise((resolve) => setTimeout(resolve, pause_s * 1000));
  }
}

const accepted = await call("/sms/send", {
  method: "POST",
  headers: { "Content-Type": "application/json", "Idempotency-Key": randomUUID() },
  body: JSON.stringify({ to, body }),
});
const message = await call(`/sms/messages/${accepted.id}?wait=${WAIT}`);
console.log(message.id, message.status, message.explanation);
