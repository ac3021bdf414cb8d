package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// One look at the cluster.
type view struct {
	pods       []*core.Pod // those with an address of their own
	namespaces map[string]labels.Set
	policies   []*networking.NetworkPolicy
}

func newView(pods []*core.Pod, namespaces []*core.Namespace, policies []*networking.NetworkPolicy) view {
	v := view{namespaces: map[string]labels.Set{}, policies: policies}
	for _, pod := range pods {
		if address(pod) != "" {
			v.pods = append(v.pods, pod)
		}
	}
	for _, namespace := range namespaces {
		v.namespaces[namespace.Name] = namespace.Labels
	}
	// A fixed order, so that an unchanged cluster gives an unchanged table.
	slices.SortFunc(v.pods, func(a, b *core.Pod) int { return cmp.Compare(a.UID, b.UID) })
	slices.SortFunc(v.policies, func(a, b *networking.NetworkPolicy) int { return cmp.Compare(a.UID, b.UID) })
	return v
}

// A direction of traffic: its chain, and which address fields hold the isolated pod and its peer.
type direction struct {
	chain, pod, peer string
	ingress          bool
}

var (
	ingress = direction{"ingress", "daddr", "saddr", true}
	egress  = direction{"egress", "saddr", "daddr", false}
)

// A rule of either direction.
type rule struct {
	peers []networking.NetworkPolicyPeer
	ports []networking.NetworkPolicyPort
}

// table is what nft loads: it replaces the one that was there, in one transaction.
func (v view) table() string {
	in, inIsolated := v.chain(ingress)
	out, outIsolated := v.chain(egress)
	lines := slices.Concat(
		[]string{"table inet netpol {}", "delete table inet netpol", "table inet netpol {"},
		out, in,
		base("forward", jump(egress, outIsolated), jump(ingress, inIsolated)),
		base("input", jump(egress, outIsolated)),
		[]string{"}", ""},
	)
	return strings.Join(lines, "\n")
}

// base is a chain that hangs in a hook of the kernel.
func base(hook string, jumps ...string) []string {
	return slices.Concat(
		[]string{
			"chain " + hook + " {",
			"type filter hook " + hook + " priority filter + 1; policy accept;",
			"ct state established,related accept",
		},
		jumps,
		[]string{"}"},
	)
}

func jump(d direction, isolated []string) string {
	if len(isolated) == 0 {
		return ""
	}
	return fmt.Sprintf("ip %s %s jump %s", d.pod, set(isolated), d.chain)
}

// chain renders what all policies allow in a direction, and says which addresses they isolate.
func (v view) chain(d direction) (lines, isolated []string) {
	addresses := map[string]bool{}
	lines = []string{"chain " + d.chain + " {"}
	for _, policy := range v.policies {
		pods := v.selected(policy)
		rules, applies := rulesOf(policy, d)
		if !applies || len(pods) == 0 {
			continue
		}
		for _, pod := range pods {
			addresses[address(pod)] = true
		}
		for _, rule := range rules {
			for _, match := range v.matches(policy, d, pods, rule) {
				lines = append(lines, fmt.Sprintf("%s return comment \"%s/%s\"", match, policy.Namespace, policy.Name))
			}
		}
	}
	return append(lines, "counter drop", "}"), slices.Sorted(maps.Keys(addresses))
}

func rulesOf(policy *networking.NetworkPolicy, d direction) (rules []rule, applies bool) {
	if d.ingress {
		for _, r := range policy.Spec.Ingress {
			rules = append(rules, rule{r.From, r.Ports})
		}
		return rules, slices.Contains(policy.Spec.PolicyTypes, networking.PolicyTypeIngress)
	}
	for _, r := range policy.Spec.Egress {
		rules = append(rules, rule{r.To, r.Ports})
	}
	return rules, slices.Contains(policy.Spec.PolicyTypes, networking.PolicyTypeEgress)
}

// matches renders one rule. A named port is one of the receiving pod, so each receiver gets a match
// of its own: the isolated pods on the way in, their peers on the way out.
func (v view) matches(policy *networking.NetworkPolicy, d direction, pods []*core.Pod, r rule) (matches []string) {
	for _, peer := range v.peers(policy, d, r) {
		receivers := peer.pods
		if d.ingress {
			receivers = pods
		}
		for _, port := range r.ports {
			if name := port.Port; name == nil || name.Type == intstr.Int {
				matches = append(matches, v.match(d, addresses(pods), peer.match, numbered(port)))
				continue
			}
			for _, receiver := range receivers {
				number, found := lookup(receiver, port)
				switch {
				case !found:
				case d.ingress:
					matches = append(matches, v.match(d, []string{address(receiver)}, peer.match, number))
				default:
					match := fmt.Sprintf("ip %s %s", d.peer, address(receiver))
					matches = append(matches, v.match(d, addresses(pods), match, number))
				}
			}
		}
		if len(r.ports) == 0 {
			matches = append(matches, v.match(d, addresses(pods), peer.match, ""))
		}
	}
	return matches
}

func (view) match(d direction, pods []string, peer, port string) string {
	return fmt.Sprintf("ip %s %s %s %s", d.pod, set(pods), peer, port)
}

// Who may be at the other end: the match of nft, and the pods if they are known.
type peer struct {
	match string
	pods  []*core.Pod
}

func (v view) peers(policy *networking.NetworkPolicy, d direction, r rule) (peers []peer) {
	if len(r.peers) == 0 {
		return []peer{{"", v.pods}}
	}
	for _, from := range r.peers {
		if block := from.IPBlock; block != nil {
			if strings.Contains(block.CIDR, ":") {
				continue // IPv6: there is none on this node
			}
			match := fmt.Sprintf("ip %s %s", d.peer, block.CIDR)
			for _, except := range block.Except {
				match += fmt.Sprintf(" ip %s != %s", d.peer, except)
			}
			peers = append(peers, peer{match, nil})
			continue
		}
		if pods := v.matching(policy.Namespace, from); len(pods) > 0 {
			peers = append(peers, peer{fmt.Sprintf("ip %s %s", d.peer, set(addresses(pods))), pods})
		}
	}
	return peers
}

// selected are the pods that a policy isolates.
func (v view) selected(policy *networking.NetworkPolicy) []*core.Pod {
	return v.matching(policy.Namespace, networking.NetworkPolicyPeer{PodSelector: &policy.Spec.PodSelector})
}

func (v view) matching(namespace string, from networking.NetworkPolicyPeer) (pods []*core.Pod) {
	for _, pod := range v.pods {
		near := pod.Namespace == namespace
		if from.NamespaceSelector != nil {
			near = selects(from.NamespaceSelector, v.namespaces[pod.Namespace])
		}
		if near && (from.PodSelector == nil || selects(from.PodSelector, pod.Labels)) {
			pods = append(pods, pod)
		}
	}
	return pods
}

func selects(selector *meta.LabelSelector, set labels.Set) bool {
	parsed, err := meta.LabelSelectorAsSelector(selector)
	return err == nil && parsed.Matches(set)
}

// numbered is the match of a port that has a number, or of a whole protocol.
func numbered(port networking.NetworkPolicyPort) string {
	switch {
	case port.Port == nil:
		return "meta l4proto " + protocol(port)
	case port.EndPort != nil:
		return fmt.Sprintf("%s dport %d-%d", protocol(port), port.Port.IntVal, *port.EndPort)
	default:
		return fmt.Sprintf("%s dport %d", protocol(port), port.Port.IntVal)
	}
}

// lookup is the match of a port that the receiving pod gives a name.
func lookup(receiver *core.Pod, port networking.NetworkPolicyPort) (match string, found bool) {
	for _, container := range receiver.Spec.Containers {
		for _, named := range container.Ports {
			if named.Name == port.Port.StrVal && strings.EqualFold(string(named.Protocol), protocol(port)) {
				return fmt.Sprintf("%s dport %d", protocol(port), named.ContainerPort), true
			}
		}
	}
	return "", false
}

func protocol(port networking.NetworkPolicyPort) string {
	if port.Protocol == nil {
		return "tcp"
	}
	return strings.ToLower(string(*port.Protocol))
}

// address is the pod's own IPv4 address; one that shares the node's or has ended has none.
func address(pod *core.Pod) string {
	ended := pod.Status.Phase == core.PodSucceeded || pod.Status.Phase == core.PodFailed
	if pod.Spec.HostNetwork || ended {
		return ""
	}
	for _, ip := range pod.Status.PodIPs {
		if !strings.Contains(ip.IP, ":") {
			return ip.IP
		}
	}
	return ""
}

func addresses(pods []*core.Pod) (all []string) {
	for _, pod := range pods {
		all = append(all, address(pod))
	}
	slices.Sort(all)
	return all
}

func set(addresses []string) string { return "{ " + strings.Join(addresses, ", ") + " }" }
