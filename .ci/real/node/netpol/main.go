// Command netpol enforces NetworkPolicy (networking.k8s.io/v1, IPv4) on a node whose pods are all
// routed: it renders every policy into one nftables table and replaces that in one transaction.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os/exec"
	"strings"
	"time"

	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	// How long changes are gathered before the table is rendered.
	settle = 20 * time.Millisecond
	// When a table that was not taken is tried again.
	retry = time.Second
)

func main() {
	path := flag.String("kubeconfig", "", "how to reach the API server")
	flag.Parse()
	config, err := clientcmd.BuildConfigFromFlags("", *path)
	if err != nil {
		log.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		log.Fatal(err)
	}
	enforce(informers.NewSharedInformerFactory(client, 0))
}

func enforce(factory informers.SharedInformerFactory) {
	pods := factory.Core().V1().Pods()
	namespaces := factory.Core().V1().Namespaces()
	policies := factory.Networking().V1().NetworkPolicies()

	changed := make(chan struct{}, 1)
	note := func() {
		select {
		case changed <- struct{}{}:
		default: // already noted
		}
	}
	handler := cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { note() },
		UpdateFunc: func(any, any) { note() },
		DeleteFunc: func(any) { note() },
	}
	for _, informer := range []cache.SharedIndexInformer{pods.Informer(), namespaces.Informer(), policies.Informer()} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			log.Fatal(err)
		}
	}
	factory.Start(context.Background().Done())
	factory.WaitForCacheSync(context.Background().Done())

	loaded := ""
	for note(); ; {
		<-changed
		time.Sleep(settle)
		table := newView(list(pods.Lister().List), list(namespaces.Lister().List), list(policies.Lister().List)).table()
		if table == loaded {
			continue
		}
		if err := load(table); err != nil {
			log.Print(err)
			time.AfterFunc(retry, note)
			continue
		}
		loaded = table
	}
}

// What is in a cache; listing everything of one cannot fail.
func list[T core.Pod | core.Namespace | networking.NetworkPolicy](from func(labels.Selector) ([]*T, error)) []*T {
	objects, err := from(labels.Everything())
	if err != nil {
		log.Fatal(err)
	}
	return objects
}

func load(table string) error {
	nft := exec.Command("nft", "-f", "-")
	nft.Stdin = strings.NewReader(table)
	if output, err := nft.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, output)
	}
	return nil
}
