#!/usr/bin/env bash
# Draws codes in real terminals under Xvfb and reads the screenshots back with
# zbarimg: screenshots.sh VILLAPAY
# Needs xvfb, xterm, rxvt-unicode, x11-apps, netpbm and zbar-tools.
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

"$villapay" pay qr 492500004632 --env sandbox -o json >"$work/order.json"
id=$(sed 's/.*"id":"\(order_test_[0-9a-f]*\)".*/\1/' "$work/order.json")

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

xterm_dark=(xterm -fa 'DejaVu Sans Mono' -fs 10 -geometry 100x60 -bg black -fg white)
xterm_light=(xterm -fa 'DejaVu Sans Mono' -fs 10 -geometry 100x60 -bg white -fg black)
urxvt_dark=(urxvt -fn 'xft:DejaVu Sans Mono:size=10' -geometry 100x60 -bg black -fg white)
urxvt_light=(urxvt -fn 'xft:DejaVu Sans Mono:size=10' -geometry 100x60 -bg white -fg black)
for style in half full; do
	command="'$villapay' pay qr 492500004632 --env sandbox --qr-style $style"
	shot "xterm-dark-$style" "$id" "${xterm_dark[@]}"
	shot "xterm-light-$style" "$id" "${xterm_light[@]}"
	shot "urxvt-dark-$style" "$id" "${urxvt_dark[@]}"
	shot "urxvt-light-$style" "$id" "${urxvt_light[@]}"
done
command="NO_COLOR=1 '$villapay' pay qr 492500004632 --env sandbox --qr-style plain"
shot xterm-dark-plain "$id" "${xterm_dark[@]}"
command="NO_COLOR=1 '$villapay' pay qr 492500004632 --env sandbox --qr-style plain-invert"
shot xterm-light-plain-invert "$id" "${xterm_light[@]}"
