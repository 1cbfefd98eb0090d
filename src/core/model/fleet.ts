import { type Static, Type } from 'typebox';
import { PLACE } from './endpoint.js';
import { Id, Name } from './name.js';

const HeaderName = Type.String({ pattern: "^[a-z0-9!#$%&'*+.^_`|~-]+$", maxLength: 64 });

/** Fleet: Envoys that serve the same things. An Envoy belongs to it by `node.cluster` = `<workspace>/<fleet>`. */
export const FleetSpec = Type.Object(
  {
    name: Name,
    id: Type.Optional(Id),
    description: Type.Optional(Type.String({ maxLength: 256 })),
    listeners: Type.Array(
      Type.Object(
        {
          name: Name,
          address: Type.Optional(
            Type.String({ maxLength: 64, description: 'IP address to listen on. Default 0.0.0.0.' }),
          ),
          port: Type.Integer({ minimum: 1, maximum: 65_535 }),
        },
        { additionalProperties: false },
      ),
      { minItems: 1, maxItems: 16 },
    ),
    trustedProxies: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 16,
        description:
          "Proxies in front of Envoy whose X-Forwarded-For entries are believed. 0 (default): a client's own header is dropped.",
      }),
    ),
    maxBodyBytes: Type.Optional(Type.Integer({ minimum: 0, maximum: 16_777_216, description: 'Default 1048576.' })),
    resultCodeHeader: Type.Optional(
      Type.Boolean({
        description: 'Put the result code on responses of backends too. Default false: the log has it for nothing.',
      }),
    ),
    headers: Type.Optional(
      Type.Object(
        {
          resultCode: Type.Optional(HeaderName),
          memo: Type.Optional(HeaderName),
          requestId: Type.Optional(HeaderName),
        },
        {
          additionalProperties: false,
          description:
            'Names of response headers. Default x-gateway-result-code, x-gateway-memo, x-gateway-request-id.',
        },
      ),
    ),
    signedHeaders: Type.Optional(
      Type.Array(HeaderName, {
        maxItems: 64,
        uniqueItems: true,
        description: 'Further request headers that clients sign; only listed ones are handed to the edge.',
      }),
    ),
    accessLogPath: Type.Optional(
      Type.String({
        maxLength: 512,
        description: "File Envoy writes; relative to Envoy's working directory. Default access.log.",
      }),
    ),
    locality: Type.Optional(
      Type.Object(PLACE, {
        additionalProperties: false,
        description:
          'Where the Envoys stand that do not say it in their bootstrap. Requests go to endpoints of the same room first, then of the same region, then elsewhere.',
      }),
    ),
    docsUrl: Type.Optional(
      Type.String({ maxLength: 256, description: 'Prefix of the `docs` link in error bodies. Default /codes/.' }),
    ),
  },
  { additionalProperties: false },
);
export type FleetSpec = Static<typeof FleetSpec>;
