package httpapi

import (
	"runtime"
	"strings"
	"sync"
	"testing"
)

// TestANestedBodyUsesLittleStack checks that parsing a deeply nested body needs little stack, because the goroutine of a connection would
// keep a large stack. The test is not parallel, because it measures stacks.
func TestANestedBodyUsesLittleStack(t *testing.T) {
	const connections, most = 20, 64 << 10
	for _, level := range []string{"[", `[{"a":`, `{"a":`} {
		body := []byte(strings.Repeat(level, maxBody/len(level)))
		before := stacks()
		var parsed, done sync.WaitGroup
		read := make(chan struct{})
		parsed.Add(connections)
		for range connections {
			done.Go(func() {
				if _, err := parseObject(body); err == nil {
					t.Errorf("%s… is accepted, want an error", level)
				}
				parsed.Done()
				<-read
			})
		}
		parsed.Wait()
		if each := (stacks() - before) / connections; each > most {
			t.Errorf("%s…: a connection uses %d bytes of stack, want at most %d", level, each, most)
		}
		close(read)
		done.Wait()
	}
}

func stacks() int64 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.StackInuse)
}
