#!/bin/sh
# How certificate.pem and its key were made: for tests on 127.0.0.1 and localhost alone, valid from 2020 to 2119.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
cat >"$work/openssl.cnf" <<END
[ca]
default_ca = own
[own]
database = $work/index
new_certs_dir = $work
rand_serial = yes
default_md = sha256
policy = any
[any]
commonName = supplied
[extensions]
subjectAltName = DNS:localhost, IP:127.0.0.1
subjectKeyIdentifier = hash
basicConstraints = critical, CA:TRUE
keyUsage = critical, digitalSignature, keyCertSign
extendedKeyUsage = serverAuth
END
touch "$work/index"
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=Tests of Conveyor" \
  -keyout key.pem -out "$work/request"
openssl ca -selfsign -batch -notext -config "$work/openssl.cnf" -extensions extensions -keyfile key.pem \
  -startdate 20200101000000Z -enddate 21191231235959Z -in "$work/request" -out certificate.pem
