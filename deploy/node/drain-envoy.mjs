// Takes an Envoy out of service without breaking a request; run before it is sent SIGTERM, at which Envoy ends at once:
//   drain-envoy.mjs [seconds]
// For Envoy's own drain time (--drain-time-s) every answer closes its connection while new connections are still taken, so
// that load balancers can turn away. Then the listeners close. Returns when no request runs any more, or after `seconds`
// (30 unless told), which have to be more than the drain time. An Envoy that does not answer is gone already: no fault.
// Envoy's admin interface: /healthcheck/fail, /drain_listeners?graceful, /stats.
import { setTimeout as delay } from 'node:timers/promises';

const admin = process.env.PAIFANG_ENVOY_ADMIN || 'http://127.0.0.1:9901';
const seconds = Number(process.argv[2] ?? 30);
const COUNTED = '^(listener_manager\\.(listener_stopped|total_listeners_active)|http\\..*\\.downstream_rq_active)$';

if (!(seconds > 0)) {
  console.error(`"${process.argv[2]}" is not a number of seconds.`);
  process.exit(2);
}
try {
  console.log(await drain());
} catch (error) {
  console.error(
    `Envoy's admin at ${admin} does not answer; nothing to drain (${error.cause?.message ?? error.message}).`,
  );
}

async function drain() {
  const end = performance.now() + seconds * 1000;
  const before = await counts();
  await ask('/healthcheck/fail', 'POST');
  await ask('/drain_listeners?graceful', 'POST');
  for (;;) {
    const { stopped, listeners, requests } = await counts();
    if (stopped - before.stopped >= listeners && requests === 0) return 'Drained: no request runs.';
    if (performance.now() >= end) return `Not drained after ${seconds} s: ${requests} requests still run.`;
    await delay(200);
  }
}

/** How many listeners were ever stopped, how many there are, how many requests of clients run. */
async function counts() {
  const { stats } = JSON.parse(await ask(`/stats?format=json&filter=${encodeURIComponent(COUNTED)}`));
  const sum = (wanted) => stats.filter(({ name }) => wanted(name)).reduce((total, { value }) => total + value, 0);
  return {
    stopped: sum((name) => name === 'listener_manager.listener_stopped'),
    listeners: sum((name) => name === 'listener_manager.total_listeners_active'),
    requests: sum((name) => name.startsWith('http.') && !name.startsWith('http.admin.')),
  };
}

async function ask(path, method = 'GET') {
  const response = await fetch(new URL(path, admin), { method, signal: AbortSignal.timeout(5000) });
  const text = await response.text();
  if (!response.ok) throw new Error(`${response.status} to ${path}: ${text.slice(0, 200)}`);
  return text;
}
