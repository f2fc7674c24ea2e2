package password

import (
	"io"
	"net/rpc"
	"os"
	"testing"
)

// BenchmarkProcessProtocols compares JSON and net/rpc for sending a request and its response through pipes. The hash has the lowest
// possible cost.
func BenchmarkProcessProtocols(b *testing.B) {
	hash := newArgon2id(Params{MemoryKiB: 8, Iterations: 1, Parallelism: 1})
	req := request{Derive: true, Hash: hash.String(), Password: []byte(examplePassword)}
	b.Run("JSON", func(b *testing.B) {
		local, remote := pipes(b)
		c := newClient(local)
		go c.read(local)
		go func() { _ = Serve(remote, remote) }()
		b.ReportAllocs()
		for b.Loop() {
			if resp, err := c.call(req); err != nil || len(resp.Key) == 0 {
				b.Fatal(resp, err)
			}
		}
	})
	b.Run("net/rpc", func(b *testing.B) {
		local, remote := pipes(b)
		server := rpc.NewServer()
		if err := server.Register(RPCHashes{}); err != nil {
			b.Fatal(err)
		}
		go server.ServeConn(remote)
		client := rpc.NewClient(local)
		b.ReportAllocs()
		for b.Loop() {
			var resp RPCResponse
			if err := client.Call("RPCHashes.Compute", RPCRequest(req), &resp); err != nil || len(resp.Key) == 0 {
				b.Fatal(resp, err)
			}
		}
	})
}

// RPCHashes is the service for net/rpc, which requires exported types.
type RPCHashes struct{}

// RPCRequest and RPCResponse are the types request and response for net/rpc.
type (
	RPCRequest  request
	RPCResponse response
)

// Compute is called by net/rpc.
func (RPCHashes) Compute(req RPCRequest, resp *RPCResponse) error {
	*resp = RPCResponse(compute(request(req)))
	return nil
}

// pipes returns the ends of two pipes, as between two processes.
func pipes(b *testing.B) (local, remote io.ReadWriteCloser) {
	b.Helper()
	fromLocal, toRemote, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	fromRemote, toLocal, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		for _, f := range []*os.File{fromLocal, toRemote, fromRemote, toLocal} {
			_ = f.Close()
		}
	})
	return end{fromRemote, toRemote}, end{fromLocal, toLocal}
}

type end struct {
	io.ReadCloser
	to io.WriteCloser
}

func (e end) Write(p []byte) (int, error) { return e.to.Write(p) }
