import { type Static, Type } from 'typebox';
import { Id, Name } from './name.js';

/** App: a caller. Its credentials are kept apart (they are secrets and change without a release). */
export const AppSpec = Type.Object(
  {
    name: Name,
    id: Type.Optional(Id),
    description: Type.Optional(Type.String({ maxLength: 256 })),
    enabled: Type.Optional(
      Type.Boolean({ description: 'false: every request of the App is refused with 2113. Default true.' }),
    ),
    grants: Type.Optional(
      Type.Object(
        {
          apis: Type.Optional(Type.Array(Name, { maxItems: 10_000, uniqueItems: true })),
          groups: Type.Optional(
            Type.Array(Name, { maxItems: 1000, uniqueItems: true, description: 'All APIs of these groups.' }),
          ),
        },
        { additionalProperties: false, description: 'APIs the App may call; others answer 2300.' },
      ),
    ),
  },
  { additionalProperties: false },
);
export type AppSpec = Static<typeof AppSpec>;
