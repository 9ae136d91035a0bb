#!/usr/bin/env bash
# deb-check.sh DEB installs villapay's Debian package with dpkg in a scratch root
# and tries it as people do: the program, its manual pages, and the TAB key in
# bash, zsh and fish. Needs (Debian): man-db bash-completion zsh fish.
set -euo pipefail
deb=$(realpath "$1")
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
fail() { echo "deb-check: $*" >&2; exit 1; }

echo "== install"
mkdir -p "$root"/var/lib/dpkg/{info,updates,triggers} "$root/home"
touch "$root/var/lib/dpkg/status"
dpkg --root="$root" --force-not-root --log="$root/dpkg.log" --install "$deb"
[ "$(dpkg --root="$root" --verify villapay)" = "" ] || fail "files differ from what the package says"
share=$root/usr/share
export PATH="$root/usr/bin:$PATH" HOME="$root/home" XDG_DATA_DIRS="$share:/usr/share" LANG=C.UTF-8
export VILLAPAY_CONFIG_DIR="$HOME/config" VILLAPAY_STATE_DIR="$HOME/state"

echo "== the program"
[ "$(command -v villapay)" = "$root/usr/bin/villapay" ] || fail "villapay is not on the PATH"
villapay version -o json | tee "$root/version"
grep -Eq '"version":"[0-9]+\.[0-9]+\.[0-9]+[^"]*","commit":"[0-9a-f]{40}","date":"20[0-9-]+T[0-9:]+Z"' "$root/version" || fail "version, commit or date is missing"
state=$(villapay pay qr 492500004632 --env sandbox --jq .villapay.state)
[ "$state" = awaiting ] || fail "pay qr ended $state"

echo "== the manual"
export MANPATH="$share/man" MANWIDTH=100
for page in "$share"/man/man1/*.1.gz; do
	name=$(basename "$page" .1.gz)
	trouble=$(man --warnings=all "$name" 2>&1 >"$root/page") || fail "man $name: $trouble"
	[ -z "$trouble" ] || fail "man $name: $trouble"
	grep -q "^NAME" "$root/page" && grep -q "$name -" "$root/page" || fail "man $name shows no name"
	lexgrog "$page" >/dev/null || fail "apropos cannot read $name"
done
ls "$share"/man/man1 | wc -l | sed 's/$/ pages read/'

# tab SHELL PREPARE types at an interactive SHELL that has run PREPARE. The TAB key
# completes a command and a flag; running what came of it shows the version.
tab() {
	timeout 120 zsh -fc '
		zmodload zsh/zpty
		see() { zpty -r -m shell seen "*$1*" && print -r -- "$seen"; }
		zpty shell "TERM=dumb $1"
		zpty -w shell "$2; echo rea\"\"dy"
		see ready
		zpty -w shell "villapay versi"$'"'\t'"'"--outp"$'"'\t'"'"json"
		see "\"version\": \""
		zpty -d shell' tab "$@" >"$root/seen" || fail "$1: TAB completed nothing: $(cat "$root/seen")"
}

echo "== bash"
tab "bash --norc -i" "source /usr/share/bash-completion/bash_completion"
echo "== zsh"
tab "zsh -f -i" "fpath=($share/zsh/vendor-completions \$fpath); autoload -U compinit; compinit -D -u"

echo "== fish"
offered() { fish -c "complete -C '$1'" | cut -f 1 | tr '\n' ' '; }
[ "$(offered "villapay pay ")" = "batch qr " ] || fail "fish completes pay to: $(offered "villapay pay ")"
[ "$(offered "villapay env use sand")" = "sandbox " ] || fail "fish completes sand to: $(offered "villapay env use sand")"

echo "== done"
