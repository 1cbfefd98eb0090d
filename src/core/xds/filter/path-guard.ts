import { RBAC_Action } from '../../../gen/envoy/config/rbac/v3/rbac_pb.js';
import { RBACSchema } from '../../../gen/envoy/extensions/filters/http/rbac/v3/rbac_pb.js';
import { any } from '../any.js';
import { PATH_GUARD_POLICY } from '../names.js';

/**
 * What makes a path one that a backend may read differently from the gateway, each as an RE2 pattern of a part of the path
 * without query. Envoy does not normalise paths here (signatures cover what the client sent), so whatever normalisation
 * would change is refused instead: it could match one API and reach another.
 */
const REFUSED_PARTS = [
  { pattern: '//', why: 'an empty segment: many servers drop it' },
  { pattern: '/\\.{1,2}(?:[/;]|$)', why: 'a dot segment (RFC 3986 §5.2.4), also with path parameters behind it' },
  { pattern: '%2[eE]', why: 'an encoded dot, which may make a dot segment' },
  {
    // Not the tilde: encoders in use write %7E.
    pattern: '%(?:[46][1-9a-fA-F]|[57][0-9aA]|3[0-9]|2[dD]|5[fF])',
    why: 'an encoded letter, digit, hyphen or underscore, the same as the plain one (RFC 3986 §6.2.2.2): /%61dmin would pass by the rules for /admin',
  },
  { pattern: '%2[fF]', why: 'an encoded slash: one segment here may be two behind' },
  { pattern: '%5[cC]', why: 'an encoded backslash, which some servers take for a slash' },
  { pattern: '\\\\', why: 'a backslash, which some servers take for a slash' },
  { pattern: '%00', why: 'an encoded zero, at which some servers cut the path' },
] as const;

/** All of them as one pattern of the whole path: one pass over it in place of seven. */
export const REFUSED_PATH = `.*(?:${REFUSED_PARTS.map(({ pattern }) => pattern).join('|')}).*`;

/** Refuses such paths (3999) before anything else decides about the request. */
export const pathGuard = any(RBACSchema, {
  rules: {
    action: RBAC_Action.DENY,
    policies: {
      [PATH_GUARD_POLICY]: {
        permissions: [
          {
            rule: {
              case: 'urlPath',
              value: {
                rule: {
                  case: 'path',
                  value: { matchPattern: { case: 'safeRegex', value: { regex: REFUSED_PATH } } },
                },
              },
            },
          },
        ],
        principals: [{ identifier: { case: 'any', value: true } }],
      },
    },
  },
});
