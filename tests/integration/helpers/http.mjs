/* Requests to the HTTP side of the server: the publish API and /metrics. */
import { deadline, until } from './server.mjs';

/* POSTs a method of the API: { status, type, text, json }. */
export async function api(server, method, body, { key, headers = {}, query = '' } = {}) {
  const response = await fetch(`${server.url}/api/${method}${query}`, {
    method: 'POST',
    headers: { ...(key === undefined ? {} : { 'X-API-Key': key }), ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
    signal: AbortSignal.timeout(deadline(10000)),
  });
  const text = await response.text();
  let json;
  try {
    json = JSON.parse(text);
  } catch {
    json = undefined;
  }
  return { status: response.status, type: response.headers.get('content-type'), text, json };
}

/* All samples of /metrics: [{ name, labels, value }]; throws on a line that is not Prometheus text. */
export async function metrics(server) {
  const response = await fetch(`${server.url}/metrics`, { signal: AbortSignal.timeout(deadline(10000)) });
  if (response.status !== 200)
    throw new Error(`/metrics answered ${response.status}`);
  return parseMetrics(await response.text());
}

const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{.*\})? (-?[0-9.eE+]+|\+Inf|NaN)$/;

export function parseMetrics(text) {
  const samples = [];
  for (const line of text.split('\n')) {
    if (line === '' || /^# (HELP|TYPE) [a-zA-Z_:][a-zA-Z0-9_:]* .+$/.test(line))
      continue;
    const match = SAMPLE.exec(line);
    if (!match)
      throw new Error(`not a line of Prometheus text: ${line}`);
    samples.push({ name: match[1], labels: match[2] ?? '', value: Number(match[3]) });
  }
  return samples;
}

/* The sum of all samples whose `name{labels}` matches. */
export function sum(samples, regex) {
  return samples.filter(({ name, labels }) => regex.test(name + labels))
    .reduce((total, { value }) => total + value, 0);
}

/* Asks /metrics until the check holds; for what becomes true soon after, such as a counted close. */
export async function untilMetrics(server, check, what, limitMs = 5000) {
  const end = performance.now() + deadline(limitMs);
  for (;;) {
    const samples = await metrics(server);
    if (check(samples))
      return samples;
    if (performance.now() > end)
      throw new Error(`metrics never showed: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/* Waits until somebody is subscribed: an open stream need not be yet. */
export async function untilSubscribed(server, channel) {
  let answer;
  await until(async () => (answer = await api(server, 'channels', { pattern: channel })).json?.result?.channels?.[channel],
              () => `somebody to be subscribed to ${channel}: ${answer?.text}`);
}
