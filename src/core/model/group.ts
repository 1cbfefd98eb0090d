import { type Static, Type } from 'typebox';
import { Id, Name } from './name.js';

/** API group: the hosts that select it, and the unit of compilation and of publishing on the wire. */
export const GroupSpec = Type.Object(
  {
    name: Name,
    id: Type.Optional(Id),
    description: Type.Optional(Type.String({ maxLength: 256 })),
    hosts: Type.Array(Type.String({ maxLength: 253 }), {
      minItems: 1,
      maxItems: 64,
      description:
        'Hosts that select this group, without port. Compared without case. A client may send x-gateway-host instead of Host. Each host belongs to one group.',
      examples: [['orders.example.com']],
    }),
    fleets: Type.Optional(
      Type.Array(Name, {
        minItems: 1,
        maxItems: 64,
        description: 'Fleets that serve the group. Default: every fleet of the workspace.',
      }),
    ),
  },
  { additionalProperties: false },
);
export type GroupSpec = Static<typeof GroupSpec>;
