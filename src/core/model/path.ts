import type { Fault } from './fault.js';

/** The path an API matches, taken apart. `/` alone has no segment. */
export interface ApiPath {
  readonly segments: readonly PathSegment[];
  /** Ends in `/*`. */
  readonly prefix: boolean;
}
export type PathSegment =
  | { readonly kind: 'literal'; readonly text: string }
  | { readonly kind: 'parameter'; readonly name: string };

/** The path sent to a backend, taken apart: text and parameters in turn. */
export interface UpstreamPath {
  readonly parts: readonly (string | { readonly parameter: string })[];
  /** Ends in `/*`: what the API's `/*` matched follows. */
  readonly rest: boolean;
}

export type Parsed<T> =
  | { readonly path: T; readonly faults?: never }
  | { readonly path?: never; readonly faults: readonly Fault[] };

/** RFC 3986 §3.3 `pchar` without `*`, which is ours; `{}` are none. */
const PCHARS = /^(?:[A-Za-z0-9._~!$&'()+,;=:@-]|%[0-9A-Fa-f]{2})*$/;
const PARAMETER = /^[A-Za-z_][A-Za-z0-9_-]{0,63}$/;
const FORMS = 'Write an exact path /orders, one with parameters /orders/{id}, or a prefix /orders/*.';

/**
 * Takes the path of an API apart (three forms: exact, `{parameter}`s, trailing `/*`). It is compared with the path as the
 * client sent it (no normalisation: that would break signatures), so it must be written the way clients send it. All
 * faults are told.
 */
export function parseApiPath(text: string): Parsed<ApiPath> {
  if (!text.startsWith('/')) {
    return { faults: [{ message: `${JSON.stringify(text)} does not begin with "/".`, hint: FORMS }] };
  }
  if (text === '/') return { path: { segments: [], prefix: false } };
  const faults: Fault[] = characterFaults(text);
  const written = text.slice(1).split('/');
  if (written.at(-1) === '') {
    faults.push({
      message: `${JSON.stringify(text)} ends with "/".`,
      hint: `Write ${text.replace(/\/+$/, '') || '/'} (or ${text.replace(/\/+$/, '')}/* for everything below).`,
    });
    written.pop();
  }
  const prefix = written.at(-1) === '*';
  if (prefix) written.pop();
  const seen = new Set<string>();
  const segments = written.map((segment): PathSegment => {
    const fault = segmentFault(segment);
    if (fault) faults.push(fault);
    const name = /^\{([^{}]*)\}$/.exec(segment)?.[1];
    if (name === undefined) {
      if (/[{}]/.test(segment)) {
        faults.push({
          message: `"${segment}" mixes a parameter and text.`,
          hint: 'A parameter takes a whole segment: /a/{id}.',
        });
      } else if (segment.includes('*')) {
        faults.push({
          message: `"${segment}" has a "*" that is not the last segment.`,
          hint: '"*" stands alone at the end: /orders/*.',
        });
      }
      return { kind: 'literal', text: segment };
    }
    if (!PARAMETER.test(name)) {
      faults.push({
        message: `"${segment}" is no parameter.`,
        hint: 'Letters, digits, "_" and "-" in braces, beginning with a letter or "_": {id}.',
      });
    } else if (seen.has(name)) {
      faults.push({ message: `The parameter {${name}} occurs twice.`, hint: 'Give each parameter a name of its own.' });
    }
    seen.add(name);
    return { kind: 'parameter', name };
  });
  return faults.length > 0 ? { faults } : { path: { segments, prefix } };
}

/** Takes the path for a backend apart. `{name}` may stand anywhere in a segment; `*` only as the last segment. */
export function parseUpstreamPath(text: string): Parsed<UpstreamPath> {
  if (!text.startsWith('/')) {
    return {
      faults: [
        { message: `${JSON.stringify(text)} does not begin with "/".`, hint: 'Write a path such as /internal/{id}.' },
      ],
    };
  }
  const faults: Fault[] = characterFaults(text);
  const rest = text.endsWith('/*');
  const body = rest ? text.slice(0, -1) : text;
  for (const segment of body.slice(1).split('/').slice(0, -1)) {
    const fault = segmentFault(segment);
    if (fault) faults.push(fault);
  }
  const last = dotSegmentFault(body.slice(body.lastIndexOf('/') + 1));
  if (last) faults.push(last);
  if (body.includes('*'))
    faults.push({
      message: `${JSON.stringify(text)} has a "*" that is not its last segment.`,
      hint: '"*" stands alone at the end.',
    });
  const parts: (string | { parameter: string })[] = [];
  for (const [whole, name] of body.matchAll(/\{([^{}]*)\}|[^{}]+|[{}]/g)) {
    if (name !== undefined && PARAMETER.test(name)) parts.push({ parameter: name });
    else if (/[{}]/.test(whole))
      faults.push({ message: `"${whole}" is no parameter.`, hint: 'Write {name}, with a parameter of the API path.' });
    else parts.push(whole);
  }
  return faults.length > 0 ? { faults } : { path: { parts, rest } };
}

/** Faults of the text as a whole: everything that cannot stand in the path of a request line. */
function characterFaults(text: string): Fault[] {
  const faults: Fault[] = [];
  const shown = JSON.stringify(text);
  if (/[?#]/.test(text)) {
    faults.push({
      message: `${shown} has a query or fragment; only the path is matched.`,
      hint: `Write ${text.replace(/[?#].*$/s, '') || '/'}.`,
    });
  }
  // As the filter path-guard does (src/core/xds/filter/path-guard.ts): an API with such a path would never be reached.
  const encoded = /%(?:2[def]|5[cf]|00|[46][1-9a-f]|[57][0-9a]|3[0-9])/i.exec(text)?.[0];
  if (encoded) {
    faults.push({
      message: `${shown} has ${encoded}; the gateway refuses such requests with 3999.`,
      hint: /%(?:2f|5c|00)/i.test(encoded)
        ? 'Choose a path without it.'
        : `Write ${decodeURIComponent(encoded)}, which means the same.`,
    });
  }
  const stray = /%(?![0-9A-Fa-f]{2})/.exec(text);
  if (stray)
    faults.push({
      message: `${shown} has a "%" that begins no percent-encoding.`,
      hint: 'Write %25 for a percent sign.',
    });
  const character = [...text].find((c) => !/[/?#{}*%]/.test(c) && !PCHARS.test(c));
  if (character !== undefined) {
    faults.push({
      message: `${shown} has ${character === '\\' ? 'a backslash' : JSON.stringify(character)}, which cannot stand in a path.`,
      hint:
        !/\p{Surrogate}/u.test(character) && character !== '\\'
          ? `Write it percent-encoded, as clients send it: ${encodeURIComponent(character)}.`
          : 'Leave it out.',
    });
  }
  return faults;
}

function segmentFault(segment: string): Fault | undefined {
  if (segment === '') {
    return {
      message: 'It has an empty segment ("//").',
      hint: 'Write one "/" between segments; the gateway refuses "//" with 3999.',
    };
  }
  return dotSegmentFault(segment);
}

function dotSegmentFault(segment: string): Fault | undefined {
  if (!/^(?:\.|%2e){1,2}$/i.test(segment)) return undefined;
  return {
    message: `It has the dot segment "${segment}".`,
    hint: 'Write the path it leads to; the gateway refuses dot segments with 3999.',
  };
}

/** Text that is equal for exactly those paths that match the same requests: the names of parameters do not count. */
export function pathShape(path: ApiPath): string {
  const segments = path.segments.map((segment) => (segment.kind === 'literal' ? segment.text : '{}'));
  return `/${[...segments, ...(path.prefix ? ['*'] : [])].join('/')}`;
}
