// A control plane made of go-control-plane's snapshot cache, as its users make them: every change builds a snapshot of all
// resources and sets it. Told of changes by lines on standard input; answers each with a line.
package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	_ "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
)

const typePrefix = "type.googleapis.com/"

func main() {
	if len(os.Args) != 5 {
		fail("usage: gocp FILE NODE TABLE ROUTE")
	}
	node, table, edited := os.Args[2], os.Args[3], os.Args[4]
	resources := read(os.Args[1])
	snapshots := cache.NewSnapshotCache(true, cache.IDHash{}, nil)
	set(snapshots, node, resources, 0)

	ctx := context.Background()
	xds := server.NewServer(ctx, snapshots, nil)
	grpcServer := grpc.NewServer()
	discovery.RegisterAggregatedDiscoveryServiceServer(grpcServer, xds)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	go func() { check(grpcServer.Serve(listener)) }()
	fmt.Printf("port %d\n", listener.Addr().(*net.TCPAddr).Port)

	// Each line is the number of an edit: the body of one route's answer.
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		n, err := strconv.Atoi(lines.Text())
		check(err)
		began := time.Now()
		edit(resources[resource.RouteType], table, edited, n)
		set(snapshots, node, resources, n)
		fmt.Printf("set %d %f\n", n, float64(time.Since(began).Microseconds())/1000)
	}
}

// edit replaces the table by one with another answer: what was given to a cache must not be changed in place.
func edit(tables []types.Resource, table, name string, n int) {
	for i, candidate := range tables {
		config := candidate.(*route.RouteConfiguration)
		if config.Name != table {
			continue
		}
		config = proto.Clone(config).(*route.RouteConfiguration)
		for _, r := range config.VirtualHosts[0].Routes {
			if r.Name == name {
				r.GetDirectResponse().Body = &core.DataSource{Specifier: &core.DataSource_InlineString{InlineString: fmt.Sprintf("edit %d", n)}}
			}
		}
		tables[i] = config
	}
}

func set(snapshots cache.SnapshotCache, node string, resources map[resource.Type][]types.Resource, n int) {
	snapshot, err := cache.NewSnapshot(strconv.Itoa(n), resources)
	check(err)
	check(snapshots.SetSnapshot(context.Background(), node, snapshot))
}

// read takes a file of (length, type URL, length, message), lengths as 32 bits, little endian.
func read(path string) map[resource.Type][]types.Resource {
	file, err := os.Open(path)
	check(err)
	defer file.Close()
	in := bufio.NewReader(file)
	resources := map[resource.Type][]types.Resource{}
	for {
		url, err := chunk(in)
		if err == io.EOF {
			return resources
		}
		check(err)
		bytes, err := chunk(in)
		check(err)
		kind, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(strings.TrimPrefix(string(url), typePrefix)))
		check(err)
		message := kind.New().Interface()
		check(proto.Unmarshal(bytes, message))
		resources[string(url)] = append(resources[string(url)], message)
	}
}

func chunk(in io.Reader) ([]byte, error) {
	var length uint32
	if err := binary.Read(in, binary.LittleEndian, &length); err != nil {
		return nil, err
	}
	bytes := make([]byte, length)
	_, err := io.ReadFull(in, bytes)
	return bytes, err
}

func check(err error) {
	if err != nil {
		fail(err.Error())
	}
}

func fail(why string) {
	fmt.Fprintln(os.Stderr, why)
	os.Exit(1)
}
