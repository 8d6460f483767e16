#!/bin/bash
# Starts the broker: fills in its settings, formats its data folder the first time, and executes it.
set -euo pipefail
umask 077

kafka=${KAFKA_HOME:-/opt/kafka} data=${DATA:-/var/lib/kafka/data} secrets=${SECRETS:-/run/secrets}
settings=$(mktemp -d)/server.properties

password=$(<"$secrets/kafka_admin_password")
if ! [[ $password =~ ^[A-Za-z0-9_-]{16,}$ ]]; then
    echo "kafka_admin_password must be at least 16 letters, digits, '-' and '_': run make-secrets" >&2
    exit 1
fi
filled=$(<"$(dirname "$0")/server.properties")
filled=${filled//@ADMIN_PASSWORD@/$password}
filled=${filled//@DATA@/$data}
filled=${filled//@HOST_PORT@/${HOST_PORT:-9092}}
printf '%s\n' "$filled" > "$settings"

# Every cluster has its own id, by which a store distinguishes logs.
if ! [ -e "$data/meta.properties" ]; then
    "$kafka/bin/kafka-storage.sh" format --cluster-id "$("$kafka/bin/kafka-storage.sh" random-uuid)" --config "$settings"
fi
exec "$kafka/bin/kafka-server-start.sh" "$settings"
