//go:build upgrade

package chaos_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"user-service/internal/testkit"
	"user-service/test/chaos/history"
)

// old names the builds that are upgraded, with the schema versions 13 and 11. They recover from the faults below as this build does.
var old = flag.String("old", "7c0bd3a,a793d13", "the commits, or the tags, of the builds that are upgraded, separated by commas")

// TestAnUpgradeUnderFaultKeepsEveryPromise runs an old build and this one side by side while faults are injected. They first use
// the old schema, which this build's migrations change. Then this build is rolled back.
func TestAnUpgradeUnderFaultKeepsEveryPromise(t *testing.T) { //nolint:paralleltest // it measures time
	for commit := range strings.SplitSeq(*old, ",") {
		t.Run(commit, func(t *testing.T) {
			before := buildOf(t, commit)
			for seed := *firstSeed; seed < *firstSeed+*seedCount; seed++ {
				t.Run(fmt.Sprintf("seed-%d", seed), func(t *testing.T) { runUpgrade(t, seed, commit, before) })
			}
		})
	}
}

// buildOf builds the program of a commit.
func buildOf(t *testing.T, commit string) (path string) {
	t.Helper()
	dir := t.TempDir()
	path = filepath.Join(dir, "user-service")
	const script = `git -C ../.. archive "$0" | tar -x -C "$1" && cd "$1" && go build -o "$2" ./cmd/user-service`
	if out, err := exec.Command("bash", "-o", "pipefail", "-c", script, commit, dir, path).CombinedOutput(); err != nil {
		t.Fatalf("build %s, which needs the whole history of the repository: %v: %s", commit, err, out)
	}
	return path
}

// runUpgrade upgrades two replicas, rolls one back, and checks the history.
func runUpgrade(t *testing.T, seed int64, commit, before string) {
	r := newRig(t, seed, topology{plain, single}, before)
	r.say("two replicas of %s are ready", commit)
	epochs := planOf(&deck{rng: rand.New(rand.NewPCG(uint64(seed), 0)), all: upgradeFaults()})
	background, stop := context.WithCancel(t.Context())
	var watchers sync.WaitGroup
	for _, watch := range []func(context.Context){r.sample, r.watchMachine, r.watchDisk, r.readMail} {
		watchers.Go(func() { watch(background) })
	}
	people := r.newCrowd()
	people.start(t.Context())
	testkit.Pause(t.Context(), warmUp)
	var ran []epoch
	suffer := func(what string, length time.Duration) {
		r.say("%s", what)
		for begun := r.now(); ; {
			r.run(t.Context(), epochs[len(ran)])
			ran = append(ran, epochs[len(ran)])
			if r.now()-begun >= length {
				return
			}
		}
	}
	r.migrateUnderFault(t.Context())
	suffer("the old build on the new schema", 0)
	r.replace(t.Context(), 1, program)
	suffer("the new build next to the old one", *length/3)
	r.replace(t.Context(), 0, program)
	suffer("the new build", 0)
	r.replace(t.Context(), 1, before)
	suffer("the new build rolled back at one replica", *length/3)
	r.replace(t.Context(), 0, before)
	suffer("the old build again", 0)
	r.replace(t.Context(), 0, program)
	r.replace(t.Context(), 1, program)
	testkit.Pause(t.Context(), lastCalm)
	people.stop()
	r.settle(t.Context(), people)
	stop()
	watchers.Wait()
	h, err := r.history(t.Context())
	if err != nil {
		t.Fatalf("seed %d: collect the history: %v", seed, err)
	}
	for i, e := range h.Deliveries {
		if h.Deliveries[i], err = asToday(e); err != nil {
			t.Fatal(err)
		}
	}
	r.shutDown()
	r.judge(h, describe(ran))
}

// asToday returns an event in the current format. Formerly the version was a string with another name.
func asToday(e history.Event) (history.Event, error) {
	var attributes map[string]json.RawMessage
	if err := json.Unmarshal([]byte(e.Body), &attributes); err != nil {
		return e, fmt.Errorf("read an event: %w: %s", err, e.Body)
	}
	var version string
	if raw, exists := attributes["sequence"]; exists {
		if err := json.Unmarshal(raw, &version); err != nil {
			return e, fmt.Errorf("read an event: %w: %s", err, e.Body)
		}
		delete(attributes, "sequence")
		attributes["userversion"] = json.RawMessage(version)
	}
	if err := json.Unmarshal(attributes["userversion"], &e.UserVersion); err != nil {
		return e, fmt.Errorf("read an event: %w: %s", err, e.Body)
	}
	body, err := json.Marshal(attributes)
	e.Body = string(body)
	return e, err
}

// upgradeFaults returns the faults from which the old build also recovers.
func upgradeFaults() []fault {
	return slices.DeleteFunc(faultsOf(topology{plain, single}), func(f fault) bool {
		return !slices.Contains([]string{
			"replica killed", "replica terminated", "connections to PostgreSQL cut", "network to PostgreSQL stalled",
			"connections to RabbitMQ cut", "network to RabbitMQ stalled", "connections to RabbitMQ half-open",
			"PostgreSQL restarted", "PostgreSQL restarted without a checkpoint", "PostgreSQL killed", "PostgreSQL paused",
			"sessions of PostgreSQL terminated", "RabbitMQ restarted", "RabbitMQ killed", "RabbitMQ paused",
			"connections closed by RabbitMQ", "a queue deleted",
		}, f.kind)
	})
}

// migrateUnderFault runs the migrations of this build and kills them: first the process, then the session. It records no fault of the
// replicas, because a migration must not cause refused requests.
func (r *rig) migrateUnderFault(ctx context.Context) {
	r.t.Helper()
	env := settings{"DATABASE_URL": r.primary.as("app").String()}
	for _, kill := range []func(*process){
		func(p *process) { p.kill() },
		func(*process) {
			if err := r.sql(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
				WHERE usename = 'app' AND application_name NOT LIKE 'replica%'`); err != nil {
				r.t.Error(err)
			}
		},
	} {
		p := &process{}
		cmd := exec.Command(program, "migrate", "up")
		cmd.Env = environment(env)
		if err := p.launch(cmd); err != nil {
			r.t.Fatal(err)
		}
		testkit.WaitFor(r.t, "a migration", func() bool { return r.migrating(ctx) || p.hasEnded() })
		kill(p)
		<-p.ended
		r.say("a migration was killed: %s", p.cmd.ProcessState)
	}
	runProgram(r.t, program, env, "", "migrate", "up")
}

// migrating reports whether a migration has begun.
func (r *rig) migrating(ctx context.Context) (yes bool) {
	err := r.sqlValue(ctx, `SELECT EXISTS (SELECT FROM pg_stat_activity
		WHERE usename = 'app' AND application_name NOT LIKE 'replica%' AND xact_start IS NOT NULL AND query !~ 'goose')`, &yes)
	if err != nil {
		r.t.Error(err)
	}
	return yes
}

// replace ends a replica with SIGTERM and starts another build in its place.
func (r *rig) replace(ctx context.Context, replica int, build string) {
	r.inject(ctx, step{replica: replica, fault: fault{
		kind: "replica replaced", local: true, means: history.Fault{Database: true, Connections: true, Cuts: 1},
		inject: func(_ context.Context, r *rig, s step, f *history.Fault) error {
			f.Detail = "by the " + map[bool]string{true: "new", false: "old"}[build == program] + " build"
			if _, err := r.terminate(s.replica); err != nil {
				return err
			}
			r.replicas[s.replica].program = build
			return r.replicas[s.replica].start()
		},
	}})
}
