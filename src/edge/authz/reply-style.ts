import type { CheckRequest } from './check-request.js';
import { DEFAULT_STYLE, type ReplyStyle } from './check-response.js';

const STYLES = new Map<string, ReplyStyle>();
/** Styles come from configuration, a few per fleet; more than this is a fault that must not fill memory. */
const MOST_STYLES = 256;

/**
 * How refusals on this route look. A fleet that renames response headers or has its own documentation says so in context
 * extensions of the route (`code_header`, `memo_header`, `docs_url`); what is missing has its default.
 * Equal styles are one object.
 */
export function styleOf(request: CheckRequest): ReplyStyle {
  const code = request.extension('code_header');
  const memo = request.extension('memo_header');
  const docs = request.extension('docs_url');
  if (code === undefined && memo === undefined && docs === undefined) return DEFAULT_STYLE;
  const key = JSON.stringify([code, memo, docs]);
  const known = STYLES.get(key);
  if (known) return known;
  const style = Object.freeze({
    resultCodeHeader: code ?? DEFAULT_STYLE.resultCodeHeader,
    memoHeader: memo ?? DEFAULT_STYLE.memoHeader,
    docsUrl: docs ?? DEFAULT_STYLE.docsUrl,
  });
  if (STYLES.size < MOST_STYLES) STYLES.set(key, style);
  return style;
}
