#!/bin/sh
# Add to the system's certificate authorities those of a bundle which it lacks.
# They go where update-ca-certificates looks, so that they survive its next run.
set -eu
bundle=$1
system=/etc/ssl/certs/ca-certificates.crt
extra=/usr/local/share/ca-certificates

if ! command -v update-ca-certificates > /dev/null; then
    apt-get update
    apt-get install -y --no-install-recommends ca-certificates
    rm -rf /var/lib/apt/lists/*
fi
mkdir -p "$extra"
tr -d '\r' < "$bundle" | awk -v extra="$extra" '
    /-----BEGIN CERTIFICATE-----/ { block = ""; inside = 1 }
    inside { block = block $0 "\n" }
    /-----END CERTIFICATE-----/ {
        inside = 0
        if (FILENAME != "-") known[block] = 1
        else if (!(block in known)) {
            known[block] = 1
            file = extra "/operator-" ++count ".crt"
            printf "%s", block > file
            close(file)
        }
    }
' "$system" -
update-ca-certificates
