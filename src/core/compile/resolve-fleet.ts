import type { FleetIr } from '../ir/fleet.js';
import type { Place } from '../ir/place.js';
import { byText, frozen } from './frozen.js';
import type { StoredObject } from './objects.js';

/** The fleet with everything defaulted. */
export function resolveFleet(workspace: string, { name, spec }: StoredObject<'fleet'>): FleetIr {
  return frozen({
    key: `${workspace}/${name}`,
    workspace,
    name,
    listeners: spec.listeners
      .map((listener) => ({ name: listener.name, address: listener.address ?? '0.0.0.0', port: listener.port }))
      .sort((a, b) => byText(a.name, b.name)),
    trustedProxies: spec.trustedProxies ?? 0,
    maxBodyBytes: spec.maxBodyBytes ?? 1_048_576,
    resultCodeHeader: spec.resultCodeHeader ?? false,
    headers: {
      resultCode: spec.headers?.resultCode ?? 'x-gateway-result-code',
      memo: spec.headers?.memo ?? 'x-gateway-memo',
      requestId: spec.headers?.requestId ?? 'x-gateway-request-id',
    },
    signedHeaders: [...(spec.signedHeaders ?? [])].sort(),
    accessLogPath: spec.accessLogPath ?? 'access.log',
    docsUrl: spec.docsUrl ?? '/codes/',
    ...(spec.locality && { place: placeOf(spec.locality) }),
  });
}

/** Where something stands, when it says so. */
export function placeOf({
  region = '',
  zone = '',
  room = '',
}: {
  region?: string;
  zone?: string;
  room?: string;
}): Place {
  return { region, zone, room };
}
