#!/bin/bash
# start.sh FOLDER COMMAND...: writes what RabbitMQ imports at every start into FOLDER, then becomes the command.
#
# Exchange, queues and permissions are in definitions.json (written by `just rights`). Passwords come from the environment,
# may contain any characters, and are written in RabbitMQ's own form: salted SHA-256.
set -euo pipefail

refuse() {
    echo "error: $1" >&2
    exit 2
}

# Hexadecimal digits to bytes.
bytes() { printf '%b' "$(sed 's/../\\x&/g' <<<"$1")"; }

hashed() {
    local salt digest
    salt=$(od -An -N4 -tx1 /dev/urandom | tr -d ' \n')
    digest=$( (bytes "$salt" && printf '%s' "$1") | sha256sum | cut -d' ' -f1)
    bytes "$salt$digest" | base64 -w0
}

# user NAME VARIABLE TAGS
user() {
    [[ $1 =~ ^[A-Za-z0-9_.@-]+$ ]] || refuse "a user's name may have letters, digits and _ . @ -, unlike '$1'"
    [[ -n ${!2:-} ]] || refuse "$2 is missing: it is the password of the user $1"
    printf '{"name": "%s", "password_hash": "%s", "hashing_algorithm": "%s", "tags": [%s]}' \
        "$1" "$(hashed "${!2}")" rabbit_password_hashing_sha256 "$3"
}

folder=$1
shift
admin=${ADMIN_USER:-guest}
[[ ! $admin =~ ^(relay|worker|fleet)$ ]] || refuse "ADMIN_USER is $admin, which is the name of a role's user"
# One assignment each: a failed command inside a string would go unnoticed.
administrator=$(user "$admin" ADMIN_PASSWORD '"administrator"')
relay=$(user relay RELAY_PASSWORD '')
worker=$(user worker WORKER_PASSWORD '')
fleet=$(user fleet FLEET_PASSWORD '')
mkdir -p "$folder"
cp "$(dirname "$0")/definitions.json" "$folder/1-definitions.json"
cat >"$folder/2-passwords.json" <<END
{
"users": [$administrator, $relay, $worker, $fleet],
"permissions": [{"user": "$admin", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}]
}
END
unset ADMIN_PASSWORD RELAY_PASSWORD WORKER_PASSWORD FLEET_PASSWORD
exec "$@"
