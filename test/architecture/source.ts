// Just enough of a TypeScript scanner to read imports and to search code without its comments and strings.

/** A file to judge: path from the root of the sources, with forward slashes, and its text. */
export interface SourceFile {
  readonly path: string;
  readonly text: string;
}

/** One import, re-export or dynamic import. */
export interface Import {
  /** As written: `../ir/gateway.js`, `node:fs`. */
  readonly specifier: string;
  /** Whether nothing of it is left when types are erased. */
  readonly typeOnly: boolean;
  readonly line: number;
}

/** Imports of `text`, in the order they stand there. */
export function importsOf(text: string): Import[] {
  const { code, uncommented } = scan(text);
  const found: (Import & { at: number })[] = [];
  const collect = (pattern: RegExp, typeOnly: (match: RegExpExecArray) => boolean) => {
    for (let match = pattern.exec(uncommented); match !== null; match = pattern.exec(uncommented)) {
      if (!/^(?:import|export)/.test(code.slice(match.index))) continue; // the words stand in a string
      const specifier = match.groups?.specifier as string;
      found.push({ specifier, typeOnly: typeOnly(match), line: lineAt(text, match.index), at: match.index });
    }
  };
  const quoted = `(?<quote>['"])(?<specifier>[^'"\\n]+)\\k<quote>`;
  collect(
    new RegExp(
      `\\b(?:import|export)\\s+(?<type>type\\s+(?!from\\b))?(?<clause>(?:[\\w$]+\\s*,?\\s*)?(?:\\{[^{}]*\\}|\\*(?:\\s*as\\s+[\\w$]+)?)?)\\s*from\\s*${quoted}`,
      'g',
    ),
    ({ groups }) => groups?.type !== undefined || namesOnlyTypes(groups?.clause ?? ''),
  );
  collect(new RegExp(`\\bimport\\s*${quoted}`, 'g'), () => false);
  collect(new RegExp(`\\bimport\\s*\\(\\s*${quoted}`, 'g'), () => false);
  return found.sort((a, b) => a.at - b.at).map(({ at: _, ...found }) => found);
}

function namesOnlyTypes(clause: string): boolean {
  const names = /^\{(.*)\}$/s
    .exec(clause.trim())?.[1]
    ?.split(',')
    .map((name) => name.trim());
  return names?.every((name) => name === '' || name.startsWith('type ')) ?? false;
}

/** Line of the character at `index`, counted from 1. */
export function lineAt(text: string, index: number): number {
  return text.slice(0, index).split('\n').length;
}

/** `text` with comments, and what stands in strings, blanked out: same length, same lines. */
export function codeOf(text: string): string {
  return scan(text).code;
}

function scan(text: string): { code: string; uncommented: string } {
  const code = text.split('');
  const uncommented = text.split('');
  const blank = (chars: string[], from: number, to: number) => {
    for (let i = from; i < to; i++) if (chars[i] !== '\n') chars[i] = ' ';
  };
  // Depth of braces at which each open `${` of a template ends, innermost last.
  const templates: number[] = [];
  let depth = 0;
  let at = 0;
  while (at < text.length) {
    const two = text.slice(at, at + 2);
    const char = text[at] as string;
    if (two === '//' || two === '/*') {
      const end = endOf(text, at + 2, two === '//' ? '\n' : '*/');
      blank(code, at, end);
      blank(uncommented, at, end);
      at = end;
    } else if (char === "'" || char === '"') {
      const end = endOfString(text, at + 1, char);
      blank(code, at + 1, end - 1);
      at = end;
    } else if (char === '/' && startsRegExp(code, at)) {
      const end = endOfRegExp(text, at + 1);
      blank(code, at, end);
      at = end;
    } else if (char === '`' || (char === '}' && templates.at(-1) === depth)) {
      if (char === '}') templates.pop();
      const end = endOfTemplatePart(text, at + 1);
      blank(code, at + 1, end - 1);
      if (text[end - 1] === '{') {
        code[end - 1] = ' ';
        templates.push(depth);
      }
      at = end;
    } else {
      if (char === '{') depth++;
      if (char === '}') depth--;
      at++;
    }
  }
  return { code: code.join(''), uncommented: uncommented.join('') };
}

function endOf(text: string, from: number, mark: string): number {
  const found = text.indexOf(mark, from);
  return found === -1 ? text.length : found + mark.length;
}

function endOfString(text: string, from: number, quote: string): number {
  let at = from;
  while (at < text.length && text[at] !== quote && text[at] !== '\n') at += text[at] === '\\' ? 2 : 1;
  return Math.min(at + 1, text.length);
}

/** Just behind the closing backquote, or behind the `${` that comes first. */
function endOfTemplatePart(text: string, from: number): number {
  let at = from;
  while (at < text.length && text[at] !== '`') {
    if (text.startsWith('${', at)) return at + 2;
    at += text[at] === '\\' ? 2 : 1;
  }
  return Math.min(at + 1, text.length);
}

/** A slash divides when a value ends before it, and begins a regular expression otherwise. */
function startsRegExp(code: readonly string[], at: number): boolean {
  const before = code
    .slice(Math.max(0, at - 20), at)
    .join('')
    .trimEnd();
  return !/[\w$)\]}'"`]$/.test(before) || /\b(?:return|typeof|case|in|of|void|yield|await)$/.test(before);
}

function endOfRegExp(text: string, from: number): number {
  let inClass = false;
  let at = from;
  for (; at < text.length && text[at] !== '\n'; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === '[') inClass = true;
    else if (text[at] === ']') inClass = false;
    else if (text[at] === '/' && !inClass) return at + 1;
  }
  return at;
}
