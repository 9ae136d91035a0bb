#!/usr/bin/env bash
# Draws codes in real terminals under Xvfb and reads the screenshots back with
# zbarimg: screenshots.sh VILLAPAY
# Needs xvfb, xterm, rxvt-unicode, x11-apps, netpbm, fonts-dejavu-core and zbar-tools.
set -euo pipefail
villapay=$(realpath "$1")
work=$(mktemp -d)
display=:$((200 + RANDOM % 700))
Xvfb "$display" -screen 0 1400x1000x24 >/dev/null 2>&1 &
xvfb=$!
trap 'kill $xvfb 2>/dev/null || true; rm -rf "$work"' EXIT
export DISPLAY=$display LANG=C.UTF-8 LC_ALL=C.UTF-8 TERM=xterm-256color
export VILLAPAY_STATE_DIR=$work/state VILLAPAY_CONFIG_DIR=$work/config DBUS_SESSION_BUS_ADDRESS=unix:path=/nonexistent
unset CI NO_COLOR
for _ in $(seq 100); do xwd -root >/dev/null 2>&1 && break; sleep 0.1; done

id=$("$villapay" pay qr 492500004632 --env sandbox --jq .villapay.qr.content)

# shot NAME EXPECTED TERMINAL... draws in a terminal until a file appears, then
# reads what is on the screen.
shot() {
	local name=$1 expected=$2 drawn=$work/$1.drawn
	shift 2
	"$@" -e sh -c "$command; touch '$drawn'; sleep 60" >/dev/null 2>&1 &
	local terminal=$!
	for _ in $(seq 100); do [ -e "$drawn" ] && break; sleep 0.1; done
	local read=
	for _ in $(seq 30); do
		xwd -root -silent | xwdtopnm 2>/dev/null | pnmtopng 2>/dev/null >"$work/$name.png"
		read=$(zbarimg -q --raw "$work/$name.png" 2>/dev/null || true)
		[ "$read" = "$expected" ] && break
		sleep 0.2
	done
	kill "$terminal" 2>/dev/null || true
	wait "$terminal" 2>/dev/null || true
	if [ "$read" != "$expected" ]; then
		echo "FAIL: $name shows '$read', not '$expected'"
		cp "$work/$name.png" "${TMPDIR:-/tmp}/villapay-$name.png"
		exit 1
	fi
	echo "ok: $name"
}

dejavu='DejaVu Sans Mono'
dark=(-geometry 100x60 -bg black -fg white)
light=(-geometry 100x60 -bg white -fg black)
xterm=(xterm -fa "$dejavu" -fs 10)
urxvt=(urxvt -fn "xft:$dejavu:size=10")
for style in half full; do
	command="'$villapay' pay qr 492500004632 --env sandbox --qr-style $style"
	shot "xterm-dark-$style" "$id" "${xterm[@]}" "${dark[@]}"
	shot "xterm-light-$style" "$id" "${xterm[@]}" "${light[@]}"
	shot "urxvt-dark-$style" "$id" "${urxvt[@]}" "${dark[@]}"
	shot "urxvt-light-$style" "$id" "${urxvt[@]}" "${light[@]}"
done

# Without colors each style scans on one theme. Black on white, xterm leaves
# hairlines between the cells, at which zbar stumbles below 12 points.
command="NO_COLOR=1 '$villapay' pay qr 492500004632 --env sandbox --qr-style plain"
shot xterm-dark-plain "$id" "${xterm[@]}" "${dark[@]}"
shot urxvt-dark-plain "$id" "${urxvt[@]}" "${dark[@]}"
command="NO_COLOR=1 '$villapay' pay qr 492500004632 --env sandbox --qr-style plain-invert"
shot xterm-light-plain-invert "$id" xterm -fa "$dejavu" -fs 12 -geometry 100x45 -bg white -fg black
shot urxvt-light-plain-invert "$id" "${urxvt[@]}" "${light[@]}"

# The usual window, of which the table scrolls up, and a locale without UTF-8.
command="'$villapay' pay qr 492500004632 --env sandbox"
shot xterm-80x24 "$id" "${xterm[@]}" -geometry 80x24
command="LC_ALL=C '$villapay' pay qr 492500004632 --env sandbox"
shot xterm-no-utf8 "$id" "${xterm[@]}" "${dark[@]}"

# Another order, and the live view.
payload=$("$villapay" pay qr emvco --env sandbox --jq .villapay.qr.content)
command="'$villapay' pay qr emvco --env sandbox"
shot xterm-dark-payload "$payload" "${xterm[@]}" "${dark[@]}"
shot urxvt-light-payload "$payload" "${urxvt[@]}" "${light[@]}"
command="touch '$work/watch.drawn'; '$villapay' order status emvco --env sandbox --watch"
shot watch "$payload" "${xterm[@]}" -geometry 80x24

# Files: no terminal between the code and its reader.
"$villapay" order show emvco --env sandbox --qr-file "$work/code.png" >/dev/null 2>&1
[ "$(zbarimg -q --raw "$work/code.png" 2>/dev/null)" = "$payload" ] || { echo "FAIL: code.png"; exit 1; }
echo "ok: code.png"
