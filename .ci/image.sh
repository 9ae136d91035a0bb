#!/usr/bin/env bash
# image.sh VILLAPAY makes the root file system that the Dockerfile describes and
# tries it as a container runs it, without a container engine: the root read-only,
# as user 65534, with no more than what is in there. Needs root.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# = 1 ] || { echo "usage: image.sh VILLAPAY" >&2; exit 64; }
if [ -z "${IMAGE_ROOT:-}" ]; then # in mounts of its own, which end with it
	export IMAGE_ROOT
	IMAGE_ROOT=$(mktemp -d)
	trap 'rm -rf "$IMAGE_ROOT"' EXIT
	unshare -m --propagation private "$0" "$(realpath "$1")"
	exit
fi
fail() { echo "image: $*" >&2; exit 1; }
root=$IMAGE_ROOT/root work=$IMAGE_ROOT/work
mkdir -p "$root" "$work"
stop() {
	[ -z "${server:-}" ] || kill "$server" 2>/dev/null || true
	umount -l "$root" 2>/dev/null || true
}
trap stop EXIT

# What it says, line by line; anything else is an error.
[ -d .release/root ] || .ci/release-files.sh
environment=() user=
while read -r instruction rest; do
	case $instruction in
	COPY)
		owner=0:0
		case $rest in --chown=*) owner=${rest#--chown=} owner=${owner%% *} rest=${rest#* } ;; esac
		from=${rest% *} to=$root${rest##* }
		[ "$from" != '$TARGETPLATFORM/villapay' ] || from=$1
		if [ -d "$from" ]; then # what is in it
			mkdir -p "$to"
			tar -C "$from" --owner="${owner%:*}" --group="${owner#*:}" --numeric-owner -c . | tar -C "$to" --no-overwrite-dir -xp
		else
			install -D -m 755 "$from" "$to"
		fi
		;;
	ENV) read -ra environment <<<"$rest" ;;
	USER) user=$rest ;;
	'' | '#' | FROM | ARG | ENTRYPOINT) ;;
	*) fail "the Dockerfile has $instruction, which this script does not know" ;;
	esac
done <Dockerfile
[ "$user" = 65534:65534 ] || fail "it runs as $user"

mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
extra=()
run() { env -i "${environment[@]}" "${extra[@]}" "$(command -v chroot)" --userspec="$user" --groups= "$root" /usr/bin/villapay "$@"; }
# expect CODE ARG... runs it; what it says is in $work/out.
expect() {
	local code=0
	run "${@:2}" >"$work/out" 2>&1 || code=$?
	[ "$code" = "$1" ] || fail "villapay ${*:2} ends with $code, not $1: $(cat "$work/out")"
}

echo "== nothing to write to"
expect 0 version -o json
expect 3 pay qr 492500004632 --env sandbox
expect 0 env list

echo "== certificate authorities"
# An authority of our own beside those of the image, and a server that it vouches for.
(
	cd "$work"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.crt -days 1 -subj /CN=authority
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key -out server.csr -subj /CN=server
	openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 1 -out server.crt -extfile <(echo subjectAltName=IP:127.0.0.1)
) >/dev/null 2>&1
port=$((10000 + RANDOM % 20000))
openssl s_server -quiet -www -accept "127.0.0.1:$port" -cert "$work/server.crt" -key "$work/server.key" >/dev/null 2>&1 &
server=$!
for _ in $(seq 50); do (: >"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break; sleep 0.1; done
extra=("VILLAPAY_BASE_URL=https://127.0.0.1:$port" VILLAPAY_TOKEN=a.b.c VILLAPAY_LEDGER=none)
expect 7 api / --env dev --timeout 1s
grep -q "certificate signed by unknown authority" "$work/out" || fail "another reason: $(cat "$work/out")"
cat "$root/etc/ssl/certs/ca-certificates.crt" "$work/ca.crt" >"$work/both.crt"
chmod 644 "$work/both.crt"
mount --bind "$work/both.crt" "$root/etc/ssl/certs/ca-certificates.crt"
expect 0 api / --env dev
grep -q "s_server" "$work/out" || fail "no answer: $(cat "$work/out")"

echo "== a volume for its state"
extra=()
[ "$(stat -c %u:%g:%a "$root/var/lib/villapay")" = 65534:65534:700 ] || fail "a new volume would not be the user's"
mount -t tmpfs -o mode=700,uid=65534,gid=65534 tmpfs "$root/var/lib/villapay"
expect 0 pay qr 492500004632 --env sandbox --jq .villapay.replayed
[ "$(tail -n 1 "$work/out")" = false ] || fail "the first run says $(cat "$work/out")"
expect 0 pay qr 492500004632 --env sandbox --jq .villapay.replayed
[ "$(tail -n 1 "$work/out")" = true ] || fail "the second run says $(cat "$work/out")"

echo "== done"
