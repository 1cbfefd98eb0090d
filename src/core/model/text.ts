import { type Diagnostic, diagnostic } from '../diagnostic.js';

/** Largest document that is read, in bytes (as text: in UTF-16 units). */
export const MAX_BYTES = 32 * 1024 * 1024;
/** Deepest nesting that is read. */
export const MAX_DEPTH = 64;

/** What a reader of text hands on: plain JSON data unless the text could not be understood, and what was wrong. */
export interface Read {
  readonly value?: unknown;
  readonly diagnostics: readonly Diagnostic[];
}

/** `Line 3, column 7`, counted from 1, of the UTF-16 offset `at`. */
export function placeOf(text: string, at: number): string {
  let line = 1;
  let start = 0;
  for (let next = text.indexOf('\n'); next >= 0 && next < at; next = text.indexOf('\n', next + 1)) {
    line++;
    start = next + 1;
  }
  return `Line ${line}, column ${at - start + 1}`;
}

/** `input` as text without byte-order mark, or why it is none. */
export function decodeText(input: string | Uint8Array): { text: string } | { fault: Diagnostic } {
  if (input.length > MAX_BYTES) {
    const size = (input.length / 1024 / 1024).toFixed(1);
    return {
      fault: diagnostic(
        'limit',
        '',
        `The document has ${size} MiB; at most ${MAX_BYTES / 1024 / 1024} MiB are read.`,
        'Divide it into several workspaces or files.',
      ),
    };
  }
  const text = typeof input === 'string' ? input : decodeUtf8(input);
  if (typeof text !== 'string') return { fault: text };
  const nul = text.indexOf('\0');
  if (nul >= 0) {
    return {
      fault: diagnostic(
        'syntax',
        '',
        `${placeOf(text, nul)}: a NUL character; this is no text.`,
        'Give a YAML or JSON file in UTF-8.',
      ),
    };
  }
  return { text: text.startsWith('\ufeff') ? text.slice(1) : text };
}

function decodeUtf8(bytes: Uint8Array): string | Diagnostic {
  const [a, b] = bytes;
  const not = (what: string, hint: string) => diagnostic('syntax', '', `The document is ${what}.`, hint);
  if ((a === 0xff && b === 0xfe) || (a === 0xfe && b === 0xff)) return not('UTF-16, not UTF-8', 'Save it as UTF-8.');
  if (a === 0x1f && b === 0x8b) return not('compressed (gzip)', 'Unpack it first.');
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return not('not UTF-8', 'Save it as UTF-8; if it is no text at all, give a YAML or JSON file.');
  }
}
