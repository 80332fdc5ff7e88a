#!/usr/bin/env bash
# Installs RabbitMQ, Redis, PostgreSQL, PgBouncer and Prometheus for the tests, which start private instances and never
# use the system's services. This PostgreSQL is for TLS, which the wheel's lacks. The argument `faketime` also installs the
# library that gives a process a wrong clock.
set -euo pipefail
# Prometheus is only unpacked: its package would add a service, a user and much JavaScript.
tools="${XDG_CACHE_HOME:-$HOME/.cache}/gofleet/tools"
unpacked() {
  local tool
  for tool in prometheus promtool amtool; do
    command -v "$tool" >/dev/null || [ -x "$tools/usr/bin/$tool" ] || return 1
  done
}
unpack() {
  local folder
  folder=$(mktemp -d)
  (cd "$folder" && apt-get download -qq prometheus prometheus-alertmanager >/dev/null 2>&1) || return 1
  mkdir -p "$tools"
  for package in "$folder"/*.deb; do dpkg-deb -x "$package" "$tools"; done
  rm -r "$folder"
}
# Without package lists this fails, and is repeated after apt-get update.
command -v apt-get >/dev/null && { unpacked || unpack; } || true
missing=()
[ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || missing+=(rabbitmq-server)
command -v redis-server >/dev/null || missing+=(redis-server)
ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || missing+=(postgresql)
command -v pgbouncer >/dev/null || missing+=(pgbouncer)
if [ "${1:-}" = faketime ] && ! ls /usr/lib/*/faketime/libfaketimeMT.so.1 >/dev/null 2>&1; then
  missing+=(faketime)
fi
{ [ ${#missing[@]} -gt 0 ] || ! unpacked; } || exit 0
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! sudo -n true 2>/dev/null; then
    echo "missing: ${missing[*]:-prometheus}. As root: apt-get update && apt-get install -y --no-install-recommends ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo -n)
fi
if ! command -v apt-get >/dev/null; then
  echo "missing: ${missing[*]:-prometheus}, and this is not Debian or Ubuntu: install them and repeat" >&2
  exit 1
fi
echo "installing ${missing[*]:-prometheus} from the distribution ..."
# This policy keeps the packages from starting services.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
  "${as_root[@]}" chmod 755 "$policy"
  trap '"${as_root[@]}" rm -f "$policy"' EXIT
fi
"${as_root[@]}" apt-get update -qq
unpacked || unpack
[ ${#missing[@]} -gt 0 ] || exit 0
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
