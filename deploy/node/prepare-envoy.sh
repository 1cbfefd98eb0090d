#!/bin/sh
# Makes ready what an Envoy needs beside its edge, then becomes the command it was given, if any:
#   prepare-envoy.sh [envoy --config-path bootstrap.json ...]
# Writes bootstrap.json into PAIFANG_EDGE_DIR from the very settings the edge reads, so that the two cannot differ, and waits
# for the edge's socket. Without the edge every API that asks it is refused; a node whose edge does not come up in time
# starts all the same, because Envoy connects by itself as soon as the socket is there.
set -eu
umask 077

WAIT_SECONDS=30
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
cluster=${PAIFANG_NODE_CLUSTER:-default/default}
admin=${PAIFANG_ENVOY_ADMIN:-http://127.0.0.1:9901}

cd "${PAIFANG_EDGE_DIR:?is the working directory of Envoy and has to be set}"
"$root/node_modules/.bin/node" "$root/dist/main.js" bootstrap --output json \
  --node "${PAIFANG_NODE:-$(uname -n)}" \
  --workspace "${cluster%%/*}" --fleet "${cluster#*/}" \
  --ads "${PAIFANG_CONTROLLER:-127.0.0.1:9876}" \
  --edge-socket authz.sock \
  ${PAIFANG_CONTROLLER_CA:+--controller-ca "$PAIFANG_CONTROLLER_CA"} \
  ${PAIFANG_CONTROLLER_NAME:+--controller-name "$PAIFANG_CONTROLLER_NAME"} \
  ${PAIFANG_NODE_CERTIFICATE:+--certificate "$PAIFANG_NODE_CERTIFICATE"} \
  ${PAIFANG_NODE_KEY:+--key "$PAIFANG_NODE_KEY"} \
  ${PAIFANG_NODE_TOKEN_FILE:+--token-file "$PAIFANG_NODE_TOKEN_FILE"} \
  --admin-port "$(echo "${admin##*:}" | tr -d /)" >bootstrap.json.new
mv bootstrap.json.new bootstrap.json

tries=$((WAIT_SECONDS * 5))
while [ ! -S authz.sock ] && [ "$tries" -gt 0 ]; do
  tries=$((tries - 1))
  sleep 0.2
done
[ -S authz.sock ] || echo "The edge does not serve after $WAIT_SECONDS s; Envoy starts without it." >&2

[ $# -eq 0 ] || exec "$@"
