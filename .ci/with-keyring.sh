#!/bin/bash
# with-keyring.sh CMD... runs CMD beside a real, unlocked Secret Service on a
# session bus and in a home of its own, which both end with CMD. It tells CMD so:
# VILLAPAY_TEST_KEYRING=1, and the daemon's process in VILLAPAY_TEST_KEYRING_PID.
# Needs (Debian): gnome-keyring dbus libsecret-tools.
set -euo pipefail
for tool in gnome-keyring-daemon dbus-run-session dbus-send; do
  command -v "$tool" >/dev/null || { echo "with-keyring.sh: $tool is missing" >&2; exit 69; }
done
# The home moves; Go's caches and modules stay where they are.
if command -v go >/dev/null; then
  GOMODCACHE=$(go env GOMODCACHE) GOCACHE=$(go env GOCACHE) GOPATH=$(go env GOPATH)
  export GOMODCACHE GOCACHE GOPATH
fi
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
mkdir -m 700 "$home/run"
unset DISPLAY WAYLAND_DISPLAY DBUS_SESSION_BUS_ADDRESS XDG_DATA_HOME XDG_CONFIG_HOME
HOME=$home XDG_RUNTIME_DIR=$home/run VILLAPAY_TEST_KEYRING=1 dbus-run-session -- bash -euo pipefail -c '
  printf %s test | gnome-keyring-daemon --unlock --components=secrets --daemonize >/dev/null
  for _ in $(seq 50); do # it says that it runs before it can be called
    owner=$(dbus-send --session --print-reply --dest=org.freedesktop.DBus / \
      org.freedesktop.DBus.GetConnectionUnixProcessID string:org.freedesktop.secrets 2>/dev/null) && break
    sleep 0.1
  done
  export VILLAPAY_TEST_KEYRING_PID=${owner##* }
  trap "kill $VILLAPAY_TEST_KEYRING_PID 2>/dev/null || true" EXIT
  "$@"' with-keyring "$@"
