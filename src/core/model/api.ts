import { type Static, Type } from 'typebox';
import { Id, Name } from './name.js';

const Milliseconds = (description: string, minimum = 1) => Type.Integer({ minimum, maximum: 3_600_000, description });

export const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE'] as const;

/** What a request must look like to reach the API. Precedence among APIs of a group: docs/guides/first-api.md. */
export const MatchSpec = Type.Object(
  {
    path: Type.String({
      maxLength: 200,
      description:
        'Exact `/orders`, with parameters `/orders/{id}` (one segment each), or prefix `/orders/*` (everything below, not `/orders` itself). More segments win, then literal over {parameter} over `*`, from left to right.',
      examples: ['/orders/{id}'],
    }),
    methods: Type.Optional(
      Type.Array(Type.Enum([...METHODS]), { minItems: 1, uniqueItems: true, description: 'Default: any method.' }),
    ),
  },
  { additionalProperties: false },
);

/** Who may call. `signature` asks for an App whose grants cover the API. */
export const AuthSpec = Type.Union([
  Type.Object({ type: Type.Literal('none') }, { additionalProperties: false }),
  Type.Object(
    {
      type: Type.Literal('signature'),
      dialect: Type.Optional(
        Type.Enum(['sofa'], { description: 'Default: sofa (draft-cavage HTTP signatures, hmac-sha256).' }),
      ),
      requiredHeaders: Type.Optional(
        Type.Array(
          Type.String({ pattern: "^(\\(request-target\\)|\\(created\\)|[a-z0-9!#$%&'*+.^_`|~-]+)$", maxLength: 128 }),
          {
            maxItems: 16,
            uniqueItems: true,
            description: 'What the signature must cover, lower-case. Default: ["(request-target)"].',
          },
        ),
      ),
      digest: Type.Optional(
        Type.Enum(['required', 'when-present', 'ignore'], {
          description:
            'Check of `Digest: SHA-256=…` over the body bytes. required: the header must be there and signed; when-present (default): checked if signed; ignore: the body is not read.',
        }),
      ),
      clockSkewSeconds: Type.Optional(
        Type.Integer({
          minimum: 1,
          maximum: 315_360_000,
          description: 'How far a signed date or (created) may be from now. Default 900.',
        }),
      ),
      tolerant: Type.Optional(
        Type.Boolean({
          description:
            'Also accept a signature over the percent-decoded target (clients that sign before encoding). Default false.',
        }),
      ),
    },
    { additionalProperties: false },
  ),
]);

const UpstreamPath = Type.Optional(
  Type.String({
    maxLength: 512,
    description:
      "Path sent to the backend; the query is kept. Left out: as the client sent it. `{name}` takes the parameter of that name; a final `/*` takes what the API's `/*` matched.",
    examples: ['/internal/orders/{id}'],
  }),
);
const HostRewrite = Type.Optional(
  Type.String({ maxLength: 253, description: 'Host header sent to the backend. Left out: as the client sent it.' }),
);

export const UpstreamSpec = Type.Union([
  Type.Object(
    { kind: Type.Literal('cluster'), cluster: Name, path: UpstreamPath, host: HostRewrite },
    { additionalProperties: false },
  ),
  Type.Object(
    {
      kind: Type.Literal('weighted'),
      clusters: Type.Array(
        Type.Object(
          { cluster: Name, weight: Type.Integer({ minimum: 0, maximum: 100 }) },
          { additionalProperties: false },
        ),
        { minItems: 1, maxItems: 32, description: 'Weights add up to 100.' },
      ),
      path: UpstreamPath,
      host: HostRewrite,
    },
    { additionalProperties: false },
  ),
  Type.Object(
    {
      kind: Type.Literal('mock'),
      resultCode: Type.Optional(
        Type.String({ pattern: '^[0-9]{4}$', description: 'Code of the catalogue. Default 1100.' }),
      ),
      status: Type.Optional(
        Type.Integer({ minimum: 200, maximum: 599, description: 'HTTP status. Default: the one of the result code.' }),
      ),
      headers: Type.Optional(Type.Record(Type.String({ maxLength: 128 }), Type.String({ maxLength: 4096 }))),
      body: Type.Optional(Type.String({ maxLength: 262_144, description: 'Sent as it is.' })),
      contentType: Type.Optional(Type.String({ maxLength: 128, description: 'Default application/json.' })),
    },
    { additionalProperties: false },
  ),
]);
export type UpstreamSpec = Static<typeof UpstreamSpec>;

export const RETRY_ON = [
  '5xx',
  'gateway-error',
  'reset',
  'reset-before-request',
  'connect-failure',
  'retriable-4xx',
  'refused-stream',
  'retriable-status-codes',
] as const;

export const RetrySpec = Type.Object(
  {
    attempts: Type.Integer({ minimum: 1, maximum: 10, description: 'Retries after the first try.' }),
    on: Type.Optional(
      Type.Array(Type.Enum([...RETRY_ON]), {
        minItems: 1,
        uniqueItems: true,
        description: 'Default: connect-failure, refused-stream.',
      }),
    ),
    statusCodes: Type.Optional(
      Type.Array(Type.Integer({ minimum: 100, maximum: 599 }), { maxItems: 32, uniqueItems: true }),
    ),
    perTryTimeoutMs: Type.Optional(Milliseconds('Limit of one try; at most timeoutMs.')),
  },
  { additionalProperties: false },
);

/** An API: what it matches, who may call it, where it goes. */
export const ApiSpec = Type.Object(
  {
    name: Name,
    id: Type.Optional(Id),
    description: Type.Optional(Type.String({ maxLength: 256 })),
    group: Name,
    match: MatchSpec,
    auth: Type.Optional(AuthSpec),
    upstream: UpstreamSpec,
    timeoutMs: Type.Optional(
      Milliseconds('Limit of the whole call to the backend, retries included; then 6305. Default 3000.'),
    ),
    retry: Type.Optional(RetrySpec),
    maxBodyBytes: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 16_777_216,
        description:
          "Largest body of a signed request that is read to check its digest; larger ones get 9413. Default: the fleet's.",
      }),
    ),
    resultCodeHeader: Type.Optional(
      Type.Boolean({
        description: "Also put the result code on responses of the backend. Default: the fleet's setting.",
      }),
    ),
  },
  { additionalProperties: false },
);
export type ApiSpec = Static<typeof ApiSpec>;
