// Package growth_test checks that the cost of the hot queries does not grow with the number of users.
package growth_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"user-service/pkg/postgres"
	"user-service/pkg/postgres/postgrestest"
	"user-service/pkg/user"
)

var sizes = flag.String("users", "10000,40000", "comma-separated `numbers` of users, from the smallest to the largest")

const (
	runs = 20 // of each query; PostgreSQL may use a generic plan after 5
	// growth is the number of rows that a query may read, relative to the smallest database.
	growth = 1.1
	// mostRows is the maximum number of rows that a search reads for a prefix of more than three characters, unless it reads all matching
	// users. It follows from the bounds in pkg/postgres/search.go.
	mostRows = 2*(1000+20_000+2) + 3*101
)

// query is a hot query. Its cost must not depend on the number of users.
type query struct {
	name string
	run  func(ctx context.Context, db *postgres.DB, p population) error
	// bounded is the limit of the rows, if they may grow.
	bounded func(p population) float64
}

func list(name string, f user.Filter, after func(p population) uuid.UUID) query {
	return query{name: "list " + name, run: func(ctx context.Context, db *postgres.DB, p population) error {
		f := f
		f.Limit = 20
		if after != nil {
			f.After = after(p)
		}
		page, err := db.Users(ctx, f)
		if err == nil && len(page.Users) == 0 {
			return fmt.Errorf("%s: the page is empty", name)
		}
		return err
	}}
}

func audit(name string, filter func(p population) user.AuditFilter) query {
	return query{name: "audit " + name, run: func(ctx context.Context, db *postgres.DB, p population) error {
		f := filter(p)
		f.Limit = 20
		page, err := db.AuditEvents(ctx, f)
		if err == nil && len(page.Events) == 0 {
			return fmt.Errorf("%s: the page is empty", name)
		}
		return err
	}}
}

// late returns an id near the end of a list, so that most users precede the page.
func late(p population) uuid.UUID { return p.id(int(p) * 9 / 10) }

func (q query) upTo(bound func(p population) float64) query {
	q.bounded = bound
	return q
}

// searched is the maximum number of rows that are read for a long prefix.
func searched(population) float64 { return mostRows }

func queries() []query {
	lookUp := func(name string, run func(ctx context.Context, db *postgres.DB, p population) error) query {
		return query{name: name, run: run}
	}
	return []query{
		lookUp("identify", func(ctx context.Context, db *postgres.DB, p population) error {
			_, err := db.Identify(ctx, late(p), late(p))
			return err
		}),
		lookUp("user", func(ctx context.Context, db *postgres.DB, p population) error {
			_, err := db.User(ctx, late(p))
			return err
		}),
		lookUp("credential", func(ctx context.Context, db *postgres.DB, p population) error {
			_, err := db.Credential(ctx, p.email(int(p)/2))
			return err
		}),
		lookUp("sessions", func(ctx context.Context, db *postgres.DB, p population) error {
			_, err := db.Sessions(ctx, late(p))
			return err
		}),
		list("first page", user.Filter{}, nil),
		list("late page", user.Filter{}, late),
		list("role=user, late page", user.Filter{Role: "user"}, late),
		list("role=admin", user.Filter{Role: "admin"}, nil),
		list("status=disabled", user.Filter{Status: user.Disabled}, nil),
		list("status=disabled, late page", user.Filter{Status: user.Disabled}, late),
		list("q=m", user.Filter{Prefix: "m"}, nil),
		list("q=ma, late page", user.Filter{Prefix: "ma"}, late),
		list("q=mar", user.Filter{Prefix: "mar"}, nil),
		list("q=mar, late page", user.Filter{Prefix: "Mar"}, late),
		list("q=mar status=active role=user", user.Filter{Prefix: "mar", Status: user.Active, Role: "user"}, nil),
		list("q=st role=admin", user.Filter{Prefix: "st", Role: "admin"}, nil),
		list("q=u (the email of all users)", user.Filter{Prefix: "u"}, nil),
		list("q=stu, only new and old users", user.Filter{Prefix: "stu"}, func(p population) uuid.UUID { return p.id(p.skewed()) }),
		list("q=marti", user.Filter{Prefix: "marti"}, nil).upTo(searched),
		list("q=marti, late page", user.Filter{Prefix: "marti"}, late).upTo(searched),
		list("q=user1 (a ninth of the emails)", user.Filter{Prefix: "user1"}, nil).upTo(searched),
		// The search reads fewRows and maxWalk rows without success, and then all users with the prefix.
		list("q=student, only new users", user.Filter{Prefix: "student"}, nil).upTo(func(p population) float64 {
			return mostRows + float64(p.skewed())
		}),
		audit("first page", func(population) user.AuditFilter { return user.AuditFilter{} }),
		audit("late page", func(p population) user.AuditFilter { return user.AuditFilter{Before: p.entry(int(p)/10, 0)} }),
		audit("of an action, late page", func(p population) user.AuditFilter {
			return user.AuditFilter{Action: user.LoginFailed, Before: p.entry(int(p)/10, 0)}
		}),
		audit("of a user", func(p population) user.AuditFilter {
			return user.AuditFilter{UserID: uuid.NullUUID{UUID: late(p), Valid: true}}
		}),
	}
}

// cost is the cost of one run of a query.
type cost struct {
	rows   float64 // rows and index entries
	median time.Duration
}

// TestCostsDoNotGrow runs each query in databases of different sizes, and compares the rows and index entries that PostgreSQL reads. It
// also logs the times, which depend on the machine.
func TestCostsDoNotGrow(t *testing.T) { //nolint:paralleltest // it measures time
	all := queries()
	costs := make(map[string][]cost)
	var populations []population
	for _, size := range strings.Split(*sizes, ",") {
		n, err := strconv.Atoi(size)
		if err != nil {
			t.Fatal(err)
		}
		p := population(n)
		populations = append(populations, p)
		dsn := postgrestest.URL(t)
		began := time.Now()
		conn := connect(t, dsn)
		p.create(t, conn)
		disconnect(t, conn) // a session reports its last statistics when it ends
		t.Logf("%d users are created in %s", p, time.Since(began).Round(time.Second))
		conn = connect(t, dsn)
		for _, q := range all {
			costs[q.name] = append(costs[q.name], q.measure(t, dsn, conn, p))
		}
		disconnect(t, conn)
	}
	for _, q := range all {
		for i, c := range costs[q.name] {
			most := max(growth*costs[q.name][0].rows, costs[q.name][0].rows+2)
			if q.bounded != nil {
				most = q.bounded(populations[i])
			}
			if c.rows > most {
				t.Errorf("%s: with %d users, %.0f rows are read, want at most %.0f", q.name, populations[i], c.rows, most)
			}
		}
	}
	report(populations, all, costs)
}

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func disconnect(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// measure runs a query several times.
func (q query) measure(t *testing.T, dsn string, conn *pgx.Conn, p population) cost {
	t.Helper()
	db, err := postgres.Open(t.Context(), postgres.Config{URL: dsn, MaxConns: 2}, nil)
	if err != nil {
		t.Fatal(err)
	}
	before := rowsRead(t, conn)
	var took []time.Duration
	for range runs {
		began := time.Now()
		if err := q.run(t.Context(), db, p); err != nil {
			t.Fatalf("%s: %v", q.name, err)
		}
		took = append(took, time.Since(began))
	}
	db.Close(t.Context())
	slices.Sort(took)
	return cost{rows: float64(rowsRead(t, conn)-before) / runs, median: took[runs/2]}
}

// rowsRead returns how many rows and index entries were read. It first waits until all other sessions have ended, because a session
// reports its last statistics when it ends.
func rowsRead(t *testing.T, conn *pgx.Conn) (n int64) {
	t.Helper()
	for others := 1; others > 0; {
		if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'`).Scan(&others); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.QueryRow(t.Context(), `SELECT (SELECT sum(seq_tup_read) FROM pg_stat_user_tables)::bigint
		+ (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes)::bigint`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// report prints the rows and the median times of all queries.
func report(populations []population, all []query, costs map[string][]cost) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	defer func() { _ = w.Flush() }()
	header := "query"
	for _, p := range populations {
		header += fmt.Sprintf("\t%d users: rows\tms", p)
	}
	fmt.Fprintln(w, header)
	for _, q := range all {
		line := q.name
		for _, c := range costs[q.name] {
			line += fmt.Sprintf("\t%.0f\t%.2f", c.rows, float64(c.median)/float64(time.Millisecond))
		}
		fmt.Fprintln(w, line)
	}
}
