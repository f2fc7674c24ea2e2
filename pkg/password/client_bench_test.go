package password

import (
	"io"
	"net/rpc"
	"os"
	"testing"
)

// BenchmarkWaysToAProcess compares the way of an order through pipes and back by JSON with that by net/rpc. The hash is as cheap as can be.
func BenchmarkWaysToAProcess(b *testing.B) {
	o := request{Derive: true, Hash: newArgon2id(Params{MemoryKiB: 8, Iterations: 1, Parallelism: 1}).String(), Password: []byte(kettles)}
	b.Run("JSON", func(b *testing.B) {
		here, there := pipes(b)
		calls := newClient(here)
		go calls.read(here)
		go func() { _ = Serve(there, there) }()
		b.ReportAllocs()
		for b.Loop() {
			if a, err := calls.call(o); err != nil || len(a.Key) == 0 {
				b.Fatal(a, err)
			}
		}
	})
	b.Run("net/rpc", func(b *testing.B) {
		here, there := pipes(b)
		server := rpc.NewServer()
		if err := server.Register(RPCHashes{}); err != nil {
			b.Fatal(err)
		}
		go server.ServeConn(there)
		client := rpc.NewClient(here)
		b.ReportAllocs()
		for b.Loop() {
			var a RPCAnswer
			if err := client.Call("RPCHashes.Compute", RPCOrder(o), &a); err != nil || len(a.Key) == 0 {
				b.Fatal(a, err)
			}
		}
	})
}

// RPCHashes is what net/rpc serves, which takes exported types only.
type RPCHashes struct{}

// RPCOrder and RPCAnswer are an order and its answer.
type (
	RPCOrder  request
	RPCAnswer response
)

// Compute is called by net/rpc.
func (RPCHashes) Compute(o RPCOrder, a *RPCAnswer) error {
	*a = RPCAnswer(compute(request(o)))
	return nil
}

// pipes returns both ends of two pipes, as between two processes.
func pipes(b *testing.B) (here, there io.ReadWriteCloser) {
	b.Helper()
	fromHere, toThere, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	fromThere, toHere, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		for _, f := range []*os.File{fromHere, toThere, fromThere, toHere} {
			_ = f.Close()
		}
	})
	return end{fromThere, toThere}, end{fromHere, toHere}
}

type end struct {
	io.ReadCloser
	to io.WriteCloser
}

func (e end) Write(p []byte) (int, error) { return e.to.Write(p) }
