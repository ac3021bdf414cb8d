#!/usr/bin/env bash
# Fetches the definitions of other projects' kinds that we make objects of; prints their folder.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

pins=$real/foreign-crds
pinned "$pins/go.mod" "sigs.k8s.io/gateway-api v$GATEWAY_API"
pinned "$pins/go.mod" "github.com/cert-manager/cert-manager v$CERT_MANAGER"
pinned "$pins/go.mod" "github.com/prometheus-operator/prometheus-operator v$PROMETHEUS_OPERATOR"
need_go

# source_of MODULE: downloads a module, whose checksum go.sum holds; prints its folder.
source_of() {
    GOWORK=off GOFLAGS=-mod=readonly retry go -C "$pins" mod download "$1" >&2
    GOWORK=off GOFLAGS=-mod=readonly go -C "$pins" list -m -f '{{.Dir}}' "$1"
}

copy() {
    local gateway certificates monitoring
    gateway=$(source_of sigs.k8s.io/gateway-api)/config/crd/standard
    certificates=$(source_of github.com/cert-manager/cert-manager)/deploy/crds
    monitoring=$(source_of github.com/prometheus-operator/prometheus-operator)/example/prometheus-operator-crd
    grep --files-with-matches 'kind: CustomResourceDefinition' \
        "$gateway"/*.yaml "$certificates"/*.yaml \
        "$monitoring"/*_{podmonitors,servicemonitors,prometheusrules}.yaml |
        xargs install --mode 644 --target-directory "$folder"
}

folder=$cache/foreign-crds/$(digest "" "$pins"/go.{mod,sum} "${BASH_SOURCE[0]}")
install_once "$folder" copy
echo "$folder"
