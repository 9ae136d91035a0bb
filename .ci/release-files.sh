#!/usr/bin/env bash
# release-files.sh [VERSION DATE] makes what a release holds beside the
# repository's own files, in .release/: manual pages compressed as Debian and Red
# Hat install them, the licenses of everything that is linked into villapay on any
# platform, Debian's copyright and changelog, and the image's files.
set -euo pipefail
cd "$(dirname "$0")/.."
version=${1:-0.0.0} date=${2:-$(git log -1 --format=%cI)}
rm -rf .release
mkdir -p .release/man
echo '*' >.release/.gitignore
cp man/*.1 .release/man/
gzip -9n .release/man/*.1

# each_license FUNCTION calls FUNCTION NAME FILE... for each of them.
each_license() {
	{
		printf 'Go %s\t%s\n' "$(go env GOVERSION)" "$(go env GOROOT)"
		for os in linux darwin windows; do
			CGO_ENABLED=0 GOOS=$os go list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}{{"\t"}}{{.Dir}}{{end}}{{end}}' .
		done
	} | LC_ALL=C sort -u | while IFS=$'\t' read -r name dir; do
		files=$(find "$dir" -maxdepth 1 -type f \( -name 'LICEN[CS]E*' -o -name 'COPYING*' -o -name 'NOTICE*' \) | LC_ALL=C sort)
		[ -n "$files" ] || { echo "$name has no license file" >&2; exit 1; }
		mapfile -t files <<<"$files"
		"$1" "$name" "${files[@]}"
	done
}

plain() {
	printf '\n\n==== %s ====\n' "$1"
	for file in "${@:2}"; do
		printf '\n'
		cat "$file"
	done
}
{
	echo "villapay contains the following, each under the license that follows its name."
	each_license plain
} >.release/THIRD_PARTY_LICENSES

# Debian's machine-readable form: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
stanza() {
	name=${1//[ \/]/-}
	printf '\nFiles: %s\nCopyright:\n' "${1% *}/*"
	cat "${@:2}" | grep -ihE '^[^a-z0-9]*(copyright|portions copyright)\b.*[0-9]{4}' | sed 's/^[^A-Za-z0-9]*/ /; s/[[:space:]]*$//' | LC_ALL=C sort -u | grep . || echo ' see the license'
	printf 'License: %s\n' "$name"
	for file in "${@:2}"; do
		if grep -q 'Version 2.0, January 2004' "$file"; then
			echo "The Apache License, Version 2.0: /usr/share/common-licenses/Apache-2.0."
		else
			tr -d '\r' <"$file"
		fi
	done | sed 's/[[:space:]]*$//; s/^$/./; s/^/ /'
}
{
	cat .ci/debian-copyright
	each_license stanza
} >.release/copyright

# Debian's changelog, from the sections of CHANGELOG.md that have entries.
section() {
	[ -n "$body" ] || return 0
	printf 'villapay (%s) unstable; urgency=medium\n' "${entry/-/\~}"
	fold -s -w 74 <<<"$body" | sed "s/^\\*/  &/; s/^[^ ]/    &/; s/ *\$//"
	printf '\n -- villapay <villapay@users.noreply.github.com>  %s\n\n' "$(date -u -R -d "$day")"
}
{
	body=
	while IFS= read -r line; do
		case $line in
		'## [Unreleased]'*) body= entry=$version day=$date ;;
		'## ['*)
			section
			body= entry=${line#*[} day=${line##* - }
			entry=${entry%%]*}
			;;
		'- '*) body+=$'\n'"* ${line#- }" ;;
		'  '*) body+=" ${line#  }" ;;
		esac
	done <CHANGELOG.md
	section
} >.release/changelog
gzip -9n .release/changelog

# The image: certificate authorities, a user, and a directory of its own for state.
root=.release/root
mkdir -p "$root"/etc/ssl/certs "$root"/etc/villapay "$root"/usr/share/doc/villapay
cp /etc/ssl/certs/ca-certificates.crt "$root"/etc/ssl/certs/
echo 'nobody:x:65534:65534:nobody:/var/lib/villapay:/sbin/nologin' >"$root"/etc/passwd
echo 'nobody:x:65534:' >"$root"/etc/group
cp LICENSE .release/THIRD_PARTY_LICENSES "$root"/usr/share/doc/villapay/
chmod -R u=rwX,go=rX "$root"
mkdir -p .release/state/villapay
chmod 755 .release/state && chmod 700 .release/state/villapay
