#!/bin/sh
# start.sh FILE COMMAND...: writes the ACL that Valkey reads at its start into FILE, then becomes the command.
#
# Users and permissions are in users.acl (written by `just rights`). Passwords come from the environment, may contain any
# characters, and are written in Valkey's own form: SHA-256.
set -eu

refuse() {
    echo "error: $1" >&2
    exit 2
}

file=$1
shift
mkdir -p "$(dirname "$file")"
while IFS= read -r line; do
    user=${line#user }
    user=${user%% *}
    case $user in
    default) variable=ADMIN_PASSWORD password=${ADMIN_PASSWORD:-} ;;
    api) variable=API_PASSWORD password=${API_PASSWORD:-} ;;
    worker) variable=WORKER_PASSWORD password=${WORKER_PASSWORD:-} ;;
    fleet) variable=FLEET_PASSWORD password=${FLEET_PASSWORD:-} ;;
    *) refuse "users.acl has a user $user without a password" ;;
    esac
    [ -n "$password" ] || refuse "$variable is missing: it is the password of the user $user"
    printf '%s #%s\n' "$line" "$(printf '%s' "$password" | sha256sum | cut -d' ' -f1)"
done <"$(dirname "$0")/users.acl" >"$file"
unset ADMIN_PASSWORD API_PASSWORD WORKER_PASSWORD FLEET_PASSWORD password
exec "$@"
