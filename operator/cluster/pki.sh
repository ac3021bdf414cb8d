# Certificates and kubeconfigs of a cluster; sourced. All are made in the folder's pki/.

# authority: the one that every certificate of the cluster is signed by.
authority() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc \
        -subj /CN=llm-cluster -days 30 -keyout ca.key -out ca.crt 2>/dev/null
}

# certificate NAME SUBJECT [ALTERNATIVE_NAMES]
certificate() {
    local extensions="basicConstraints=CA:FALSE
keyUsage=digitalSignature
extendedKeyUsage=serverAuth,clientAuth
${3:+subjectAltName=$3}"
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -subj "$2" -keyout "$1.key" 2>/dev/null |
        openssl x509 -req -CA ca.crt -CAkey ca.key -days 30 -extfile <(echo "$extensions") -out "$1.crt" 2>/dev/null
}

# kubeconfig NAME SERVER: how the holder of a certificate reaches the API server.
kubeconfig() {
    cat >"$1.kubeconfig" <<YAML
apiVersion: v1
kind: Config
current-context: it
contexts: [{name: it, context: {cluster: it, user: it}}]
clusters: [{name: it, cluster: {server: "$2", certificate-authority-data: $(base64 -w0 ca.crt)}}]
users: [{name: it, user: {client-certificate-data: $(base64 -w0 "$1.crt"), client-key-data: $(base64 -w0 "$1.key")}}]
YAML
}

# identities SERVER NODE [ADDRESS]: everything, for an API server at SERVER and a node.
identities() (
    umask 077
    mkdir -p "$folder/pki"
    cd "$folder/pki"
    authority
    openssl genrsa -out sa.key 2048 2>/dev/null
    openssl rsa -in sa.key -pubout -out sa.pub 2>/dev/null
    certificate apiserver /O=system:masters/CN=kube-apiserver \
        "IP:127.0.0.1,IP:${SERVICES%.*}.1,DNS:localhost,DNS:kubernetes.default.svc${3:+,IP:$3}"
    certificate admin /O=system:masters/CN=admin
    certificate kube-controller-manager /CN=system:kube-controller-manager
    certificate kube-scheduler /CN=system:kube-scheduler
    certificate kube-proxy /CN=system:kube-proxy
    certificate kubelet "/O=system:nodes/CN=system:node:$2" "DNS:$2${3:+,IP:$3}"
    local name
    for name in admin kube-controller-manager kube-scheduler kube-proxy kubelet; do
        kubeconfig "$name" "$1"
    done
)
