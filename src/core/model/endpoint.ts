import { type Static, Type } from 'typebox';

const Part = (what: string) =>
  Type.Optional(Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$', description: what }));

/** Where something stands. Rooms are told apart by their names within a region. */
export const PLACE = {
  region: Part('Region; far from other regions.'),
  zone: Part('Zone within the region.'),
  room: Part("Room (machine room, unit) within the region; Envoy's sub-zone. Needs the region."),
};

export const Port = Type.Integer({ minimum: 1, maximum: 65_535 });
export const Weight = Type.Optional(Type.Integer({ minimum: 1, maximum: 128, description: 'Default 1.' }));

/** Endpoints that one cluster may have registered at a time; as many as may stand in its definition. */
export const MOST_REGISTERED = 1000;

/** Not `.` nor `..`, which clients take out of URLs. */
const Id = (more: string) =>
  Type.String({
    pattern: '^(?!\\.{1,2}$)[A-Za-z0-9._:-]{1,128}$',
    description: `Unique in the cluster, chosen by who registers: 1–128 letters, digits, ".", "_", ":", "-".${more}`,
  });
/** Name of a registered endpoint in its cluster. */
export const EndpointId = Id('');

const REGISTRATION = {
  host: Type.String({ minLength: 1, maxLength: 253, description: 'IP address.' }),
  port: Port,
  weight: Weight,
  ...PLACE,
  ttlSeconds: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 86_400,
      description: 'The endpoint is taken out when it was not registered again for so long. Left out: it stays.',
    }),
  ),
};

/** An endpoint that registers itself, or is registered by who started it. */
export const Registration = Type.Object(REGISTRATION, { title: 'Registration', additionalProperties: false });
export type Registration = Static<typeof Registration>;

export const RegistrationList = Type.Object(
  {
    endpoints: Type.Array(
      Type.Object(
        {
          id: Type.Optional(Id(' Default: host:port.')),
          ...REGISTRATION,
        },
        { additionalProperties: false },
      ),
      { maxItems: MOST_REGISTERED },
    ),
  },
  { title: 'RegistrationList', additionalProperties: false },
);
export type RegistrationList = Static<typeof RegistrationList>;
