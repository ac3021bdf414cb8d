#!/usr/bin/env bash
# Builds etcd and the commands of Kubernetes; prints the folder that holds them.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

pinned "$real/kubernetes/go.mod" "k8s.io/kubernetes v$KUBERNETES "
pinned "$real/etcd/go.mod" "go.etcd.io/etcd/server/v3 v$ETCD "
need_go

IFS=. read -r major minor _ <<<"$KUBERNETES"
version=k8s.io/component-base/version
flags="-s -w -X $version.gitVersion=v$KUBERNETES -X $version.gitMajor=$major -X $version.gitMinor=$minor"

install() {
    echo "building etcd $ETCD" >&2
    go_build "$real/etcd" "$folder/bin/etcd" -ldflags "-s -w" go.etcd.io/etcd/server/v3
    for command in kube-apiserver kube-controller-manager kube-scheduler kubectl kubelet kube-proxy; do
        echo "building $command $KUBERNETES" >&2
        go_build "$real/kubernetes" "$folder/bin/" -ldflags "$flags" "k8s.io/kubernetes/cmd/$command"
    done
}

folder=$cache/kubernetes/$(digest "$flags" "$real"/{kubernetes,etcd}/go.{mod,sum})
install_once "$folder" install
echo "$folder/bin"
