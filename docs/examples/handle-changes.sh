#!/bin/sh
# Runs ./on-change ORDERID STATE for each change that a notification brings, however
# often this script, the handler or the machine crashes: a supervisor starts it again,
# and what came meanwhile is replayed. After a crash at a bad moment on-change runs
# twice for the same change. While it fails for one change, no other is taken.
set -eu
touch handled # a line for each change that is done
line='.villapay | select(.orderid != null) | "\(.orderid) \(.state)"'
{
  villapay webhook replay --since 7d --jq "$line" && exec villapay webhook listen --jq "$line"
} | while read -r order state; do
  if ! grep -qxF "$order $state" handled; then
    ./on-change "$order" "$state" < /dev/null
    echo "$order $state" >> handled
  fi
done
