#!/usr/bin/env bash
# release-check.sh builds a release of this commit, publishes nothing, and tries the
# Debian package. It is run by hand, since goreleaser takes long to build:
#   go install github.com/goreleaser/goreleaser/v2@v2.15.1
# Needs (Debian): lintian man-db bash-completion zsh fish.
set -euo pipefail
cd "$(dirname "$0")/.."
skip=sbom,sign
docker info >/dev/null 2>&1 || skip+=,docker
goreleaser check
goreleaser release --snapshot --clean --skip="$skip"
lintian --fail-on error,warning dist/villapay_*_linux_amd64.deb
.ci/deb-check.sh dist/villapay_*_linux_amd64.deb
