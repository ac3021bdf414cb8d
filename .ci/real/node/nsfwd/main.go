// Command nsfwd brings an address of another network namespace to this one:
// nsfwd PID TARGET ADDRESS listens on ADDRESS, prints it, and dials TARGET where PID lives.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

func main() {
	if len(os.Args) != 4 {
		log.Fatal("usage: nsfwd PID TARGET ADDRESS")
	}
	namespace, err := os.Open("/proc/" + os.Args[1] + "/ns/net")
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr())
	for {
		downstream, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go forward(downstream.(*net.TCPConn), namespace, os.Args[2])
	}
}

func forward(downstream *net.TCPConn, namespace *os.File, target string) {
	defer downstream.Close()
	upstream, err := dial(namespace, target)
	if err != nil {
		log.Print(err)
		return
	}
	defer upstream.Close()
	go relay(upstream, downstream)
	relay(downstream, upstream)
}

func relay(to, from *net.TCPConn) {
	io.Copy(to, from)
	to.CloseWrite()
}

func dial(namespace *os.File, target string) (*net.TCPConn, error) {
	type result struct {
		connection net.Conn
		err        error
	}
	results := make(chan result)
	go func() {
		// Never unlocked: the thread ends with this goroutine, so nothing else runs in there.
		runtime.LockOSThread()
		if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
			results <- result{nil, fmt.Errorf("entering the network namespace: %w", err)}
			return
		}
		connection, err := net.Dial("tcp", target)
		results <- result{connection, err}
	}()
	dialed := <-results
	if dialed.err != nil {
		return nil, dialed.err
	}
	return dialed.connection.(*net.TCPConn), nil
}
