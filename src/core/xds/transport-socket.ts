import type { MessageInitShape } from '@bufbuild/protobuf';
import type { TransportSocketSchema } from '../../gen/envoy/config/core/v3/base_pb.js';
import { SubjectAltNameMatcher_SanType as SanType } from '../../gen/envoy/extensions/transport_sockets/tls/v3/common_pb.js';
import { UpstreamTlsContextSchema } from '../../gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import type { ClusterIr } from '../ir/cluster.js';
import { any } from './any.js';

/**
 * TLS to a backend. With a CA the chain is verified, and the name too where one is known: `sni`, or the endpoint's own name
 * when all of the definition have one. Without a CA nothing is verified.
 */
export function transportSocket(
  cluster: ClusterIr,
  { sni, caPem }: NonNullable<ClusterIr['tls']>,
): MessageInitShape<typeof TransportSocketSchema> {
  const ownName = sni === undefined && (cluster.discovery === 'dns' || cluster.named === true);
  return {
    name: 'tls',
    configType: {
      case: 'typedConfig',
      value: any(UpstreamTlsContextSchema, {
        ...(sni !== undefined && { sni }),
        autoHostSni: ownName,
        autoSniSanValidation: ownName && caPem !== undefined,
        commonTlsContext: {
          alpnProtocols: cluster.protocol === 'http2' ? ['h2'] : [],
          ...(caPem !== undefined && {
            validationContextType: {
              case: 'validationContext' as const,
              value: {
                trustedCa: { specifier: { case: 'inlineString' as const, value: caPem } },
                matchTypedSubjectAltNames:
                  sni === undefined
                    ? []
                    : [{ sanType: SanType.DNS, matcher: { matchPattern: { case: 'exact' as const, value: sni } } }],
              },
            },
          }),
        },
      }),
    },
  };
}
