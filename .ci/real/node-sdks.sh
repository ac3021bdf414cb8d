#!/usr/bin/env bash
# Installs the Node.js SDKs and the OIDC provider; prints the folder that holds node_modules.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

pins=$real/node-sdks
pinned "$pins/package.json" "\"openai\": \"$OPENAI_NODE\""
pinned "$pins/package.json" "\"@anthropic-ai/sdk\": \"$ANTHROPIC_NODE\""
pinned "$pins/package.json" "\"oidc-provider\": \"$OIDC_PROVIDER\""

need node nodejs
need npm npm
node -e 'process.exit(parseInt(process.versions.node) < Number(process.argv[1]) ? 1 : 0)' "$NODE_MIN" ||
    fail "Node.js $NODE_MIN or newer is needed, this is $(node --version)"

install() {
    cp "$pins/package.json" "$pins/package-lock.json" "$folder"
    npm ci --prefix "$folder" --ignore-scripts --fetch-retries=5 --no-audit --no-fund --loglevel=error
}

folder=$cache/node-sdks/$(digest "$(node --version)" "$pins/package.json" "$pins/package-lock.json")
install_once "$folder" install
echo "$folder"
