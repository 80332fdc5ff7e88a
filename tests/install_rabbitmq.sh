#!/usr/bin/env bash
# RabbitMQ's programs for the tests, which start a private node of them; the system's own service is never used.
set -euo pipefail
[ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] && exit 0
if [ "$(id -u)" -eq 0 ]; then as_root=""; elif sudo -n true 2>/dev/null; then as_root="sudo -n"; else as_root="no"; fi
if [ "$as_root" = no ] || ! command -v apt-get >/dev/null; then
  echo "RabbitMQ is missing. On Debian or Ubuntu: apt-get install -y --no-install-recommends rabbitmq-server" >&2
  exit 1
fi
echo "installing RabbitMQ from the distribution ..."
# No service: a policy that refuses to start one, for this installation only.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
  $as_root chmod 755 "$policy"
  trap '$as_root rm -f "$policy"' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -qq
$as_root apt-get install -y -qq --no-install-recommends rabbitmq-server >/dev/null
