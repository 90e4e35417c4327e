// Command relay passes TCP connections from its own loopback to one target.
//
// In a pod it is the way of a port-forward to a private database. It accepts nothing from outside its pod and
// reaches nothing but the target it was started with, so it is no open door in a cluster. It takes the two arguments
// of socat that the collection gives it, so that a socat image does the same.
package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"
)

const usage = "usage: relay TCP-LISTEN:PORT,bind=127.0.0.1,... TCP:HOST:PORT,..."

func main() {
	if len(os.Args) != 3 {
		fail(usage)
	}
	port, target := address(os.Args[1], "TCP-LISTEN:"), address(os.Args[2], "TCP:")
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		fail(err)
	}
	for {
		client, err := listener.Accept()
		if err != nil {
			fail(err)
		}
		go serve(client.(*net.TCPConn), target)
	}
}

// address is what stands between the prefix and the options: loopback is the only place it listens on anyway.
func address(argument, prefix string) string {
	rest, found := strings.CutPrefix(argument, prefix)
	if !found {
		fail(usage)
	}
	rest, _, _ = strings.Cut(rest, ",")
	return rest
}

func fail(reason any) {
	fmt.Fprintln(os.Stderr, reason)
	os.Exit(1)
}

func serve(client *net.TCPConn, target string) {
	defer client.Close()
	connection, err := net.DialTimeout("tcp", target, 10*time.Second)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	server := connection.(*net.TCPConn)
	defer server.Close()
	sent := make(chan struct{})
	go func() {
		io.Copy(server, client)
		server.CloseWrite()
		close(sent)
	}()
	io.Copy(client, server)
	client.CloseWrite()
	<-sent
}
