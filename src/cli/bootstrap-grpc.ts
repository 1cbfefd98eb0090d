import { usage } from './exit.js';
import { json } from './terminal.js';

/** What `paifang bootstrap --help` says of gRPC clients. */
export const GRPC_HELP = `
Example: a gRPC client as its own xDS client, no Envoy between; cluster "orders" speaks http2 and needs no API:
  paifang bootstrap --grpc --node checkout-1 --fleet public --ads controller:9876 > xds.json
  GRPC_XDS_BOOTSTRAP=$PWD/xds.json ./checkout        # which dials xds:///orders
Give every process a --node of its own, and --region and --room to have it call near endpoints first. Over TLS it proves who it
is by --certificate; a token cannot be given to it. docs/guides/grpc-clients.md tells what gRPC takes from the definitions.`;

interface GrpcOptions {
  readonly node: string;
  readonly workspace: string;
  readonly fleet: string;
  readonly ads: string;
  readonly locality: { readonly region: string; readonly zone: string; readonly subZone: string } | undefined;
  readonly controllerCa?: string;
  readonly controllerName?: string;
  readonly certificate?: string;
  readonly key?: string;
  readonly tokenFile?: string;
}

/** Prints the file that a gRPC client reads by GRPC_XDS_BOOTSTRAP. */
export async function printGrpc(options: GrpcOptions): Promise<void> {
  const { node, workspace, fleet, ads, locality, controllerCa: ca, certificate: chain, key } = options;
  if (options.tokenFile !== undefined || options.controllerName !== undefined)
    throw usage(
      'a gRPC client takes no --token-file and no --controller-name.',
      'It proves who it is by --certificate, and the certificate of the controllers must bear the host of --ads.',
    );
  if ((chain === undefined) !== (key === undefined)) throw usage('--certificate and --key go together.');
  if (ca === undefined && chain !== undefined) throw usage('--certificate needs --controller-ca.');
  const certificate = chain !== undefined && key !== undefined ? { certificate: { chain, key } } : {};
  const { grpcBootstrap } = await import('../core/xds/grpc-bootstrap.js');
  json(
    grpcBootstrap({
      nodeId: node,
      nodeCluster: `${workspace}/${fleet}`,
      server: ads,
      ...(ca !== undefined && { tls: { ca, ...certificate } }),
      ...(locality && { locality }),
    }),
  );
}
