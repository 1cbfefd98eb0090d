import { type Static, Type } from 'typebox';
import { PLACE, Port, Weight } from './endpoint.js';
import { Id, Name } from './name.js';

const Breaker = (what: string, fallback: number) =>
  Type.Optional(Type.Integer({ minimum: 0, maximum: 4_294_967_295, description: `${what} Default ${fallback}.` }));

/** A name that the controller asks DNS for. */
const DnsEntry = Type.Object(
  {
    name: Type.String({
      minLength: 1,
      maxLength: 254,
      description: 'Whole DNS name, as orders.internal or _http._tcp.orders.internal; no search list is used.',
    }),
    type: Type.Optional(
      Type.Enum(['address', 'srv'], {
        description:
          'address: A records, or AAAA where there are none. srv: SRV records, which tell ports, weights and priorities. Default address.',
      }),
    ),
    port: Type.Optional(
      Type.Integer({ ...Port, description: 'Port of every address; needed unless SRV records tell it.' }),
    ),
    weight: Type.Optional(
      Type.Integer({ ...Weight, description: 'Of every address; not with srv, whose records tell it. Default 1.' }),
    ),
    ...PLACE,
  },
  { additionalProperties: false },
);
export type DnsEntry = Static<typeof DnsEntry>;

/** System cluster: the hosts of a backend and how to talk to them. */
export const ClusterSpec = Type.Object(
  {
    name: Name,
    id: Type.Optional(Id),
    description: Type.Optional(Type.String({ maxLength: 256 })),
    protocol: Type.Optional(Type.Enum(['http1', 'http2'], { description: 'Default http1.' })),
    endpoints: Type.Array(
      Type.Object(
        {
          host: Type.String({ minLength: 1, maxLength: 253, description: 'IP address or DNS name.' }),
          port: Port,
          weight: Weight,
          ...PLACE,
        },
        { additionalProperties: false },
      ),
      {
        maxItems: 1000,
        description:
          'Either all IP addresses (delivered by EDS) or all DNS names (resolved by each Envoy; for the controller to do it, list them in discovery.dns).',
      },
    ),
    discovery: Type.Optional(
      Type.Object(
        {
          dns: Type.Array(DnsEntry, {
            maxItems: 50,
            description:
              'Names that the controller resolves. Their addresses join those of endpoints, which must not be DNS names then, and those that register.',
          }),
        },
        { additionalProperties: false, description: 'Where more endpoints come from, without a release.' },
      ),
    ),
    loadBalancing: Type.Optional(
      Type.Enum(['round_robin', 'random', 'least_request'], { description: 'Default round_robin.' }),
    ),
    connectTimeoutMs: Type.Optional(Type.Integer({ minimum: 1, maximum: 60_000, description: 'Default 1000.' })),
    circuitBreaker: Type.Optional(
      Type.Object(
        {
          maxConnections: Breaker('Connections per Envoy.', 1024),
          maxPendingRequests: Breaker('Requests waiting for a connection.', 1024),
          maxRequests: Breaker('Requests in flight.', 1024),
          maxRetries: Breaker('Retries in flight.', 3),
        },
        { additionalProperties: false },
      ),
    ),
    healthCheck: Type.Optional(
      Type.Object(
        {
          path: Type.String({ pattern: '^/[\\x21-\\x7e]*$', maxLength: 512 }),
          intervalMs: Type.Optional(Type.Integer({ minimum: 100, maximum: 600_000, description: 'Default 5000.' })),
          timeoutMs: Type.Optional(Type.Integer({ minimum: 10, maximum: 60_000, description: 'Default 1000.' })),
          healthyThreshold: Type.Optional(Type.Integer({ minimum: 1, maximum: 20, description: 'Default 1.' })),
          unhealthyThreshold: Type.Optional(Type.Integer({ minimum: 1, maximum: 20, description: 'Default 3.' })),
        },
        { additionalProperties: false },
      ),
    ),
    outlierDetection: Type.Optional(
      Type.Object(
        {
          consecutive5xx: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, description: 'Default 5.' })),
          intervalMs: Type.Optional(Type.Integer({ minimum: 100, maximum: 600_000, description: 'Default 10000.' })),
          baseEjectionTimeMs: Type.Optional(
            Type.Integer({ minimum: 100, maximum: 3_600_000, description: 'Default 30000.' }),
          ),
          maxEjectionPercent: Type.Optional(Type.Integer({ minimum: 0, maximum: 100, description: 'Default 10.' })),
        },
        { additionalProperties: false },
      ),
    ),
    tls: Type.Optional(
      Type.Object(
        {
          sni: Type.Optional(Type.String({ maxLength: 253 })),
          caPem: Type.Optional(
            Type.String({
              maxLength: 262_144,
              description: "Certificates that sign the backend's. Left out: the backend's certificate is not verified.",
            }),
          ),
        },
        { additionalProperties: false },
      ),
    ),
    authentication: Type.Optional(
      Type.Enum(['none', 'secret'], {
        description:
          "secret: the gateway signs requests to this cluster with the cluster's credential (2109 without one). Default none.",
      }),
    ),
  },
  { additionalProperties: false },
);
export type ClusterSpec = Static<typeof ClusterSpec>;
