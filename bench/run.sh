#!/usr/bin/env bash
# Measures villapay in one run, as ratios to plain tools and to what is possible.
# Usage: bench/run.sh [--quick]. Needs go, curl, jq, qrencode and xargs, and for the
# rows about PostgreSQL a server on this machine, in VILLAPAY_TEST_POSTGRES.
# It asserts nothing about time; the table's last column holds the targets.
set -euo pipefail
cd "$(dirname "$0")/.."
for tool in go curl jq qrencode xargs; do
	command -v "$tool" >/dev/null || { echo "bench: $tool is needed" >&2; exit 2; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export CGO_ENABLED=0
go build -trimpath -ldflags='-s -w' -o "$work/build/villapay" .
go build -trimpath -ldflags='-s -w' -o "$work/build/bare" ./bench/bare
go build -o "$work/measure" ./bench/measure
# What is installed was copied. The linker writes through a memory map, and Linux
# starts programs from the pages that this leaves behind noticeably slower.
cp "$work"/build/* "$work/"
sync # else the payments measured first wait for the disk to take the build
"$work/measure" -dir "$work" "$@"
