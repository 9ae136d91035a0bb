#!/usr/bin/env bash
# Checks what a release needs, as far as that goes without goreleaser, which takes
# a quarter of an hour to build. The rest is tried by hand: .ci/release-check.sh
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "package: $*" >&2; exit 1; }

# Dependencies: go.mod says what is used, and docs/dependencies.md says why.
go mod tidy -diff || fail "run go mod tidy"
go list -m -f '{{if not (or .Main .Indirect)}}{{.Path}}{{end}}' all | sort >"$work/used"
sed -n 's/^| `\([^`]*\)`.*/\1/p' docs/dependencies.md | sort >"$work/listed"
diff "$work/used" "$work/listed" || fail "docs/dependencies.md is out of date (< used, > listed)"

# The files that .goreleaser.yaml names.
.ci/release-files.sh
sed -n 's/.*{src: \([^,}]*\).*/\1/p' .goreleaser.yaml | while read -r pattern; do
	compgen -G "$pattern" >/dev/null || fail ".goreleaser.yaml: there is no $pattern"
done

# Actions are pinned by commit, with the version beside it.
! grep -nE '^ *(- )?uses:' .github/workflows/*.yml | grep -vE '@[0-9a-f]{40} # v[0-9.]+$' || fail "an action is not pinned"

# The variables that the release sets are there, and no path of this machine is.
variables=$(sed -n 's/^ *- \(-X .*\)={{.*/\1=set/p' .goreleaser.yaml)
CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w $(tr '\n' ' ' <<<"$variables")" -o "$work/villapay" .
"$work/villapay" version -o json | grep -q '"version":"set","commit":"set","date":"set"' || fail "a release would not know its version, commit and date"
! grep -aqF "$PWD" "$work/villapay" || fail "the binary holds the path of its source"
