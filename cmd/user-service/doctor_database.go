package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"user-service/pkg/config"
	"user-service/pkg/postgres"
)

// maxClockSkew is the maximum difference between the clocks of the database and of this machine. Sessions expire by the first clock, and
// access tokens by the second one.
const maxClockSkew = 5 * time.Second

// checkDatabase checks the server, and then the rights and the schema in the database.
func (d *doctor) checkDatabase(ctx context.Context, cfg config.Database) {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	db, err := postgres.Open(ctx, postgres.Config{URL: cfg.URL.Reveal(), MaxConns: 2}, nil)
	if err != nil {
		d.problem("database", "DATABASE_URL: "+err.Error(), "correct DATABASE_URL")
		return
	}
	defer closeDatabase(ctx, db)
	sent := time.Now()
	server, err := db.ServerState(ctx)
	if err != nil {
		d.problem("database", oneLine(err),
			"check that the server runs, that a firewall or a NetworkPolicy allows the connection, and the user and password in "+
				"DATABASE_URL")
		return
	}
	d.ok("database", "PostgreSQL answers")
	d.checkServer(server)
	d.checkClock(server.Now, sent, time.Now())
	d.checkRights(ctx, db)
	d.checkSchema(ctx, db)
}

// oneLine returns the text of an error without line breaks, for a cell of a table.
func oneLine(err error) string { return strings.ReplaceAll(plainly(err).Error(), "\n", " ") }

// closeDatabase closes the connections, also after the end of ctx.
func closeDatabase(ctx context.Context, db *postgres.DB) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
	defer cancel()
	db.Close(ctx)
}

func (d *doctor) checkServer(server postgres.ServerState) {
	version := "PostgreSQL " + server.Version
	if server.Major < postgres.MinServerVersion {
		d.problem("database version", version+" is too old",
			fmt.Sprintf("upgrade the server to version %d or later", postgres.MinServerVersion))
	} else {
		d.ok("database version", version)
	}
	if server.ReadOnly {
		d.problem("database writes", "the server accepts no writes; it is a replica, or its default is read-only",
			"let DATABASE_URL name the primary, such as by target_session_attrs=read-write, or set default_transaction_read_only to off")
	} else {
		d.ok("database writes", "the server accepts writes")
	}
}

// checkClock compares the clock of the database with the local times before and after the query.
func (d *doctor) checkClock(database, before, after time.Time) {
	skew := time.Duration(0)
	switch {
	case database.Before(before):
		skew = before.Sub(database)
	case database.After(after):
		skew = database.Sub(after)
	}
	if skew > maxClockSkew {
		d.problem("database clock",
			fmt.Sprintf("the clocks of the database and of this machine differ by %s", skew.Round(time.Millisecond)),
			"let both machines synchronize their clocks (NTP)")
		return
	}
	d.ok("database clock", fmt.Sprintf("differs by less than %s", (skew+time.Second).Truncate(time.Second)))
}

func (d *doctor) checkRights(ctx context.Context, db *postgres.DB) {
	err := db.CheckSetup(ctx)
	switch setup := postgres.SetupError(""); {
	case err == nil:
		d.ok("database rights", "the role has the rights that the service needs")
	case errors.As(err, &setup):
		d.problem("database rights", setup.Error(), "run the commands in docs/operations.md, section Separate database roles, as the owner")
	default:
		d.unknown("database rights", oneLine(err), "repeat the check")
	}
}

func (d *doctor) checkSchema(ctx context.Context, db *postgres.DB) {
	required, err := postgres.RequiredSchema()
	if err != nil {
		d.unknown("database schema", err.Error(), "")
		return
	}
	found, err := db.SchemaVersion(ctx)
	switch setup := postgres.SetupError(""); {
	case errors.As(err, &setup):
		d.problem("database schema", setup.Error(), "grant this right as the owner of the schema")
	case err != nil:
		d.unknown("database schema", oneLine(err), "repeat the check")
	case found < required:
		d.problem("database schema", fmt.Sprintf("version %d is below %d", found, required), "run: user-service migrate up")
	default:
		d.ok("database schema", fmt.Sprintf("version %d, at least %d", found, required))
	}
}
