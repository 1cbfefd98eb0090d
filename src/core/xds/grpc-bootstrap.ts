import { BY_NAME } from '../ads/resource.js';

export interface GrpcBootstrapOptions {
  readonly nodeId: string;
  /** `<workspace>/<fleet>`. */
  readonly nodeCluster: string;
  /** Address of a controller's xDS server, `host:port`. */
  readonly server: string;
  /** PEM files as the client sees them. Left out: plain text. */
  readonly tls?: { readonly ca: string; readonly certificate?: { readonly chain: string; readonly key: string } };
  /** Left out: as its fleet says. */
  readonly locality?: { readonly region: string; readonly zone: string; readonly subZone: string };
}

/**
 * The file a gRPC client reads by GRPC_XDS_BOOTSTRAP (gRFC A27; TLS by A65), as JSON; `xds:///orders` then is the cluster `orders`
 * by the template of gRFC A47. `locality` is there even if it says nothing: some libraries refuse the file without it.
 */
export function grpcBootstrap(options: GrpcBootstrapOptions): object {
  const { nodeId: id, nodeCluster: cluster, server, tls, locality } = options;
  const credentials = tls
    ? {
        type: 'tls',
        config: {
          ca_certificate_file: tls.ca,
          ...(tls.certificate && {
            certificate_file: tls.certificate.chain,
            private_key_file: tls.certificate.key,
          }),
        },
      }
    : { type: 'insecure' };
  return {
    xds_servers: [{ server_uri: server, channel_creds: [credentials], server_features: ['xds_v3'] }],
    node: {
      id,
      cluster,
      locality: locality ? { region: locality.region, zone: locality.zone, sub_zone: locality.subZone } : {},
    },
    client_default_listener_resource_name_template: `${BY_NAME}%s`,
  };
}
