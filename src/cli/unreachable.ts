/** Codes of causes that are clearer in words. */
const WORDS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ENOTFOUND: 'unknown host',
};

/**
 * Why there was no answer, in a few words, of what `fetch` or `node:http` failed with. What `fetch` itself says is always the same
 * ("fetch failed"), and where a name has several addresses the error that sums up their failures says nothing: the cause is told.
 */
export function whyUnreachable(error: unknown, timeoutMs?: number): string {
  const { name, message, cause, code } = error as Error & { code?: string };
  if (name === 'TimeoutError')
    return timeoutMs === undefined ? 'no answer in time' : `no answer in ${timeoutMs / 1000} s`;
  if (cause instanceof Error) return whyUnreachable(cause);
  return (code !== undefined && WORDS[code]) || message || code || String(error);
}
