#!/usr/bin/env bash
# Builds what a node runs beside the kubelet and kube-proxy, and installs what comes from Debian;
# prints the folder that holds what was built.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

pins=$real/node
pinned "$pins/go.mod" "github.com/containerd/containerd/v2 v$CONTAINERD "
pinned "$pins/go.mod" "github.com/containernetworking/plugins v$CNI_PLUGINS "
pinned "$pins/go.mod" "github.com/coredns/coredns v$COREDNS"
need_go
"$real/debian.sh" runc iptables nftables=nft conntrack iproute2=ip kmod openssl procps=pgrep python3 \
    util-linux=nsenter >&2

# What containerd would need cgo for.
tags=no_btrfs,no_devmapper,no_zfs
flags="-s -w -X github.com/containerd/containerd/v2/version.Version=$CONTAINERD"

install() {
    echo "building containerd $CONTAINERD, CNI plugins $CNI_PLUGINS, CoreDNS $COREDNS and our own" >&2
    go_build "$pins" "$folder/bin/" -tags "$tags" -ldflags "$flags" ./... tool
}

folder=$cache/node/$(digest "$tags $flags" "$pins"/go.{mod,sum} "$pins"/*/*.go)
install_once "$folder" install
echo "$folder/bin"
