#!/usr/bin/env bash
# Makes what a release holds beside the repository's own files, in .release/:
# manual pages compressed as Debian and Red Hat install them, and the licences of
# everything that is linked into villapay on any platform.
set -euo pipefail
cd "$(dirname "$0")/.."
rm -rf .release
mkdir -p .release/man
echo '*' >.release/.gitignore
cp man/*.1 .release/man/
gzip -9n .release/man/*.1

{
	echo "villapay contains the following, each under the licence that follows its name."
	{
		printf 'Go %s\t%s\n' "$(go env GOVERSION)" "$(go env GOROOT)"
		for os in linux darwin windows; do
			CGO_ENABLED=0 GOOS=$os go list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}{{"\t"}}{{.Dir}}{{end}}{{end}}' .
		done
	} | LC_ALL=C sort -u | while IFS=$'\t' read -r name dir; do
		printf '\n\n==== %s ====\n' "$name"
		found=
		for text in "$dir"/LICEN[CS]E* "$dir"/COPYING* "$dir"/NOTICE*; do
			[ -f "$text" ] || continue
			found=yes
			printf '\n'
			cat "$text"
		done
		[ -n "$found" ] || { echo "$name has no licence file" >&2; exit 1; }
	done
} >.release/THIRD_PARTY_LICENSES
