# What the scripts that run a cluster share; sourced by them. A cluster lives in one folder, which
# is removed at its end, and its parts end with the script that started them, however it ends.

set -euo pipefail
shopt -s inherit_errexit

cluster=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
real=$cluster/../../.ci/real

# Seconds until a part that does not become ready counts as broken.
READY_SECONDS=180
# Seconds between two looks at what is waited for.
LOOK_SECONDS=0.1
# Lines of each log that are shown when something fails.
LOG_LINES=15
# What the script exits with when a port was taken; sysexits' EX_TEMPFAIL, so: try others.
PORT_TAKEN=75
# Size of the audit log at which a new one would be begun.
AUDIT_MEGABYTES=10000
# Addresses of Services.
SERVICES=10.96.0.0/16

declare -A parts

# fail MESSAGE: shows the logs and ends the script.
fail() {
    tail -n "$LOG_LINES" "$folder"/log/* >&2 2>/dev/null || true
    echo "${0##*/}: $*" >&2
    ! grep -qs "address already in use" "$folder"/log/* || exit "$PORT_TAKEN"
    exit 1
}

# part NAME COMMAND...: starts a part, which writes to a log of its name.
part() {
    local name=$1
    shift
    setpriv --pdeathsig KILL "$@" >>"$folder/log/$name" 2>&1 </dev/null &
    parts[$name]=$!
}

# await WHAT COMMAND...: repeats the command until it succeeds, while all parts live.
await() {
    local what=$1 end=$((SECONDS + READY_SECONDS)) name
    shift
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < end)) || fail "$what is not ready after $READY_SECONDS s"
        for name in "${!parts[@]}"; do
            kill -0 "${parts[$name]}" 2>/dev/null || fail "$name ended before $what was ready"
        done
        sleep "$LOOK_SECONDS"
    done
}

# end PART...: kills parts and waits until they are gone.
end() {
    local name
    for name in "$@"; do
        kill -KILL "${parts[$name]}" 2>/dev/null || true
        wait "${parts[$name]}" 2>/dev/null || true
        unset "parts[$name]"
    done
}

# etcd PORT PEER_PORT
etcd() {
    local client=http://127.0.0.1:$1 peer=http://127.0.0.1:$2
    part etcd "$kubernetes/etcd" --data-dir "$folder/etcd" --log-level warn --unsafe-no-fsync \
        --listen-client-urls "$client" --advertise-client-urls "$client" \
        --listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" \
        --initial-cluster "default=$peer"
}

# api_server PORT ETCD_PORT FLAG...
api_server() {
    local port=$1 etcd_port=$2 pki=$folder/pki
    shift 2
    part kube-apiserver "$kubernetes/kube-apiserver" \
        --etcd-servers "http://127.0.0.1:$etcd_port" --secure-port "$port" \
        --tls-cert-file "$pki/apiserver.crt" --tls-private-key-file "$pki/apiserver.key" \
        --client-ca-file "$pki/ca.crt" --authorization-mode Node,RBAC \
        --enable-admission-plugins NodeRestriction --allow-privileged \
        --kubelet-client-certificate "$pki/apiserver.crt" --kubelet-client-key "$pki/apiserver.key" \
        --kubelet-certificate-authority "$pki/ca.crt" --kubelet-preferred-address-types InternalIP \
        --service-account-issuer https://kubernetes.default.svc.cluster.local \
        --service-account-key-file "$pki/sa.pub" --service-account-signing-key-file "$pki/sa.key" \
        --service-cluster-ip-range "$SERVICES" \
        --audit-policy-file "$cluster/control-plane/audit.yaml" \
        --audit-log-path "$folder/audit.jsonl" --audit-log-maxsize "$AUDIT_MEGABYTES" "$@"
}

# controllers FLAG...: the controller manager, which gets the flags, and the scheduler; neither listens.
controllers() {
    local pki=$folder/pki
    part kube-controller-manager "$kubernetes/kube-controller-manager" \
        --kubeconfig "$pki/kube-controller-manager.kubeconfig" --leader-elect=false --secure-port 0 \
        --service-account-private-key-file "$pki/sa.key" --root-ca-file "$pki/ca.crt" \
        --use-service-account-credentials --service-cluster-ip-range "$SERVICES" "$@"
    part kube-scheduler "$kubernetes/kube-scheduler" \
        --kubeconfig "$pki/kube-scheduler.kubeconfig" --leader-elect=false --secure-port 0
}
