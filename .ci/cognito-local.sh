#!/bin/bash
# cognito-local.sh CMD... runs CMD beside cognito-local, a Cognito emulator of
# other hands, on loopback; its URL is in VILLAPAY_TEST_COGNITO_LOCAL. It is
# installed with npm into a directory that ends with CMD, or kept in
# COGNITO_LOCAL_DIR for the next time.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
state=$(mktemp -d)
install=${COGNITO_LOCAL_DIR:-$state}
server=
# shellcheck disable=SC2329 # the trap calls it
end() { [ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$state"; }
trap end EXIT
mkdir -p "$install"
if [ ! -d "$install/node_modules/cognito-local" ]; then
  (cd "$install" && npm init -y >/dev/null && npm install --no-fund --no-audit --no-save cognito-local@5.3.0 >npm.log 2>&1) ||
    { echo "cognito-local.sh: npm cannot install cognito-local" >&2; cat "$install/npm.log" >&2; exit 69; }
fi
cd "$state"
node "$here/cognito-seed.mjs"
port=$(node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close() })')
HOST=127.0.0.1 PORT=$port CODE=123456 node "$install/node_modules/cognito-local/lib/bin/start.js" >log 2>&1 &
server=$!
for _ in $(seq 100); do
  kill -0 "$server" 2>/dev/null || { cat log >&2; exit 69; }
  curl -sf "http://127.0.0.1:$port/health" >/dev/null && break
  sleep 0.1
done
cd - >/dev/null
VILLAPAY_TEST_COGNITO_LOCAL=http://127.0.0.1:$port "$@"
